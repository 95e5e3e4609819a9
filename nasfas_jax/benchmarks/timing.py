"""Compile times, agreement of results, and the machine."""

import dataclasses
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from nasfas_jax import extras
from nasfas_jax.compilation import cache_in
from nasfas_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A compiled program; a call returns when its results are available.

    Attributes:
      program: compiled by XLA.
      seconds: time to trace and compile it, or to read it from the compilation cache.
    """

    program: jax.stages.Compiled
    seconds: float

    def __call__(self, *arguments: Any) -> Any:
        """Runs the program and waits for its results."""
        return jax.block_until_ready(self.program(*arguments))

    @property
    def temporary_bytes(self) -> int:
        """Memory for intermediate values, as planned by XLA."""
        memory: Any = self.program.memory_analysis()
        return memory.temp_size_in_bytes

    @property
    def new_bytes(self) -> int:
        """Memory for intermediate values and results, as planned by XLA."""
        memory: Any = self.program.memory_analysis()
        return memory.temp_size_in_bytes + memory.output_size_in_bytes

    @property
    def peak_bytes(self) -> int:
        """Memory for arguments, intermediate values and results, as planned by XLA."""
        memory: Any = self.program.memory_analysis()
        return self.new_bytes + memory.argument_size_in_bytes


def compiled(function: Callable, *arguments: Any, cache: str = "") -> Compiled:
    """Compiles a function for given arguments.

    Args:
      function: a function of arrays.
      *arguments: its arguments.
      cache: folder of the compilation cache; '' for none.
    """
    with cache_in(cache):
        start = time.perf_counter()
        program = jax.jit(function).lower(*arguments).compile()
        return Compiled(program, time.perf_counter() - start)


def check(what: str, ours: Any, peer: np.ndarray, tolerance: float) -> None:
    """Checks that two arrays agree.

    Raises:
      AssertionError: their difference exceeds ``tolerance`` times the norm of ``peer``.
    """
    difference = np.linalg.norm(np.asarray(ours) - peer) / np.linalg.norm(peer)
    if not difference <= tolerance:
        raise AssertionError(f"{what}: ours and the peer's differ by {difference:.1e}")


def require_torch() -> None:
    """Checks that PyTorch is installed, and has it compute on JAX's device.

    On a GPU both sides compute in float32, or with operands in TensorFloat-32 where another
    precision is chosen, as by JAX_DEFAULT_MATMUL_PRECISION=tensorfloat32.

    Raises:
      InputError: PyTorch is not installed, or has no GPU where JAX has one.
    """
    extras.require("bench", "torch")
    # Two frameworks and several processes share the memory of a GPU: none takes it all.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if not on_gpu():
        return
    import torch  # pyright: ignore[reportMissingImports]

    if not torch.cuda.is_available():
        raise InputError(
            f"JAX computes on {jax.devices()[0].device_kind}, where this PyTorch cannot: "
            "install PyTorch for this GPU, or compare on the CPU with JAX_PLATFORMS=cpu."
        )
    torch.set_default_device("cuda")
    torch.backends.cudnn.allow_tf32 = not full_precision()
    torch.backends.cuda.matmul.allow_tf32 = not full_precision()


def on_gpu() -> bool:
    """Whether JAX computes on a GPU by default."""
    return jax.default_backend() == "gpu"


def full_precision() -> bool:
    """Whether products of float32 are computed in float32, see `ops.platform`."""
    precision = jax.config.values["jax_default_matmul_precision"]
    return not on_gpu() or precision in (None, "float32", "highest")


def machine(*packages: str) -> dict[str, Any]:
    """Describes the machine, its load (processes that wait for a core) and versions.

    Args:
      *packages: installed packages whose versions are included.
    """
    return {
        "device": jax.devices()[0].device_kind,
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        **{name: importlib.metadata.version(name) for name in packages},
    }
