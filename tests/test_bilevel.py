"""Hypergradients against closed forms, plain autodiff and central differences."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bilevel_problems import (
    assert_close,
    central_difference,
    dot,
    hypergradient,
    inner_gradient,
    inner_loss,
    outer_loss,
    problem,
    random_like,
    written_out,
)
from jax.flatten_util import ravel_pytree

from nasfas_jax import bilevel
from nasfas_jax.bilevel import EXACT

OPTIMIZERS = {
    "sgd": optax.sgd(0.1),
    "schedule": optax.sgd(lambda step: 0.1 / (1 + step)),
    "momentum": optax.sgd(0.1, momentum=0.9, nesterov=True),
    # The derivative of Adam's root is infinite at a zero gradient without eps_root.
    "adam": optax.adam(0.1, eps_root=1e-6),
}

#: One step, and several with each kind of state.
CASES = [("sgd", 1), ("schedule", 3), ("momentum", 3), ("adam", 3)]


@pytest.mark.parametrize(("name", "steps"), CASES)
def test_exact_modes_are_autodiff_of_the_written_out_objective(x64, name, steps):
    arguments = problem()
    objective = jax.jit(written_out(OPTIMIZERS[name], steps))
    value, expected = jax.jit(jax.value_and_grad(objective, (0, 1)))(*arguments)
    phi, h, *batches = arguments
    for mode in EXACT:
        actual = hypergradient(OPTIMIZERS[name], steps, mode)(*arguments)
        np.testing.assert_allclose(actual.value, value, rtol=1e-12)
        assert_close((actual.params, actual.hyper), expected, 1e-10)
    for seed in range(3):
        d_phi, d_h = random_like(phi, seed), random_like(h, seed)
        slope = central_difference(lambda p: objective(p, h, *batches), phi, d_phi)
        np.testing.assert_allclose(dot(actual.params, d_phi), slope, rtol=1e-6)
        slope = central_difference(lambda g: objective(phi, g, *batches), h, d_h)
        np.testing.assert_allclose(dot(actual.hyper, d_h), slope, rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 4])
def test_closed_form_on_quadratics(x64, steps):
    """``w' = (I - r A) w + r B h`` a step; the outer loss is ``|w_k - c|^2 / 2``."""
    rng = np.random.default_rng(0)
    root, b, c = rng.normal(size=(3, 3)), rng.normal(size=(3, 2)), rng.normal(size=3)
    a, rate = root @ root.T, 0.05
    w, h = jnp.asarray(rng.normal(size=3)), jnp.asarray(rng.normal(size=2))

    def inner(w, h, batch):
        return w @ batch["a"] @ w / 2 - w @ batch["b"] @ h

    shrink = np.eye(3) - rate * a
    powers = [np.linalg.matrix_power(shrink, i) for i in range(steps + 1)]
    by_h = rate * sum(powers[:steps]) @ b
    residual = powers[steps] @ w + by_h @ h - c
    for mode in EXACT:
        result = bilevel.hypergradient(
            lambda w, h, c: jnp.sum((w - c) ** 2) / 2,
            jax.grad(inner, (0, 1)),
            w,
            h,
            inner_batch={"a": jnp.asarray(a), "b": jnp.asarray(b)},
            outer_batch=jnp.asarray(c),
            optimizer=optax.sgd(rate),
            steps=steps,
            mode=mode,
        )
        expected = (
            residual @ residual / 2,
            powers[steps].T @ residual,
            by_h.T @ residual,
        )
        for one, other in zip(result[:3], expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10)


def test_one_sgd_step_is_the_dense_hessian_formula(x64):
    """``(I - r H) g`` and ``dL_out/dh - r (d2L/dphi dh)^T g`` with whole matrices."""
    arguments = problem()
    rate = 0.1

    @jax.jit
    def dense(phi, h, inner_batch, outer_batch):
        flat, unravel = ravel_pytree(phi)
        gradient = jax.grad(lambda p: inner_loss(unravel(p), h, inner_batch))(flat)
        hessian = jax.hessian(lambda p: inner_loss(unravel(p), h, inner_batch))(flat)
        mixed = jax.jacfwd(
            lambda q: jax.grad(lambda p: inner_loss(unravel(p), q, inner_batch))(flat)
        )(h)
        phi_1 = unravel(flat - rate * gradient)
        g, direct = jax.grad(outer_loss, (0, 1))(phi_1, h, outer_batch)
        g = ravel_pytree(g)[0]
        return g - rate * hessian @ g, direct - rate * mixed.T @ g

    expected = dense(*arguments)
    for mode in EXACT:
        result = hypergradient(OPTIMIZERS["sgd"], 1, mode)(*arguments)
        actual = ravel_pytree(result.params)[0], result.hyper
        assert_close(actual, expected, 1e-12)


@pytest.mark.parametrize(("name", "steps"), CASES)
def test_first_order_takes_the_inner_gradients_for_constants(x64, name, steps):
    """With an update that adds something to phi, that is the outer gradient there."""
    arguments = problem()

    @jax.jit
    def textbook(phi, h, inner_batch, outer_batch):
        phi_k = bilevel.inner_update(
            inner_gradient,
            phi,
            h,
            batch=inner_batch,
            optimizer=OPTIMIZERS[name],
            steps=steps,
        ).params
        return jax.value_and_grad(outer_loss, (0, 1))(phi_k, h, outer_batch)

    value, expected = textbook(*arguments)
    actual = hypergradient(OPTIMIZERS[name], steps, "first_order")(*arguments)
    assert_close((actual.params, actual.hyper), expected, 1e-12)
    looped = jax.jit(written_out(OPTIMIZERS[name], steps))(*arguments)
    np.testing.assert_allclose(value, looped, rtol=1e-12)


def test_first_order_is_exact_at_a_zero_inner_rate_only(x64):
    arguments = problem()
    for sgd, same in ((optax.sgd(0.0), True), (OPTIMIZERS["sgd"], False)):
        first = hypergradient(sgd, 1, "first_order")(*arguments)
        for mode in EXACT:
            exact = hypergradient(sgd, 1, mode)(*arguments)
            gap = jax.tree.map(lambda a, b: np.abs(a - b).max(), first, exact)
            assert (max(jax.tree.leaves(gap.grads)) < 1e-12) == same


def test_levels_nest(x64):
    """A hypergradient as the inner gradient: third derivatives, both exact modes."""
    arguments = problem()
    sgd = OPTIMIZERS["sgd"]
    middle = written_out(sgd, 1)

    def middle_gradient(phi, h, batch):
        return jax.grad(middle, (0, 1))(phi, h, batch, batch)

    objective = written_out(sgd, 2, middle_gradient)
    value, expected = jax.jit(jax.value_and_grad(objective, (0, 1)))(*arguments)
    for mode in EXACT:

        def nested(phi, h, batch, mode=mode):
            return hypergradient(sgd, 1, mode)(phi, h, batch, batch).grads

        actual = hypergradient(sgd, 2, mode, nested)(*arguments)
        np.testing.assert_allclose(actual.value, value, rtol=1e-12)
        assert_close((actual.params, actual.hyper), expected, 1e-10)


def test_third_derivatives(x64):
    """The Jacobian of a hypergradient is the Hessian of the objective."""
    phi, h, *batches = problem()
    objective = written_out(OPTIMIZERS["momentum"], 3)
    hessian = jax.jit(jax.hessian(objective, 1))(phi, h, *batches)
    for mode, jacobian in itertools.product(EXACT, (jax.jacfwd, jax.jacrev)):
        compute = hypergradient(OPTIMIZERS["momentum"], 3, mode)
        actual = jacobian(lambda q, f=compute: f(phi, q, *batches).hyper)(h)
        assert_close(actual, hessian, 1e-10)


def test_vmap_over_hyperparameters_in_float32():
    phi, h, *batches = jax.tree.map(lambda x: x.astype(jnp.float32), problem())
    many = jnp.stack([h, 2 * h])
    for mode in EXACT:
        compute = hypergradient(OPTIMIZERS["sgd"], 1, mode)
        swept = jax.jit(jax.vmap(compute, (None, 0, None, None)))(phi, many, *batches)
        assert {leaf.dtype for leaf in jax.tree.leaves(swept)} == {jnp.dtype("float32")}
        for i in range(2):
            one = compute(phi, many[i], *batches)
            assert_close(jax.tree.map(lambda x, i=i: x[i], swept), one, 1e-5)


def test_adam_is_finite_at_a_zero_gradient(x64):
    """A parameter that the inner loss ignores, as a shut ReLU makes them."""

    def inner(phi, h, batch):
        return (phi["used"] * h - batch) ** 2

    def outer(phi, h, batch):
        return phi["used"] * h + phi["ignored"]

    phi = {"used": jnp.asarray(1.0), "ignored": jnp.asarray(1.0)}
    for mode in EXACT:
        result = bilevel.hypergradient(
            outer,
            jax.grad(inner, (0, 1)),
            phi,
            jnp.asarray(0.3),
            inner_batch=jnp.asarray(2.0),
            outer_batch=None,
            optimizer=optax.adam(0.1, eps_root=1e-6),
            steps=3,
            mode=mode,
        )
        assert np.isfinite(jax.tree.leaves(result)).all()
        np.testing.assert_allclose(result.params["ignored"], 1.0)
