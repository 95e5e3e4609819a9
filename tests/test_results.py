"""Tables of the documentation are those of the stored results."""

import json
import pathlib

import smoke

from nasfas_jax.commands import sweep, tables

DOCS = pathlib.Path(__file__).parents[1] / "docs"


def test_the_proof_is_what_the_sweep_printed():
    """`nasfas sweep --config=configs/proof.py` wrote the file, and made these tables."""
    results = json.loads((DOCS / "results" / "proof.json").read_text(encoding="utf-8"))
    page = (DOCS / "levers.md").read_text(encoding="utf-8")
    config = smoke.config("proof", "proof")
    found = list(sweep.tables_of(config, results, list(config.sweep.targets)))
    assert len(found) == 3
    for _, lines in found:
        assert tables.markdown(lines) in page


def test_the_domains_are_what_the_sweep_printed():
    """`configs/proof.py:domains`; the searches of Auto-FAS have one seed, without a mean."""
    path = DOCS / "results" / "domains.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    page = (DOCS / "levers.md").read_text(encoding="utf-8")
    config = smoke.config("proof", "domains")
    single = {"Auto-FAS": results.pop("Auto-FAS")}
    for rows in (results, single):
        ((_, lines),) = sweep.tables_of(config, rows, list(config.sweep.targets))
        assert tables.markdown(lines) in page
