"""Branches and the point of their fusion, against plain writings of both."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nasfas_jax as nf
from nasfas_jax import nets
from nasfas_jax.data.loading import views
from nasfas_jax.errors import InputError
from nasfas_jax.methods import meta_nas
from nasfas_jax.search import branches, genotype, spaces, trade_off
from nasfas_jax.search.dag import structure
from nasfas_jax.search.fas import options, supernet

INPUTS = ("static", "dynamic:hsv")
SMALL = {"stem_channels": 2, "channels": 4, "head_channels": 2, "map_size": 3}
CELLS = {"stem_channels": (2, 2), "channels": 4, "partial": 2, "map_size": 2}


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def drawn(space, seed=0):
    rng = np.random.default_rng(seed)
    start = space.init_alphas(jax.random.key(0))
    return jax.tree.map(lambda a: rng.normal(size=a.shape), start)


def mixture(space, net, variables, alphas, x):
    """The streams one by one, mixed by the softmax of the alphas as it is defined."""
    weights = np.exp(alphas["fusion"])

    def run(name, stream, state):
        own = jax.tree.map(lambda a: a[stream], variables["params"][name])
        stats = variables["batch_stats"].get(name, {})
        stats = jax.tree.map(lambda a: a[stream], stats)
        stage = net.clone(stage=name)
        given = {"params": own, "batch_stats": stats}
        return stage.apply(given, state, alphas, train=True, mutable=["batch_stats"])[0]

    count, names = len(space.branches), space.stage_names
    states = [run(names[0], k, x[..., 3 * k : 3 * k + 3]) for k in range(count)]
    joined = jax.tree.map(lambda *each: sum(each) / count, *states)
    for i, name in enumerate(names[1:], 1):
        states = [run(name, k, state) for k, state in enumerate(states)]
        mean = jax.tree.map(lambda *each: sum(each) / count, *states)
        rate = weights[i] / weights[: i + 1].sum()
        joined = jax.tree.map(
            lambda old, new, r=rate: (1 - r) * old + r * new,
            run(name, count, joined),
            mean,
        )
    return joined


@pytest.mark.parametrize("name", ["nas_fas", "auto_fas"])
def test_a_supernet_of_branches_is_its_streams_one_by_one(x64, name, monkeypatch):
    monkeypatch.setattr(structure, "LAYOUT", ("normal", "reduction"))
    given = SMALL if name == "nas_fas" else CELLS
    space = spaces.get(name, **given, branches=INPUTS)
    net, alphas, x = space.supernet(), drawn(space), jnp.asarray(draw(2, 9, 9, 6))

    @jax.jit
    def run(x):
        variables = net.init(jax.random.key(0), x, alphas, train=False)
        maps, _ = net.apply(variables, x, alphas, train=True, mutable=["batch_stats"])
        return maps, mixture(space, net, variables, alphas, x)

    maps, expected = run(x)
    assert maps.shape == (2, space.map_size, space.map_size)
    np.testing.assert_allclose(maps, expected, atol=1e-10)
    assert np.abs(maps).max() > 1e-3


def test_linear_stages_are_weighted_by_the_softmax(x64):
    alphas = draw(5)
    shares, left = [], 1.0
    for rate in np.asarray(branches.rates(jnp.asarray(alphas)))[::-1]:
        shares.append(left * rate)
        left *= 1 - rate
    np.testing.assert_allclose(shares[::-1], jax.nn.softmax(alphas), rtol=1e-10)


@pytest.mark.parametrize("point", ["stem", "mid", "score"])
def test_a_supernet_of_one_fusion_point_is_the_derived_network(x64, point):
    """Cells of skips: the parameters are those of stem, attention and head."""
    space = spaces.get("nas_fas", **SMALL, partial=1, branches=INPUTS)
    alphas = {
        cell: 1e3 * np.tile([op == "skip" for op in space.operations], (4, 1))
        for cell in space.cells
    }
    alphas["fusion"] = 1e3 * np.array([name == point for name in space.fusions])
    found = space.derive(alphas)
    assert found.fusion == point and found.cells == (("skip",) * 4,) * 3
    net = nets.SearchedNet(dataclasses.replace(found, space=space))
    mixed, x = space.supernet(), jnp.asarray(draw(2, 16, 16, 6))

    @jax.jit
    def run(x):
        given = mixed.init(jax.random.key(0), x, alphas, train=False)
        own = net.init(jax.random.key(1), x, train=False)
        params, moved = given["params"], dict(own["params"])
        early = space.stage_names.index(point) + 1
        for i, stage in enumerate(space.stage_names):
            for layer, arrays in params[stage].items():
                if stage in options.CELLS and layer == stage:
                    continue  # the candidates
                if i >= early:
                    moved[layer] = jax.tree.map(lambda a: a[-1], arrays)
                    continue
                for k, branch in enumerate(INPUTS):
                    one = jax.tree.map(lambda a, k=k: a[k], arrays)
                    name = f"branch_{branch}"
                    moved[name] = {**moved[name], layer: one}
        call: Any = {"train": True, "mutable": ["batch_stats"]}
        return (
            mixed.apply(given, x, alphas, **call)[0],
            net.apply({**own, "params": moved}, x, **call)[0],
        )

    one, other = run(x)
    np.testing.assert_allclose(one, other, atol=1e-10)
    assert one.max() > 1e-4


def test_the_fusion_point_is_learned_by_the_meta_gradient(x64, monkeypatch):
    """Eq. 12 to 14 written out, differentiated as they stand."""
    monkeypatch.setattr(options, "CELLS", ("low",))
    monkeypatch.setattr(options, "EXPANSIONS", (1.2,))
    given = {**SMALL, "partial": 2, "pool": "max", "attention": False}
    space = spaces.get("nas_fas", **given, branches=INPUTS)
    net, rates = supernet.Supernet(space), (0.3, 0.1, 0.05)
    inner, outer_rate, arch = (optax.sgd(rate) for rate in rates)
    method = meta_nas.MetaNAS(net, inner, outer_rate, arch)
    rng = np.random.default_rng(0)
    episode = {
        name: {
            "image": rng.uniform(-1, 1, (*lead, 6, 6, 6)),
            "target": rng.uniform(size=(*lead, 3, 3)),
        }
        for name, lead in (("support", (1, 2)), ("query", (2,)))
    }
    image = episode["query"]["image"][:1]
    state = jax.device_get(jax.jit(method.init)(jax.random.key(0), image))
    state = state.replace(alphas=drawn(space))

    def loss(phi, alpha, batch):
        variables = {"params": phi, "batch_stats": state.batch_stats}
        call: Any = {"train": True, "mutable": ["batch_stats"]}
        maps = net.apply(variables, batch["image"], alpha, **call)[0]
        return space.loss(jnp.asarray(maps), batch["target"])

    def descend(phi, grads, rate):
        return jax.tree.map(lambda p, g: p - rate * g, phi, grads)

    def meta_objective(phi, alpha):
        support = jax.tree.map(lambda a: a[0], episode["support"])
        phi_i = descend(phi, jax.grad(loss)(phi, alpha, support), rates[0])
        return loss(phi_i, alpha, episode["query"])

    @jax.jit
    def outer(phi, alpha):
        grads = jax.grad(meta_objective)(phi, alpha)
        return loss(descend(phi, grads, rates[1]), alpha, episode["query"])

    new, _ = jax.device_get(jax.jit(method.step)(state, episode))
    step = {k: (state.alphas[k] - new.alphas[k]) / rates[2] for k in state.alphas}
    for i in range(len(space.fusions)):
        slopes = []
        for sign in (1, -1):
            moved = state.alphas["fusion"].copy()
            moved[i] += sign * 1e-6
            slopes.append(outer(state.params, {**state.alphas, "fusion": moved}))
        slope = (slopes[0] - slopes[1]) / 2e-6
        np.testing.assert_allclose(step["fusion"][i], slope, rtol=1e-5, atol=1e-10)
    assert np.abs(step["fusion"]).max() > 1e-6


@pytest.mark.parametrize("point", ["stem", "low", "mid", "score"])
def test_cells_of_branches_cost_as_in_the_network(point):
    """Multiply-adds beyond those of a network of skips, fused at the same point."""
    space = spaces.get("nas_fas", **SMALL, branches=INPUTS)
    found = dataclasses.replace(space.sample(0), fusion=point)
    widest = ((space.operations[-1],) * 4,) * 3

    def macs(cells, point):
        one = dataclasses.replace(found, cells=cells, fusion=point)
        return nets.macs(nets.SearchedNet(one), (1, 16, 16, 6))

    skips = (("skip",) * 4,) * 3
    expected = macs(found.cells, point) - macs(skips, point)
    expected /= macs(widest, "score") - macs(skips, "score")
    alphas: Any = {
        cell: 1e3 * np.array([[op == o for o in space.operations] for op in row])
        for cell, row in zip(space.cells, found.cells, strict=True)
    }
    alphas["fusion"] = 1e3 * np.array([name == point for name in space.fusions])
    alphas = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), alphas)
    np.testing.assert_allclose(space.relative_macs(alphas), expected, rtol=1e-5)
    first = trade_off.points(space, alphas, space.edge_macs())[0]
    assert first.genotype == found
    np.testing.assert_allclose(first.cost, expected, rtol=1e-5)


def test_copies_of_the_cells_by_hand():
    """Fused after cell 2: cells 0, 1 and 2 exist twice, the other six once."""
    space = spaces.get("auto_fas", branches=INPUTS)
    names = (
        "stem",
        "cell_1",
        "cell_2",
        "cell_4",
        "cell_5",
        "cell_7",
        "cell_8",
        "score",
    )
    assert space.fusions == names
    weights = np.array([name == "cell_2" for name in names], float)
    expected = {"normal": (2 + 2 + 4) / (6 * 2), "reduction": (2 + 1 + 1) / (3 * 2)}
    assert space.copies(weights) == pytest.approx(expected)


def test_a_genotype_file_holds_the_fusion_point(tmp_path):
    space = spaces.get("nas_fas", **SMALL, branches=INPUTS)
    found = space.sample(1)
    assert found.fusion in space.fusions
    assert found.cells == spaces.get("nas_fas", **SMALL).sample(1).cells
    genotype.save(tmp_path / "genotype.json", found)
    assert genotype.load(tmp_path / "genotype.json") == found
    assert nets.description_of(nets.SearchedNet(found))["genotype"] == found.as_dict()
    graph = found.space.graph(found)
    assert graph.panels[-1].title == "branches" and "fusion" in graph.nodes
    assert f"fused after {found.fusion}" in graph.text
    wrong = {**found.as_dict(), "fusion": "roof"}
    with pytest.raises(
        InputError, match=r"fusion: expected one of .*stem.* got .roof."
    ):
        genotype.parse(wrong)
    alone = spaces.get("nas_fas", **SMALL).sample(1).as_dict()
    assert "fusion" not in alone and "branches" not in alone["space"]
    with pytest.raises(InputError, match="expected None without branches"):
        genotype.parse({**alone, "fusion": "stem"})


@pytest.mark.parametrize("given", [(), "static", ("static", "static"), (1, 2)])
def test_wrong_branches_are_refused(given):
    with pytest.raises(InputError, match="expected a list of different inputs"):
        spaces.get("nas_fas", branches=given)


def test_one_branch_is_the_network_of_one_input():
    space = spaces.get("nas_fas", **SMALL, branches=("dynamic",))
    assert space.fusions == () and space.input == "dynamic"
    assert set(drawn(space)) == set(space.cells) and space.sample(0).fusion is None


def test_an_input_joins_images_in_color_spaces_of_their_own():
    rng = np.random.default_rng(0)
    records = {
        n: rng.integers(0, 256, (2, 8, 8, 3), np.uint8) for n in ("static", "dynamic")
    }
    view = views.View(input="static+static:ycbcr+dynamic:hsv")
    assert view.columns == ("static", "dynamic", "depth") and view.channels == 9
    rgb, ycbcr, hsv = np.split(views.network_input(records, view), 3, -1)
    np.testing.assert_array_equal(rgb, views.scale(records["static"]))
    np.testing.assert_array_equal(
        hsv, views.recolored(views.scale(records["dynamic"]), "hsv")
    )
    # BT.601: luma, and differences from it to blue and red, from -1 to 1.
    red, green, blue = np.moveaxis(records["static"] / 255.0, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    expected = [luma, 0.5 + (blue - luma) / 1.772, 0.5 + (red - luma) / 1.402]
    np.testing.assert_allclose(ycbcr, 2 * np.stack(expected, -1) - 1, atol=5e-3)
    for wrong in ("static+", "static:cmyk", "frames+static", "depth+static"):
        with pytest.raises(InputError, match="input"):
            views.View(input=wrong)


def test_branches_are_searched_trained_and_tested(data, tmp_path):
    space = spaces.get("nas_fas", **SMALL, branches=("static", "dynamic:ycbcr"))
    orders: Any = {"weight_order": "first", "arch_order": "first", "alphas_from": 0}
    found = nf.search_architecture(
        data, space, target="dom_m", steps=1, batch_size=2, **orders
    )
    assert np.shape(found.metrics[0]["alphas/fusion"]) == (5,)
    assert found.genotype.fusion in space.fusions and "fusion after" in repr(found)
    given: Any = {"target": "dom_m", "steps": 1, "batch_size": 2}
    model = nf.train(data, found.net, **given, searched=found.learned)
    assert model.view.input == "static+dynamic:ycbcr"
    result = nf.evaluate(model, data, target="dom_m").result
    assert 0 <= result.test.hter <= 1
    model.save(tmp_path / "model")
    assert nf.load(tmp_path / "model").network == model.network
    with pytest.raises(InputError, match=r"static\+dynamic:ycbcr.*got 'static'"):
        nf.train(data, found.net, **given, view=views.View(input="static"))
