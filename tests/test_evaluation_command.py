"""``nasfas scores`` from score files to tables, scores.json and curves."""

import json
import pathlib
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from nasfas_jax import commands, evaluation
from nasfas_jax.commands import scores
from nasfas_jax.errors import InputError
from nasfas_jax.evaluation.scores import COLUMNS, ScoreTable
from nasfas_jax.report import figures

ROOT = pathlib.Path(__file__).parents[1]


def write(path, seed, *, types=("print", "replay"), name="", selected_on="nothing"):
    random = np.random.default_rng(seed)
    rows = [
        (
            f"{name * (kind != 'live')}{split}{subject}{kind}#{clip}",
            f"{split}{subject}", "lab", kind, int(kind == "live"),
            random.normal() + 2 * (kind == "live"), split,
        )
        for split in ("development", "test")
        for subject in range(5)
        for kind in ("live", *types)
        for clip in range(2)
    ]  # fmt: skip
    columns = dict(zip(COLUMNS, map(np.array, zip(*rows, strict=True)), strict=True))
    evaluation.write_scores(path, ScoreTable(**columns, selected_on=selected_on))
    return str(path)


def run(folder, **flags):
    spec = {}
    exec((ROOT / "configs" / "synthetic.py").read_text(), spec)
    config = spec["get_config"]("smoke")
    scores.run(commands.Run(config=config, workdir=folder, output=str(folder), **flags))
    return json.loads((folder / "scores.json").read_text())


def test_one_file(tmp_path, capsys):
    path = write(tmp_path / "a.csv", 0)
    content = run(tmp_path, input=path, rule="far=0.1", oracle="test,cdcn")
    said = capsys.readouterr().out
    table = evaluation.read_scores(path)
    result = evaluation.evaluate(table, rule="far=0.1", oracle=["test", "cdcn"])
    assert content == {"results": {path: json.loads(result.to_json())}}
    for words in ("threshold by far=0.1", "apcer by attack type", "oracle_cdcn_acer"):
        assert words in said
    assert "warning" not in said
    for name in ("roc.svg", "det.svg"):
        assert ElementTree.parse(tmp_path / name).getroot().tag.endswith("svg")


def test_two_systems_are_compared(tmp_path, capsys):
    one = write(tmp_path / "a.csv", 0)
    other = write(tmp_path / "b.csv", 1, selected_on="test")
    content = run(tmp_path, input=f"{one},{other}")
    tables = [evaluation.read_scores(path) for path in (one, other)]
    found = evaluation.compare(*tables, seed=0)
    difference = content["differences"]["to"][other]["oracle_auc"]
    assert content["differences"]["from"] == one and "folds" not in content
    assert difference["value"] == found["oracle_auc"].value
    assert difference["interval"]["low"] == found["oracle_auc"].interval.low
    said = capsys.readouterr().out
    assert "Differences" in said and "selected on test data" in said
    assert " hter " in said and " oracle_hter " in said
    assert "test" in content["results"][one] and "test" not in content["results"][other]


def test_folds_are_averaged(tmp_path, capsys):
    paths = [
        write(tmp_path / f"{i}.csv", i, types=(kind,))
        for i, kind in enumerate(("print", "mask", "replay"))
    ]
    content = run(tmp_path, input=",".join(paths))
    acers = [content["results"][path]["test"]["acer"] for path in paths]
    assert content["folds"]["acer"]["values"] == acers
    assert content["folds"]["acer"]["deviation"] == pytest.approx(np.std(acers, ddof=1))
    assert "3 folds" in capsys.readouterr().out


def test_merged_files_are_one(tmp_path):
    table = evaluation.read_scores(write(tmp_path / "a.csv", 0))
    for split in ("development", "test"):
        part = table.take(table.split == split)
        evaluation.write_scores(tmp_path / f"{split}.csv", part)
    name = f"{tmp_path / 'development.csv'}+{tmp_path / 'test.csv'}"
    content = run(tmp_path, input=name)
    whole = json.loads(evaluation.evaluate(table).to_json())
    assert content["results"][name] == whole


def test_wrong_input_is_said(tmp_path):
    one = write(tmp_path / "a.csv", 0)
    table = evaluation.read_scores(one)
    test = tmp_path / "test.csv"
    evaluation.write_scores(test, table.take(table.split == "test"))
    write(tmp_path / "other.csv", 0, types=("print",))
    for flags, said in (
        ({}, "--input is missing"),
        ({"input": f"{one},{one}"}, "every file once"),
        ({"input": "absent.csv"}, "absent.csv: no such score file"),
        ({"input": f"{one}+{test}"}, "which stands in"),
        ({"input": str(test)}, "test.csv: split development: .* 0 live and 0 spoof"),
        ({"input": one, "rule": "best"}, "rule: expected eer"),
        ({"input": one, "oracle": "bob"}, "got 'bob'"),
        ({"input": f"{one},{tmp_path / 'other.csv'}"}, "clips in common"),
    ):
        with pytest.raises(InputError, match=said) as error:
            run(tmp_path, **flags)
        assert "\n" not in str(error.value)


def test_probit_axes():
    rates = np.array([0, 0.001, 0.158655254, 0.5, 0.841344746, 1])
    x = figures.probit(rates)
    assert x[[2, 3, 4]] == pytest.approx([-1, 0, 1], abs=1e-6)
    assert x[0] == x[1] == -x[-1] == pytest.approx(-3.0902323)
    curve = (np.array([0, 0.5, 1]), np.array([1, 0.1, 0]))
    picture = figures.det({"found": curve}, {"found": (0.5, 0.1)}, format="png")
    assert picture.data.startswith(b"\x89PNG") and "found" in picture.alt
