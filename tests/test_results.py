"""Tables of the documentation are those of the stored results."""

import json
import pathlib
import re

import numpy as np
import pytest
import smoke

from nasfas_jax.commands import sweep, tables
from nasfas_jax.workflows import sweep as workflow

DOCS = pathlib.Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "levers.md").read_text(encoding="utf-8")
RANDOM = tuple(f"random_{seed}" for seed in range(8))


def stored(variant):
    """The results of a variant of configs/proof.py."""
    path = DOCS / "results" / f"{variant}.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("variant", "count"),
    [("proof", 3), ("spread", 3), ("types", 2), ("media", 2), ("domains", 1)],
)
def test_tables_are_what_the_sweep_printed(variant, count):
    """`nasfas sweep --config=configs/proof.py:VARIANT` wrote the file and the tables."""
    config = smoke.config("proof", variant)
    found = list(sweep.tables_of(config, stored(variant), list(config.sweep.targets)))
    assert len(found) == count
    for _, lines in found:
        assert tables.markdown(lines) in PAGE


def test_other_searches_are_beside_the_random_architectures_of_the_proof():
    proof = stored("proof")
    tests = {name: proof[name] for name in RANDOM} | stored("domains")
    assert tables.markdown(workflow.beside(tests, RANDOM).table()) in PAGE


@pytest.mark.parametrize(
    ("variant", "count"), [("proof", 8), ("domains", 6), ("types", 8), ("media", 7)]
)
def test_paired_differences_are_those_of_the_results(variant, count):
    """Their means, and deviations over the square root of their number."""
    tests = stored(variant)
    if variant == "domains":
        tests = stored("proof") | tests

    def rates(name, metric):
        if name.startswith("random, best"):
            return workflow.beside(tests, RANDOM).best(metric).ravel()
        return [one[metric] for of in tests[name].values() for one in of]

    table = PAGE.split(f"| {variant}: paired differences |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (.+) minus (.+?) \| (.+) \|$", table, re.MULTILINE)
    assert len(rows) == count
    for first, second, cells in rows:
        for metric, cell in zip(
            ("hter", "auc", "within"), cells.split(" | "), strict=True
        ):
            gain = 100 * np.subtract(rates(first, metric), rates(second, metric))
            error = gain.std(ddof=1) / np.sqrt(gain.size)
            assert cell == f"{gain.mean():+.1f} ± {error:.1f}"
