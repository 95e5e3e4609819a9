"""Runs killed at random moments, compared with the run that never was."""

import contextlib
import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from nasfas_jax import runtime
from nasfas_jax.errors import InputError

#: Arguments of a command that runs in a folder.
Command = Callable[[pathlib.Path], Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Survived:
    """Kills that runs survived.

    Attributes:
      kills: number of kills.
      saving: those after which the files of a checkpoint were incomplete.
      runs: number of runs that came to their end, each equal to the undisturbed one.
      lost: most steps that a kill lost: those since the last whole checkpoint, at most
        twice the interval, as one is whole before the next is begun.
      seconds: time of the undisturbed run.
    """

    kills: int
    saving: int
    runs: int
    lost: int
    seconds: float


def survive(
    command: Command,
    folder: pathlib.Path,
    *,
    kills: int,
    save_every: int,
    files: Sequence[str] = ("genotype.json",),
    seed: int = 0,
) -> Survived:
    """Kills a command at random moments with SIGKILL and starts it again, to its end.

    Half of the moments are spread over the time of a whole run, half over the steps after
    a start, in which checkpoints are written.

    Args:
      command: command line of a run in a folder, which resumes there; it ends after at
        least ``save_every`` steps, with a last checkpoint.
      folder: folder for ``whole`` and ``killed<number>``, the folders of the runs.
      kills: number of kills.
      save_every: steps between checkpoints.
      files: files of the folder that must be equal in the end.
      seed: seed of the moments.

    Raises:
      InputError: a run failed, or ended otherwise than the undisturbed one.
    """
    whole, moments = folder / "whole", random.Random(seed)
    shutil.rmtree(whole, ignore_errors=True)
    began = time.monotonic()
    _finish(command, whole)
    seconds = time.monotonic() - began
    done = saving = runs = lost = 0
    while done < kills or not runs:
        path = folder / f"killed{runs}"
        shutil.rmtree(path, ignore_errors=True)
        while done < kills:
            after_start = moments.random() < 0.5
            pause = moments.uniform(0, seconds * (0.2 if after_start else 1.0))
            if _killed(command, path, pause, after_start) is None:
                break
            done += 1
            saving += any(path.glob("checkpoints/*tmp*"))
            lost = max(lost, _steps_lost(path))
        _finish(command, path)
        _require_equal(whole, path, files)
        runs += 1
    if lost > 2 * save_every:
        raise InputError(f"expected at most {2 * save_every} lost steps, got {lost}.")
    return Survived(done, saving, runs, lost, seconds)


def _finish(command: Command, folder: pathlib.Path) -> None:
    done = subprocess.run(command(folder), capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(
            f"expected {folder} to end well, got exit status {done.returncode}:"
            f" {done.stderr[-500:]}"
        )


def _killed(
    command: Command, folder: pathlib.Path, pause: float, after_start: bool
) -> int | None:
    """Exit status of a process killed after a pause; None if it had ended well."""
    process = subprocess.Popen(
        command(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    lines = len(runtime.read_metrics(folder))
    while after_start and process.poll() is None:
        if len(runtime.read_metrics(folder)) > lines:
            break
        time.sleep(0.005)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(pause)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    _, errors = process.communicate()
    if process.returncode > 0:
        raise InputError(
            f"expected {folder} to resume, got exit status {process.returncode}:"
            f" {errors[-500:]}"
        )
    return process.returncode or None


def _steps_lost(folder: pathlib.Path) -> int:
    """Steps with a line of metrics after the last whole checkpoint."""
    lines = runtime.read_metrics(folder)
    if not lines:
        return 0
    whole = [int(path.stem) for path in (folder / "checksums").glob("[0-9]*.json")]
    return lines[-1]["step"] - max(whole, default=0)


def _require_equal(
    whole: pathlib.Path, killed: pathlib.Path, files: Sequence[str]
) -> None:
    """Requires equal files, metrics, states and positions in the data.

    Raises:
      InputError: the first difference.
    """
    for name in files:
        if (whole / name).read_bytes() != (killed / name).read_bytes():
            raise InputError(f"expected equal {name} in {whole} and {killed}.")
    lines = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in found]
        for found in map(runtime.read_metrics, (whole, killed))
    ]
    if json.dumps(lines[0]) != json.dumps(lines[1]):
        raise InputError(f"expected equal metrics in {whole} and {killed}.")
    states = [_last(folder) for folder in (whole, killed)]
    same = jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), *states)
    if not all(jax.tree.leaves(same)):
        raise InputError(f"expected equal states in {whole} and {killed}.")


def _last(folder: pathlib.Path) -> Any:
    """Arrays of the last checkpoint."""
    with runtime.Checkpoints(folder) as checkpoints:
        return checkpoints.arrays(checkpoints.last_whole)
