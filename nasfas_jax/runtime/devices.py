"""Devices: the mesh that batches are laid out on, and the cache of compiled programs."""

import os
import pathlib
import platform

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def cache_compiles() -> None:
    """Keeps compiled programs on disk: the second start of a program compiles nothing.

    The folder is ``$JAX_COMPILATION_CACHE_DIR`` or ``~/.cache/nasfas_jax/compiled``.
    """
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(
        pathlib.Path.home() / ".cache" / "nasfas_jax" / "compiled"
    )
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


def make_mesh(devices: list | None = None) -> Mesh:
    """All devices in a row, axis ``data``: a batch is split over it.

    Steps are written for the whole batch and compiled by ``jax.jit``: BatchNorm uses
    the global batch and no collective stands inside differentiated code.
    """
    grid = np.array(devices if devices is not None else jax.devices())
    return Mesh(grid, ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int) -> NamedSharding:
    """``axis`` of an array over the devices."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))


def describe_machine() -> dict[str, str]:
    """What the numbers of a run were measured on."""
    device = jax.devices()[0]
    return {
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "python": platform.python_version(),
        "jax": jax.__version__,
    }


def _processor() -> str:
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
