"""Wall times of functions."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any


def medians(calls: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Median seconds of functions that are called in turn, after one warm-up call each.

    Calling them in turn spreads other load of the machine evenly over all of them.

    Args:
      calls: functions to time, each of which returns when its work is complete.
      repeats: number of timed calls of each function.
    """
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for call, seconds in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if turn > 0:
                seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in times]
