"""Architectures between the most probable and the cheapest, against all of a small space."""

import itertools

import numpy as np
import pytest

from nasfas_jax.commands import report
from nasfas_jax.errors import InputError
from nasfas_jax.search import cost, spaces, trade_off
from nasfas_jax.search.dag import structure
from nasfas_jax.workflows.search import Found
from nasfas_jax.workflows.trade_off import TradeOff

CHAIN = spaces.get("nas_fas", stem_channels=2, channels=8, head_channels=2, map_size=4)
CELLS = spaces.get("auto_fas", stem_channels=(2, 2), channels=4, edge_weights=False)


def drawn(space, seed=0):
    rng = np.random.default_rng(seed)
    rows = {
        cell: rng.normal(size=(edges, len(space.operations))).astype(np.float32)
        for cell, edges in space.cells.items()
    }
    if not space.chooses_edges:
        return rows
    return {cell: {"alpha": own} for cell, own in rows.items()}


@pytest.mark.parametrize("space", [CHAIN, CELLS], ids=lambda space: space.name)
def test_every_best_architecture_is_found_by_a_fine_sweep_of_the_weight(space):
    """The same architectures, in order, as by 20,000 weights one by one."""
    alphas, table = drawn(space), cost.table(space, "macs")
    found = trade_off.points(space, alphas, table)
    assert found[0].genotype == space.derive(alphas)
    assert [p.cost for p in found] == sorted({p.cost for p in found}, reverse=True)
    assert found[-1].cost == 0 and len(found) > 3
    logs = {
        cell: np.log(np.asarray(p, np.float64))
        for cell, p in space.occurrences(alphas).items()
    }
    shares = {
        cell: np.broadcast_to(table[cell] / space.largest(table), logs[cell].shape)
        for cell in logs
    }
    swept = []
    for weight in np.linspace(0, found[-1].weight * 1.01, 20_000):
        scores = {cell: logs[cell] - weight * shares[cell] for cell in logs}
        one = space.strongest(scores)
        if not swept or swept[-1] != one:
            swept.append(one)
    genotypes = [point.genotype for point in found]
    assert all(one in genotypes for one in swept)
    assert [g for g in genotypes if g in swept] == swept
    # The sweep may step over an architecture that is best in a narrow range only.
    assert len(swept) >= 0.9 * len(genotypes)


def test_the_chosen_operations_of_cells_are_ones():
    found = CELLS.sample(0)
    chosen = trade_off.one_hot(CELLS, found)
    for (kind, rows), links in itertools.zip_longest(chosen.items(), found.cells):
        assert rows.sum() == len(links) == 8, kind
        for link in links:
            edge = structure.EDGES.index(link[:2])
            assert rows[edge, CELLS.operations.index(link.operation)] == 1


def test_a_search_has_a_table_and_a_picture():
    alphas = drawn(CHAIN, 1)
    genotype = CHAIN.derive(alphas)
    found = Found(genotype, alphas, [], None, 0.0, CHAIN)  # pyright: ignore
    curve = found.trade_off("parameters")
    assert curve.points[0].genotype == genotype
    rows = curve.table()
    assert rows[0][1] == "parameters, % of the largest" and rows[-1][1] == "0.0"
    assert len(rows) == 1 + len(curve.points) and "parameters" in curve.picture().alt
    with pytest.raises(InputError, match="a random architecture"):
        Found(genotype, {}, [], None, 0.0, CHAIN).trade_off()  # pyright: ignore


def test_a_stored_trade_off_is_read_again(tmp_path):
    alphas = drawn(CELLS, 2)
    points = trade_off.points(CELLS, alphas, cost.table(CELLS, "macs"))
    curve, path = TradeOff(points, "macs"), tmp_path / "trade_off.json"
    curve.save(path)
    assert TradeOff.load(path) == curve
    (section,) = report._trade_off(tmp_path)
    assert len(curve.points) > 1 and len(section.pictures) == 1
    TradeOff(points[:1], "macs").save(path)
    (section,) = report._trade_off(tmp_path)
    assert not section.pictures and "for every weight" in section.text
    path.write_text(path.read_text()[:-40])
    with pytest.raises(InputError, match="expected the trade-off of a search"):
        TradeOff.load(path)
