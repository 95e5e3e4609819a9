"""Tables of the documentation are those of the stored results."""

import json
import pathlib

import pytest
import smoke

from nasfas_jax.commands import sweep, tables

DOCS = pathlib.Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(
    ("variant", "count"), [("proof", 3), ("spread", 3), ("types", 2), ("domains", 1)]
)
def test_tables_are_what_the_sweep_printed(variant, count):
    """`nasfas sweep --config=configs/proof.py:VARIANT` wrote the file and the tables."""
    path = DOCS / "results" / f"{variant}.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    page = (DOCS / "levers.md").read_text(encoding="utf-8")
    config = smoke.config("proof", variant)
    found = list(sweep.tables_of(config, results, list(config.sweep.targets)))
    assert len(found) == count
    for _, lines in found:
        assert tables.markdown(lines) in page
