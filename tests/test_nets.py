"""Layers, DepthNet and CDN: Table 1's numbers, and how they behave."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from nasfas_jax import layers, losses, nets, ops
from nasfas_jax.nets import rfmeta

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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": "average"}, "pool: expected one of 'cdp', 'max', got 'average'"),
        ({"width": 0}, "width: expected a number of 0.015625 or more, got 0"),
        ({"width": 0.015}, "width: .* got 0.015"),  # no channel left of 64
        ({"width": float("nan")}, "width: .* got nan"),
        ({"map_size": 0}, "map_size: expected an integer of 1 or more, got 0"),
        ({"map_size": 8.0}, "map_size: .* got 8.0"),
    ],
)
def test_a_wrong_network_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        nets.CDN(**options)
    description = {"network": "cdn", "width": 1.0, "map_size": 32} | options
    if "pool" not in options:
        with pytest.raises(ValueError, match=message):
            nets.from_description(description)


def test_the_narrowest_network_has_a_channel_in_every_layer():
    net = nets.CDN(width=1 / 64, map_size=4)
    variables = jax.eval_shape(
        lambda x: net.init(jax.random.key(0), x, train=False), jnp.zeros((1, 8, 8, 3))
    )
    kernels = [x.shape for x in jax.tree.leaves(variables["params"]) if x.ndim == 4]
    assert len(kernels) == 13 and min(min(shape) for shape in kernels) == 1


def some_variables(net, x, seed):
    """Variables of a network as NumPy draws them: nothing is at its start."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), x, train=False))
    return jax.tree.map(lambda leaf: rng.uniform(0.1, 0.9, leaf.shape) - 0.3, shapes)


def positive(variables):
    """The same with variances."""
    stats = jax.tree.map_with_path(
        lambda path, leaf: leaf + 0.5 if path[-1].key == "var" else leaf,
        variables["batch_stats"],
    )
    return variables | {"batch_stats": stats}


def written_out(variables, theta):
    """``conv(x, name)`` of a `ConvBlock` on its running averages."""

    def conv(x, name):
        block = variables["params"][name]
        x = ops.cdc(x, block["kernel"], theta)
        if "bias" in block:
            x = x + block["bias"].reshape(1, 1, 1, -1)
        if norm := block.get("BatchNorm_0"):
            stats = variables["batch_stats"][name]["BatchNorm_0"]
            scale = norm["scale"] / np.sqrt(stats["var"] + 1e-5)
            shift = norm["bias"] - stats["mean"] * scale
            x = x * scale.reshape(1, 1, 1, -1) + shift.reshape(1, 1, 1, -1)
        return nn.relu(x)

    return conv


@pytest.mark.parametrize("name", ["cdn", "depthnet"])
def test_which_feeds_which_in_the_cdn(x64, name):
    """Each block's pooled output goes on and to the map; Table 1's theta and lambda."""
    theta, lam = {"cdn": (0.7, 0.7), "depthnet": (0.0, None)}[name]
    net = nets.CDN(**nets.VARIANTS[name], width=0.02, map_size=4)
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 3))
    variables = positive(some_variables(net, x, 1))

    def expected(x):
        conv, names = written_out(variables, theta), iter(range(13))
        levels = []
        x = conv(x, f"ConvBlock_{next(names)}")
        for _ in range(3):
            for _ in range(3):
                x = conv(x, f"ConvBlock_{next(names)}")
            x = ops.max_pool(x) if lam is None else ops.cdp(x, lam)
            levels.append(ops.resize(x, 4))
        x = jnp.concatenate(levels, -1)
        for i in names:
            x = conv(x, f"ConvBlock_{i}")
        return x[..., 0]

    actual, wanted = jax.jit(
        lambda x: (net.apply(variables, x, train=False), expected(x))
    )(x)
    assert actual.shape == (2, 4, 4) and actual.max() > 0
    np.testing.assert_allclose(actual, wanted, rtol=1e-9)
    np.testing.assert_allclose(nets.score(actual), actual.mean((1, 2)), rtol=1e-12)


def test_which_feeds_which_in_rfmeta(x64):
    """M gets the last block, D all three averaged to its size; M halves twice."""
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 6))
    width = {"width": 0.02}
    extractor, learner = rfmeta.FeatureExtractor(**width), rfmeta.MetaLearner(**width)
    estimator = rfmeta.DepthEstimator(**width)
    f = positive(some_variables(extractor, x, 1))
    z, joined = np.zeros((2, 4, 4, 2)), np.zeros((2, 4, 4, 6))
    m, d = (
        positive(some_variables(net, x, seed))
        for net, x, seed in ((learner, z, 2), (estimator, joined, 3))
    )

    def mean(x):
        n, side, _, c = x.shape
        return x.reshape(n, 4, side // 4, 4, side // 4, c).mean((2, 4))

    def expected(x):
        conv, levels = written_out(f, 0.0), []
        x = conv(x, "ConvBlock_0")
        for i in range(1, 10):
            x = conv(x, f"ConvBlock_{i}")
            if i % 3 == 0:
                x = ops.halve(x)
                levels.append(mean(x))
        conv = written_out(m, 0.0)
        y = ops.halve(conv(x, "ConvBlock_0"))
        y = conv(ops.halve(conv(y, "ConvBlock_1")), "ConvBlock_2").mean((1, 2))
        logit = m["params"]["logit"]
        conv, depth = written_out(d, 0.0), jnp.concatenate(levels, -1)
        for i in range(3):
            depth = conv(depth, f"ConvBlock_{i}")
        return y @ logit["kernel"][:, 0] + logit["bias"][0], depth[..., 0]

    @jax.jit
    def run(x):
        z, joined = extractor.apply(f, x, train=False)
        return (
            learner.apply(m, z, train=False),
            estimator.apply(d, joined, train=False),
        ), expected(x)

    actual, wanted = run(x)
    assert actual[0].shape == (2,) and actual[1].shape == (2, 4, 4)
    for a, b in zip(actual, wanted, strict=True):
        assert np.abs(b).max() > 0
        np.testing.assert_allclose(a, b, rtol=1e-9)


@pytest.mark.parametrize("name", nets.VARIANTS)
def test_a_variant_is_rebuilt_with_its_width_and_map(name):
    built = nets.from_description(nets.describe(name, width=0.5, map_size=14))
    assert built == nets.CDN(**nets.VARIANTS[name], width=0.5, map_size=14)
    assert nets.from_description(nets.describe(name)) == nets.CDN(**nets.VARIANTS[name])


def test_kernels_start_as_their_docstrings_say():
    shape = (3, 3, 64, 128)
    first = layers.map_init(jax.random.key(0), shape, jnp.float32)
    bound = 0.5 / (9 * 64)
    assert first.min() >= 0 and 0.999 * bound < first.max() <= bound
    np.testing.assert_allclose(first.mean(), bound / 2, rtol=0.01)
    he = layers.kernel_init(jax.random.key(0), shape, jnp.float32)
    np.testing.assert_allclose(he.std(), np.sqrt(2 / (9 * 64)), rtol=0.01)
