"""Sums over a leading axis, values of known derivative, and terms of an objective."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bilevel_problems import (
    inner_gradient,
    inner_loss,
    outer_loss,
    problem,
    written_out,
)

from nasfas_jax import bilevel


def assert_close(actual, expected, rtol=1e-12):
    chex.assert_trees_all_close(actual, expected, rtol=rtol, atol=rtol)


def test_with_derivative_has_the_value_and_the_derivative_given(x64):
    at = {"a": jnp.array([0.3, -2.0]), "b": jnp.array(1.5)}
    given = {"a": jnp.array([5.0, 7.0]), "b": jnp.array(-1.0)}

    def objective(at):
        value = jnp.sin(at["a"]).sum()  # its own derivative is not used
        return 3.0 * bilevel.with_derivative(value, given, at)

    value, grads = jax.value_and_grad(objective)(at)
    assert value == pytest.approx(3 * float(jnp.sin(at["a"]).sum()), rel=1e-15)
    assert_close(grads, jax.tree.map(lambda d: 3 * d, given), 0)
    second = jax.hessian(objective)(at)
    assert not any(leaf.any() for leaf in jax.tree.leaves(second))


def test_scan_sum_is_a_loop_that_derivatives_of_all_orders_pass(x64):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))
    chex.clear_trace_counter()

    def summed(w):
        @chex.assert_max_traces(n=1)
        def f(one):
            return {"sin": jnp.sin(one @ w), "n": jnp.ones((), jnp.int32)}, one.sum()

        return bilevel.scan_sum(f, x)

    w = jnp.array([0.5, -1.0, 2.0])
    total, kept = jax.jit(summed)(w)
    chex.clear_trace_counter()
    assert_close(total, {"sin": jnp.sin(x @ w).sum(), "n": jnp.int32(4)})
    assert_close(kept, x.sum(1))
    hessian = jax.jit(jax.hessian(lambda w: summed(w)[0]["sin"]))(w)
    assert_close(hessian, jax.hessian(lambda w: jnp.sin(x @ w).sum())(w))


def layers(params, x):
    """A perceptron whose activations are larger than its weights, and a statistic."""
    for _ in range(4):
        x = jnp.tanh(x @ params["w"])
    return params["b"] * (x**2).sum(), {"mean": x.mean()}


def test_sum_of_losses_has_the_derivatives_of_the_sum(x64):
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.normal(size=(3, 3))), "b": jnp.asarray(2.0)}
    x = jnp.asarray(rng.normal(size=(5, 7, 3)))

    def objective(params):
        total, aux = bilevel.sum_of_losses(layers, params, x)
        return total**2, aux

    def plain(params):
        values, aux = jax.vmap(layers, (None, 0))(params, x)
        return values.sum() ** 2, aux

    actual, expected = (
        jax.jit(jax.value_and_grad(f, has_aux=True))(params) for f in (objective, plain)
    )
    assert_close(actual, expected)


def test_sum_of_losses_needs_the_memory_of_one_batch():
    def peak(count, sum_of_losses):
        @jax.jit
        @jax.grad
        def gradient(params, x):
            return sum_of_losses(params, x)

        params = {"w": jnp.ones((8, 8)), "b": jnp.ones(())}
        x = jax.ShapeDtypeStruct((count, 512, 8), "float32")
        return gradient.lower(params, x).compile().memory_analysis().temp_size_in_bytes

    def stored(params, x):
        return bilevel.scan_sum(lambda x: (layers(params, x)[0], ()), x)[0]

    def ours(params, x):
        return bilevel.sum_of_losses(layers, params, x)[0]

    assert peak(16, ours) < 1.1 * peak(2, ours)
    assert peak(16, stored) > 4 * peak(16, ours)


@pytest.mark.parametrize("mode", ["forward_over_reverse", "unrolled", "first_order"])
def test_loss_after_update_is_a_term_of_an_objective(x64, mode):
    """As in RFMeta: the same parameters appear in the other terms."""
    phi, h, *batches = problem()
    momentum = optax.sgd(0.1, momentum=0.9)
    freeze = jax.lax.stop_gradient if mode == "first_order" else lambda grads: grads
    after = written_out(momentum, 2, lambda *a: freeze(inner_gradient(*a)))

    @jax.jit
    def actual(phi, h):
        def objective(phi, h):
            loss = bilevel.loss_after_update(
                outer_loss,
                inner_gradient,
                jax.tree.map(lambda x: 2 * x, phi),
                h**2,
                inner_batch=batches[0],
                outer_batch=batches[1],
                optimizer=momentum,
                steps=2,
                mode=mode,
            )
            return loss * inner_loss(phi, h, batches[0])

        return jax.value_and_grad(objective, (0, 1))(phi, h)

    @jax.jit
    def expected(phi, h):
        def objective(phi, h):
            loss = after(jax.tree.map(lambda x: 2 * x, phi), h**2, *batches)
            return loss * inner_loss(phi, h, batches[0])

        return jax.value_and_grad(objective, (0, 1))(phi, h)

    assert_close(actual(phi, h), expected(phi, h), 1e-11)


def test_pull_back_update_is_the_transposed_derivative_of_an_update(x64):
    phi, h, *_ = problem()
    grads = jax.tree.map(jnp.cos, phi)
    d_phi = jax.tree.map(lambda x: 1 + x, phi)
    sgd = optax.sgd(0.25)
    plain = bilevel.pull_back_update(sgd, phi, sgd.init(phi), grads, d_phi)
    assert_close(plain.params, d_phi)
    assert_close(plain.grads, jax.tree.map(lambda d: -0.25 * d, d_phi))

    def momentum(h):
        return optax.sgd(h[0], momentum=h[1])

    state = jax.tree.map(jnp.sin, momentum(h).init(phi))
    result = bilevel.pull_back_update(momentum, phi, state, grads, d_phi, hyper=h)
    _, pull_back = jax.vjp(
        lambda phi, trace, g, h: optax.apply_updates(
            phi, jax.tree.map(lambda g, t: -h[0] * (g + h[1] * t), g, trace)
        ),
        phi,
        state[0].trace,
        grads,
        h,
    )
    d_params, d_trace, d_grads, d_hyper = pull_back(d_phi)
    assert_close(result.params, d_params)
    assert_close(result.opt_state, jax.tree.leaves(d_trace))
    assert_close(result.grads, d_grads)
    assert_close(result.hyper, d_hyper)
