"""Layers, DepthNet and CDN: Table 1's numbers, and how they behave."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from nasfas_jax import layers, losses, nets, ops

SMALL = {"width": 0.05, "map_size": 4}


def image(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def start(net, x, seed=0):
    """Initial variables, in one compiled program."""
    return jax.jit(lambda key: net.init(key, x, train=False))(jax.random.key(seed))


def predict(net, x, **call):
    return jax.jit(lambda variables: net.apply(variables, x, train=False, **call))


@pytest.mark.parametrize("name", nets.VARIANTS)
def test_table_1_parameters_and_cost(name):
    net = nets.CDN(**nets.VARIANTS[name])
    x = jnp.zeros((1, 256, 256, 3))
    variables = jax.eval_shape(
        lambda key: net.init(key, x, train=False), jax.random.key(0)
    )
    assert nets.parameters(variables) == 2_245_016
    macs = nets.macs(net, (1, 256, 256, 3))
    assert macs == 47_337_504_768
    output = jax.eval_shape(lambda v: net.apply(v, x, train=False), variables)
    assert output.shape == (1, 32, 32)


def test_macs_count_scans_products_and_groups():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            x = nn.Conv(8, (3, 3), padding=1, feature_group_count=2, use_bias=False)(x)
            x = nn.Dense(5)(x.mean((1, 2)))
            return jax.lax.scan(lambda c, _: (c @ jnp.eye(5), None), x, length=3)[0]

    expected = 7 * 6 * 8 * 9 * 2 + 8 * 5 + 3 * 25
    assert nets.macs(Net(), (1, 7, 6, 4), train=False) == expected


def test_depthnet_is_the_vanilla_cdn():
    x = image(2, 16, 16, 3)
    net, cdn = nets.DepthNet(**SMALL), nets.CDN(pool="max", **SMALL)
    variables = start(net, x)
    expected = predict(net, x)(variables)
    actual = predict(cdn, x, theta=0.0)(variables)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    assert np.abs(predict(cdn, x)(variables) - expected).max() > 1e-4


@pytest.mark.parametrize("pool", ["cdp", "max"])
def test_the_map_starts_alive(pool):
    """Without BatchNorm before the last ReLU, a dead start would never train."""
    x = image(2, 32, 32, 3)
    net = nets.CDN(pool=pool, width=0.1, map_size=8)

    @jax.jit
    def first_maps(key, theta):
        variables = net.init(key, x, train=False)
        call = {"train": True, "theta": theta, "mutable": ["batch_stats"]}
        return net.apply(variables, x, **call)[0]

    for seed, theta in itertools.product(range(3), [0.0, 0.7]):
        maps = np.asarray(first_maps(jax.random.key(seed), theta))
        assert maps.shape == (2, 8, 8) and maps.min() >= 0
        assert (maps > 0).mean() > 0.3


def test_theta_and_lam_sweep_under_vmap_and_are_differentiable():
    x = image(2, 16, 16, 3)
    net = nets.CDN(**SMALL)
    variables = start(net, x)

    @jax.jit
    def score(theta, lam):
        maps = net.apply(variables, x, train=False, theta=theta, lam=lam)
        return nets.score(maps)

    values = jnp.array([0.0, 0.7])
    swept = jax.jit(jax.vmap(score))(values, values)
    assert swept.shape == (2, 2)
    np.testing.assert_allclose(swept[1], score(0.7, 0.7), rtol=1e-5)
    slope = jax.jit(jax.grad(lambda theta: score(theta, 0.7).sum()))(jnp.float32(0.7))
    assert np.isfinite(slope) and slope != 0


def test_training_updates_the_running_averages_as_pytorch_does():
    x = 3 + 2 * image(4, 8, 8, 3)
    block = layers.ConvBlock(5)
    variables = block.init(jax.random.key(0), x, theta=0.7, train=False)
    y, updated = block.apply(
        variables, x, theta=0.7, train=True, mutable=["batch_stats"]
    )
    z = np.asarray(ops.cdc(x, variables["params"]["kernel"], 0.7))
    stats = updated["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(stats["mean"], 0.1 * z.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * z.var((0, 1, 2)), rtol=1e-4)
    expected = (z - z.mean((0, 1, 2))) / np.sqrt(z.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(y, np.maximum(expected, 0), atol=1e-4)


def test_a_block_without_batchnorm_or_relu_is_the_operator():
    x = image(1, 5, 5, 2)
    block = layers.ConvBlock(3, kernel_size=5, bn=False, relu=False)
    variables = block.init(jax.random.key(0), x, theta=0.0, train=True)
    assert list(variables) == ["params"]
    expected = ops.cdc(x, variables["params"]["kernel"], jnp.float32(0.4))
    actual = block.apply(variables, x, theta=jnp.float32(0.4), train=True)
    np.testing.assert_allclose(actual, expected)


def test_spatial_attention_weighs_by_mean_then_maximum():
    x = image(2, 6, 5, 3)
    module = layers.SpatialAttention(3)
    variables = module.init(jax.random.key(0), x)
    kernel = variables["params"]["kernel"]
    assert kernel.shape == (3, 3, 2, 1)
    pooled = np.stack([np.asarray(x).mean(-1), np.asarray(x).max(-1)], -1)
    logits = np.asarray(ops.cdc(jnp.asarray(pooled), kernel, 0.0))
    expected = np.asarray(x) / (1 + np.exp(-logits))
    np.testing.assert_allclose(module.apply(variables, x), expected, rtol=1e-5)


def test_bfloat16_images_keep_float32_parameters():
    x = image(2, 16, 16, 3).astype(jnp.bfloat16)
    net = nets.CDN(**SMALL)
    variables = start(net, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    maps, updated = jax.eval_shape(
        lambda v: net.apply(v, x, train=True, mutable=["batch_stats"]), variables
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(updated)} == {jnp.dtype("float32")}
    assert maps.dtype == jnp.bfloat16


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_block_derivatives_to_second_order(x64, mode):
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(2, 4, 4, 2)), rng.random((2, 4, 4))
    block = layers.ConvBlock(1, relu=False)
    attention = layers.SpatialAttention(3)
    block_variables = block.init(jax.random.key(0), x, theta=0.7, train=True)
    gate = attention.init(jax.random.key(1), x)

    @jax.jit
    def f(params, gate, theta):
        variables = block_variables | {"params": params}
        gated = attention.apply(gate, x)
        y, _ = block.apply(
            variables, gated, theta=theta, train=True, mutable=["batch_stats"]
        )
        return losses.depth_loss(y[..., 0], target)

    arguments = (block_variables["params"], gate, 0.7)
    check_grads(f, arguments, 2, [mode], atol=1e-4, rtol=1e-4)


def test_an_unknown_pool_is_named():
    net = nets.CDN(pool="average")
    with pytest.raises(ValueError, match="'average'"):
        net.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=False)
