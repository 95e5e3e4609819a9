"""Devices: the mesh for batches, and the cache of compiled programs."""

import contextlib
import importlib.metadata
import math
import os
import pathlib
import platform
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from nasfas_jax import limits
from nasfas_jax.errors import InputError

#: Beginning of the names of empty files in the cache, one per version that used it.
CACHE_MARK = "jaxlib-"
#: Axes of the mesh.
AXES = ("episode", "data")
_SIZE = re.compile(r"(episode|data):([1-9]\d*)")


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


def make_mesh(
    devices: list | None = None, *, episodes: int = 1, shape: str | None = None
) -> Mesh:
    """All devices as a grid of the axes ``episode`` and ``data``.

    Each slice of ``episode`` runs its own episodes (`methods.episodes.over_episodes`);
    a batch is split over ``data``. Steps are written for the whole batch of an episode
    and compiled by ``jax.jit``: BatchNorm uses all of it and no collective stands inside
    differentiated code.

    Args:
      devices: devices of the mesh; all devices, process by process, if None.
      episodes: number of episodes per step. ``episode`` has the largest number of slices
        that divides both episodes and devices: 4 episodes on 8 devices use 4 slices of 2;
        3 on 8 use one slice of 8, one after the other.
      shape: sizes of the axes in place of this rule, as 'episode:4,data:8'; the size of one
        that is absent follows from the number of devices.

    Raises:
      InputError: fewer episodes than one, or a shape that is not of this form or does not
        divide the devices or the episodes.
    """
    if devices is None:
        devices = sorted(jax.devices(), key=lambda one: (one.process_index, one.id))
    sizes = mesh_sizes(len(devices), episodes=episodes, shape=shape)
    grid = np.array(devices).reshape(*sizes.values())
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * 2)


def mesh_sizes(
    count: int, *, episodes: int = 1, shape: str | None = None
) -> dict[str, int]:
    """Axis sizes of `make_mesh` for a number of devices.

    Raises:
      InputError: as `make_mesh`.
    """
    limits.require(episodes=(episodes, limits.COUNT))
    slices = math.gcd(episodes, count)
    if shape is not None:
        slices = _slices(shape, episodes, count)
    return dict(zip(AXES, (slices, count // slices), strict=True))


def _slices(shape: str, episodes: int, devices: int) -> int:
    """Size of the axis ``episode`` in a shape such as 'episode:4,data:8'.

    Raises:
      InputError: as `make_mesh`.
    """
    sizes = dict(_SIZE.findall(shape))
    parts = [f"{name}:{size}" for name, size in sizes.items()]
    if not sizes or ",".join(parts) != shape:
        raise InputError(
            "expected sizes of the axes episode and data, as episode:4,data:8, got"
            f" {shape!r}.",
            field="mesh",
        )
    data = int(sizes.get("data", 0)) or max(devices // int(sizes["episode"]), 1)
    slices = int(sizes.get("episode", 0)) or max(devices // data, 1)
    if slices * data != devices:
        raise InputError(
            f"expected axes whose product is {devices}, the number of devices, got"
            f" episode:{slices},data:{data}, which are {slices * data}. Episode may be"
            f" {', '.join(map(str, divisors(math.gcd(episodes, devices))))}.",
            field="mesh",
        )
    if episodes % slices:
        raise InputError(
            f"expected an axis episode that divides the {episodes} episodes of a step"
            f" (or parts of its batch), got {slices}. It may be"
            f" {', '.join(map(str, divisors(math.gcd(episodes, devices))))};"
            " config.search.episodes and config.train.episodes set their number.",
            field="mesh",
        )
    return slices


def divisors(number: int) -> list[int]:
    """All divisors of a number, the smallest first."""
    return [n for n in range(1, number + 1) if number % n == 0]


def require_divided(
    sizes: Mapping[str, int],
    batch_size: int,
    *,
    of_groups: bool = False,
    parts: int = 1,
) -> None:
    """Requires a batch that the axis ``data`` divides.

    Args:
      sizes: sizes of the axes, the shape of a mesh.
      batch_size: clips of a batch, of each of its parts, or of each group of an episode.
      of_groups: whether they are those of each group.
      parts: number of parts of the batch, the whole of which the error tells.

    Raises:
      InputError: the axis does not divide them.
    """
    split = sizes["data"]
    if rest := batch_size % split:
        step, below = split * parts, (batch_size - rest) * parts
        near = f"nearest are {below} and" if below else "nearest is"
        axes = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise InputError(
            f"expected a multiple of {step} clips{' of each group' * of_groups}, which are"
            f" split {f'in {parts} parts ' * (parts > 1)}over the data axis of the mesh"
            f" ({axes}), got {batch_size * parts}. The {near} {below + step};"
            " more episodes, or parts of a batch, make the axis smaller"
            " (config.search.episodes, config.train.episodes, config.train.accumulate).",
            field="batch_size",
        )


#: The axes of a batch without episodes: the first one is split.
BATCH_AXES = PartitionSpec("data")
#: The axes of a batch in parts, whose gradients are computed one after the other.
PART_AXES = PartitionSpec("episode", "data")


def episode_axes(episodes: int) -> dict[str, PartitionSpec]:
    """Partitioned axes of an episode, or of ``episodes`` on a leading axis."""
    lead = ("episode",) if episodes > 1 else ()
    return {
        "support": PartitionSpec(*lead, None, "data"),
        "query": PartitionSpec(*lead, "data"),
        "query_domain": PartitionSpec(*lead),
    }


def share(mesh: Mesh, episodes: int, batch_size: int) -> tuple[slice, slice]:
    """Episodes of a step and clips of each batch that this process's devices hold.

    Raises:
      InputError: several processes, and a mesh that does not divide the batch, or whose
        slices this process holds in part.
    """
    own = np.vectorize(lambda one: one.process_index == jax.process_index())
    held = own(mesh.devices)
    if held.all():
        return slice(0, episodes), slice(0, batch_size)
    rows, columns = held.any(1), held.any(0)
    if (held != np.outer(rows, columns)).any():
        raise InputError(
            f"expected axes that the {held.sum()} devices of a process divide or are"
            f" divided by, got {dict(mesh.shape)} for {jax.process_count()} processes.",
            field="mesh",
        )
    require_divided(mesh.shape, batch_size)
    return _span(rows, episodes), _span(columns, batch_size)


def _span(held: np.ndarray, count: int) -> slice:
    """The part of ``count`` items that belongs to the places that are held."""
    each = count // len(held)
    first, number = int(held.argmax()), int(held.sum())
    return slice(first * each, (first + number) * each)


#: Rules for the arrays of a state.
STATE_RULES = ("replicated", "fsdp")
#: Elements of the smallest array that 'fsdp' divides.
LEAST = 2**14


def state_shardings(
    state: Any, mesh: Mesh, rule: str = "replicated", *, least: int = LEAST
) -> Any:
    """The sharding of each array of a training state.

    Args:
      state: tree of arrays or their shapes.
      mesh: from `make_mesh`.
      rule: 'replicated', the same arrays on every device; or 'fsdp' (fully sharded data
        parallelism): arrays of ``least`` elements or more are divided along their longest
        axis that all devices divide, or else the devices of ``data``, and gathered for
        the step; those of optimizers remain divided in it.
      least: elements of the smallest array that is divided.

    Raises:
      InputError: an unknown rule.
    """
    limits.require(sharding=(rule, limits.OneOf(STATE_RULES)))

    def of(leaf: Any) -> NamedSharding:
        shape = np.shape(leaf)
        if rule == "fsdp" and math.prod(shape) >= least:
            for axes in (AXES, AXES[1:]):
                count = math.prod(mesh.shape[axis] for axis in axes)
                fitting = [i for i, n in enumerate(shape) if n % count == 0]
                if count > 1 and fitting:
                    longest = max(fitting, key=lambda i: shape[i])
                    return NamedSharding(mesh, PartitionSpec(*[None] * longest, axes))
        return replicated(mesh)

    return jax.tree.map(of, state)


def gathered(state: Any, mesh: Mesh) -> Any:
    """A traced state with whole arrays on every device, but for those of optimizers."""

    def of(path: Any, leaf: Any) -> Any:
        if any("opt_state" in str(key) for key in path):
            return leaf
        return jax.lax.with_sharding_constraint(leaf, replicated(mesh))

    return jax.tree_util.tree_map_with_path(of, state)


def fetch(tree: Any) -> Any:
    """Whole arrays of a tree in the memory of this process, as NumPy arrays.

    With several processes all of them must call it.
    """

    def host(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
            return jax.device_get(leaf)
        if not leaf.is_fully_replicated:
            leaf = jax.jit(lambda x: x, out_shardings=replicated(leaf.sharding.mesh))(  # pyright: ignore
                leaf
            )
        return np.asarray(leaf.addressable_data(0))

    return jax.tree.map(host, tree)


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def place(batch: Any, axes: Any, mesh: Mesh) -> Any:
    """The arrays of a batch on the mesh, split along ``axes`` if large enough.

    Args:
      batch: tree of arrays; with several processes this process's `share` of each.
      axes: PartitionSpecs of the mesh's axes, a tree prefix of the batch.
      mesh: from `make_mesh`.
    """
    if jax.process_count() > 1:
        return jax.tree.map(lambda axes, part: _joined(part, axes, mesh), axes, batch)
    return jax.tree.map(
        lambda x, sharding: jax.device_put(np.asarray(x), sharding),
        batch,
        shardings(batch, axes, mesh),
    )


def _joined(part: Any, axes: PartitionSpec, mesh: Mesh) -> Any:
    """Arrays of all processes, of which this one has a part."""

    def of(x: Any) -> jax.Array:
        sharding = NamedSharding(mesh, PartitionSpec(*axes[: np.ndim(x)]))
        return jax.make_array_from_process_local_data(sharding, np.asarray(x))

    return jax.tree.map(of, part)


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
