"""Several episodes a step: each alone on its devices, then one mean."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec


def over_episodes(
    f: Callable[[Any, Any], Any], shared: Any, episodes: Any, mesh: Mesh | None
) -> Any:
    """The mean over episodes of ``f(shared, episode)``, a tree of float arrays.

    Every slice of the mesh's axis ``episode`` runs ``f`` on its episodes, one after the
    other, and waits for no other slice; what it has summed up then meets in one mean.
    That is the only collective over ``episode`` and nobody differentiates it: take
    gradients *inside* of ``f``. The axis ``data`` stays the compiler's, so that within
    ``f`` a batch is whole, for BatchNorm too, over however many devices it is split.

    Args:
      f: of one episode. It closes over no traced array: those belong to ``shared``.
      shared: tree of arrays that are the same in all episodes, the state above all.
      episodes: arrays with a leading axis [E], a multiple of the axis ``episode``; or,
        without a mesh, one episode that has no such axis.
      mesh: with the axis ``episode``; None: ``f(shared, episodes)``, nothing else.

    Raises:
      ValueError: no common leading axis, or one that the slices cannot share evenly.
    """
    if mesh is None:
        return f(shared, episodes)
    count, slices = _count(episodes), mesh.shape["episode"]
    if count is None or count % slices:
        raise ValueError(
            "A step of several episodes takes arrays that all have one leading axis of "
            f"episodes, a multiple of the {slices} slices of the mesh; got the shapes "
            f"{jax.tree.map(jnp.shape, episodes)}. `pipeline.episodes(..., episodes=E)` "
            "yields them, and `runtime.make_mesh(episodes=E)` makes a mesh that fits; "
            "for one episode without that axis leave the method's `mesh` None."
        )

    def run_slice(shared, episodes):
        return jax.lax.psum(_total(partial(f, shared), episodes), "episode")

    # Without its check shard_map keeps out of derivatives: it would sum the gradients by
    # what the slices share over all slices, those of inner updates among them.
    run = jax.shard_map(
        run_slice,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec("episode")),
        out_specs=PartitionSpec(),
        axis_names={"episode"},
        check_vma=False,
    )
    return jax.tree.map(lambda x: x / count, run(shared, episodes))


def _count(episodes: Any) -> int | None:
    """The length of the leading axis that all arrays have in common."""
    lengths = {jnp.shape(x)[:1] for x in jax.tree.leaves(episodes)}
    return lengths.pop()[0] if len(lengths) == 1 and () not in lengths else None


def _total(f: Callable[[Any], Any], episodes: Any) -> Any:
    """The sum over the leading axis of ``f``, with one episode in memory at a time."""
    first = jax.tree.map(lambda x: x[0], episodes)
    if _count(episodes) == 1:
        return f(first)  # no loop: on CPU XLA compiles convolutions in loops badly

    f = jax.jit(f)  # traced once, for the shapes and for the loop

    def add(total, episode):
        return jax.tree.map(jnp.add, total, f(episode)), None

    nothing = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(f, first)
    )
    return jax.lax.scan(add, nothing, episodes)[0]
