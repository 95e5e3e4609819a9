"""`nasfas doctor` and `nasfas checkpoint`: what they find, and what they advise."""

import importlib.metadata
import pathlib

import jax
import jaxlib
import numpy as np
import pytest
import safetensors.numpy
import test_runtime

import nasfas_jax as nf
from nasfas_jax import commands, runtime
from nasfas_jax.commands import checkpoint as checkpoint_command
from nasfas_jax.commands import doctor as doctor_command
from nasfas_jax.errors import InputError
from nasfas_jax.runtime import devices
from nasfas_jax.workflows import doctor


def found(findings, name):
    (one,) = [one for one in findings if one.name == name]
    return one


def test_a_sound_machine_has_nothing_to_change(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "ROOM", 0)
    report = doctor.doctor(tmp_path, folder / "data", environment={})
    kept = [
        one for one in report.findings if one.name not in ("requirements", "devices")
    ]
    assert not [one for one in kept if one.advice]
    assert jax.__version__ in found(kept, "versions").found
    assert "clips: " in found(kept, "prepared data").found
    assert "train" in found(kept, "prepared data").found
    assert len(report.table()) == len(report.findings) + 1
    assert "what to do" in repr(report) and "<table>" in report._repr_html_()


def test_requirements_that_are_not_met_are_named_with_the_cure():
    def installed(name):
        if name == "b":
            raise importlib.metadata.PackageNotFoundError
        return {"a": "1.0", "c": "3"}[name]

    requires = ["a>=2", "b<3", "c>=3", "d>=1; extra == 'gpu'"]
    one = found(doctor.versions(requires, installed), "requirements")
    assert one.found == "'a>=2' is 1.0, 'b<3' is absent"
    assert one.advice == "pip install 'a>=2' 'b<3'"


def test_a_checkout_that_is_not_installed(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", absent)
    one = found(doctor.versions(), "requirements")
    assert "is not installed" in one.found and "pip install -e ." in one.advice


def test_an_accelerator_that_jax_does_not_use(tmp_path):
    (tmp_path / "nvidia0").touch()
    files = {str(tmp_path / "nvidia0"): "gpu", str(tmp_path / "accel0"): "tpu"}
    one = doctor.accelerator(files, "cpu")
    assert "8 x cpu" in one.found and "nasfas_jax[gpu]" in one.advice
    assert not doctor.accelerator(files, "gpu").advice


@pytest.mark.parametrize(
    ("environment", "expected", "wrong"),
    [
        ({}, {"processes": "one process"}, []),
        (
            {"SLURM_NTASKS": "4", "SLURM_PROCID": "2", "https_proxy": "x"},
            {"SLURM": "process 2 of 4", "proxies": "https_proxy"},
            ["SLURM", "proxies"],
        ),
        (
            {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "https_proxy": "x"},
            {"SLURM": "process 0 of 1", "processes": "one process"},
            [],
        ),
        (
            {"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "0"},
            {"GKE or Cloud TPU": "process 0 of 2"},
            ["GKE or Cloud TPU"],
        ),
        (
            {"OMPI_COMM_WORLD_SIZE": "2"},
            {"OpenMPI": "process unknown of 2"},
            ["OpenMPI"],
        ),
    ],
)
def test_environments_of_several_processes(environment, expected, wrong):
    findings = list(doctor.processes(environment))
    assert {one.name: one.found for one in findings} == expected
    assert [one.name for one in findings if one.advice] == wrong


def test_disk_room_and_folders_that_are_files(tmp_path):
    (tmp_path / "file").touch()
    assert not doctor.room("workdir", tmp_path / "new" / "run", least=1).advice
    assert "less than 1e+09 GB" in doctor.room("workdir", tmp_path, least=1e18).advice
    assert doctor.room("data", tmp_path / "file").found.endswith("is a file")


def test_folders_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_unwritable", lambda folder: "Read-only file system")
    assert "choose another" in doctor.room("workdir", tmp_path).advice
    one = doctor.compilation_cache(tmp_path / "cache")
    assert "Read-only" in one.found and "JAX_COMPILATION_CACHE_DIR" in one.advice


def test_data_that_cannot_be_opened(tmp_path):
    (tmp_path / "recipe.json").write_text("{")
    one = doctor.prepared_data(tmp_path)
    assert "cannot be opened" in one.found and str(tmp_path) in one.advice
    assert not doctor.prepared_data(tmp_path / "none").advice


def test_a_cache_of_another_version(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    before = jax.config.jax_compilation_cache_dir
    seconds = jax.config.jax_persistent_cache_min_compile_time_secs
    runtime.cache_compiles()
    jax.config.update("jax_compilation_cache_dir", before)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)
    assert (tmp_path / f"jaxlib-{jaxlib.__version__}").exists()
    (tmp_path / "jit_f-1-cache").write_bytes(b"x")
    assert not doctor.compilation_cache(tmp_path).advice
    monkeypatch.setattr(devices, "cache_version", lambda: "99")
    one = doctor.compilation_cache(tmp_path)
    assert f"also of jaxlib {jaxlib.__version__}" in one.found
    assert one.advice.startswith("delete the folder")


def test_the_command_ends_with_1_where_anything_is_wrong(tmp_path, capsys, monkeypatch):
    wrong = doctor.Findings((doctor.Finding("a", "bad", "mend it"),))
    monkeypatch.setattr(doctor, "doctor", lambda *given: wrong)
    with pytest.raises(SystemExit) as ended:
        doctor_command.run(workdir=tmp_path)
    assert ended.value.code == 1
    assert capsys.readouterr().out == "wrong  a: bad\n       mend it\n"
    monkeypatch.setattr(doctor, "doctor", lambda *given: doctor.Findings(()))
    doctor_command.run(workdir=tmp_path)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Two runs with the checkpoints of steps 4 and 6, not to be written to."""
    root = tmp_path_factory.mktemp("runs")
    for name in ("search", "train/a"):
        state = {
            "params": test_runtime.start(),
            "opt_state": np.ones((2, 3), np.float32),
        }
        with_params = {"state": state}

        def step(state, batch):
            new, metrics = test_runtime.step(state["params"], batch)
            return {**state, "params": new}, metrics

        test_runtime.fit(
            root / name, test_runtime.Stream(), state=with_params["state"], step=step
        )
    return root


def cut(run: pathlib.Path, step: int):
    """Cuts a file of a checkpoint, whose bytes are returned with its path."""
    paths = (run / "checkpoints" / str(step) / "state").rglob("*")
    path = max((p for p in paths if p.is_file()), key=lambda p: p.stat().st_size)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    return path, whole


def test_checkpoints_are_listed_whole_or_damaged(workdir, capsys):
    checkpoint_command.run_verify(workdir=workdir)
    assert "4 checkpoints, 0 damaged" in capsys.readouterr().out
    path, whole = cut(workdir / "search", 6)
    try:
        listed = nf.list_checkpoints(workdir)
        (one,) = listed.damaged
        assert (one.step, one.run) == (6, workdir / "search")
        assert one.damage.endswith("is cut or changed")
        assert [c.step for c in listed.checkpoints] == [6, 4, 6, 4]
        with pytest.raises(SystemExit) as ended:
            checkpoint_command.run_verify(workdir=workdir)
        assert ended.value.code == 1
        with pytest.raises(InputError, match=r"step 6 in .* is damaged"):
            nf.read_checkpoint(workdir / "search", 6)
        with pytest.warns(runtime.DamagedCheckpoint):
            assert nf.read_checkpoint(workdir / "search").step == 4
    finally:
        path.write_bytes(whole)


def test_arrays_of_a_checkpoint_from_8_devices_on_one(workdir, capsys):
    content = nf.read_checkpoint(workdir / "train")
    assert content.step == 6 and set(content.arrays) == {
        *("params.w", "params.step", "opt_state"),
    }
    rows = {row[0]: row[1:] for row in content.table()}
    assert rows["opt_state"] == ["float32", "[2, 3]", f"{6**0.5:.6g}"]
    checkpoint_command.run_show(workdir=workdir, run="search", step="4")
    assert "params.w" in capsys.readouterr().out


def test_weights_are_exported_as_safetensors(workdir, tmp_path, capsys):
    checkpoint_command.run_export(
        workdir=workdir, run="search", output=tmp_path / "out"
    )
    path = tmp_path / "out" / "step6.safetensors"
    assert f"wrote {path}" in capsys.readouterr().out
    arrays = safetensors.numpy.load_file(path)
    assert set(arrays) == {"params.w", "params.step"}
    expected = nf.read_checkpoint(workdir / "search").arrays
    np.testing.assert_array_equal(arrays["params.w"], expected["params.w"])


def test_a_search_has_no_model(workdir, tmp_path):
    record = workdir / "search" / "record.json"
    record.write_text("{}")
    try:
        with pytest.raises(InputError, match="no trained network"):
            checkpoint_command.run_export(
                workdir=workdir, run="search", output=tmp_path, format="model"
            )
    finally:
        record.unlink()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "expected one run, got several: search, train/a"),
        ({"run": "search", "step": "5"}, "--step: expected a step .* 6, 4, got 5"),
        ({"run": "search", "step": "x"}, "--step: expected a number of steps"),
        ({"run": "none"}, "There are no checkpoints"),
        ({"run": "search", "format": "npz"}, "--format: expected one of"),
        ({"run": "search", "format": "model", "step": "4"}, "--step: expected None"),
        ({"run": "search", "format": "model"}, "no trained network"),
    ],
)
def test_what_is_not_there_is_refused(workdir, tmp_path, given, message):
    with pytest.raises(InputError, match=message):
        checkpoint_command.run_export(workdir=workdir, output=tmp_path, **given)


def test_the_commands_are_declared():
    names = [name for name in commands.COMMANDS if name.startswith("checkpoint ")]
    assert [name.split()[1] for name in names] == ["list", "show", "verify", "export"]
