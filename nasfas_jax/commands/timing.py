"""What benchmarks share: two sides by turns, compile times, agreement, the machine."""

import importlib.metadata
import importlib.util
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from nasfas_jax.errors import InputError


def by_turns(
    ours: Callable[[], Any], peer: Callable[[], Any], repeats: int
) -> tuple[float, float]:
    """Medians in seconds of two functions run by turns, after one run to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(repeats + 1):
        for function, seconds in zip((ours, peer), times, strict=True):
            start = time.perf_counter()
            function()
            if run > 0:
                seconds.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def check(what: str, ours: Any, peer: np.ndarray, tolerance: float) -> None:
    """Raises unless two arrays agree to ``tolerance`` times the peer's norm."""
    difference = np.linalg.norm(np.asarray(ours) - peer) / np.linalg.norm(peer)
    if not difference <= tolerance:
        raise AssertionError(f"{what}: ours and the peer's differ by {difference:.1e}")


def require_torch() -> None:
    """Raises unless PyTorch is there.

    Raises:
      InputError: it is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise InputError(
            "The benchmarks compare with PyTorch, which is not installed. Install the "
            "extra that brings it, in this environment and in the checkout: "
            "pip install -e '.[bench]'."
        )


def machine() -> dict[str, Any]:
    """Where the numbers come from, and how busy it is: processes that want a core."""
    return {
        "device": jax.devices()[0].device_kind,
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "jax": jax.__version__,
        "torch": importlib.metadata.version("torch"),
    }
