"""theta and lambda of networks and spaces: numbers, by layer and channel, and learned."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from nasfas_jax import layers, nets, ops
from nasfas_jax.errors import InputError
from nasfas_jax.methods import meta_nas, supervised
from nasfas_jax.nets import Learned
from nasfas_jax.search import genotype, spaces

SMALL = {"width": 1 / 32, "map_size": 4}
TINY = {
    "stem_channels": 2,
    "channels": 4,
    "head_channels": 2,
    "partial": 2,
    "map_size": 4,
}


def image(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def fas_net(**options):
    space = spaces.get("nas_fas", **TINY | options)
    edges = ("cdc", "skip", "cdc_2_1.6", "skip")
    return nets.SearchedNet(genotype.Genotype(space, (edges,) * 3))


NETWORKS = {"cdn": lambda **own: nets.build("cdn", **SMALL, **own), "fas": fas_net}


def by_layer(net, seed=0):
    """Values for each channel of each layer."""
    rng = np.random.default_rng(seed)
    return {
        name: {layer: rng.random(count).tolist() for layer, count in counts.items()}
        for name, counts in nets.layer_channels(net).items()
    }


def start(net, x):
    return jax.jit(lambda: net.init(jax.random.key(0), x, train=False))()


def maps(net, variables, x, **call):
    return jax.jit(lambda v: net.apply(v, x, train=False, **call))(variables)


@pytest.mark.parametrize("shape", [(1, 6, 5, 2), (1, 4, 4, 2)])
def test_equal_values_per_channel_are_one_number(x64, shape):
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape))
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(3, 3, 2, 5)))
    same = np.full(5, 0.3)
    np.testing.assert_array_equal(ops.cdc(x, kernel, same), ops.cdc(x, kernel, 0.3))
    folded = ops.fold_cdc(kernel, same)
    np.testing.assert_array_equal(folded, ops.fold_cdc(kernel, 0.3))
    np.testing.assert_array_equal(ops.cdp(x, same[:2]), ops.cdp(x, 0.3))


def test_a_folded_kernel_takes_theta_by_output_channel(x64):
    kernel = np.random.default_rng(0).normal(size=(3, 5, 2, 4))
    theta = np.array([0.0, 0.2, 0.7, 1.0])
    expected = kernel.copy()
    for i in range(2):
        for o in range(4):
            expected[1, 2, i, o] -= theta[o] * sum(kernel[:, :, i, o].ravel())
    folded = ops.fold_cdc(jnp.asarray(kernel), theta)
    np.testing.assert_allclose(folded, expected, atol=1e-14)


def test_a_block_and_a_pooling_take_values_by_channel(x64):
    """The channels of a block are its outputs, those of a pooling its inputs."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 6, 6, 3)))
    theta, lam = (0.1, 0.9), (0.0, 0.5, 1.0)
    block = layers.ConvBlock(2, bn=False, relu=False)
    variables = block.init(jax.random.key(0), x, theta=0.7, train=True)
    y = block.apply(variables, x, theta=theta, train=True)
    z = layers.CentralPool().apply({}, x, lam=lam)
    for channel in range(2):
        kernel = variables["params"]["kernel"][..., channel : channel + 1]
        expected = ops.cdc(x, kernel, theta[channel])[..., 0]
        np.testing.assert_allclose(y[..., channel], expected, atol=1e-12)
    for channel in range(3):
        expected = ops.cdp(x[..., channel : channel + 1], lam[channel])[..., 0]
        np.testing.assert_allclose(z[..., channel], expected, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_take_values_by_layer(name):
    make, x = NETWORKS[name], image(2, 16, 16, 3)
    net = make()
    values = by_layer(net)
    variables = start(net, x)
    one = {
        key: {layer: [0.7] * len(v) for layer, v in layers.items()}
        for key, layers in values.items()
    }
    plain = maps(net, variables, x)
    np.testing.assert_array_equal(maps(make(**one), variables, x), plain)
    built = make(**values)
    assert jax.tree.structure(start(built, x)) == jax.tree.structure(variables)
    actual = maps(built, variables, x)
    assert np.abs(actual - plain).max() > 1e-4
    traced = {
        key: {layer: jnp.array(v) for layer, v in layers.items()}
        for key, layers in values.items()
    }
    np.testing.assert_allclose(maps(net, variables, x, **traced), actual, rtol=1e-5)
    replaced = nets.with_weights(net, **values)
    assert replaced == built and hash(replaced) == hash(built)


def test_the_first_layer_of_a_network_has_its_own_theta():
    x = image(1, 8, 8, 3)
    net = nets.build("cdn", **SMALL)
    values = by_layer(net)
    variables = start(net, x)
    built = nets.with_weights(net, **values)
    _, seen = built.apply(variables, x, train=False, capture_intermediates=True)
    block = variables["params"]["ConvBlock_0"]
    theta = jnp.array(values["theta"]["ConvBlock_0"])
    # At the start the running averages are 0 and 1, scale and shift 1 and 0.
    expected = jnp.maximum(ops.cdc(x, block["kernel"], theta), 0) / np.sqrt(1 + 1e-5)
    actual = seen["intermediates"]["ConvBlock_0"]["__call__"][0]
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("per", ["layer", "channel"])
@pytest.mark.parametrize("name", NETWORKS)
def test_learned_values_start_at_the_initial_one_and_learn(name, per):
    make, x = NETWORKS[name], image(2, 16, 16, 3)
    own = Learned(0.3, per)
    net = make(theta=own, lam=own)
    variables = start(net, x)
    fixed = make(theta=0.3, lam=0.3)
    expected = maps(fixed, start(fixed, x), x)
    np.testing.assert_allclose(maps(net, variables, x), expected, rtol=1e-4, atol=1e-6)
    channels = nets.layer_channels(net)
    method = supervised.Supervised(net, optax.adam(0.1))
    state = jax.jit(method.init)(jax.random.key(0), x)
    batch = {"image": x, "target": jnp.abs(image(2, 4, 4, seed=1))}
    state, _ = jax.jit(method.step)(state, batch)
    for key in ("theta", "lam"):
        before = nets.learned_values(key, own, variables["params"])
        after = nets.learned_values(key, own, state.params)
        assert set(before) == set(after) == set(channels[key])
        for layer, count in channels[key].items():
            assert before[layer].shape == ((count,) if per == "channel" else ())
            np.testing.assert_allclose(before[layer], 0.3, rtol=1e-6)
            assert np.all((after[layer] > 0) & (after[layer] < 1))
        assert any(np.any(np.abs(v - 0.3) > 1e-3) for v in after.values())


def test_weight_decay_pulls_a_learned_value_to_the_initial_one():
    own = Learned(0.2)
    z = jnp.float32(2.0)
    for _ in range(200):
        z = z - 0.1 * z
    np.testing.assert_allclose(own.at(z), 0.2, rtol=1e-6)


@pytest.mark.parametrize("mode", ["fwd", "rev"])
@pytest.mark.parametrize("per", ["layer", "channel"])
def test_derivatives_by_learned_values(x64, mode, per):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 4, 4, 2))
    block, pool = layers.ConvBlock(2, bn=False, relu=False), layers.CentralPool()
    own = Learned(0.6, per)
    b = block.init(jax.random.key(0), x, theta=own, train=True)
    p = pool.init(jax.random.key(0), jnp.zeros((1, 4, 4, 2)), lam=own)
    shift = rng.normal(size=p["params"]["lam"].shape)
    p = {"params": {"lam": jnp.asarray(shift)}}

    def f(b, p):
        y = block.apply(b, x, theta=own, train=True)
        return jnp.square(pool.apply(p, y, lam=own)).mean()

    check_grads(f, (b, p), 2, [mode], atol=1e-5, rtol=1e-5)


def test_a_search_learns_theta_and_the_network_it_finds_too():
    own = Learned(0.4, "channel")
    space = spaces.get("nas_fas", **TINY, theta=own, lam=own)
    method = meta_nas.MetaNAS(
        net=space.supernet(),
        inner_optimizer=optax.sgd(0.01),
        optimizer=optax.adam(0.01, eps_root=1e-8),
        alpha_optimizer=optax.adam(0.01),
        mode="first_order",  # compiles in a fraction of the time of exact ones
    )
    x, y = image(2, 8, 8, 3), jnp.abs(image(2, 4, 4))
    query = {"image": x, "target": y}
    support = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf + 0.1]), query)
    state = jax.jit(method.init)(jax.random.key(0), x)
    assert state.params["low"]["first"]["theta"].shape == (4, 2 + 14)
    new, _ = jax.jit(method.step)(state, {"support": support, "query": query})
    for name in ("theta", "lam"):
        values = nets.learned_values(name, own, new.params)
        assert any(np.any(np.abs(v - 0.4) > 1e-4) for v in values.values())
    found = space.derive(jax.device_get(new.alphas))
    assert found.space.theta == own
    again = genotype.parse(json.loads(json.dumps(found.as_dict())))
    assert again == found
    variables = jax.eval_shape(
        lambda: again.space.network(again).init(jax.random.key(0), x, train=False)
    )
    assert "theta" in variables["params"]["stem_0"]
    assert "lam" in variables["params"]["low_pool"]


def test_a_supernet_has_the_theta_of_its_space():
    x = image(1, 8, 8, 3)
    nets_ = [
        spaces.get("nas_fas", **TINY, **o).supernet() for o in ({}, {"theta": 0.2})
    ]
    alphas = nets_[0].space.init_alphas(jax.random.key(0))
    variables = nets_[0].init(jax.random.key(0), x, alphas, train=False)
    default, other = (
        jax.jit(lambda v, net=net: net.apply(v, x, alphas, train=False))(variables)
        for net in nets_
    )
    call = jax.jit(lambda v, t: nets_[0].apply(v, x, alphas, train=False, theta=t))
    np.testing.assert_allclose(call(variables, 0.2), other, rtol=1e-5, atol=1e-7)
    assert np.abs(default - other).max() > 1e-5


@pytest.mark.parametrize(
    "own",
    [
        {"theta": 0.3, "lam": 0.2},
        {"theta": Learned(0.5, "channel"), "lam": Learned()},
        by_layer(nets.build("cdn", **SMALL)),
        {"theta": dict.fromkeys([f"ConvBlock_{i}" for i in range(13)], 0.5)},
    ],
    ids=["numbers", "learned", "channels", "layers"],
)
def test_descriptions_hold_every_form(own):
    net = nets.build("cdn", **SMALL, **own)
    description = json.loads(json.dumps(nets.description_of(net)))
    again = nets.from_description(description)
    assert again == net and hash(again) == hash(net)
    described = json.loads(json.dumps(nets.describe("cdn", **SMALL, **own)))
    assert nets.from_description(described) == net


def test_the_network_of_a_genotype_takes_theta():
    net = nets.build("cdcn_pp", theta=0.5)
    assert net.genotype.space.theta == 0.5
    assert nets.from_description(nets.description_of(net)) == net
    assert nets.build("cdcn_pp") == nets.CDCNpp()
    assert "theta" not in nets.CDCNpp().genotype.as_dict()["space"]


LAYERS = {f"ConvBlock_{i}": 0.5 for i in range(13)}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: nets.build("cdn", theta=1.5), r"theta: expected a number from 0 to 1.*1.5"),
        (lambda: nets.CDN(lam=-0.1), "lam: expected a number from 0 to 1"),
        (lambda: nets.build("cdn", theta=[0.1, 0.2]), r"nets\.Learned, or \{layer: number"),
        (lambda: nets.build("cdn", theta="half"), "got 'half'"),
        (lambda: nets.build("cdn", theta={"ConvBlock_0": 0.5}), "got none for 'ConvBlock_1'"),
        (
            lambda: nets.build("cdn", theta=LAYERS | {"ConvBlock_0": [0.1] * 3}, **SMALL),
            "'ConvBlock_0': expected a number or 2 numbers, one per channel, got 3",
        ),
        (
            lambda: nets.build("cdn", theta=LAYERS | {"ConvBlok_0": 0.1}),
            "Did you mean ConvBlock_",
        ),
        (lambda: nets.build("cdn", theta=LAYERS | {"ConvBlock_0": [2.0]}), r"got 2\.0"),
        (lambda: nets.build("depthnet", lam=0.5), "lam: expected None for depthnet"),
        (lambda: nets.build("cdcn_pp", lam=0.5), "belongs to 'cdp'"),
        (lambda: spaces.get("nas_fas", convolution="conv", theta=0.3), "belongs to 'cdc'"),
        (lambda: spaces.get("nas_fas", theta=3), "theta: expected a number from 0 to 1"),
        (
            lambda: spaces.get("nas_fas", theta={"stem_0": 0.3}).supernet(),
            "expected a number or nets.Learned for a search",
        ),
        (lambda: Learned(1.0), "initial: expected a number from 0.001 to 0.999, got 1.0"),
        (lambda: Learned(per="net"), "per: expected one of 'layer', 'channel'"),
        (lambda: nets.with_weights(layers.ConvBlock(2), theta=0.1), "network of nets.build"),
    ],
)  # fmt: skip
def test_wrong_values_are_named(call, says):
    with pytest.raises(InputError, match=says):
        call()


def test_wrong_lengths_in_a_call_are_named():
    x = image(1, 4, 4, 3)
    block = layers.ConvBlock(2, name="stem_0")
    with pytest.raises(InputError, match=r"'stem_0': expected a number or 2 numbers"):
        block.init(jax.random.key(0), x, theta=jnp.zeros(3), train=False)
