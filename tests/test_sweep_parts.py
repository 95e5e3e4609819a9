"""Sweeps divided into parts, and command lines that are executed side by side."""

import pathlib
import sys

import pytest
import smoke

from nasfas_jax import launch
from nasfas_jax.commands import parts, sweep
from nasfas_jax.errors import InputError
from nasfas_jax.launch import arrays


def config():
    found = smoke.config("rfmeta")
    found.networks = ("ms_lbp",)  # nothing is compiled
    found.sweep.update(seeds=(0, 1), targets=("dom_m",))
    return found


def tests_of(networks, targets, seeds):
    made = config()
    made.search = smoke.config().search
    rows = [sweep.Row(made, "", name) for name in networks]
    return [
        sweep.Test(target, target, seed, row, pathlib.Path("run"))
        for target in targets
        for seed in seeds
        for row in rows
    ]


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_every_test_is_in_one_part(count):
    tests = tests_of(("searched", "cdn", "random_0"), ("dom_o", "dom_m"), (0, 1, 2))
    groups = parts.grouped(tests)
    found = [test for i in range(count) for test in parts.chosen(groups, i, count)]
    assert sorted(map(repr, found)) == sorted(map(repr, tests))


def test_tests_of_one_search_are_in_one_group():
    tests = tests_of(("searched", "cdn"), ("dom_o", "dom_m"), (0, 1))
    assert sorted(map(len, parts.grouped(tests))) == [1] * 8  # a search for each target
    for test in tests:
        test.row.config.search.protocol = "oulu_npu@1"
    groups = parts.grouped(tests)
    searches = [{test.search for test in group} for group in groups]
    assert all(len(places) == 1 for places in searches)
    shared = [group for group in groups if len(group) > 1]
    assert [[test.seed for test in group] for group in shared] == [[0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"engine": "pbs"}, "--engine: expected one of 'local', 'slurm', got 'pbs'"),
        ({"parallel": "2"}, "--parallel: expected an engine for 2 trainings"),
        ({"engine": "local", "parallel": "0"}, "--parallel: expected an integer of 1"),
        ({"engine": "local", "part": "1/2"}, "--part: expected no single part beside"),
    ],
)
def test_wrong_engines_are_refused_before_the_data_are_prepared(given, says, tmp_path):
    with pytest.raises(InputError, match=says):
        smoke.execute("sweep", tmp_path, config(), **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["2/2", "x", "1", "-1/2", "1/0"])
def test_wrong_parts_are_refused(text, tmp_path):
    with pytest.raises(
        InputError, match=r"--part: expected I/N with I from 0 to N - 1"
    ):
        smoke.execute("sweep", tmp_path, config(), part=text)


def test_parts_make_the_table_of_the_whole(tmp_path, monkeypatch, capsys):
    """Data, each part by the engine, then the table; only the last part is repeated."""
    with pytest.raises(
        InputError, match=r"--part: expected prepared data.*--part=data"
    ):
        smoke.execute("sweep", tmp_path, config(), part="0/2")
    smoke.execute("sweep", tmp_path, config(), part="data")
    assert not (tmp_path / "dom_m").exists()
    started = []

    def execute(lines, *, folder, engine, options, **resources):
        assert resources == {"parallel": 2, "gpus": 1, "cpus": 8, "hours": 1.5}
        assert options == ["--partition=gpu"] and engine == "slurm"
        for words in lines:
            assert words[:4] == [sys.executable, "-m", "nasfas_jax.main", "sweep"]
            started.append(words[-1].removeprefix("--part="))
            if started[-2:] == ["1/2"]:
                continue
            smoke.execute("sweep", tmp_path, config(), part=started[-1])
        return [0] * len(lines)

    monkeypatch.setattr(launch, "require_engine", lambda engine: None)
    monkeypatch.setattr(launch, "execute", execute)
    monkeypatch.setattr("sys.argv", ["nasfas", "sweep", "--engine=slurm"])
    given = {"engine": "slurm", "parallel": "2", "gpus": "1", "hours": "1.5"}
    smoke.execute("sweep", tmp_path, config(), options="--partition=gpu", **given)
    assert started == ["0/2", "1/2"]
    shown = capsys.readouterr().out
    assert "part 0/2: 1 of 2 trainings are tested" in shown and "2 seeds" in shown
    table = (tmp_path / "sweep.md").read_text()
    (tmp_path / "dom_m/seed1/evaluate/ms_lbp/result.json").unlink()
    smoke.execute("sweep", tmp_path, config(), options="--partition=gpu", **given)
    assert started == ["0/2", "1/2", "1/2"]  # done parts are not started again
    assert (tmp_path / "sweep.md").read_text() == table
    monkeypatch.setattr(launch, "execute", lambda lines, **others: [3] * len(lines))
    (tmp_path / "dom_m/seed0/evaluate/ms_lbp/result.json").unlink()
    with pytest.raises(InputError, match=r"1 of 1 parts failed: 0 \(3\).*logs are in"):
        smoke.execute("sweep", tmp_path, config(), engine="local")


def test_processes_of_this_machine_have_a_gpu_each(tmp_path):
    """As many at a time as asked: each waits until its neighbor has begun."""
    script = (
        "touch {here}; until [ -e {other} ]; do sleep 0.01; done;"
        " echo gpu $CUDA_VISIBLE_DEVICES; exit {code}"
    )
    here, other = tmp_path / "a", tmp_path / "b"
    lines = [
        ["sh", "-c", script.format(here=here, other=other, code=0)],
        ["sh", "-c", script.format(here=other, other=here, code=3)],
    ]
    codes = launch.execute(lines, folder=tmp_path / "logs", parallel=2, gpus=2)
    assert codes == [0, 3]
    logs = [(tmp_path / "logs" / f"{i}.log").read_text() for i in (0, 1)]
    assert {log.splitlines()[-1] for log in logs} == {"gpu 0", "gpu 1"}
    assert all(log.startswith("$ sh -c") for log in logs)


def test_submitit_executes_command_lines(tmp_path):
    """By its processes of this machine, which have the form of its SLURM jobs."""
    lines = [["sh", "-c", f"touch {tmp_path}/{i}; exit {i}"] for i in (0, 3)]
    codes = arrays.submit_array(lines, tmp_path / "logs", "local", timeout_min=1)
    assert codes == [0, 3] and (tmp_path / "3").exists()
    again = arrays.Line(lines[0]).checkpoint()
    assert again.function.words == lines[0]


def test_slurm_needs_its_programs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"engine: .*Start it on a login node"):
        launch.execute([["true"]], folder=tmp_path, engine="slurm")
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"pip install 'nasfas_jax\[slurm\]'"):
        launch.execute([["true"]], folder=tmp_path, engine="slurm")
    with pytest.raises(InputError, match="engine: expected one of 'local', 'slurm'"):
        launch.execute([["true"]], folder=tmp_path, engine="pbs")
