"""Limits of computing time that other processes of the machine do not exceed."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, function: Callable[[], T], tries: int = 3) -> T:
    """The result of a function, one of whose calls takes less processor time than this.

    Time in which this process waits for a processor or a disk does not count.
    """
    least = float("inf")
    for _ in range(tries):
        began = time.process_time()
        result = function()
        least = min(least, time.process_time() - began)
        if least < seconds:
            return result
    raise AssertionError(f"expected {seconds} s of processor time, got {least:.2f} s")
