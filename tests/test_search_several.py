"""Several searches and their agreement; improvement over random architectures."""

import dataclasses
import math
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasfas_jax import bilevel, limits
from nasfas_jax.errors import InputError
from nasfas_jax.search import comparison, spaces
from nasfas_jax.search.genotype import Genotype, Link
from nasfas_jax.workflows import improvement, searchers, searches
from nasfas_jax.workflows.search import Found


def test_agreement_of_chains_is_that_of_operations():
    space = spaces.get("nas_fas")
    one = Genotype(space, (("skip", "cdc", "cdc", "skip"),) * 3)
    other = Genotype(space, (("skip", "cdc", "skip", "skip"),) * 2 + (one.cells[0],))
    assert comparison.agreement(one, other) == (1.0, 10 / 12)
    assert comparison.agreement(one, one) == (1.0, 1.0)


def test_agreement_of_cells_is_that_of_edges_and_operations():
    space = spaces.get("auto_fas")
    one = space.sample(0)
    normal, reduction = one.cells
    first = normal[0]._replace(
        operation="skip" if normal[0].operation != "skip" else "max_pool"
    )
    third = [s for s in range(4) if s not in [k.start for k in normal if k.end == 4]]
    moved = [k for k in normal[1:] if k != normal[4]]
    moved.append(Link(third[0], 4, normal[4].operation))
    other = Genotype(one.space, ((first, *moved), reduction))
    assert comparison.agreement(one, other) == (15 / 16, 14 / 16)
    with pytest.raises(InputError, match="of one search space with equal options"):
        comparison.agreement(one, spaces.get("auto_fas", channels=16).sample(0))


def test_several_searches_have_a_table_and_a_picture():
    space, seeds = spaces.get("nas_fas"), [3, 4, 5]
    one, other = (("cdc",) * 4,) * 3, (("skip",) * 4,) * 3
    genotypes = [Genotype(space, cells) for cells in (one, other, one)]
    found = [Found(g, {}, [], None, 0.0) for g in genotypes]  # pyright: ignore
    several = searches.Searches(found, seeds)
    assert several.agreements == {(3, 4): (1, 0), (3, 5): (1, 1), (4, 5): (1, 0)}
    assert several.table()[1:] == [
        ["3 and 4", "100", "0"],
        ["3 and 5", "100", "100"],
        ["4 and 5", "100", "0"],
        ["mean", "100", "33"],
    ]
    assert "3, 4, 5" in several.picture().alt and "mean" in repr(several)


def test_relative_improvement_is_the_papers():
    """Section 6.6: RI = -100 (ACER_s - ACER_r) / ACER_r."""
    assert comparison.relative_improvement(0.02, 0.025) == pytest.approx(20)
    assert comparison.relative_improvement(0.03, 0.025) == pytest.approx(-20)
    assert math.isnan(comparison.relative_improvement(0.0, 0.0))


def test_searched_and_random_architectures_are_trained_alike(monkeypatch):
    """Random ones have the channels of the found ones, and no search behind them."""
    space, trained = spaces.get("auto_fas", channels=4), []
    genotypes = [space.sample(7), space.sample(8)]
    found = [Found(g, {}, [], "learned", 0.0) for g in genotypes]  # pyright: ignore
    rates = iter([0.10, 0.14, 0.2, 0.1, 0.15])

    def train(data, net, **settings):
        trained.append((net.genotype, settings))
        return net

    def evaluate(model, data, **settings):
        test = types.SimpleNamespace(hter=next(rates))
        return types.SimpleNamespace(result=types.SimpleNamespace(test=test))

    monkeypatch.setattr(improvement, "train", train)
    monkeypatch.setattr(improvement, "evaluate", evaluate)
    monkeypatch.setattr(improvement.prepared, "DATA", limits.Kind(str, "text"))
    data: Any = "data"
    result = improvement.improvement_over_random(
        data, found, target="dom_m", samples=3, seed=5, steps=9
    )
    assert [g for g, _ in trained[:2]] == genotypes
    randoms = [g for g, _ in trained[2:]]
    assert [g.space for g in randoms] == [genotypes[0].space] * 3
    assert [g.cells for g in randoms] == [space.sample(k).cells for k in (5, 6, 7)]
    assert [s.get("searched") for _, s in trained] == ["learned"] * 2 + [None] * 3
    assert all((s["steps"], s["seed"]) == (9, 5) for _, s in trained)
    assert result.relative == {"auto_fas": pytest.approx(-100 * (0.12 - 0.15) / 0.15)}
    row = ["auto_fas", "12.0 (10.0 to 14.0)", "15.0 (10.0 to 20.0)", "+20.0"]
    assert result.table()[1] == row and "auto_fas" in result.picture().alt
    # With branches, the fusion point is drawn, too.
    branched = spaces.get("auto_fas", channels=4, branches=("static", "dynamic"))
    one = Found(branched.sample(7), {}, [], "learned", 0.0)  # pyright: ignore
    rates = iter([0.1, 0.2])
    improvement.improvement_over_random(data, [one], samples=1, seed=3)
    drawn = branched.sample(3)
    assert trained[-1][0] == dataclasses.replace(drawn, space=one.genotype.space)
    assert drawn.fusion in branched.fusions
    with pytest.raises(InputError, match="a list of results of nf"):
        improvement.improvement_over_random(data, [])


def test_the_outer_optimizer_of_meta_nas_is_an_argument():
    """Equation 13 as it is written: plain descent."""
    space = spaces.get("nas_fas", channels=4, stem_channels=2, head_channels=2)
    settings = searchers.settings_of(
        "meta_nas", optimizer="sgd", learning_rate=0.5, weight_decay=0.0
    )
    weights, grads = {"w": jnp.ones(3)}, {"w": jnp.arange(3.0)}

    def moved(method):
        optimizer = method.optimizer
        state = optimizer.init(weights)
        return bilevel.apply_update(optimizer, weights, state, grads)[0]["w"]

    descended = jax.jit(lambda: moved(settings.make_method(space)))()
    np.testing.assert_allclose(descended, 1 - 0.5 * grads["w"])
    default = searchers.settings_of("meta_nas")
    by_adam = jax.jit(lambda: moved(default.make_method(space)))()
    np.testing.assert_allclose(by_adam[1:], 1 - 2e-3, rtol=1e-4)
    with pytest.raises(InputError, match=r"'adam', 'sgd', 'momentum', got 'sdg'"):
        searchers.settings_of("meta_nas", optimizer="sdg").make_method(space)
