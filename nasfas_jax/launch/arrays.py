"""Command lines executed side by side: by processes of this machine, or as a SLURM array."""

import concurrent.futures
import os
import pathlib
import queue
import shlex
import subprocess
from collections.abc import Sequence
from typing import Any

from nasfas_jax import extras, limits
from nasfas_jax.errors import InputError

#: What executes the command lines.
ENGINES = ("local", "slurm")


class Line:
    """A command line as a job of submitit, which submits it again after a preemption.

    Attributes:
      words: words of the command line.
    """

    def __init__(self, words: Sequence[str]):
        self.words = list(words)

    def __call__(self) -> int:
        """Executes it; the exit code."""
        return subprocess.run(self.words, check=False).returncode

    def checkpoint(self) -> Any:
        """The job that goes on with this one: the same, as finished work is kept."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def execute(
    lines: Sequence[Sequence[str]],
    *,
    folder: str | os.PathLike,
    engine: str = "local",
    parallel: int = 1,
    gpus: int = 0,
    cpus: int = 8,
    hours: float = 24,
    options: Sequence[str] = (),
) -> list[int]:
    """Executes command lines side by side and waits for all.

    Args:
      lines: words of each command line.
      folder: folder of their logs, which all machines reach.
      engine: of `ENGINES`: processes of this machine, or an array job of SLURM by submitit
        (extra 'slurm').
      parallel: number of lines that are executed at the same time.
      gpus: GPUs of this machine, of which each process sees one; GPUs of each job under
        SLURM; 0 for what there is.
      cpus: processor cores of a SLURM job.
      hours: time limit of a SLURM job.
      options: further options of sbatch, as '--partition=gpu'.

    Returns:
      Exit codes, in the order of the lines.

    Raises:
      InputError: an unknown engine, or submitit is not installed.
    """
    require_engine(engine)
    limits.require(
        parallel=(parallel, limits.COUNT),
        gpus=(gpus, limits.COUNT_OR_NONE),
        cpus=(cpus, limits.COUNT),
        hours=(hours, limits.POSITIVE),
    )
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if engine == "local":
        return _processes(lines, folder, parallel, gpus)
    given = {}
    for word in options:
        name, _, value = word.lstrip("-").partition("=")
        given[name.replace("-", "_")] = value
    return submit_array(
        lines,
        folder,
        cluster=engine,
        timeout_min=round(hours * 60),
        gpus_per_node=gpus or None,
        cpus_per_task=cpus,
        slurm_array_parallelism=parallel,
        slurm_additional_parameters=given,
    )


def require_engine(engine: str) -> None:
    """Checks that an engine is one of `ENGINES` and available on this machine.

    Raises:
      InputError: another engine, submitit is not installed, or there is no such cluster.
    """
    limits.require(engine=(engine, limits.OneOf(ENGINES)))
    if engine != "local":
        _executor(pathlib.Path(), engine)


def submit_array(
    lines: Sequence[Sequence[str]],
    folder: pathlib.Path,
    cluster: str,
    **parameters: Any,
) -> list[int]:
    """Exit codes of command lines that submitit executes as one array; 1 for a lost job.

    Args:
      lines: words of each command line.
      folder: folder of the logs.
      cluster: 'slurm', or 'local' for processes of this machine.
      **parameters: as `submitit.AutoExecutor.update_parameters`; None is left out.

    Raises:
      InputError: as `require_engine`.
    """
    executor = _executor(folder, cluster)
    chosen = {name: value for name, value in parameters.items() if value is not None}
    executor.update_parameters(**chosen)
    with executor.batch():
        jobs = [executor.submit(Line(words)) for words in lines]
    codes = []
    for job in jobs:
        lost = job.exception()
        codes.append(1 if lost else job.result())
    return codes


def _executor(folder: pathlib.Path, cluster: str) -> Any:
    extras.require("slurm", "submitit", field="engine")
    import submitit

    try:
        return submitit.AutoExecutor(folder=folder, cluster=cluster)
    except RuntimeError as error:  # no sbatch
        raise InputError(f"{error} Start it on a login node.", field="engine") from None


def _processes(
    lines: Sequence[Sequence[str]], folder: pathlib.Path, parallel: int, gpus: int
) -> list[int]:
    """Exit codes of processes of this machine, each with a GPU of its own if it has some."""
    slots: queue.SimpleQueue[int] = queue.SimpleQueue()
    for slot in range(parallel):
        slots.put(slot)

    def run(numbered: tuple[int, Sequence[str]]) -> int:
        number, words = numbered
        slot = slots.get()
        own = {"CUDA_VISIBLE_DEVICES": str(slot % gpus)} if gpus else {}
        try:
            with (folder / f"{number}.log").open("ab") as log:
                log.write(f"$ {shlex.join(words)}\n".encode())
                log.flush()
                output = {"stdout": log, "stderr": subprocess.STDOUT}
                env = os.environ | own
                return subprocess.run(words, env=env, check=False, **output).returncode
        finally:
            slots.put(slot)

    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        return list(pool.map(run, enumerate(lines)))
