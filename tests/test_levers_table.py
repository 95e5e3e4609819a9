"""docs/levers.py: every lever is a setting, and its row."""

import pathlib

import numpy as np
import smoke

from nasfas_jax.search import spaces
from nasfas_jax.workflows import searchers
from nasfas_jax.workflows.search import Found
from nasfas_jax.workflows.searches import Searches

PATH = pathlib.Path(__file__).parents[1] / "docs" / "levers.py"
LOOP = ("steps", "batch_size", "episodes", "log_every")


def test_levers_are_settings_of_the_main_jobs_search():
    """The base is that of the config, at first order; each row changes it."""
    levers, config = smoke.script(PATH), smoke.config("synthetic", "local").search
    given = {**config.to_dict(), **config.space_options.to_dict()}
    base = {**levers.SPACE, **levers.BASE}
    order = {"weight_order": "first", "arch_order": "first", "log_every": 50}
    assert base == {name: given[name] for name in base} | order
    for name, lever in levers.LEVERS.items():
        own = {**levers.BASE, **lever}
        spaces.get("nas_fas", **{**levers.SPACE, **own.pop("space", {})})
        settings = {k: v for k, v in own.items() if k not in LOOP}
        searchers.settings_of("meta_nas", **settings)
        assert own != levers.BASE or "base" in name or "space" in lever


def test_a_row_is_the_mean_over_seeds():
    levers = smoke.script(PATH)
    space = spaces.get("nas_fas", **levers.SPACE)
    found = []
    for seed, cost in enumerate((0.1, 0.2)):
        genotype = space.sample(seed)
        alphas = space.one_hot(genotype)
        metrics = [{"relative_cost": cost}]
        found.append(Found(genotype, alphas, metrics, None, 10.0 * seed, space))  # pyright: ignore
    several = Searches(found, [0, 1])
    skips = np.mean(
        [op == "skip" for one in found for op in sum(one.genotype.cells, ())]
    )
    (pair,) = several.agreements.values()
    assert levers.row("one", several) == [
        "one", "0.00, 0.00, 0.00", f"{100 * skips:.0f}", "15.0",
        f"{100 * pair.operations:.0f}", "5",
    ]  # fmt: skip
