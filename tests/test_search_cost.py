"""Differentiable costs of a search against costs counted in programs and parameters."""

import itertools
import json
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasfas_jax import nets
from nasfas_jax.errors import InputError
from nasfas_jax.nets import SearchedNet
from nasfas_jax.search import cost, genotype, spaces
from nasfas_jax.search.dag import structure

SPACE = spaces.get(
    "nas_fas", stem_channels=2, channels=8, head_channels=2, partial=2, map_size=4
)
TINY = {"channels": 4, "map_size": 2, "partial": 2}
CELLS = {
    "nas_baseline": {"stem_channels": (2, 2, 2), **TINY},
    "auto_fas": {"stem_channels": (2, 2), **TINY},
}
ALL = [SPACE, *(spaces.get(name, **options) for name, options in CELLS.items())]


def counted(found):
    return nets.macs(SearchedNet(found), (1, 16, 16, 3))


def parameters(found):
    net, image = SearchedNet(found), jax.ShapeDtypeStruct((1, 16, 16, 3), np.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    init = jax.eval_shape(lambda k, x: net.init(k, x, train=False), key, image)
    return nets.parameters(init)


def certain(found):
    """Alphas whose softmax is one at the genotype's operations and edges."""
    space, alphas = found.space, {}
    for name, cell in zip(space.cells, found.cells, strict=True):
        links = (
            [(structure.EDGES.index(link[:2]), link.operation) for link in cell]
            if space.chooses_edges
            else list(enumerate(cell))
        )
        rows = np.zeros((space.cells[name], len(space.operations)), np.float32)
        beta = np.full(space.cells[name], -1e4, np.float32)
        for edge, operation in links:
            rows[edge, space.operations.index(operation)] = 1e3
            beta[edge] = 0
        alphas[name] = {"alpha": rows, "beta": beta} if space.chooses_edges else rows
    return alphas


@pytest.mark.parametrize("seed", [0, 1])
def test_macs_of_a_decided_architecture_are_those_of_its_network(seed):
    space = SPACE.for_retraining()
    skips = genotype.Genotype(space, (("skip",) * 4,) * 3)
    widest = genotype.Genotype(space, ((SPACE.operations[-1],) * 4,) * 3)
    found = SPACE.sample(seed)
    expected = (counted(found) - counted(skips)) / (counted(widest) - counted(skips))
    np.testing.assert_allclose(SPACE.relative_macs(certain(found)), expected, rtol=1e-6)


@pytest.mark.parametrize("space", ALL, ids=lambda space: space.name)
def test_parameters_of_decided_architectures_differ_as_those_of_their_networks(
    space, monkeypatch
):
    """Stem, head and the inputs of cells cost the same in every architecture."""
    monkeypatch.setattr(structure, "LAYOUT", ("normal", "reduction"))
    table = cost.table(space, "parameters")
    found = [space.sample(seed) for seed in range(2)]
    relative = jax.jit(lambda alphas: cost.relative(space, table, alphas))
    measured = [parameters(one) for one in found]
    expected = [space.largest(table) * float(relative(certain(one))) for one in found]
    np.testing.assert_allclose(np.diff(expected), np.diff(measured), rtol=1e-4)
    assert measured[0] != measured[1]


def test_the_expected_cost_is_the_mean_over_architectures(x64):
    """Each architecture of one edge a cell, weighted by its probability."""
    rng, operations = np.random.default_rng(0), len(SPACE.operations)
    alphas = {cell: rng.normal(size=(4, operations)) for cell in SPACE.cells}
    table = {cell: rng.uniform(size=(4, operations)) for cell in SPACE.cells}
    total, weights = 0.0, SPACE.probabilities(alphas)
    for cell in SPACE.cells:
        p, c = np.asarray(weights[cell]), table[cell]
        for chosen in itertools.product(range(operations), repeat=2):
            # Two of the four edges: the others are independent of them.
            for pair in ((0, 1), (2, 3)):
                both = np.prod([p[e, o] for e, o in zip(pair, chosen, strict=True)])
                total += both * sum(c[e, o] for e, o in zip(pair, chosen, strict=True))
    most = sum(4 * table[cell].max() for cell in SPACE.cells)
    assert SPACE.largest(table) == pytest.approx(most)
    relative = cost.relative(SPACE, table, jax.tree.map(jnp.asarray, alphas))
    np.testing.assert_allclose(relative, total / most, rtol=1e-12)


def test_the_cost_of_cells_is_the_mean_over_drawn_edges(x64):
    """Two draws of an edge into each node by beta, each with an operation by alpha."""
    space, rng = ALL[1], np.random.default_rng(1)
    shape = (14, len(space.operations))
    alphas = {
        kind: {"alpha": rng.normal(size=shape), "beta": rng.normal(size=14)}
        for kind in space.cells
    }
    table = {kind: rng.uniform(size=shape) for kind in space.cells}
    expected = 0.0
    for kind, own in alphas.items():
        for group in structure.GROUPS:
            betas = np.exp(own["beta"][group])
            for share, edge in zip(
                betas / betas.sum(), range(group.start, group.stop), strict=True
            ):
                p = np.exp(own["alpha"][edge]) / np.exp(own["alpha"][edge]).sum()
                expected += 2 * share * sum(p * table[kind][edge])
    expected /= space.largest(table)
    alphas = jax.tree.map(jnp.asarray, alphas)
    np.testing.assert_allclose(
        cost.relative(space, table, alphas), expected, rtol=1e-12
    )


class Double(nn.Module):
    """A candidate without parameters."""

    def __call__(self, x, *, train):
        return 2 * x


def test_latency_is_measured_of_every_candidate_once():
    one = cost.Candidate(Double(), (1, 2, 2, 1))
    table = cost.seconds({"cell": [[[], [one], [one, one]]]}, repeats=3)
    (nothing, single, double) = table["cell"][0]
    assert nothing == 0 and single > 0 and double == 2 * single


def test_measured_latency_is_stored_with_the_device(tmp_path, monkeypatch):
    rows = np.random.default_rng(0).uniform(size=(4, 8))
    measured = dict.fromkeys(SPACE.cells, rows)
    monkeypatch.setattr(cost, "seconds", lambda candidates: measured)
    arguments: dict[str, Any] = {"image_size": 8, "folder": tmp_path}
    cost.table(SPACE, "latency", **arguments)
    stored = json.loads((tmp_path / cost.LATENCY_FILE).read_text())
    assert stored["device"] == jax.devices()[0].device_kind
    monkeypatch.setattr(cost, "seconds", lambda candidates: 1 / 0)
    again = cost.table(SPACE, "latency", **arguments)
    for cell in SPACE.cells:
        np.testing.assert_array_equal(again[cell], rows)
    with pytest.raises(InputError, match="for images of 16 pixels, got other content"):
        cost.table(SPACE, "latency", image_size=16, folder=tmp_path)


def test_candidates_of_cells_have_the_shapes_of_the_network(monkeypatch):
    """Of a reduction cell, the edges from its inputs have the larger sides."""
    monkeypatch.setattr(structure, "LAYOUT", ("normal", "reduction"))
    space = ALL[1]
    found = space.candidates(30)  # the stem leaves 8 pixels
    first, last = found["reduction"][0], found["reduction"][-1]
    skip = space.operations.index("skip")
    assert [one.shape for one in first[skip]] == [(1, 8, 8, 16)] and not last[skip]
    wide = space.operations.index("sep_conv_5")
    assert [one.shape for one in last[wide]] == [(1, 4, 4, 16)]
    assert [one.shape for one in found["normal"][0][wide]] == [(1, 8, 8, 8)]


def test_an_unknown_cost_is_named():
    with pytest.raises(InputError, match=r"'latency', got 'mac'\. Did you mean macs"):
        cost.table(SPACE, "mac")
