"""Processes of one run, started and watched by a process that itself computes nothing.

JAX ends a process at once when another one or the coordinator is lost, without a chance to
say why or to start again: the supervisor does both.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from nasfas_jax import clusters, limits
from nasfas_jax.commands import PROCESSES
from nasfas_jax.errors import renaming

#: Number of the supervisor, in the processes that it watches.
CHILD = "NASFAS_SUPERVISED"
#: Seconds that the others have to end themselves after one was lost.
GRACE = 45.0
#: Exit status after a process was lost (EX_TEMPFAIL: the same command may succeed).
LOST = 75
#: Statuses with which a process ends since another was lost.
AFTER_LOSS = (LOST, -signal.SIGABRT)
#: Exit statuses of an error and of wrong input, which a start would repeat, and of a run
#: that a signal stopped.
FAILED, MISTAKE, STOPPED = 1, 2, (128 + signal.SIGTERM, 128 + signal.SIGINT)


class Child(NamedTuple):
    """A process to start.

    Attributes:
      name: its name in messages.
      argv: its command line.
      environment: variables in addition to those of the supervisor.
    """

    name: str
    argv: list[str]
    environment: dict[str, str]


def children(
    given: Mapping[str, Any], argv: Sequence[str], environment: Mapping[str, str]
) -> list[Child]:
    """The processes that a command line asks for; none where this process computes.

    Args:
      given: flags of the command.
      argv: the words of the command line after the program.
      environment: environment variables.

    Raises:
      InputError: flags that do not fit together.
    """
    if environment.get(CHILD):
        return []
    flags = {name: given.get(name) for name in PROCESSES}
    count, index = flags["processes"], flags["process"]
    own = [sys.executable, "-m", "nasfas_jax.main", *argv]
    cluster = clusters.detected(environment)
    if index is not None or count == "auto" or (count is None and cluster):
        name = index if index is not None else cluster.index if cluster else "?"
        return [Child(f"process {name}", own, {})]
    number: Any = int(count) if str(count).isdigit() else count  # pyright: ignore
    with renaming({"processes": "--processes"}):
        limits.require(processes=(1 if number is None else number, limits.COUNT))
    if number is None or number == 1:
        return []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"--coordinator=127.0.0.1:{free.getsockname()[1]}"
    return [
        Child(
            f"process {i}",
            [*own, address, f"--processes={number}", f"--process={i}"],
            {"JAX_LOCAL_DEVICE_IDS": str(i)},
        )
        for i in range(int(number))
    ]


def restarts(given: Mapping[str, Any]) -> int:
    """Number of restarts after a lost process, from the flag ``--restarts``.

    Raises:
      InputError: no number of 0 or more.
    """
    text = given.get("restarts", 0)
    number: Any = int(text) if str(text).isdigit() else text
    limits.require(**{"--restarts": (number, limits.COUNT_OR_NONE)})
    return number


def run(asked: Sequence[Child], *, restarts: int = 0, grace: float = GRACE) -> int:
    """Starts processes and waits for them; the exit status of the run.

    If one is lost, the others are ended after ``grace`` seconds at most, and all are started
    again ``restarts`` times. SIGTERM and SIGINT are passed on as SIGTERM.
    """
    for left in range(restarts, -1, -1):
        with _started(asked) as processes, _passed_on(processes) as signals:
            lost = _watch(processes, grace)
            codes = [process.returncode for process in processes]
        if not any(codes):
            return 0
        for code in (MISTAKE, FAILED):
            if code in codes:
                return code
        if signals or any(code in STOPPED for code in codes):
            return STOPPED[0]
        _report(asked, lost, codes, left)
        if left:
            time.sleep(1)  # the port of the coordinator is free again
    return LOST


def leave(command: str, error: Exception) -> NoReturn:
    """Ends one of several processes after an error, without waiting for the others."""
    lost = type(error).__name__ == "JaxRuntimeError"
    lost &= "RESOURCE_EXHAUSTED" not in str(error)
    if lost:
        print(
            f"nasfas {command}: another process of the run was lost: {error!s:.300}",
            file=sys.stderr,
        )
    else:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(LOST if lost else FAILED)


@contextlib.contextmanager
def _started(asked: Sequence[Child]) -> Iterator[list[subprocess.Popen]]:
    """Running processes, which are killed where the block ends before them."""
    processes: list[subprocess.Popen] = []
    try:
        for child in asked:
            processes.append(
                subprocess.Popen(
                    child.argv,
                    env={**os.environ, **child.environment, CHILD: str(os.getpid())},
                    start_new_session=True,
                )
            )
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def follow() -> None:
    """Lets this process end with its supervisor, if it has one."""
    if CHILD in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != int(os.environ[CHILD]):  # it ended before this
            os._exit(LOST)


@contextlib.contextmanager
def _passed_on(processes: list[subprocess.Popen]) -> Iterator[list[int]]:
    """Passes signals on to processes; yields those that arrive."""
    noted: list[int] = []

    def pass_on(number: int, frame: Any) -> None:
        noted.append(number)
        for process in processes:
            process.send_signal(signal.SIGTERM)

    before = {n: signal.signal(n, pass_on) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(processes: list[subprocess.Popen], grace: float) -> int | None:
    """Waits for all processes; returns the index of the first that failed, or None.

    Where several have failed by the time that it is seen, it is one that did not end since
    another was lost.
    """
    lost, until = None, float("inf")

    def first() -> int | None:
        failed = [i for i, one in enumerate(processes) if one.poll()]
        return min(
            failed, key=lambda i: processes[i].returncode in AFTER_LOSS, default=None
        )

    while any(process.poll() is None for process in processes):
        if lost is None and (lost := first()) is not None:
            until = time.monotonic() + grace
        if time.monotonic() > until:
            for process in processes:
                process.kill()
        time.sleep(0.05)
    return first() if lost is None else lost


def _report(
    asked: Sequence[Child], lost: int | None, codes: list[int], left: int
) -> None:
    """Prints which process was lost, and what follows."""
    code = codes[lost or 0]
    how = f"exit status {code}" if code > 0 else signal.Signals(-code).name
    rest = len(asked) - 1
    others = (
        f"; the other {f'{rest} were' if rest > 1 else 'was'} ended" if rest else ""
    )
    if len(asked) == 1 and code in AFTER_LOSS:
        others = ", since another process of the run was lost or did not start"
    then = f"Starting again ({left} left)." if left else "Start the same command again."
    print(
        f"nasfas: {asked[lost or 0].name} ended by {how}{others}. Finished files are kept,"
        f" and the run resumes from its last checkpoint. {then}",
        file=sys.stderr,
        flush=True,
    )
