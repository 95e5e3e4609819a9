"""``nasfas scores`` from score files to tables, scores.json and curves."""

import json
import pathlib
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import smoke

from nasfas_jax import evaluation
from nasfas_jax.commands import scores, settings, synthesize
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
    scores.run(output=folder, **flags)
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
    assert " hter, %" in said and " oracle_hter, %" in said
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
        ({"input": "absent.csv"}, "'absent.csv': no such score file"),
        ({"input": f"{one}+{test}"}, "which is also in"),
        ({"input": str(test)}, "test.csv: split development: .* 0 live and 0 spoof"),
        ({"input": one, "rule": "best"}, "rule: expected eer"),
        ({"input": one, "oracle": "bob"}, "got 'bob'"),
        ({"input": f"{one},{tmp_path / 'other.csv'}"}, "clips in common"),
    ):
        with pytest.raises(InputError, match=said) as error:
            run(tmp_path, **flags)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a,b.csv", "a+b.csv", "a+b,c.csv", "+,.csv"])
def test_an_existing_file_is_not_split(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name, 0)
    write(tmp_path / "plain.csv", 1)
    assert scores.split(name) == [[name]]
    assert scores.split(f"{name},plain.csv") == [[name], ["plain.csv"]]
    assert scores.split(f"plain.csv+{name}") == [["plain.csv", name]]
    content = run(tmp_path, input=f"{name},plain.csv")
    assert set(content["results"]) == {name, "plain.csv"}
    assert "is read as one file" not in capsys.readouterr().out


def test_two_readings_of_a_name_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b.csv", "a,b.csv"):
        write(tmp_path / name, 0)
    assert scores.split("a,b.csv") == [["a,b.csv"]]
    said = capsys.readouterr().out
    assert "'a,b.csv' is read as one file, though a and b.csv exist too" in said
    assert scores.split("a,./b.csv") == [["a"], ["./b.csv"]]
    assert not capsys.readouterr().out
    (tmp_path / "folder,c.csv").mkdir()
    with pytest.raises(InputError, match="'folder': no such score file"):
        scores.split("folder,c.csv")
    with pytest.raises(InputError, match="no such score file"):
        scores.split("a,")
    many = ",".join(f"{'x' * 200}{i}.csv" for i in range(40))
    with pytest.raises(InputError, match=r"x0\.csv': no such score file"):
        scores.split(many)


def test_without_a_folder_scores_are_only_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.csv", 0)
    scores.run(input=path)
    assert "no file is written" in capsys.readouterr().out
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]
    scores.run(input=path, output="new/folder")
    assert (tmp_path / "new" / "folder" / "scores.json").exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("seed", ["x", "-1", "1.5"])
def test_a_wrong_seed_is_named(tmp_path, seed):
    with pytest.raises(InputError, match=f"seed: .* got '{seed}'"):
        scores.run(input=write(tmp_path / "a.csv", 0), seed=seed)


def test_folders_that_cannot_be_made_are_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="another --output"):
        settings.make_folder(tmp_path / "file" / "x", "--output")


def test_a_stand_in_is_not_written_to_an_unrelated_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = smoke.config()
    config.standin.update(subjects=1, empty=True)
    synthesize.run(config, layout="oulu_npu")
    assert any((tmp_path / "standins" / "oulu_npu").iterdir())
    assert "in standins/oulu_npu" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_tables_are_in_percent_and_files_are_fractions(tmp_path, capsys):
    """Each heading names its unit, AUC as all rates."""
    paths = [write(tmp_path / f"{i}.csv", i) for i in range(2)]
    content = run(tmp_path, input=",".join(paths), oracle="ssdg")
    said = capsys.readouterr().out
    result = content["results"][paths[0]]
    assert 0.5 < result["auc"] <= 1 and 0.5 < result["oracle_ssdg_auc"] <= 1
    for heading in (
        "hter, %",
        "auc, %",
        "print, %",
        "auc, points of %",
        "threshold, sc",
    ):
        assert heading in said
    assert "oracle_ssdg_auc, %" in said and "oracle_ssdg_threshold, score" in said
    for value in (result["auc"], result["oracle_ssdg_auc"]):
        assert f"{100 * value:.2f}" in said and f"{value:.4f}" not in said
    assert f"{paths[0]}: development 30 clips of 15 videos of 5 people" in said


def test_many_attack_types_are_not_cut(tmp_path, capsys):
    types = [f"a_long_attack_type_{i}" for i in range(13)]
    run(tmp_path, input=write(tmp_path / "a.csv", 0, types=types))
    said = capsys.readouterr().out
    assert all(f" {name}, % " in said for name in types) and "\u2026" not in said


def test_probit_axes():
    rates = np.array([0, 0.001, 0.158655254, 0.5, 0.841344746, 1])
    x = figures.probit(rates)
    assert x[[2, 3, 4]] == pytest.approx([-1, 0, 1], abs=1e-6)
    assert x[0] == x[1] == -x[-1] == pytest.approx(-3.0902323)
    curve = (np.array([0, 0.5, 1]), np.array([1, 0.1, 0]))
    picture = figures.det({"found": curve}, {"found": (0.5, 0.1)}, format="png")
    assert picture.data.startswith(b"\x89PNG") and "found" in picture.alt
