"""Finite differences, and derivatives of an inner optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bilevel_problems import (
    dot,
    hypergradient,
    inner_gradient,
    outer_loss,
    problem,
)

from nasfas_jax import bilevel


def gap(one, other):
    """The largest difference, of derivatives."""
    leaves = jax.tree.map(lambda a, b: np.abs(a - b).max(), one.grads, other.grads)
    return max(jax.tree.leaves(leaves))


def test_finite_differences_tend_to_exact(x64):
    """With the square of epsilon, until rounding; the default is DARTS's 0.01."""
    arguments = problem()
    momentum = optax.sgd(0.1, momentum=0.9)
    exact = hypergradient(momentum, 3, "forward_over_reverse")(*arguments)
    # The first is coarse enough for the fourth order to show: a wider band.
    gaps = [
        gap(
            hypergradient(momentum, 3, bilevel.finite_difference(epsilon))(*arguments),
            exact,
        )
        for epsilon in (1e-1, 1e-2, 1e-3)
    ]
    np.testing.assert_allclose(gaps[0] / gaps[1], 100, rtol=0.05)
    np.testing.assert_allclose(gaps[1] / gaps[2], 100, rtol=0.01)
    assert gaps[2] < 1e-6
    default = hypergradient(momentum, 3, "finite_difference")(*arguments)
    np.testing.assert_allclose(gap(default, exact), gaps[1], rtol=1e-6)


def test_finite_difference_is_that_of_darts(x64):
    """DARTS eq. 7 and 8, one step, in its own words."""
    phi, h, inner, outer = problem()
    rate = 0.1

    @jax.jit
    def darts(phi, h):
        grads = inner_gradient(phi, h, inner)[0]
        moved = jax.tree.map(lambda p, g: p - rate * g, phi, grads)
        v, direct = jax.grad(outer_loss, (0, 1))(moved, h, outer)
        epsilon = 0.01 / jnp.sqrt(dot(v, v))
        plus = jax.tree.map(lambda p, d: p + epsilon * d, phi, v)
        minus = jax.tree.map(lambda p, d: p - epsilon * d, phi, v)
        implicit = (
            inner_gradient(plus, h, inner)[1] - inner_gradient(minus, h, inner)[1]
        )
        return direct - rate * implicit / (2 * epsilon)

    # Ours perturbs along the cotangent of the gradient, -rate v: the same direction, and
    # a step of the same length.
    result = hypergradient(optax.sgd(rate), 1, "finite_difference")(*problem())
    np.testing.assert_allclose(result.hyper, darts(phi, h), rtol=1e-9)


def test_no_direction_no_difference():
    """An outer loss that ignores the parameters: zero, not NaN, in float32."""

    def inner(w, h, batch):
        return jnp.sum((w * h) ** 4)

    result = bilevel.hypergradient(
        lambda w, h, batch: jnp.sum(h**2),
        jax.grad(inner, (0, 1)),
        jnp.ones(2),
        jnp.ones(2),
        inner_batch=None,
        outer_batch=None,
        optimizer=optax.sgd(0.1),
        mode="finite_difference",
    )
    np.testing.assert_array_equal(result.params, [0, 0])
    np.testing.assert_array_equal(result.hyper, [2, 2])


def magnified(phi, h, batch):
    """Adam moves ``z``, which has no gradient here, as far as any other parameter.

    By a central difference along ``z`` the fourth power of it leaks into ``a``.
    """
    residual = jnp.tanh(batch @ phi["a"]) * h - 1
    return jnp.mean(residual**2) + phi["a"].sum() * (phi["z"] ** 4).sum()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("steps", [1, 3])
def test_a_difference_that_adam_magnifies_is_nan(x64, dtype, steps):
    """Where its error exceeds a tenth of the derivative; exact modes do not mind."""
    rng = np.random.default_rng(0)
    batch = jnp.asarray(rng.normal(size=(8, 3)), dtype)
    phi = {"a": jnp.asarray([0.3, -0.2, 0.5], dtype), "z": jnp.zeros(2, dtype)}
    h = jnp.asarray(0.7, dtype)

    def outer(phi, h, batch):
        return (phi["a"] ** 2).sum() + jnp.sin(phi["z"] + 1).sum() * h

    def compute(eps_root, mode):
        return jax.jit(
            lambda phi, h: bilevel.hypergradient(
                *(outer, jax.grad(magnified, (0, 1)), phi, h),
                inner_batch=batch,
                outer_batch=batch,
                optimizer=optax.adam(0.1, eps_root=eps_root),
                steps=steps,
                mode=mode,
            )
        )(phi, h)

    for eps_root in (1e-6, 1e-16):
        exact = compute(eps_root, "reverse_over_reverse")
        forward = compute(eps_root, "forward_over_reverse")
        np.testing.assert_allclose(forward.hyper, exact.hyper, rtol=1e-4)
        assert abs(exact.hyper) < 10 and np.isfinite(forward.params["a"]).all()
        # Without the guard the error is as large as the magnification.
        difference = bilevel.MODES["finite_difference"].product
        unguarded = gap(compute(eps_root, difference), exact)
        guarded = compute(eps_root, "finite_difference")
        if eps_root == 1e-6:
            assert unguarded < 0.1
            np.testing.assert_allclose(guarded.hyper, exact.hyper, rtol=0.02)
            bilevel.check_finite(guarded)
        else:
            assert unguarded > 100
            assert np.isfinite(guarded.value)
            leaves = jax.tree.leaves(guarded.grads)
            assert all(np.isnan(leaf).all() for leaf in leaves)
            with pytest.raises(ValueError, match=r"'finite_difference'.*eps_root"):
                bilevel.check_finite(guarded)


def test_the_error_of_a_difference(x64):
    """Rounding and truncation: with the optimum of epsilon between them."""
    grads, v = {"a": jnp.asarray([3.0, 4.0])}, {"a": jnp.asarray([0.0, 2.0])}
    mode = bilevel.finite_difference(0.01)
    expected = (2.0**-52 / 0.02 + 1e-4 / 6) * 5 * 2
    np.testing.assert_allclose(mode.error(grads, v), expected, rtol=1e-12)
    single = jax.tree.map(lambda x: x.astype("float32"), (grads, v))
    expected = (2.0**-23 / 0.02 + 1e-4 / 6) * 5 * 2
    np.testing.assert_allclose(mode.error(*single), expected, rtol=1e-6)


def ridge():
    """Ridge regression with a penalty for each weight, ``exp(h)``, and its solution."""
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(rng.normal(size=(12, 4))), jnp.asarray(rng.normal(size=12))

    def inner(w, h, batch):
        return jnp.sum((x @ w["w"] - y) ** 2) / 2 + jnp.exp(h) @ w["w"] ** 2 / 2

    def optimum(h):
        return {"w": jnp.linalg.solve(x.T @ x + jnp.diag(jnp.exp(h)), x.T @ y)}

    def outer(w, h, batch):
        return jnp.sum(jnp.cos(w["w"])) + jnp.sum(h**2)

    return inner, outer, optimum, jnp.asarray([0.1, -0.5, 0.7, 1.0])


@pytest.mark.parametrize("mode", bilevel.EXACT)
def test_implicit_is_the_derivative_of_the_closed_form_optimum(x64, mode):
    inner, outer, optimum, h = ridge()
    expected = jax.grad(lambda h: outer(optimum(h), h, None))(h)
    gradient = jax.grad(inner, (0, 1))
    # Four unknowns: conjugate gradients end after four steps, the series goes on.
    solvers = {
        "cg": bilevel.conjugate_gradient(tolerance=1e-12),
        "neumann": bilevel.neumann(0.05, 300),
    }
    for solver in solvers.values():

        @jax.jit
        def compute(h, solver=solver):
            return bilevel.implicit_hypergradient(
                outer,
                gradient,
                optimum(h),
                h,
                inner_batch=None,
                outer_batch=None,
                solver=solver,
                mode=mode,
            )

        result = compute(h)
        np.testing.assert_allclose(result.hyper, expected, rtol=1e-6)
        assert result.residual < 1e-7 and result.gradient_norm < 1e-10


def test_neumann_is_the_unrolled_derivative_at_the_optimum(x64):
    """J terms of the series are J steps of SGD that start, and stay, at the optimum."""
    inner, outer, optimum, h = ridge()
    gradient, w = jax.grad(inner, (0, 1)), optimum(h)
    no_batches = {"inner_batch": None, "outer_batch": None}
    implicit = bilevel.implicit_hypergradient(
        outer, gradient, w, h, **no_batches, solver=bilevel.neumann(0.03, 5)
    )
    unrolled = bilevel.hypergradient(
        outer, gradient, w, h, **no_batches, optimizer=optax.sgd(0.03), steps=5
    )
    np.testing.assert_allclose(implicit.hyper, unrolled.hyper, rtol=1e-9)
    assert implicit.residual > 0.01  # and it says that five are few


def test_damping_and_distance_from_the_optimum_show(x64):
    inner, outer, optimum, h = ridge()
    gradient, w = jax.grad(inner, (0, 1)), optimum(h)
    damped = bilevel.implicit_hypergradient(
        outer,
        gradient,
        w,
        h,
        inner_batch=None,
        outer_batch=None,
        solver=bilevel.conjugate_gradient(damping=1.0, tolerance=1e-12),
    )
    hessian = jax.hessian(lambda v: inner({"w": v}, h, None))(w["w"])
    v = jax.grad(outer)(w, h, None)["w"]
    x = np.linalg.solve(hessian + np.eye(4), v)
    expected = np.linalg.norm(hessian @ x - v) / np.linalg.norm(v)
    np.testing.assert_allclose(damped.residual, expected, rtol=1e-6)
    away = {"w": w["w"] + 1.0}
    result = bilevel.implicit_hypergradient(
        outer, gradient, away, h, inner_batch=None, outer_batch=None
    )
    expected = np.linalg.norm(jax.grad(inner)(away, h, None)["w"])
    np.testing.assert_allclose(result.gradient_norm, expected, rtol=1e-9)


def test_conjugate_gradients_stop_after_their_iterations_or_at_their_tolerance(x64):
    rng = np.random.default_rng(0)
    root, v = rng.normal(size=(15, 10)), rng.normal(size=10)
    hessian = root.T @ root

    def residual(solver):
        x = solver(lambda x: jnp.asarray(hessian) @ x, jnp.asarray(v))
        return np.linalg.norm(hessian @ x - v) / np.linalg.norm(v)

    # The first iterate is the minimum along v.
    one = v * (v @ v) / (v @ hessian @ v)
    found = bilevel.conjugate_gradient(1)(
        lambda x: jnp.asarray(hessian) @ x, jnp.asarray(v)
    )
    np.testing.assert_allclose(found, one, rtol=1e-12)
    assert 1e-4 < residual(bilevel.conjugate_gradient(tolerance=0.1)) < 0.1
    assert residual(bilevel.conjugate_gradient()) < 1e-6
    assert residual(bilevel.conjugate_gradient(40, tolerance=1e-12)) < 1e-12


@pytest.mark.parametrize(("share", "trusted"), [(0.999, True), (1.001, False)])
def test_a_tenth_of_the_outer_derivative_is_the_largest_error_trusted(
    x64, share, trusted
):
    """One step of SGD: the product is with the outer derivative times the rate."""
    phi, h, batch, _ = problem()
    mode = bilevel.finite_difference(0.5)
    # The direction is that of ones, of norm 2; `measured` takes the mean gradient.
    plus, minus = (
        inner_gradient(jax.tree.map(lambda p, e=e: p + e, phi), h, batch)[0]
        for e in (0.25, -0.25)
    )
    grads = jax.tree.map(lambda a, b: (a + b) / 2, plus, minus)
    rate = 0.1 * share / mode.error(grads, {"unit": jnp.ones(1)})
    result = bilevel.hypergradient(
        lambda phi, h, batch: 3 * (phi["w"].sum() + phi["b"]),
        inner_gradient,
        phi,
        h,
        inner_batch=batch,
        outer_batch=None,
        optimizer=optax.sgd(rate),
        mode=mode,
    )
    for leaf in jax.tree.leaves(result.grads):
        assert np.isfinite(leaf).all() == trusted
