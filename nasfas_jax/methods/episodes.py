"""Several episodes per step: each on its own devices, then one mean."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec

from nasfas_jax import bilevel


def over_episodes(f: Callable[..., Any], mesh: Mesh | None) -> Callable[..., Any]:
    """The function that is the mean over episodes of ``f(*shared, episode)``.

    Each slice of the mesh's axis ``episode`` computes its episodes one after the other
    and independently of the other slices; one mean of their sums follows, of all arrays
    as one. That is the only collective over ``episode``, and it must not be
    differentiated: take gradients *inside* of ``f``. The axis ``data`` remains automatic,
    so that within ``f`` a batch is whole, for BatchNorm too, over however many devices it
    is split.

    Args:
      f: function of arrays shared by all episodes and, last, one episode; it returns a
        tree of float arrays. It must not close over traced arrays: these are arguments.
      mesh: mesh with the axis ``episode``; None: ``f`` itself.

    Returns:
      A function with the arguments of ``f``, the last with a leading axis [E] of
      episodes, a multiple of the axis ``episode``. It raises ValueError if the arrays
      have no common leading axis, or one that cannot be divided among the slices.
    """
    if mesh is None:
        return f

    def mean(*arguments):
        *shared, episodes = arguments
        count = _count_checked(episodes, mesh.shape["episode"])
        total = run(tuple(shared), episodes)
        return jax.tree.map(lambda x: x / count, total)

    def run_slice(shared, episodes):
        total = _total(lambda one: f(*shared, one), episodes)
        # As one array: XLA's all-reduce of a tree on CPUs is one exchange per array.
        flat, unravel = ravel_pytree(total)
        return unravel(jax.lax.psum(flat, "episode"))

    # With check_vma=True, gradients with respect to the shared arrays would be summed over
    # all slices, those of inner updates among them.
    run = jax.shard_map(
        run_slice,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec("episode")),
        out_specs=PartitionSpec(),
        axis_names={"episode"},
        check_vma=False,
    )
    return mean


def _count_checked(episodes: Any, slices: int) -> int:
    """Number of episodes.

    Raises:
      ValueError: no common leading axis, or not a multiple of ``slices``.
    """
    count = _count(episodes)
    if count is None or count % slices:
        raise ValueError(
            "A step of several episodes takes arrays that all have one leading axis of "
            f"episodes, a multiple of the {slices} slices of the mesh; got the shapes "
            f"{jax.tree.map(jnp.shape, episodes)}. `pipeline.episodes(..., episodes=E)` "
            "yields them, and `runtime.make_mesh(episodes=E)` makes a mesh that fits; "
            "for one episode without that axis leave the method's `mesh` None."
        )
    return count


def _count(episodes: Any) -> int | None:
    """Length of the leading axis that all arrays have in common."""
    lengths = {jnp.shape(x)[:1] for x in jax.tree.leaves(episodes)}
    return lengths.pop()[0] if len(lengths) == 1 and () not in lengths else None


def _total(f: Callable[[Any], Any], episodes: Any) -> Any:
    """Sum of ``f`` over the leading axis, with one episode in memory at a time."""
    if _count(episodes) == 1:  # no loop: XLA's CPU convolutions are slow inside loops
        return f(jax.tree.map(lambda x: x[0], episodes))
    return bilevel.scan_sum(lambda one: (f(one), ()), episodes)[0]
