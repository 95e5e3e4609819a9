"""Hand-written derivatives under the inner loss: what is refused, and what is found."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bilevel_problems import (
    assert_all_close,
    assert_close,
    central_difference,
    dot,
    inner_gradient,
    inner_loss,
    network,
    outer_loss,
    problem,
    random_like,
    written_out,
)

from nasfas_jax import bilevel
from nasfas_jax.bilevel import EXACT

SGD = optax.sgd(0.1)
ASSUMING_MODES = ("forward_over_reverse", "finite_difference")


@jax.custom_vjp
def reverse(x):
    """Gradient reversal."""
    return x


reverse.defvjp(lambda x: (x, None), lambda _, g: (-g,))


@jax.custom_jvp
def reverse_jvp(x):
    return x


reverse_jvp.defjvp(lambda primals, tangents: (primals[0], -tangents[0]))


@jax.custom_vjp
def square(x):
    """A hand-written rule that is the true derivative."""
    return x**2


square.defvjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,))


@jax.custom_vjp
def straight_through(x):
    """Rounding to quarters; its rule is that of the identity."""
    return jnp.round(4 * x) / 4


straight_through.defvjp(lambda x: (jnp.round(4 * x) / 4, None), lambda _, g: (g,))


def stop_reverse(x):
    """Gradient reversal by arithmetic: the value x, the derivative -1."""
    return 2 * jax.lax.stop_gradient(x) - x


def adversarial(rule):
    """The inner loss of two players: ``b`` works against it through ``rule``."""
    return lambda phi, h, batch: inner_loss({**phi, "b": rule(phi["b"])}, h, batch)


def compute(gradient, mode, steps=2, **options):
    """The hypergradient of the common problem under ``jax.jit``."""

    @jax.jit
    def call(phi, h, inner_batch, outer_batch):
        return bilevel.hypergradient(
            outer_loss,
            gradient,
            phi,
            h,
            inner_batch=inner_batch,
            outer_batch=outer_batch,
            optimizer=SGD,
            steps=steps,
            mode=mode,
            **options,
        )

    return call(*problem())


def once(f):
    """``f`` within the program of another function, for each way to make one."""

    def scanned(x):
        return jax.lax.scan(lambda c, _: (f(c), None), x, length=1)[0]

    def looped(x):
        return jax.lax.while_loop(lambda c: c[0] < 0, lambda c: c, (1, f(x)))[1]

    return {
        "plain": f,
        "jit": jax.jit(f),
        "scan": scanned,
        "while": looped,
        "cond": lambda x: jax.lax.cond(x.sum() > -9, f, lambda x: x, x),
        "checkpoint": jax.checkpoint(f),
        "vmap": lambda x: jax.vmap(f)(x[None])[0],
        "nested": jax.jit(jax.checkpoint(scanned)),
    }


@pytest.mark.parametrize("mode", ASSUMING_MODES)
@pytest.mark.parametrize("place", once(reverse))
def test_a_custom_vjp_is_refused_at_any_depth(mode, place):
    phi, h, *batches = jax.tree.map(lambda x: x.astype("float32"), problem())
    gradient = jax.grad(adversarial(once(reverse)[place]), (0, 1))
    message = rf"custom_vjp.*'reverse_over_reverse'.*{mode}\(assume_symmetric=True\)"
    with pytest.raises(TypeError, match=message):
        bilevel.hypergradient(
            outer_loss,
            gradient,
            phi,
            h,
            inner_batch=batches[0],
            outer_batch=batches[1],
            optimizer=SGD,
            steps=2,
            mode=mode,
        )


def test_it_is_refused_wherever_products_are_taken(x64):
    phi, h, batch, outer = problem()
    loss = adversarial(reverse)
    gradients = {
        "grad": jax.grad(loss, (0, 1)),
        "jit of grad": jax.jit(jax.grad(loss, (0, 1))),
        "grad of jit": jax.grad(jax.jit(loss), (0, 1)),
        "partial": jax.grad(functools.partial(loss), (0, 1)),
    }
    refused = functools.partial(pytest.raises, TypeError, match="custom_vjp")
    for gradient in gradients.values():
        with refused():
            bilevel.second_derivative_product(
                *(gradient, phi, h, batch, phi), mode="forward_over_reverse"
            )
        with refused():
            bilevel.implicit_hypergradient(
                outer_loss, gradient, phi, h, inner_batch=batch, outer_batch=outer
            )
    stacked = jax.tree.map(lambda x: jnp.stack([x, x]), batch)
    with refused():
        bilevel.hypergradient(
            outer_loss,
            gradients["grad"],
            phi,
            h,
            inner_batch=stacked,
            outer_batch=outer,
            optimizer=SGD,
            steps=None,
        )

    def with_state(loss):
        return lambda phi, h, batch, state: (loss(phi, h, batch), state)

    with refused():
        bilevel.hypergradient(
            with_state(outer_loss),
            jax.grad(with_state(loss), (0, 1), has_aux=True),
            phi,
            h,
            inner_batch=batch,
            outer_batch=outer,
            optimizer=SGD,
            state=(),
        )


@pytest.mark.parametrize("rule", [reverse, reverse_jvp])
def test_without_symmetry_only_the_reverse_modes_are_exact(x64, rule):
    """Two players, one adverse: derivatives of the steps, not of a common loss."""
    phi, h, *batches = problem()
    gradient = jax.grad(adversarial(rule), (0, 1))
    objective = jax.jit(written_out(SGD, 2, gradient))
    expected = jax.jit(jax.grad(objective, (0, 1)))(phi, h, *batches)
    direction = random_like(phi, 0)
    slope = central_difference(lambda p: objective(p, h, *batches), phi, direction)
    np.testing.assert_allclose(dot(expected[0], direction), slope, rtol=1e-6)
    for mode in ("reverse_over_reverse", "unrolled"):
        assert_close(compute(gradient, mode).grads, expected, 1e-10)
    wrong = compute(gradient, bilevel.forward_over_reverse(assume_symmetric=True))
    assert np.abs(wrong.params["w"] - expected[0]["w"]).max() > 1e-4
    error = bilevel.symmetry_error(gradient, phi, h, batches[0])
    assert error > 0.01
    with pytest.raises(ValueError, match=r"not symmetric.*'reverse_over_reverse'"):
        bilevel.check_symmetry(gradient, phi, h, batches[0])


def test_gradient_reversal_with_its_sign(x64):
    """``L_in = cos(f) + sin(d r(f))`` with ``f = w h``; by hand, a step of rate 1.

    The update of w is ``h (sin f + d cos(d f))``: reversal turns the second sign.
    """
    w, d, h = 0.7, 0.4, 1.3

    def inner(phi, h, _):
        f = phi["w"] * h
        return jnp.cos(f) + jnp.sin(phi["d"] * reverse(f))

    def moved(w, h):
        f = w * h
        return w + h * (jnp.sin(f) + d * jnp.cos(d * f))

    expected = jax.grad(lambda w, h: moved(w, h) ** 2, (0, 1))(w, h)
    for mode in ("reverse_over_reverse", "unrolled"):
        result = bilevel.hypergradient(
            lambda phi, h, _: phi["w"] ** 2,
            jax.grad(inner, (0, 1)),
            {"w": w, "d": d},
            h,
            inner_batch=None,
            outer_batch=None,
            optimizer=optax.sgd(1.0),
            mode=mode,
        )
        np.testing.assert_allclose(result.params["w"], expected[0], rtol=1e-12)
        np.testing.assert_allclose(result.hyper, expected[1], rtol=1e-12)


def test_a_true_rule_is_accepted_on_the_callers_word(x64):
    def loss(phi, h, batch):
        return inner_loss({**phi, "b": square(phi["b"])}, h, batch)

    gradient = jax.grad(loss, (0, 1))
    expected = jax.jit(jax.grad(written_out(SGD, 2, gradient), (0, 1)))(*problem())
    assumed = {"assume_symmetric": True}
    exact = compute(gradient, bilevel.forward_over_reverse(**assumed))
    assert_close(exact.grads, expected, 1e-10)
    near = compute(gradient, bilevel.finite_difference(1e-4, **assumed))
    assert_close(near.grads, expected, 1e-6)
    phi, h, batch, _ = problem()
    assert bilevel.check_symmetry(gradient, phi, h, batch) < 1e-14


def test_wrappers_that_change_the_arguments_are_not_followed(x64):
    """``jax.vmap`` and decorators, whose wrapped functions take other arguments."""
    phi, h, batch, outer = problem()
    per_task = jax.grad(inner_loss, (0, 1))
    tasks = jax.tree.map(lambda x: jnp.stack([x, x]), (phi, h, batch))

    def outer_of_tasks(phi, h, batch):
        return jax.vmap(outer_loss, (0, 0, None))(phi, h, batch).sum()

    result = jax.jit(
        lambda phi, h, b: bilevel.hypergradient(
            outer_of_tasks,
            jax.vmap(per_task),
            phi,
            h,
            inner_batch=b,
            outer_batch=outer,
            optimizer=SGD,
        )
    )(*tasks)
    single = compute(per_task, "forward_over_reverse", steps=1)
    half = jax.tree.map(lambda x: x[0], result.grads)
    assert_close(half, single.grads, 1e-12)

    @functools.wraps(lambda phi, h, batch, weight: None)
    def weighted(phi, h, batch):
        return inner_loss(phi, h, batch)

    bilevel.hypergradient(
        outer_loss,
        jax.grad(weighted, (0, 1)),
        phi,
        h,
        inner_batch=batch,
        outer_batch=outer,
        optimizer=SGD,
    )


def hidden(gradient):
    """A gradient function of the user's own: no loss can be found behind it."""
    return lambda phi, h, batch: gradient(phi, h, batch)


def nested(phi, h, batch):
    """A hypergradient as gradient function; reversal in its outer loss."""
    return bilevel.hypergradient(
        adversarial(reverse),
        inner_gradient,
        phi,
        h,
        inner_batch=batch,
        outer_batch=batch,
        optimizer=SGD,
    ).grads


ASYMMETRIC = {
    "custom_vjp": jax.grad(adversarial(reverse), (0, 1)),
    "custom_vjp in a function": hidden(jax.grad(adversarial(reverse), (0, 1))),
    "custom_jvp": jax.grad(adversarial(reverse_jvp), (0, 1)),
    "straight-through custom_vjp": hidden(
        jax.grad(
            lambda phi, h, batch: inner_loss(
                {**phi, "w": straight_through(phi["w"])}, h, batch
            ),
            (0, 1),
        )
    ),
    "nested": nested,
    # By params it is symmetric: only the mixed derivatives differ.
    "by hyper": jax.grad(
        lambda phi, h, batch: inner_loss(phi, reverse_jvp(h), batch), (0, 1)
    ),
}


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_asymmetry_is_found_by_numbers(x64, name):
    phi, h, batch, _ = problem()
    for seed in range(3):
        error = jax.jit(
            lambda phi, h, key: bilevel.symmetry_error(
                ASYMMETRIC[name], phi, h, batch, key=key
            )
        )(phi, h, jax.random.key(seed))
        assert error > 1e-3
    with pytest.raises(ValueError, match="not symmetric"):
        bilevel.check_symmetry(ASYMMETRIC[name], phi, h, batch)


def symmetric_gradients():
    loss, params, h, stats, draw = network()
    plain = jax.grad(lambda *a: loss(*a, stats)[0], (0, 1))
    phi, hyper, batch, _ = problem()

    def second_level(phi, h, batch):
        return bilevel.hypergradient(
            outer_loss,
            inner_gradient,
            phi,
            h,
            inner_batch=batch,
            outer_batch=batch,
            optimizer=SGD,
        ).grads

    return {
        "smooth": (inner_gradient, phi, hyper, batch),
        "network": (plain, params, h, draw()),
        "nested": (second_level, phi, hyper, batch),
        "no hyper": (
            jax.grad(lambda p, _, b: inner_loss(p, hyper, b), (0, 1)),
            *(phi, (), batch),
        ),
    }


@pytest.mark.parametrize("name", ["smooth", "network", "nested", "no hyper"])
def test_gradients_of_functions_are_symmetric(x64, name):
    arguments = symmetric_gradients()[name]
    assert bilevel.check_symmetry(*arguments) < 1e-12
    # In float32 rounding is left.
    gradient, *rest = arguments
    rest = jax.tree.map(lambda x: x.astype(jnp.float32), rest)
    if name == "smooth":
        assert 0 <= bilevel.check_symmetry(gradient, *rest) < 1e-5


def test_the_check_takes_two_vectors_and_the_mixed_derivative(x64):
    """``|u . H v - v . H u|`` over ``|H v|``, with the whole matrix."""
    phi, h = jnp.asarray([1.0, 2.0, 0.5]), jnp.asarray([0.3, -0.4])
    matrix = jnp.asarray(np.random.default_rng(0).normal(size=(5, 5)))

    def field(phi, h, _):
        both = matrix @ jnp.concatenate([phi, h])
        return both[:3], both[3:]

    key = jax.random.key(3)
    u_key, v_key = jax.random.split(key)
    by_phi, by_h = jax.random.split(u_key)
    u = jnp.append(jax.random.normal(by_phi, (3,)), jax.random.normal(by_h, (2,)))
    (by_phi,) = jax.random.split(v_key, 1)
    v = jnp.append(jax.random.normal(by_phi, (3,)), jnp.zeros(2))
    h_v, v_h_u = matrix @ v, v @ matrix @ u
    expected = abs(u @ h_v - v_h_u) / max(jnp.linalg.norm(h_v), abs(v_h_u))
    found = bilevel.symmetry_error(field, phi, h, None, key=key)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    zero = bilevel.symmetry_error(lambda p, h, _: (0 * p, 0 * h), phi, h, None)
    assert zero == 0
    with pytest.raises(ValueError, match="is nan of"):
        bilevel.check_symmetry(lambda p, h, _: (jnp.nan * p, h), phi, h, None)
    assert bilevel.check_symmetry(field, phi, h, None, tolerance=10.0) > 0.01


STOPPED = {
    "reversal": (stop_reverse, True),
    "straight-through": (
        lambda x: x + jax.lax.stop_gradient(jnp.round(4 * x) / 4 - x),
        True,
    ),
    "nothing": (lambda x: x + jax.lax.stop_gradient(0 * x), False),
}


@pytest.mark.parametrize("name", STOPPED)
def test_stop_gradient_is_symmetric_in_every_mode(x64, name):
    """What is stopped is a constant to all derivatives: the check cannot see it.

    The modes then agree with ``jax.grad`` of the steps written out, and differ alike from
    the derivative of what the steps compute.
    """
    rule, differs = STOPPED[name]
    phi, h, *batches = problem()
    gradient = jax.grad(adversarial(rule), (0, 1))
    objective = jax.jit(written_out(SGD, 2, gradient))
    expected = jax.jit(jax.grad(objective, (0, 1)))(phi, h, *batches)
    for mode in EXACT:
        assert_all_close(compute(gradient, mode).grads, expected, 1e-10)
    assert bilevel.check_symmetry(gradient, phi, h, batches[0]) < 1e-12
    along = {"w": jnp.zeros(3), "b": jnp.asarray(1.0)}
    slope = central_difference(lambda p: objective(p, h, *batches), phi, along)
    assert (abs(dot(expected[0], along) - slope) > 1e-3) == differs


def test_wrong_arguments_are_named():
    phi = {"w": jnp.ones(3)}
    with pytest.raises(TypeError, match=r"params\['w'\] is int32"):
        bilevel.symmetry_error(inner_gradient, {"w": jnp.arange(3)}, 1.0, None)
    with pytest.raises(TypeError, match=r"jax.grad\(loss, \(0, 1\)\)"):
        bilevel.symmetry_error(lambda p, h, b: p, phi, 1.0, None)
    with pytest.raises(TypeError, match="inner loss must return one float"):
        bilevel.check_symmetry(
            jax.grad(lambda p, h, b: p["w"] * h, (0, 1)), phi, 1.0, None
        )
