"""Losses of the steps, results of the steps, checks, solvers, chosen differences."""

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
)
from jax.experimental import checkify

from nasfas_jax import bilevel
from nasfas_jax.bilevel import _values

MOMENTUM = optax.sgd(0.1, momentum=0.9)


def step_loss(phi, h, batch, t):
    """Depends on everything, the number of the step included."""
    t = jnp.asarray(t, h.dtype)
    return jnp.sin(t) * inner_loss(phi, h, batch) + h.sum() * t * phi["b"]


def call(phi, h, *batches, mode="forward_over_reverse", gradient=None, **options):
    options = {"optimizer": MOMENTUM, "steps": 5} | options
    return bilevel.hypergradient(
        outer_loss,
        gradient or inner_gradient,
        phi,
        h,
        inner_batch=batches[0],
        outer_batch=batches[1],
        mode=mode,
        **options,
    )


@jax.jit
def with_step_losses(phi, h, inner, outer):
    """The objective written out; ``(value, (losses, phi_k))``."""
    state, losses = MOMENTUM.init(phi), []
    for t in range(1, 6):
        updates, state = MOMENTUM.update(inner_gradient(phi, h, inner)[0], state, phi)
        phi = optax.apply_updates(phi, updates)
        losses.append(step_loss(phi, h, inner, t))
    return outer_loss(phi, h, outer) + sum(losses), (jnp.stack(losses), phi)


def test_losses_of_every_step(x64):
    arguments = problem()
    (value, kept), expected = jax.jit(
        jax.value_and_grad(with_step_losses, (0, 1), has_aux=True)
    )(*arguments)
    options = {"step_loss": step_loss, "return_inner": True}

    @jax.jit
    def everything(*arguments):
        return [
            call(*arguments, mode=mode, segments=segments, **options)
            for mode, segments in (
                ("forward_over_reverse", None),
                ("reverse_over_reverse", "sqrt"),
                ("unrolled", 2),
            )
        ] + [call(*arguments, mode="first_order", last=2, **options)]

    *exact, truncated = everything(*arguments)
    for result in exact:
        assert_close(result.grads, expected, 1e-10)
    # Losses before the last steps count in the value.
    for result in (*exact, truncated):
        np.testing.assert_allclose(result.value, value, rtol=1e-12)
        assert_close((result.inner.losses, result.inner.params), kept, 1e-12)


def test_a_loss_of_a_step_is_a_scalar():
    with pytest.raises(TypeError, match=r"step loss must return one float.*\[3\]"):
        call(*problem(), steps=1, step_loss=lambda phi, h, batch, t: h)


def test_losses_of_the_steps_with_state(x64):
    """The state after the step; the new state of such a loss is dropped."""
    phi, h, *batches = problem()

    def loss(phi, h, batch, seen):
        return inner_loss(phi, h * (1 + seen), batch), seen + 0.1

    def of_step(phi, h, batch, t, seen):
        return loss(phi, h, batch, seen * jnp.asarray(t, h.dtype))

    def reference(phi, h):
        seen, total = jnp.asarray(0.2), 0.0
        for t in (1, 2):
            grads, seen = jax.grad(loss, has_aux=True)(phi, h, batches[0], seen)
            phi = jax.tree.map(lambda p, g: p - 0.1 * g, phi, grads)
            total += loss(phi, h, batches[0], seen * t)[0]
        return total + loss(phi, h, batches[1], seen)[0]

    value, expected = jax.jit(jax.value_and_grad(reference, (0, 1)))(phi, h)
    result = jax.jit(
        lambda phi, h: bilevel.hypergradient(
            loss,
            jax.grad(loss, (0, 1), has_aux=True),
            phi,
            h,
            inner_batch=batches[0],
            outer_batch=batches[1],
            optimizer=optax.sgd(0.1),
            steps=2,
            state=jnp.asarray(0.2),
            policy="carry",
            step_loss=of_step,
        )
    )(phi, h)
    np.testing.assert_allclose(result.value, value, rtol=1e-12)
    assert_close(result.grads, expected, 1e-10)
    assert result.inner is None


def test_a_key_for_each_step(x64):
    """Random keys are a leaf of the stacked batch."""
    phi, h, batch, outer = problem()
    keys = jax.random.split(jax.random.key(0), 3)

    def noisy(phi, h, one):
        return inner_loss(phi, h + 0.1 * jax.random.normal(one, h.shape), batch)

    def reference(phi, h):
        for i in range(3):
            grads = jax.grad(noisy)(phi, h, keys[i])
            phi = jax.tree.map(lambda p, g: p - 0.1 * g, phi, grads)
        return outer_loss(phi, h, outer)

    expected = jax.jit(jax.grad(reference, (0, 1)))(phi, h)
    result = jax.jit(
        lambda phi, h: call(
            *(phi, h, keys, outer),
            gradient=jax.grad(noisy, (0, 1)),
            optimizer=optax.sgd(0.1),
            steps=None,
            segments=2,
        )
    )(phi, h)
    assert_close(result.grads, expected, 1e-10)


@pytest.mark.parametrize("mode", ["forward_over_reverse", "unrolled"])
def test_checks_inside_of_the_program(x64, mode):
    phi, h, *batches = problem()
    checked = jax.jit(
        checkify.checkify(
            lambda phi, h, rate: call(
                *(phi, h, *batches),
                optimizer=optax.sgd(rate),
                mode=mode,
                segments=2,
                checks=bilevel.CHECKS,
            )
        )
    )
    error, result = checked(phi, h, 0.1)
    error.throw()
    assert_close(result, call(phi, h, *batches, optimizer=optax.sgd(0.1)), 1e-10)
    error, _ = checked(phi, h, 1e200)
    with pytest.raises(checkify.JaxRuntimeError, match=r"inner step 2 are not finite"):
        error.throw()


def test_checks_of_symmetry_and_precision(x64):
    phi, h, *batches = problem()

    def field(phi, h, batch):
        return {"w": phi["w"] + phi["b"], "b": 0 * phi["b"]}, 0 * h

    checked = checkify.checkify(
        lambda phi: call(phi, h, *batches, gradient=field, checks=("symmetry",))
    )
    with pytest.raises(checkify.JaxRuntimeError, match="are not symmetric"):
        jax.jit(checked)(phi)[0].throw()
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), phi)
    with pytest.raises(TypeError, match=r"params\['b'\] is of this dtype.*float32"):
        call(half, h, *batches, checks=("precision",))
    for wrong in ("symmetry", ("divergence", "speed")):
        with pytest.raises(ValueError, match=r"`checks` must be a tuple"):
            call(phi, h, *batches, checks=wrong)


def test_products_that_a_gpu_would_round_are_refused(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    gradient = jax.jit(jax.grad(lambda w, h, x: jnp.sum((x @ w * h) ** 2), (0, 1)))
    arrays = jnp.ones(3), 1.0, jnp.ones((2, 3))
    with pytest.raises(ValueError, match=r"On a gpu, dot_general .* 11 bits"):
        _values.has_full_products(gradient, *arrays)
    with jax.default_matmul_precision("highest"):
        _values.has_full_products(gradient, *arrays)
    with jax.enable_x64(True):
        _values.has_full_products(gradient, *jax.tree.map(np.float64, arrays))


def test_a_step_chosen_from_the_data(x64):
    """Near the best of all steps, for losses of any curvature; and its error is known."""
    v = jnp.asarray([0.6, -0.8, 0.3])
    for scale in (0.03, 1.0, 30.0):

        def loss(w, h, batch, scale=scale):
            return jnp.sum(jnp.exp(jnp.sin(scale * w))) * h

        gradient = jax.grad(loss, (0, 1))
        w, h = jnp.asarray([0.5, 0.1, -0.4]) / scale, jnp.asarray(1.3)
        for dtype in ("float32", "float64"):
            arguments = [x.astype(dtype) for x in (w, h)] + [None, v.astype(dtype)]
            exact = jax.jit(jax.tree_util.Partial(_product, gradient))(*arguments)
            mode = bilevel.finite_difference(None)
            products, error = jax.jit(mode.measured, static_argnums=0)(
                gradient, *arguments
            )
            gap = np.hypot(
                np.linalg.norm(products[0] - exact[0]), products[1] - exact[1]
            )
            size = np.hypot(np.linalg.norm(exact[0]), exact[1])
            assert gap <= 3 * error
            assert error <= (1e-2 if dtype == "float32" else 1e-7) * size
    with pytest.raises(ValueError, match=r"must be a positive.*got 0"):
        bilevel.finite_difference(0.0)


def _product(gradient, w, h, batch, v):
    return bilevel.second_derivative_product(
        gradient, w, h, batch, v, mode="reverse_over_reverse"
    )


def ridge(count):
    """Ridge regression of badly scaled inputs, with a penalty for each weight."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(40, count)) * np.logspace(0, 2, count))
    y = jnp.asarray(rng.normal(size=40))

    def inner(w, h, batch):
        return jnp.sum((x @ w - y) ** 2) / 2 + jnp.exp(h) @ w**2 / 2

    def optimum(h):
        return jnp.linalg.solve(x.T @ x + jnp.diag(jnp.exp(h)), x.T @ y)

    def outer(w, h, batch):
        return jnp.sum(jnp.cos(w)) + jnp.sum(h**2)

    return inner, outer, optimum, (x**2).sum(0)


def test_a_preconditioner_saves_iterations(x64):
    inner, outer, optimum, diagonal = ridge(6)
    h = jnp.linspace(-1.0, 1.0, 6)
    expected = jax.jit(jax.grad(lambda h: outer(optimum(h), h, None)))(h)

    @jax.jit
    def solved(h):
        return [
            bilevel.implicit_hypergradient(
                *(outer, jax.grad(inner, (0, 1)), optimum(h), h),
                inner_batch=None,
                outer_batch=None,
                solver=bilevel.conjugate_gradient(
                    50, tolerance=1e-10, preconditioner=preconditioner
                ),
            )
            for preconditioner in (
                None,
                lambda v: v / (diagonal + jnp.exp(h)),
                lambda v: jnp.linalg.solve(jax.hessian(inner)(optimum(h), h, None), v),
            )
        ]

    results = solved(h)
    for result in results:
        np.testing.assert_allclose(result.hyper, expected, rtol=1e-6)
        assert result.residual < 1e-9
    plain, scaled, exact = (int(result.iterations) for result in results)
    assert exact == 1 < scaled < plain < 50
    with pytest.raises(TypeError, match="preconditioner must return a tree like"):
        bilevel.implicit_hypergradient(
            *(outer, jax.grad(inner, (0, 1)), h, h),
            inner_batch=None,
            outer_batch=None,
            solver=bilevel.conjugate_gradient(preconditioner=lambda v: v[:2]),
        )


def test_last_steps_on_top_of_an_optimum(x64):
    """The derivative of the start, at an optimum, is implicit: together they are exact.

    The steps from there decrease another loss.
    """
    inner, outer, optimum, _ = ridge(3)
    h, gradient = jnp.asarray([0.1, -0.5, 0.7]), jax.grad(inner, (0, 1))
    none = {"inner_batch": None, "outer_batch": None}

    def other(w, h, batch):
        return jnp.sum(jnp.sin(w * h))

    def steps(w, h):
        return bilevel.hypergradient(
            *(outer, jax.grad(other, (0, 1)), w, h),
            **none,
            optimizer=optax.sgd(0.1),
            steps=3,
        )

    def objective(h):
        w = optimum(h)
        for _ in range(3):
            w = w - 0.1 * jax.grad(other)(w, h, None)
        return outer(w, h, None)

    @jax.jit
    def mixed(h):
        w = optimum(h)
        unrolled = steps(w, h)
        start = bilevel.implicit_hypergradient(
            *(lambda w, h, batch: w @ unrolled.params, gradient, w, h),
            **none,
            solver=bilevel.conjugate_gradient(tolerance=1e-12),
        )
        return unrolled.hyper + start.hyper

    expected = jax.jit(jax.grad(objective))(h)
    np.testing.assert_allclose(mixed(h), expected, rtol=1e-8)
