"""Full disks and folders that cannot be written are reported in one paragraph."""

import errno
import os
import subprocess
import types

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
import smoke
from absl import logging
from orbax.checkpoint import CheckpointManager

from nasfas_jax import files, runtime
from nasfas_jax.data.media import writing
from nasfas_jax.errors import InputError
from nasfas_jax.runtime import checkpoints

FULL = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, FULL),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        OSError(errno.ENOSPC, "the written video is not complete", "video.mp4"),
        RuntimeError(f"write() failed: {FULL}; at byte 0"),
        ValueError(f"RESOURCE_EXHAUSTED: Failed to write 9 bytes to file 9: {FULL}"),
    ],
)
def test_a_full_disk_is_told_by_its_number_or_text(tmp_path, error):
    says = f"disk that holds {tmp_path} is full"
    with pytest.raises(InputError, match=says) as told, files.writing(tmp_path):
        raise error
    assert "\n" not in str(told.value)
    with pytest.raises(InputError, match="is full"), files.writing(tmp_path):
        try:
            raise error
        except type(error) as cause:
            raise RuntimeError("a thread failed") from cause


@pytest.mark.parametrize(
    "error",
    [ValueError("a bug"), RuntimeError("a bug"), FileNotFoundError("x"), OSError()],
)
def test_other_errors_pass(tmp_path, error):
    with pytest.raises(type(error)) as raised, files.writing(tmp_path):
        raise error
    assert raised.value is error


def test_an_explanation_passes_as_it_is(tmp_path):
    error = InputError(f"explained: {FULL}")
    with pytest.raises(InputError) as raised, files.writing(tmp_path):
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "read-only"),
        (errno.EISDIR, "a folder, where a file is expected"),
    ],
)
def test_a_path_that_cannot_be_written_is_named(tmp_path, number, says):
    error = OSError(number, os.strerror(number), str(tmp_path / "x"))
    says = f"{tmp_path}/x cannot be read or written: .*{says}"
    with pytest.raises(InputError, match=says), files.writing(tmp_path):
        raise error


@pytest.mark.parametrize("below", ["", "deeper"])
@pytest.mark.parametrize("command", ["prepare", "demo", "synthesize"])
def test_a_work_directory_that_is_a_file(tmp_path, command, below):
    file = tmp_path / "file"
    file.write_text("x")
    where = {"output": file / below} if command == "synthesize" else {}
    with pytest.raises(
        InputError, match=f"{file}.* a file.*where a folder is expected"
    ):
        smoke.execute(command, file / below, layout="msu_mfsd", **where)


class Batches:
    def __next__(self):
        return {"x": jnp.ones(1)}

    def get_state(self):
        return {}

    def set_state(self, state):
        pass


def fit(folder, size):
    """Four steps with a checkpoint at two and four, of `size` random numbers."""
    values = np.random.default_rng(0).normal(size=size).astype(np.float32)
    return runtime.fit(
        "test",
        lambda state, batch: (
            {"w": state["w"] + batch["x"]},
            {"loss": jnp.zeros(())},
        ),
        {"w": jnp.asarray(values)},
        Batches(),
        steps=4,
        folder=folder,
        log_every=1,
        save_every=2,
    )


def test_a_disk_that_fills_up_while_metrics_are_written(tmp_path, monkeypatch):
    opened = runtime.MetricsLog.__init__

    def full(self, *given, **named):
        opened(self, *given, **named)
        self._file.close()
        self._file = open("/dev/full", "w")  # noqa: SIM115

    monkeypatch.setattr(runtime.MetricsLog, "__init__", full)
    with pytest.raises(InputError, match=f"disk that holds {tmp_path} is full"):
        fit(tmp_path, 1)


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 2 MB; the test skips where none can be mounted."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip("mounting needs more rights")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_while_a_checkpoint_is_written(tiny_disk, capfd):
    size = 300_000  # 1.2 MB: one checkpoint fits
    folder = tiny_disk / "run"
    says = (
        f"disk that holds {folder}/checkpoints is full: the checkpoint of step 4 needs"
    )
    with pytest.raises(InputError, match=says):
        fit(folder, size)
    assert capfd.readouterr().err.count("\n") < 3
    assert runtime.Checkpoints(folder).steps == [2]


def test_a_disk_without_room_for_a_checkpoint_is_said_before_the_steps(
    tmp_path, monkeypatch
):
    usage = checkpoints.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"checkpoint of step 2 needs .*none yet"):
        fit(tmp_path, 1)
    assert not runtime.read_metrics(tmp_path)


def test_a_full_disk_that_orbax_reports(tmp_path, monkeypatch, caplog):
    """As over a quota, which nobody tells beforehand; its threads log tracebacks."""

    def full(*_, **__):
        logging.error("a traceback")
        raise ValueError(f"RESOURCE_EXHAUSTED: Failed to write 9 bytes: {FULL}")

    monkeypatch.setattr(CheckpointManager, "save", full)
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        with pytest.raises(InputError, match=f"disk that holds {tmp_path} is full"):
            fit(tmp_path, 1)
    finally:
        logging.set_verbosity(verbosity)
    assert "a traceback" not in caplog.text


def test_a_video_that_the_disk_cannot_hold(tmp_path, monkeypatch):
    frames = [np.zeros((240, 240, 3), np.uint8)] * 3
    path = tmp_path / "out.mp4"
    writing.write_video(path, frames, 25.0)
    assert path.exists()
    path.unlink()

    cut = types.SimpleNamespace(isOpened=lambda: False, release=lambda: None)
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: cut)  # its index is missing
    with pytest.raises(InputError, match=f"disk that holds {tmp_path} is full"):
        writing.write_video(path, frames, 25.0)
    assert not list(tmp_path.iterdir())
