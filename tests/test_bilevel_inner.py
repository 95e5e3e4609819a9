"""Inner updates: masks, learned rates, many batches, every optimizer of optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bilevel_problems import (
    assert_close,
    central_difference,
    hypergradient,
    inner_gradient,
    inner_loss,
    outer_loss,
    problem,
    written_out,
)

from nasfas_jax import bilevel, ops


def stacked_batches():
    """Three batches along a first axis."""
    batch = problem()[2]
    return jax.tree.map(lambda x: jnp.stack([x, 1 - x, 0.5 * x]), batch)


def from_start(h):
    """Steps of rate ``h[0]``, pulled back to where they began, as averaging does."""

    def update(grads, start, params):
        moves = jax.tree.map(
            lambda g, s, p: -h[0] * g + h[1] * (s - p), grads, start, params
        )
        return moves, start

    return optax.GradientTransformation(
        lambda params: jax.tree.map(lambda p: h[2] * p, params), update
    )


LEARNED = {
    "rate": lambda h: optax.sgd(jnp.abs(h[0]) / 5),
    "adam": lambda h: optax.adam(h[0] / 5, b1=h[1] / 2, eps_root=1e-6),
    "from_start": from_start,
}


@pytest.mark.parametrize("name", LEARNED)
def test_optimizers_made_of_hyper(x64, name):
    """Learned rates; and a state that starts from parameters and from hyper."""
    phi, h, _, outer = problem()
    arguments = phi, h, stacked_batches(), outer
    objective = written_out(LEARNED[name], None)
    # The derivative of optax's b1 ** count multiplies floats with integers.
    with jax.numpy_dtype_promotion("standard"):
        value, expected = jax.jit(jax.value_and_grad(objective, (0, 1)))(*arguments)
        results = [
            hypergradient(LEARNED[name], None, mode)(*arguments)
            for mode in bilevel.EXACT
        ]
    for result in results:
        np.testing.assert_allclose(result.value, value, rtol=1e-12)
        assert_close(result.grads, expected, 1e-10)


def unlike(phi):
    """SGD for w, Adam for b."""
    labels = {name: name for name in phi}
    adam = optax.adam(0.1, eps_root=1e-6)
    return optax.partition({"w": optax.sgd(0.1), "b": adam}, labels)


OF_OPTAX = {
    "adamw": optax.adamw(0.1, eps_root=1e-6),
    "rmsprop": optax.rmsprop(0.1, eps=1e-6),
    "schedule_free": optax.contrib.schedule_free_sgd(0.1),
    "scale_by_lbfgs": optax.chain(optax.scale_by_lbfgs(2), optax.scale(-0.1)),
    "clipped": optax.chain(optax.clip_by_global_norm(0.2), optax.sgd(0.1)),
    "partition": unlike({"w": 0, "b": 0}),
    "inject_hyperparams": optax.inject_hyperparams(optax.sgd)(learning_rate=0.1),
    "apply_if_finite": optax.apply_if_finite(optax.sgd(0.1, momentum=0.9), 3),
    "MultiSteps": optax.MultiSteps(optax.sgd(0.1), 2),
}


@pytest.mark.parametrize("name", OF_OPTAX)
def test_transformations_of_gradients_alone(x64, name):
    """As autodiff of the loop, whatever their state holds."""
    with jax.numpy_dtype_promotion("standard"):
        objective = written_out(OF_OPTAX[name], 3)
        arguments = problem()
        value, expected = jax.jit(jax.value_and_grad(objective, (0, 1)))(*arguments)
        result = hypergradient(OF_OPTAX[name], 3, "forward_over_reverse")(*arguments)
    np.testing.assert_allclose(result.value, value, rtol=1e-10)
    assert_close(result.grads, expected, 1e-10)


def test_a_rate_for_each_parameter(x64):
    """Meta-SGD: rates like the parameters; first order has their exact derivative.

    With one step the rates meet no second derivative.
    """
    phi, _, *batches = problem()
    rates = jax.tree.map(lambda p: 0.1 + 0 * p, phi)

    def loss(phi, h, batch):
        return inner_loss(phi, jnp.ones(3), batch)

    def optimizer(h):
        return optax.stateless(
            lambda grads, _: jax.tree.map(lambda r, g: -r * g, h, grads)
        )

    def objective(h):
        grads = jax.grad(loss)(phi, h, batches[0])
        return loss(
            jax.tree.map(lambda p, r, g: p - r * g, phi, h, grads), h, batches[1]
        )

    expected = jax.jit(jax.grad(objective))(rates)
    for mode in ("first_order", "forward_over_reverse"):
        result = bilevel.hypergradient(
            loss,
            jax.grad(loss, (0, 1)),
            phi,
            rates,
            inner_batch=batches[0],
            outer_batch=batches[1],
            optimizer=optimizer,
            mode=mode,
        )
        assert_close(result.hyper, expected, 1e-12)


@pytest.mark.parametrize("mode", bilevel.MODES)
def test_a_mask_is_the_rest_in_hyper(x64, mode):
    """Only ``b`` moves, and ``w`` still has its derivative through the steps."""
    phi, h, *batches = problem()

    def rearranged(loss):
        return lambda b, wh, batch: loss({"w": wh[0], "b": b}, wh[1], batch)

    inner = jax.grad(rearranged(inner_loss), (0, 1))
    optimizer = optax.adam(0.1, eps_root=1e-6)
    options = {"steps": 3, "mode": mode, "optimizer": optimizer}
    options |= {"inner_batch": batches[0], "outer_batch": batches[1]}

    @jax.jit
    def both(phi, h):
        expected = bilevel.hypergradient(
            rearranged(outer_loss),
            inner,
            phi["b"],
            (phi["w"], h),
            **options,
        )
        actual = bilevel.hypergradient(
            outer_loss,
            inner_gradient,
            phi,
            h,
            **options,
            mask={"w": False, "b": True},
        )
        return actual, expected

    actual, expected = both(phi, h)
    assert_close(actual.params["b"], expected.params, 1e-12)
    assert_close((actual.params["w"], actual.hyper), expected.hyper, 1e-12)
    assert_close(actual.value, expected.value, 1e-12)
    updated = bilevel.inner_update(
        inner_gradient,
        phi,
        h,
        batch=batches[0],
        optimizer=optimizer,
        mask={"w": False, "b": True},
    )
    assert_close(updated.params["w"], phi["w"], 0)
    assert np.abs(updated.params["b"] - phi["b"]) > 0.01


def test_remat_changes_nothing_but_memory(x64):
    phi, h, _, outer = problem()
    batches = stacked_batches()
    optimizer = optax.adam(0.1, eps_root=1e-6)

    def objective(remat):
        def call(phi, h):
            phi = bilevel.inner_update(
                inner_gradient,
                phi,
                h,
                batch=batches,
                optimizer=optimizer,
                steps=None,
                remat=remat,
            ).params
            return outer_loss(phi, h, outer)

        return jax.jit(jax.value_and_grad(call, (0, 1)))(phi, h)

    kept, again = objective(False), objective(True)
    assert_close(again, kept, 1e-12)
    expected = hypergradient(optimizer, None, "forward_over_reverse")
    result = expected(phi, h, batches, outer)
    assert_close((result.value, result.grads), kept, 1e-10)


def test_rfmeta_and_mldg_in_their_own_words(x64):
    """RFMeta: M takes the inner step, F gets a derivative through its features too.

    MLDG: all take it, and the support loss stands in the objective as well.
    """
    rng = np.random.default_rng(0)
    params = {
        "F": jnp.asarray(rng.normal(size=(4, 3))),
        "M": jnp.asarray(rng.normal(size=3)),
    }
    supports = jnp.asarray(rng.normal(size=(2, 6, 4)))
    query, rate = jnp.asarray(rng.normal(size=(6, 4))), 0.3

    def cls(params, _, x):
        return jnp.mean(jax.nn.softplus(jnp.tanh(x @ params["F"]) @ params["M"]))

    def rfmeta(params):
        total = 0.0
        for x in supports:
            moved = params["M"] - rate * jax.grad(cls)(params, (), x)["M"]
            total += cls(params, (), x) + cls({"F": params["F"], "M": moved}, (), query)
        return total

    def mldg(params):
        total = 0.0
        for x in supports:
            grads = jax.grad(cls)(params, (), x)
            moved = jax.tree.map(lambda p, g: p - rate * g, params, grads)
            total += cls(params, (), x) + cls(moved, (), query)
        return total

    for objective, mask in ((rfmeta, {"F": False, "M": True}), (mldg, True)):

        @jax.jit
        def library(params, mask=mask):
            def one(x):
                meta = bilevel.hypergradient(
                    cls,
                    jax.grad(cls, (0, 1)),
                    params,
                    (),
                    inner_batch=x,
                    outer_batch=query,
                    optimizer=optax.sgd(rate),
                    mask=mask,
                )
                value, grads = jax.value_and_grad(cls)(params, (), x)
                return value + meta.value, jax.tree.map(jnp.add, grads, meta.params)

            return jax.tree.map(lambda leaf: leaf.sum(0), jax.vmap(one)(supports))

        assert_close(
            library(params), jax.jit(jax.value_and_grad(objective))(params), 1e-12
        )


def test_theta_lambda_and_the_inner_rate_are_hyperparameters(x64):
    """Together, of CDC and CDP, beside autodiff of the loop and central differences."""
    rng = np.random.default_rng(0)

    def loss(kernel, h, batch):
        maps = ops.cdp(jnp.tanh(ops.cdc(batch, kernel, h["theta"])), h["lam"])
        return jnp.mean((maps - 1) ** 2)

    def optimizer(h):
        return optax.sgd(h["rate"])

    gradient = jax.grad(loss, (0, 1))
    batches = jnp.asarray(rng.normal(size=(2, 1, 4, 4, 2)))
    kernel = jnp.asarray(rng.normal(size=(3, 3, 2, 2)))
    h = {"theta": jnp.asarray(0.7), "lam": jnp.asarray(0.5), "rate": jnp.asarray(0.2)}
    objective = jax.jit(written_out(optimizer, 2, gradient, loss))
    value, expected = jax.jit(jax.value_and_grad(objective, (0, 1)))(
        kernel, h, *batches
    )
    for mode in bilevel.EXACT:
        result = jax.jit(
            lambda kernel, h, mode=mode: bilevel.hypergradient(
                loss,
                gradient,
                kernel,
                h,
                inner_batch=batches[0],
                outer_batch=batches[1],
                optimizer=optimizer,
                steps=2,
                mode=mode,
            )
        )(kernel, h)
        np.testing.assert_allclose(result.value, value, rtol=1e-12)
        assert_close(result.grads, expected, 1e-10)
    for name in h:
        along = {**dict.fromkeys(h, jnp.asarray(0.0)), name: jnp.asarray(1.0)}
        slope = central_difference(lambda h: objective(kernel, h, *batches), h, along)
        np.testing.assert_allclose(expected[1][name], slope, rtol=1e-6)
        assert abs(slope) > 1e-4
