"""Memory of a function: the growth of a new process, or of a GPU's, while it runs."""

import ctypes
import gc
import multiprocessing
import pathlib
import re
from collections.abc import Callable
from concurrent import futures
from typing import Any, TypeVar

from nasfas_jax.benchmarks import timing
from nasfas_jax.errors import InputError

T = TypeVar("T")


def fresh(function: Callable[[], T]) -> T:
    """The value of a function, computed in a new process."""
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function).result()


def of_step(grow: Callable[[], int], ours: timing.Compiled | None = None) -> int:
    """Bytes that a step takes.

    On a CPU, by the growth of a new process; on a GPU, as planned by XLA for ours, or as
    counted by PyTorch's allocator.

    Args:
      grow: `growth` of the step, to be called in a new process.
      ours: the step if it is ours; None for a peer's.
    """
    if not timing.on_gpu():
        return fresh(grow)
    return grow() if ours is None else ours.new_bytes


def growth(function: Callable[[], Any]) -> int:
    """Bytes by which the resident memory grows at most while ``function`` runs.

    The function runs once before, so that one-time allocations do not count. Linux only:
    other systems cannot reset the high-water mark. Where JAX computes on a GPU, what counts
    is PyTorch's memory there; ours is planned by XLA.

    Raises:
      InputError: the system does not report the high-water mark.
    """
    if timing.on_gpu():
        return _growth_on_gpu(function)
    # Free memory held by the allocator would hide what the function takes: every block
    # from 64 KB on is now allocated alone and returned at once (-3: M_MMAP_THRESHOLD).
    library = ctypes.CDLL(None)
    library.mallopt(-3, 2**16)
    function()
    gc.collect()
    library.malloc_trim(0)
    # Resets the high-water mark to the current resident memory.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = _high_water()
    function()
    return _high_water() - before


def _growth_on_gpu(function: Callable[[], Any]) -> int:
    import torch  # pyright: ignore[reportMissingImports]

    function()
    gc.collect()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    return torch.cuda.max_memory_allocated() - before


def _high_water() -> int:
    """Peak resident bytes; getrusage of a spawned process includes its parent's."""
    status = pathlib.Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    if found is None:
        raise InputError(
            "this benchmark measures memory by VmHWM in /proc/self/status, which this "
            "system does not have. Run it on Linux."
        )
    return 1024 * int(found[1])
