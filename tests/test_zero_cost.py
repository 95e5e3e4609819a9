"""Zero-cost scores against derivations by hand, by loops and by finite differences."""

import csv
import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import smoke

import nasfas_jax as nf
from nasfas_jax import nets
from nasfas_jax.errors import InputError
from nasfas_jax.layers import batch_norm
from nasfas_jax.search import genotype, spaces, zero_cost
from nasfas_jax.search.dag import structure

SPACES = {
    "nas_fas": {"stem_channels": 2, "channels": 4, "head_channels": 2, "map_size": 3},
    "auto_fas": {"stem_channels": (2, 2), "channels": 4, "map_size": 2},
}


class Linear(nn.Module):
    """Two linear layers with BatchNorm between them."""

    @nn.compact
    def __call__(self, x, *, train):
        dense = {"use_bias": False, "param_dtype": x.dtype}
        x = nn.Dense(3, **dense, name="first")(x.reshape(x.shape[0], -1))
        x = batch_norm(x.dtype, train)(x)
        return nn.Dense(2, **dense, name="second")(x)


def test_synflow_of_two_layers_by_hand():
    """R = 1 |W2| |W1| 1, and each layer's sum of w dR/dw is R."""
    shape = (1, 2, 2, 1)
    with jax.enable_x64(True):
        x = jnp.ones(shape, jnp.float64)
        params = Linear().init(jax.random.key(5), x, train=False)["params"]
        first, second = (np.asarray(params[n]["kernel"]) for n in ("first", "second"))
    total = np.ones(4) @ np.abs(first) @ np.abs(second) @ np.ones(2)
    assert (first < 0).any()
    found = zero_cost.synflow(Linear(), shape, seed=5)
    np.testing.assert_allclose(found, 2 * total, rtol=1e-12)


def test_gradient_norm_by_finite_differences(x64):
    net, rng = Linear(), np.random.default_rng(0)
    x, target = jnp.asarray(rng.normal(size=(5, 2, 2, 1))), rng.normal(size=(5, 2))
    variables = jax.device_get(net.init(jax.random.key(0), x, train=False))

    def loss(predicted, target):
        return jnp.square(predicted - target).mean()

    @jax.jit
    def value(params):
        given = {**variables, "params": params}
        return loss(net.apply(given, x, train=True, mutable=["batch_stats"])[0], target)

    leaves, tree = jax.tree.flatten(variables["params"])
    squares = 0.0
    for number, leaf in enumerate(leaves):
        for index in np.ndindex(leaf.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = leaf.copy()
                moved[index] += step
                every = [*leaves[:number], moved, *leaves[number + 1 :]]
                ends.append(value(jax.tree.unflatten(tree, every)))
            squares += ((ends[0] - ends[1]) / 2e-6) ** 2
    found = zero_cost.gradient_norm(net, variables, x, jnp.asarray(target), loss)
    np.testing.assert_allclose(found, np.sqrt(squares), rtol=1e-6)


def test_similarity_is_the_count_without_the_hamming_distance():
    rng = np.random.default_rng(0)
    codes = [rng.random((4, *shape)) > 0.5 for shape in ((3, 2), (5,))]
    bits = np.concatenate([code.reshape(4, -1) for code in codes], 1)
    expected = np.zeros((4, 4))
    for i, j in np.ndindex(4, 4):
        expected[i, j] = bits.shape[1] - sum(bits[i] != bits[j])
    np.testing.assert_array_equal(
        zero_cost.hamming_kernel([*map(jnp.asarray, codes)]), expected
    )


def relus(jaxpr):
    """Sizes of the ReLUs of a program."""
    found = []
    for equation in jaxpr.eqns:
        if equation.params.get("name") == "relu":
            found.append(equation.outvars[0].aval.size)
            continue
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns")
        ):
            if hasattr(value, "eqns"):
                found += relus(value)
    return found


@pytest.mark.parametrize("name", SPACES)
def test_every_relu_of_a_network_has_its_code(name, monkeypatch):
    monkeypatch.setattr(structure, "LAYOUT", ("normal", "reduction"))
    space = spaces.get(name, **SPACES[name])
    x = jax.ShapeDtypeStruct((2, 8, 8, 3), np.float32)
    call = {"train": True, "mutable": ["batch_stats"]}
    for seed in range(3):
        net = nets.SearchedNet(space.sample(seed))
        variables = jax.eval_shape(
            lambda x, net=net: net.init(jax.random.key(0), x, train=False), x
        )

        def codes(variables, x, net=net):
            return zero_cost.relu_codes(net, variables, x)

        sizes = [code.size for code in jax.eval_shape(codes, variables, x)]
        program = jax.make_jaxpr(lambda v, x, net=net: net.apply(v, x, **call))
        assert sorted(sizes) == sorted(relus(program(variables, x).jaxpr))


class Gate(nn.Module):
    """One ReLU of the layer's input, as it is."""

    @nn.compact
    def __call__(self, x, *, train):
        layer = zero_cost.ConvBlock(x.shape[-1], bn=False, kernel_init=identity)
        return layer(x, theta=0.0, train=train)


def identity(key, shape, dtype):
    return jnp.zeros(shape, dtype).at[1, 1].set(jnp.eye(shape[-1], dtype=dtype))


def test_naswot_of_known_codes():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 2, 2, 2)).astype(np.float32)
    bits = x.reshape(3, -1) > 0
    kernel = [[float((a == b).sum()) for b in bits] for a in bits]
    variables = Gate().init(jax.random.key(0), x, train=False)
    found = zero_cost.naswot(Gate(), variables, jnp.asarray(x))
    np.testing.assert_allclose(found, np.log(np.abs(np.linalg.det(kernel))), rtol=1e-6)
    same = jnp.asarray(np.stack([x[0]] * 3))
    assert zero_cost.naswot(Gate(), variables, same) == -np.inf
    variables = Linear().init(jax.random.key(0), jnp.asarray(x), train=False)
    with pytest.raises(InputError, match="a ReLU, got Linear without any"):
        zero_cost.naswot(Linear(), variables, jnp.asarray(x))


def test_central_differences_are_left_out():
    space = spaces.get("nas_baseline", operation_space="cd")
    plain = zero_cost.plain(space.sample(0))
    assert (
        plain.space.theta == plain.space.lam == 0
        and plain.cells == space.sample(0).cells
    )
    fas = spaces.get("nas_fas", convolution="conv", pool="max").sample(0)
    assert zero_cost.plain(fas) == fas
    fas = spaces.get("nas_fas", pool="max").sample(0)
    assert zero_cost.plain(fas).space == dataclasses.replace(fas.space, theta=0.0)


def test_rank_correlations_are_spearmans():
    rng = np.random.default_rng(2)
    scores = {name: rng.integers(0, 5, 12).astype(float) for name in "abc"}
    expected: Any = scipy.stats.spearmanr(np.stack(list(scores.values()), 1))[0]
    np.testing.assert_allclose(zero_cost.rank_correlations(scores), expected)


def test_architectures_are_ranked_by_the_command(folder, tmp_path, capsys):
    config = smoke.config()
    smoke.execute("zero_cost", tmp_path, config, count="2", data_dir=folder / "data")
    folder = tmp_path / "zero_cost"
    with (folder / "ranking.csv").open() as file:
        rows = list(csv.DictReader(file))
    space = nf.spaces.get("nas_fas", **config.search.space_options)
    assert {row["seed"] for row in rows} == {"0", "1"}
    for row in rows:
        found = genotype.load(folder / f"seed{row['seed']}.json")
        assert found == space.sample(int(row["seed"]))
        assert float(row["gradient_norm"]) > 0 and float(row["synflow"]) > 0
        assert np.isfinite(float(row["naswot"])) and int(row["parameters"]) > 0
    assert (folder / "correlations.csv").exists()
    assert "best mean rank" in capsys.readouterr().out
    for count in ("1", "many"):
        with pytest.raises(InputError, match="--count: expected an integer of 2"):
            smoke.execute("zero_cost", tmp_path, config, count=count)
