"""Devices: the mesh for batches, and the cache of compiled programs."""

import contextlib
import importlib.metadata
import math
import os
import pathlib
import platform
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from nasfas_jax import limits

#: Beginning of the names of empty files in the cache, one per version that used it.
CACHE_MARK = "jaxlib-"


def cache_folder() -> pathlib.Path:
    """``$JAX_COMPILATION_CACHE_DIR``, or ``~/.cache/nasfas_jax/compiled``."""
    given = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    own = pathlib.Path.home() / ".cache" / "nasfas_jax" / "compiled"
    return pathlib.Path(given) if given else own


def cache_version() -> str:
    """The version whose programs the cache gives this process."""
    return importlib.metadata.version("jaxlib")


def cache_compiles() -> None:
    """Keeps compiled programs on disk: the second start of a program compiles nothing.

    The folder is `cache_folder`; a version reads no programs of another.
    """
    folder = cache_folder()
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    with contextlib.suppress(OSError):  # JAX, too, runs on without a cache
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{CACHE_MARK}{cache_version()}").touch()


def make_mesh(devices: list | None = None, *, episodes: int = 1) -> Mesh:
    """All devices as a grid of the axes ``episode`` and ``data``.

    Each slice of ``episode`` runs its own episodes (`methods.episodes.over_episodes`);
    a batch is split over ``data``. Steps are written for the whole batch of an episode
    and compiled by ``jax.jit``: BatchNorm uses all of it and no collective stands inside
    differentiated code.

    Args:
      devices: devices of the mesh; all devices if None.
      episodes: number of episodes per step. ``episode`` has the largest number of slices
        that divides both episodes and devices: 4 episodes on 8 devices use 4 slices of 2;
        3 on 8 use one slice of 8, one after the other.

    Raises:
      InputError: fewer episodes than one.
    """
    limits.require(episodes=(episodes, limits.COUNT))
    grid = np.array(devices if devices is not None else jax.devices())
    grid = grid.reshape(math.gcd(episodes, grid.size), -1)
    return Mesh(grid, ("episode", "data"), axis_types=(AxisType.Auto,) * 2)


#: The axes of a batch without episodes: the first one is split.
BATCH_AXES = PartitionSpec("data")


def episode_axes(episodes: int) -> dict[str, PartitionSpec]:
    """Partitioned axes of an episode, or of ``episodes`` on a leading axis."""
    lead = ("episode",) if episodes > 1 else ()
    return {
        "support": PartitionSpec(*lead, None, "data"),
        "query": PartitionSpec(*lead, "data"),
        "query_domain": PartitionSpec(*lead),
    }


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def place(batch: Any, axes: Any, mesh: Mesh) -> Any:
    """The arrays of a batch on the mesh, split along ``axes`` if large enough.

    Args:
      batch: tree of arrays.
      axes: PartitionSpecs of the mesh's axes, a tree prefix of the batch.
      mesh: from `make_mesh`.
    """
    return jax.tree.map(
        lambda x, sharding: jax.device_put(np.asarray(x), sharding),
        batch,
        shardings(batch, axes, mesh),
    )


def shardings(batch: Any, axes: Any, mesh: Mesh) -> Any:
    """The sharding that `place` gives each array of a batch; arguments as `place`."""

    def of(axes: PartitionSpec, part: Any) -> Any:
        return jax.tree.map(lambda x: _sharding(np.shape(x), axes, mesh), part)

    return jax.tree.map(of, axes, batch)


def _sharding(shape: tuple[int, ...], axes: PartitionSpec, mesh: Mesh) -> NamedSharding:
    lengths = zip(axes, shape, strict=False)
    fitting = [a if a and n % mesh.shape[a] == 0 else None for a, n in lengths]
    return NamedSharding(mesh, PartitionSpec(*fitting))


def describe_machine() -> dict[str, str]:
    """The machine of a run: device, processor and versions."""
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
