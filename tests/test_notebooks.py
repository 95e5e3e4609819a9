"""Every notebook is a pair: a script in percent format and its .ipynb file."""

import pathlib

import jupytext
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))


def cells(notebook) -> list[tuple[str, str]]:
    """(type, source) of each cell."""
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def test_every_notebook_has_a_script():
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert SCRIPTS and [x.stem for x in notebooks] == [x.stem for x in SCRIPTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_pair_has_the_same_cells(script):
    """Where this fails: jupytext --to ipynb notebooks/NAME.py."""
    notebook = jupytext.read(script.with_suffix(".ipynb"))
    assert cells(notebook) == cells(jupytext.read(script))
    assert not any(cell.get("outputs") for cell in notebook.cells)
