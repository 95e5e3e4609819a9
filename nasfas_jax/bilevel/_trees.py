"""Pytree helpers: arithmetic, float leaves, masks, and placement on a mesh."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.sharding import AxisType, NamedSharding, PartitionSpec

PyTree = Any


def add(a: PyTree, b: PyTree) -> PyTree:
    """Sum of two trees."""
    return jax.tree.map(jnp.add, a, b)


def add_scaled(a: PyTree, factor: jax.Array | float, b: PyTree) -> PyTree:
    """``a + factor b``, in the dtypes of ``a``."""
    return jax.tree.map(lambda x, y: x + jnp.asarray(factor, x.dtype) * y, a, b)


def dot(a: PyTree, b: PyTree) -> jax.Array:
    """Inner product of two trees, a scalar."""
    return jnp.asarray(sum(jax.tree.leaves(jax.tree.map(jnp.vdot, a, b))))


def norm(tree: PyTree) -> jax.Array:
    """Euclidean norm of all leaves together."""
    return jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree)))


def normal_like(key: jax.Array, tree: PyTree) -> PyTree:
    """Standard normal numbers in the shapes and dtypes of a tree of float arrays."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        jax.random.normal(k, jnp.shape(leaf), jnp.result_type(leaf))
        for k, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


def all_finite(tree: PyTree) -> jax.Array:
    """Whether every element of every leaf is finite, a scalar bool."""
    finite = jnp.array(True)
    for leaf in jax.tree.leaves(tree):
        finite &= jnp.isfinite(leaf).all()
    return finite


def is_float(leaf: Any) -> bool:
    """Whether ``leaf`` is a float array or a Python float."""
    dtype = getattr(leaf, "dtype", jnp.bool_)
    return isinstance(leaf, float) or jnp.issubdtype(dtype, jnp.floating)


def floats(tree: PyTree) -> list[jax.Array]:
    """Float leaves of an optimizer state; step counts have no derivative."""
    return [leaf for leaf in jax.tree.leaves(tree) if is_float(leaf)]


def with_floats(tree: PyTree, new: list[jax.Array]) -> PyTree:
    """``tree`` with its float leaves replaced, in order."""
    leaves = iter(new)
    return jax.tree.map(lambda leaf: next(leaves) if is_float(leaf) else leaf, tree)


def split(mask: PyTree, tree: PyTree) -> tuple[PyTree, PyTree]:
    """The parts of ``tree`` where the prefix ``mask`` is True and where it is False.

    Each part has None, a tree without leaves, in place of the other.

    Raises:
      ValueError: ``mask`` is not a prefix of ``tree``, or one of its leaves is no bool.
    """
    if not all(isinstance(leaf, bool) for leaf in jax.tree.leaves(mask)):
        raise ValueError(
            "`mask` selects the params that the inner update changes, each leaf wholly. "
            "Its leaves must be Python bools, known while tracing, e.g. "
            f"{{'features': False, 'head': True}}; got {mask}."
        )
    try:
        chosen = jax.tree.map(lambda m, part: part if m else None, mask, tree)
    except ValueError as error:
        raise ValueError(
            "`mask` must be one bool for all params, or a tree of bools that begins like "
            "params, e.g. {'features': False, 'head': True} for params with these two "
            f"keys; got the mask {mask} for params {jax.tree.structure(tree)}."
        ) from error
    return chosen, jax.tree.map(lambda m, part: None if m else part, mask, tree)


def join(mask: PyTree, chosen: PyTree, rest: PyTree) -> PyTree:
    """The inverse of `split`."""
    return jax.tree.map(lambda m, a, b: a if m else b, mask, chosen, rest)


def on_one_mesh(*trees: PyTree) -> tuple[PyTree, ...]:
    """``trees`` with every array on the mesh that some of them are on, inside `jax.jit`.

    The type of an array that was created without a mesh holds an empty one. Beside an
    array on a mesh with explicit axes, `jax.vmap` over one of these axes fails for it
    ("Resource axis: t of P('t',) is not found in mesh: ()"), so it is replicated over
    that mesh here. Without such a mesh nothing changes.
    """
    meshes = {
        jax.typeof(leaf).sharding.mesh
        for leaf in jax.tree.leaves(trees)
        if isinstance(leaf, Tracer)
    }
    explicit = [m for m in meshes if AxisType.Explicit in m.axis_types]
    if len(explicit) != 1:  # none; or several, which JAX refuses itself
        return trees
    replicated = NamedSharding(explicit[0], PartitionSpec())

    def place(leaf):
        is_array = hasattr(leaf, "dtype") or isinstance(leaf, float)
        if is_array and jax.typeof(leaf).sharding.mesh.empty:
            return jax.sharding.reshard(leaf, replicated)
        return leaf

    return jax.tree.map(place, trees)


def to_host(tree: PyTree) -> PyTree:
    """``tree`` in the memory of the host, inside of a compiled program."""
    return jax.tree.map(lambda x: jax.device_put(x, jax.memory.Space.Host), tree)


def to_device(tree: PyTree) -> PyTree:
    """``tree`` in the memory of the device."""
    return jax.tree.map(lambda x: jax.device_put(x, jax.memory.Space.Device), tree)
