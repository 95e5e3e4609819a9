"""Parts of pytrees: the float leaves, and the part that an inner update moves."""

from typing import Any

import jax
import jax.numpy as jnp

PyTree = Any


def add(a: PyTree, b: PyTree) -> PyTree:
    """The sum of two trees."""
    return jax.tree.map(jnp.add, a, b)


def norm(tree: PyTree) -> jax.Array:
    """The Euclidean norm of all leaves together."""
    return jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree)))


def all_finite(tree: PyTree) -> jax.Array:
    """Whether no element of any leaf is infinite or NaN, a scalar bool."""
    finite = jnp.array(True)
    for leaf in jax.tree.leaves(tree):
        finite &= jnp.isfinite(leaf).all()
    return finite


def is_float(leaf: Any) -> bool:
    """Whether a derivative by ``leaf`` exists."""
    dtype = getattr(leaf, "dtype", jnp.bool_)
    return isinstance(leaf, float) or jnp.issubdtype(dtype, jnp.floating)


def floats(tree: PyTree) -> list[jax.Array]:
    """The float leaves of an optimizer state; step counts have no derivative."""
    return [leaf for leaf in jax.tree.leaves(tree) if is_float(leaf)]


def with_floats(tree: PyTree, new: list[jax.Array]) -> PyTree:
    """``tree`` with its float leaves replaced, in order."""
    leaves = iter(new)
    return jax.tree.map(lambda leaf: next(leaves) if is_float(leaf) else leaf, tree)


def split(mask: PyTree, tree: PyTree) -> tuple[PyTree, PyTree]:
    """``tree`` where the prefix ``mask`` is True, and where it is not.

    Each has None, a tree without leaves, in the other's places.

    Raises:
      ValueError: ``mask`` is no prefix of ``tree``, or a leaf of it is no bool.
    """
    if not all(isinstance(leaf, bool) for leaf in jax.tree.leaves(mask)):
        raise ValueError(
            f"`mask` says with True and False which params the inner update moves; it "
            f"must be known while tracing, so its leaves are Python bools, not {mask}."
        )
    try:
        chosen = jax.tree.map(lambda m, part: part if m else None, mask, tree)
    except ValueError as error:
        raise ValueError(
            "`mask` must be a bool for all params, or a tree of bools that begins like "
            "params, e.g. {'features': False, 'head': True} for params with these two "
            f"keys. Here the mask is {mask} and params are "
            f"{jax.tree.structure(tree)}."
        ) from error
    return chosen, jax.tree.map(lambda m, part: None if m else part, mask, tree)


def join(mask: PyTree, chosen: PyTree, rest: PyTree) -> PyTree:
    """The inverse of `split`."""
    return jax.tree.map(lambda m, a, b: a if m else b, mask, chosen, rest)
