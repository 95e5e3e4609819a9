"""Cost of several processes, of checkpoints, of input, and of a start."""

import dataclasses
import itertools
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from nasfas_jax import runtime, synthetic
from nasfas_jax.benchmarks import one_run
from nasfas_jax.data.preparation import prepare
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError

#: Steps of a run, and between its checkpoints.
STEPS, SAVE_EVERY = 60, 20


@dataclasses.dataclass(frozen=True)
class Times:
    """Times of a search of two episodes a step, on a core for each process.

    Attributes:
      one: seconds a step of one process, which computes one episode after the other; the
        median.
      two: seconds a step of two processes with an episode each: two all-reduces a step, of
        the gradients of the alphas and of the weights.
      apart: seconds a step of two searches of one episode side by side, which exchange
        nothing: the slower one.
      divided: seconds a step of two processes that compute each episode together, half of
        its clips each: BatchNorm adds some hundreds of small all-reduces.
      stall: share of the time of steps by which checkpoints prolong them, one in
        `SAVE_EVERY` steps.
      wait: share of it that steps wait for their batch.
      start: seconds from the command to the end of the first step, with a warm cache.
    """

    one: float
    two: float
    apart: float
    divided: float
    stall: float
    wait: float
    start: float

    @property
    def overhead(self) -> float:
        """Share by which two processes with an episode each exceed half the time of one."""
        return 2 * self.two / self.one - 1

    @property
    def exchange(self) -> float:
        """Relative increase of a step's time by the exchange of gradients."""
        return self.two / self.apart - 1

    @property
    def divided_overhead(self) -> float:
        """The same share where each episode is divided between the processes."""
        return 2 * self.divided / self.one - 1


def prepare_data(folder: pathlib.Path) -> None:
    """Makes the data of the measured runs, unless they are there."""
    if not (folder / "data").exists():
        few = {"subjects_per_domain": (1, 1, 1), "live_videos": 1}
        videos = folder / "videos"
        synthetic.write_videos(videos, **few, frames=10, face_size=48)
        recipe = Recipe(image_size=one_run.SIZE, clips_per_video=2, method="harmonic")
        prepare.prepare("synthetic", videos, folder / "data", recipe)


def command(
    folder: pathlib.Path,
    *,
    steps: int = STEPS,
    episodes: int = 2,
    mesh: str = "",
    joined: Sequence[object] = (),
) -> list[str]:
    """Command line of a run, alone or as one of several processes."""
    given = (folder, steps, SAVE_EVERY, episodes, mesh, *joined)
    return [sys.executable, "-m", one_run.__name__, *map(str, given)]


def measure(folder: pathlib.Path) -> Times:
    """Measures searches in one process, in two that exchange gradients, and in two alone.

    Raises:
      InputError: fewer than two cores, a folder of earlier runs, or a run failed.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise InputError(f"expected two cores or more, got {len(cores)}.")
    if any(folder.glob("*/times.json")):
        raise InputError(f"expected a folder without earlier runs, got {folder}.")
    prepare_data(folder)
    _run(folder / "cold", cores[:1])
    start = _run(folder / "one", cores[:1])
    _run(folder / "two", cores[:2])
    _run(folder / "divided", cores[:2], mesh="episode:1")
    apart = {folder / f"apart_{core}": core for core in cores[:2]}
    _wait([_start(core, command(one, episodes=1)) for one, core in apart.items()])
    one, stall, wait = _shares(folder / "one")
    two, divided = (_shares(folder / name)[0] for name in ("two", "divided"))
    slower = max(_shares(one)[0] for one in apart)
    return Times(one, two, slower, divided, stall, wait, start)


def _run(folder: pathlib.Path, cores: Sequence[int], *, mesh: str = "") -> float:
    """Seconds until the first step of processes, one on each core, is logged."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    running = []
    for index, core in enumerate(cores):
        joined = (address, len(cores), index) if len(cores) > 1 else ()
        running.append(_start(core, command(folder, mesh=mesh, joined=joined)))
    while not runtime.read_metrics(folder) and running[0].poll() is None:
        time.sleep(0.02)
    seconds = time.monotonic() - began
    _wait(running)
    return seconds


def _start(core: int, line: list[str]) -> subprocess.Popen[bytes]:
    """Starts a process on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # inherited
    try:
        return subprocess.Popen(line)
    finally:
        os.sched_setaffinity(0, before)


def _wait(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """Waits for processes, each of which must end well."""
    codes = [one.wait() for one in running]
    if any(codes):
        raise InputError(f"expected all runs to end well, got exit statuses {codes}.")


def _shares(folder: pathlib.Path) -> tuple[float, float, float]:
    """Median seconds a step, and shares of the stall of checkpoints and of waiting.

    The first two steps, which compile and fill the pipeline, are left out.
    """
    moments = json.loads((folder / "times.json").read_text())
    steps = [
        (after[0] - before[0], before[1] - before[0])
        for before, after in itertools.pairwise(moments[2:-1])
    ]
    median = statistics.median(seconds for seconds, _ in steps)
    # The loop of step SAVE_EVERY, and the next two, while the files are written.
    saving = [i for i in range(len(steps)) if (i + 3) % SAVE_EVERY in (0, 1, 2)]
    rounds = len(steps) // SAVE_EVERY
    stall = sum(steps[i][0] - median for i in saving) / max(rounds, 1)
    wait = sum(wait for _, wait in steps) / sum(seconds for seconds, _ in steps)
    return median, stall / (median * SAVE_EVERY), wait
