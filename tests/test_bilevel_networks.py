"""A network with BatchNorm, ReLU and max pooling, under every transformation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bilevel_problems import (
    assert_all_close,
    central_difference,
    dot,
    network,
    random_like,
    written_out,
)
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from nasfas_jax import bilevel

MOMENTUM = optax.sgd(0.3, momentum=0.9)


def compute(loss, stats, mode, steps):
    """``(phi, h, inner batch, outer batch) -> Hypergradient``, without state."""

    def plain(phi, h, batch):
        return loss(phi, h, batch, stats)[0]

    def call(phi, h, inner_batch, outer_batch):
        return bilevel.hypergradient(
            plain,
            jax.grad(plain, (0, 1)),
            phi,
            h,
            inner_batch=inner_batch,
            outer_batch=outer_batch,
            optimizer=MOMENTUM,
            steps=steps,
            mode=mode,
        )

    return plain, call


@pytest.mark.parametrize(("steps", "lead"), [(1, ()), (3, ()), (None, (3,))])
def test_exact_modes_agree(x64, steps, lead):
    """With autodiff of the loop written out, and with central differences."""
    loss, phi, h, stats, draw = network()
    batches = draw(*lead), draw()
    plain, _ = compute(loss, stats, "unrolled", steps)
    objective = written_out(MOMENTUM, steps, jax.grad(plain, (0, 1)), plain)
    reference = jax.jit(jax.value_and_grad(objective, (0, 1)))
    value, expected = reference(phi, h, *batches)

    @jax.jit
    def everything(*arguments):
        return [compute(loss, stats, m, steps)[1](*arguments) for m in bilevel.EXACT]

    for result in everything(phi, h, *batches):
        np.testing.assert_allclose(result.value, value, rtol=1e-12)
        assert_all_close(result.grads, expected, 1e-10)
    # No kink of ReLU or max lies within 1e-6 of here; rounding is near 1e-16 / 1e-6.
    d_phi, d_h = random_like(phi, 1), jnp.asarray(1.0)
    slope = central_difference(
        lambda both: reference(*both, *batches)[0], (phi, h), (d_phi, d_h), 1e-6
    )
    np.testing.assert_allclose(dot(expected, (d_phi, d_h)), slope, rtol=1e-6)


@functools.cache
def episodes(mode):
    """Four episodes, and the hypergradient of each, one after the other."""
    loss, phi, h, stats, draw = network()
    _, call = compute(loss, stats, mode, 2)
    inner, outer = draw(4), draw(4)
    one = jax.jit(call)
    results = [
        one(phi, h, *jax.tree.map(lambda leaf, i=i: leaf[i], (inner, outer)))
        for i in range(4)
    ]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *results)
    return call, (phi, h, inner, outer), stacked


@pytest.mark.parametrize("mode", bilevel.EXACT)
def test_vmap_and_scan_over_episodes(x64, mode):
    call, (phi, h, *batches), expected = episodes(mode)
    mapped = jax.jit(jax.vmap(call, (None, None, 0, 0)))(phi, h, *batches)
    assert_all_close(mapped, expected, 1e-10)

    def body(total, both):
        result = call(phi, h, *both)
        return jax.tree.map(jnp.add, total, result.params), result

    nothing = jax.tree.map(jnp.zeros_like, phi)
    total, scanned = jax.jit(lambda b: jax.lax.scan(body, nothing, b))(tuple(batches))
    assert_all_close(scanned, expected, 1e-10)
    summed = jax.tree.map(lambda leaf: leaf.sum(0), expected.params)
    assert_all_close(total, summed, 1e-10)


@pytest.mark.parametrize("mode", bilevel.EXACT)
def test_batches_sharded_over_eight_devices(x64, mode):
    """BatchNorm sees the whole batch; no device sees it."""
    call, (phi, h, *batches), expected = episodes(mode)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    first = jax.tree.map(lambda leaf: leaf[0], batches)
    spread = NamedSharding(mesh, PartitionSpec("data"))
    alike = NamedSharding(mesh, PartitionSpec())
    result = jax.jit(call, in_shardings=(alike, alike, spread, spread))(phi, h, *first)
    assert len(jax.tree.leaves(result.params)[0].devices()) == 8
    assert_all_close(result, jax.tree.map(lambda leaf: leaf[0], expected), 1e-10)


def policy_written_out(loss, phi, h, stats, support, query, policy):
    """Two steps and the outer pass, with the state that each pass sees."""
    state = stats
    for _ in range(2):
        grads, new = jax.grad(loss, has_aux=True)(phi, h, support, state)
        phi = jax.tree.map(lambda p, g: p - 0.3 * g, phi, grads)
        state = stats if policy == "batch" else new
    value, new = loss(phi, h, query, state)
    return value, state if policy == "inner" else new


@pytest.mark.parametrize("policy", bilevel.POLICIES)
def test_policies_of_running_averages(x64, policy):
    loss, phi, h, stats, draw = network()
    support, query = draw(), draw()
    reference = jax.jit(
        lambda *a: policy_written_out(loss, *a, stats, support, query, policy)
    )
    value, kept = reference(phi, h)
    gradient = jax.grad(loss, (0, 1), has_aux=True)
    options = {"steps": 2, "state": stats, "policy": policy}

    @jax.jit
    def updated(phi, h):
        return bilevel.inner_update(
            gradient, phi, h, batch=support, optimizer=optax.sgd(0.3), **options
        )

    @jax.jit
    def everything(phi, h):
        return [
            bilevel.hypergradient(
                loss,
                gradient,
                phi,
                h,
                inner_batch=support,
                outer_batch=query,
                optimizer=optax.sgd(0.3),
                **options,
                mode=mode,
            )
            for mode in ("forward_over_reverse", "unrolled")
        ]

    results = everything(phi, h)
    for result in results:
        np.testing.assert_allclose(result.value, value, rtol=1e-12)
        assert_all_close(result.state, kept, 1e-12)
        assert_all_close(result.grads, results[0].grads, 1e-10)
    # The state after the inner steps is the one that 'inner' keeps; 'batch' changes none.
    left = updated(phi, h).state
    same = policy in ("inner", "batch")
    wanted = stats if policy == "batch" else kept
    gap = jax.tree.map(lambda a, b: np.abs(a - b).max(), left, wanted)
    assert (max(jax.tree.leaves(gap)) < 1e-12) == same


def temporary_bytes(function, *arguments):
    """Memory besides arguments and results, as XLA plans it."""
    analysis = jax.jit(function).lower(*arguments).compile().memory_analysis()
    return analysis.temp_size_in_bytes


def planned(width, batch, depth, optimizer, mode, steps):
    """Memory of a hypergradient of a narrow or wide perceptron, over its parameters'.

    The mode 'remat' is ``jax.grad`` through ``inner_update(remat=True)``.
    """
    params = [jnp.ones((width, width))] * depth
    arguments = params, jnp.asarray(1.0), jnp.ones((batch, width))

    def loss(phi, h, x):
        for w in phi:
            x = jnp.tanh(x @ w) * h
        return jnp.mean(x**2)

    def recursion(phi, h, x):
        return bilevel.hypergradient(
            loss,
            jax.grad(loss, (0, 1)),
            phi,
            h,
            inner_batch=x,
            outer_batch=x,
            optimizer=optimizer,
            steps=steps,
            mode=mode,
        )

    def rematerialized(phi, h, x):
        phi = bilevel.inner_update(
            jax.grad(loss, (0, 1)),
            phi,
            h,
            batch=x,
            optimizer=optimizer,
            steps=steps,
            remat=True,
        ).params
        return loss(phi, h, x)

    function = jax.grad(rematerialized) if mode == "remat" else recursion
    return temporary_bytes(function, *arguments) / (4 * depth * width**2)


def test_activations_are_those_of_one_step():
    """Wide batches, narrow layers: memory consists of activations."""
    plan = functools.partial(planned, 16, 512, 6, optax.sgd(0.1))
    forward = plan("forward_over_reverse", 8)
    assert forward <= 1.25 * plan("forward_over_reverse", 2)
    assert forward <= 0.8 * plan("reverse_over_reverse", 8)
    unrolled = plan("unrolled", 8)
    assert forward <= 0.15 * unrolled
    assert plan("remat", 8) <= 0.25 * unrolled


@pytest.mark.parametrize(
    ("optimizer", "mode", "per_step"),
    [
        (optax.sgd(0.1), "forward_over_reverse", 1),
        (optax.sgd(0.1, momentum=0.9), "forward_over_reverse", 1),
        (optax.adam(0.1, eps_root=1e-6), "forward_over_reverse", 3),
        (optax.adam(0.1, eps_root=1e-6), "reverse_over_reverse", 3),
        (optax.adam(0.1, eps_root=1e-6), "remat", 3),
        (optax.adam(0.1, eps_root=1e-6), "first_order", 0),
    ],
)
def test_each_step_stores_what_it_starts_from(optimizer, mode, per_step):
    """A small batch: in units of the parameters, as `hypergradient` documents."""
    plan = functools.partial(planned, 64, 2, 4, optimizer, mode)
    few, many = plan(4), plan(12)
    np.testing.assert_allclose((many - few) / 8, per_step, atol=0.15)
