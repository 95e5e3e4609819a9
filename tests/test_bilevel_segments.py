"""Steps that are computed again: equal numbers, and the memory that they save."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bilevel_problems import (
    assert_close,
    inner_gradient,
    inner_loss,
    outer_loss,
    problem,
    written_out,
)

from nasfas_jax import bilevel
from nasfas_jax.bilevel._plan import divide

ADAM = optax.adam(0.1, eps_root=1e-6)


def call(phi, h, *batches, mode="forward_over_reverse", optimizer=ADAM, **options):
    return bilevel.hypergradient(
        outer_loss,
        options.pop("gradient", inner_gradient),
        phi,
        h,
        inner_batch=batches[0],
        outer_batch=batches[1],
        optimizer=optimizer,
        mode=mode,
        **options,
    )


def stacked(count):
    phi, h, batch, outer = problem()
    factors = [1 + i / 10 for i in range(count)]
    batches = jax.tree.map(lambda x: jnp.stack([x * f for f in factors]), batch)
    return phi, h, batches, outer


def test_every_number_of_segments_gives_the_same_derivatives(x64):
    """As plain autodiff of the loop, with a batch for each step; five is prime."""
    arguments = stacked(5)
    objective = written_out(ADAM, None)
    value, expected = jax.jit(jax.value_and_grad(objective, (0, 1)))(*arguments)

    @jax.jit
    def everything(*arguments):
        return [
            call(*arguments, steps=None, mode=mode, segments=segments)
            for mode in bilevel.EXACT
            for segments in ((1, 2, 3, "sqrt", 5) if mode != "unrolled" else (3,))
        ] + [call(*arguments, steps=None, segments=3, offload=True)]

    for result in everything(*arguments):
        np.testing.assert_allclose(result.value, value, rtol=1e-12)
        assert_close(result.grads, expected, 1e-10)


def test_segments_of_a_carried_state(x64):
    """The auxiliary state before each step is stored with it; approximate modes too."""
    phi, h, *batches = problem()

    def loss(phi, h, batch, seen):
        value = inner_loss(phi, h * (1 + seen), batch)
        return value, seen + 0.1 * phi["b"]

    gradient = jax.grad(loss, (0, 1), has_aux=True)

    @jax.jit
    def everything(phi, h):
        return [
            [
                bilevel.hypergradient(
                    loss,
                    gradient,
                    phi,
                    h,
                    inner_batch=batches[0],
                    outer_batch=batches[1],
                    optimizer=optax.sgd(0.1),
                    steps=4,
                    mode=mode,
                    state=jnp.asarray(0.2),
                    policy="carry",
                    segments=segments,
                )
                for segments in (None, 2)
            ]
            for mode in ("forward_over_reverse", "finite_difference", "first_order")
        ]

    for plain, segmented in everything(phi, h):
        assert_close(segmented, plain, 1e-12)


def test_second_derivatives_pass_through_segments(x64):
    """In both directions; and `inner_update` with segments is the plain loop."""
    phi, h, *batches = problem()
    sgd = optax.sgd(0.1)
    objective = written_out(sgd, 3)
    hessian = jax.jit(jax.hessian(objective, 1))(phi, h, *batches)

    def by_recursion(h):
        return call(phi, h, *batches, optimizer=sgd, steps=3, segments=2).hyper

    def by_loop(h):
        inner = bilevel.inner_update(
            inner_gradient,
            phi,
            h,
            batch=batches[0],
            optimizer=sgd,
            steps=3,
            segments=2,
            remat=True,
        )
        return outer_loss(inner.params, h, batches[1])

    assert_close(jax.jit(jax.jacfwd(by_recursion))(h), hessian, 1e-10)
    assert_close(jax.jit(jax.jacrev(by_recursion))(h), hessian, 1e-10)
    assert_close(jax.jit(jax.jacfwd(jax.grad(by_loop)))(h), hessian, 1e-10)


@pytest.mark.parametrize("steps", [*range(1, 40), 97, 128, 1000])
def test_the_root_of_the_steps_bounds_what_is_stored(steps):
    """Starts of the segments, and the steps of one, or those after the last."""
    segments, length = divide("sqrt", steps)
    assert 0 <= steps - segments * length <= length
    assert segments + length <= max(2 * steps**0.5 + 1.5, 3)
    for number in range(1, steps + 1):
        segments, length = divide(number, steps)
        rest = steps - segments * length
        assert 0 <= rest <= length and segments + (rest > 0) <= number


def planned(optimizer, steps, mode="forward_over_reverse", segments=None, **options):
    """Memory of a perceptron, in units of its parameters and optimizer state."""
    params = [jax.ShapeDtypeStruct((48, 48), "float32")] * 3
    batch = jax.ShapeDtypeStruct((2, 48), "float32")

    def loss(phi, h, x):
        for w in phi:
            x = jnp.tanh(x @ w) * h
        return jnp.mean(x**2)

    (one,) = bilevel.cost(
        loss,
        jax.grad(loss, (0, 1)),
        params,
        1.0,
        inner_batch=batch,
        outer_batch=batch,
        optimizer=optimizer,
        steps=steps,
        modes=[mode],
        segments=[segments],
        **options,
    ).costs
    return one


def test_memory_grows_with_the_root_of_the_steps():
    few = planned(ADAM, 16)
    segmented = planned(ADAM, 16, segments="sqrt")
    assert segmented.states <= 2 * 4 + 4
    assert planned(optax.sgd(0.1), 64, segments="sqrt").states <= 2 * 8 + 4
    assert 15 <= few.states <= 1.1 * planned(ADAM, 16, "unrolled").states
    # All forward gradients run twice.
    np.testing.assert_allclose(segmented.gradients - few.gradients, 16, rtol=1e-6)


def test_costs_of_losses_with_state_and_mask():
    """The arithmetic of the parameters that are updated."""
    shape = jax.ShapeDtypeStruct((8, 8), "float32")

    def loss(phi, h, x, seen):
        return jnp.mean(jnp.tanh(jnp.tanh(x @ phi["a"]) @ phi["b"]) * h), seen + 1.0

    table = bilevel.cost(
        loss,
        jax.grad(loss, (0, 1), has_aux=True),
        {"a": shape, "b": shape},
        1.0,
        inner_batch=jax.ShapeDtypeStruct((3, 2, 8), "float32"),
        outer_batch=jax.ShapeDtypeStruct((2, 8), "float32"),
        optimizer=optax.sgd(0.1),
        steps=None,
        modes=["reverse_over_reverse", bilevel.first_order()],
        segments=[2],
        mask={"a": False, "b": True},
        state=1.0,
        policy="carry",
    )
    exact, first = table.costs
    assert (exact.steps, exact.segments, first.mode) == (3, 2, "first_order")
    assert exact.flops > first.flops > 5 * 2 * 2 * 8 * 8
    lines = str(table).splitlines()
    assert lines[0].split()[:3] == ["mode", "segments", "steps"] and len(lines) == 3


def test_the_last_steps_alone(x64):
    """As the objective from the state before them, which is a constant."""
    phi, h, *batches = problem()
    sgd = optax.sgd(0.1)

    @jax.jit
    def reference(phi, h):
        begin = bilevel.inner_update(
            inner_gradient, phi, h, batch=batches[0], optimizer=sgd, steps=3
        ).params
        return jax.value_and_grad(written_out(sgd, 2), (0, 1))(begin, h, *batches)

    @jax.jit
    def everything(phi, h):
        options = {"steps": 5, "optimizer": sgd}
        return [
            call(phi, h, *batches, **options, last=2, mode=mode, segments=segments)
            for mode, segments in (("forward_over_reverse", 2), ("unrolled", None))
        ] + [call(phi, h, *batches, **options, last=last) for last in (0, 5, None)]

    value, expected = reference(phi, h)
    recursion, unrolled, none, every, plain = everything(phi, h)
    for result in (recursion, unrolled):
        np.testing.assert_allclose(result.value, value, rtol=1e-12)
        assert_close(result.grads, expected, 1e-10)
    assert_close(every, plain, 1e-12)
    phi_k = jax.jit(
        lambda phi, h: (
            bilevel.inner_update(
                inner_gradient, phi, h, batch=batches[0], optimizer=sgd, steps=5
            ).params
        )
    )(phi, h)
    assert_close(none.grads, jax.grad(outer_loss, (0, 1))(phi_k, h, batches[1]), 1e-10)


def test_wrong_numbers_are_named():
    phi, h, *batches = problem()
    for options, error, message in (
        ({"segments": 5}, ValueError, r"from 1 to the number of steps.*3; got 5"),
        ({"segments": 0}, ValueError, "from 1 to"),
        ({"segments": "root"}, TypeError, r"'sqrt', or None.*'root'"),
        ({"segments": True}, TypeError, "whole number"),
        ({"last": 4}, ValueError, r"from 0 to the number of steps, 3; got 4"),
        ({"last": -1}, ValueError, r"got -1"),
        ({"last": 1.0}, TypeError, "whole number"),
        ({"mode": "unrolled", "offload": True}, ValueError, "'reverse_over_reverse'"),
    ):
        with pytest.raises(error, match=message):
            call(phi, h, *batches, steps=3, **options)


def test_a_platform_without_memory_of_the_host(monkeypatch):
    class Device:
        def addressable_memories(self):
            return ()

    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    phi, h, *batches = problem()
    with pytest.raises(ValueError, match=r"'pinned_host'.*segments='sqrt'"):
        call(phi, h, *batches, steps=3, offload=True)
