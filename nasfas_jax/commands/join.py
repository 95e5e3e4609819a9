"""Connection with the other processes of a run, by the flags of a command."""

import io
import os
import sys
from typing import Any

from nasfas_jax import clusters, limits, runtime


def join(
    processes: str | None = None,
    process: str | None = None,
    coordinator: str | None = None,
    wait: str | int = 300,
    restarts: str | int = 0,
) -> None:
    """Connects this process with the others of its run, if there are any.

    Raises:
      InputError: others are missing, or a number that is none.
    """
    del restarts  # of the supervisor
    several = processes == "auto" or process is not None
    several |= processes is None and clusters.detected(os.environ) is not None
    if not several:
        return
    index, count, seconds = _number(process), _number(processes), _number(wait)
    limits.require(
        process=(index, limits.OrNone(limits.COUNT_OR_NONE)),
        processes=(count, limits.OrNone(limits.COUNT)),
        wait=(seconds, limits.COUNT),
    )
    runtime.processes.start(coordinator, count, index, wait=seconds or 0)
    if not runtime.processes.is_first():
        sys.stdout = io.StringIO()  # process 0 speaks for all


def _number(text: str | int | None) -> Any:
    """The number in a text; None for 'auto'."""
    if text in (None, "auto"):
        return None
    return int(text) if str(text).isdigit() else text
