"""Every notebook is a pair: a script in percent format and its .ipynb file."""

import pathlib
import tempfile

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


def test_theta_and_lambda_in_a_small_form(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("NASFAS_NOTEBOOK", "small")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cell = {"__name__": "notebook"}
    exec((ROOT / "notebooks" / "theta_lambda.py").read_text(), cell)
    shown = capsys.readouterr().out
    assert "d energy / d theta at 0.7: -0.1785" in shown
    assert "ConvBlock_12  theta 0." in shown
    assert cell["by_theta"].values == cell["by_lambda"].values == (0.0, 0.7)
    assert "svg" in cell["by_theta"].curves("auc").uri


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_pair_has_the_same_cells(script):
    """Where this fails: jupytext --to ipynb notebooks/NAME.py."""
    notebook = jupytext.read(script.with_suffix(".ipynb"))
    assert cells(notebook) == cells(jupytext.read(script))
    assert not any(cell.get("outputs") for cell in notebook.cells)
