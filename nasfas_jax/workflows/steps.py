"""The steps of a method: its batches, their places on the devices, and the run."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from nasfas_jax import limits, runtime
from nasfas_jax.compilation import run_once
from nasfas_jax.data.loading import pipeline, prepared
from nasfas_jax.errors import InputError
from nasfas_jax.methods.state import COMPUTE, computed_in
from nasfas_jax.runtime import devices
from nasfas_jax.workflows import registry

MESH = limits.OrNone(limits.TEXT)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Devices of a run; whatever it is, results differ by rounding alone.

    Attributes:
      mesh: sizes of the axes, see `runtime.make_mesh`; None: by the number of episodes.
      sharding: rule for the arrays of the state, one of `runtime.STATE_RULES`.
      compute: type of the networks' arithmetic, one of `methods.state.COMPUTE`; it does
        change results.
    """

    mesh: str | None = None
    sharding: str = "replicated"
    compute: str = "float32"

    def __post_init__(self):
        limits.require(
            mesh=(self.mesh, MESH),
            sharding=(self.sharding, limits.OneOf(runtime.STATE_RULES)),
            compute=(self.compute, limits.OneOf(COMPUTE)),
        )

    def of(self, episodes: int, batch_size: int, *, of_groups: bool = False) -> Mesh:
        """The mesh for the episodes, or the parts of a batch, of a step.

        Raises:
          InputError: a mesh that was given, or that of several processes, does not divide
            the batch.
        """
        mesh = runtime.make_mesh(episodes=episodes, shape=self.mesh)
        if self.mesh is not None or jax.process_count() > 1:
            parts = 1 if of_groups else episodes
            devices.require_divided(
                mesh.shape, batch_size, of_groups=of_groups, parts=parts
            )
        return mesh


class Steps(NamedTuple):
    """A method, its batches, and their places.

    Attributes:
      method: the method, with the mesh if it needs one.
      batches: endless iterator.
      batch_axes: partitioned axes of a batch.
      mesh: mesh of the devices.
      placement: what it was made by.
    """

    method: Any
    batches: Any
    batch_axes: Any
    mesh: Mesh
    placement: Placement

    def init(self, seed: int, image: np.ndarray) -> Any:
        """The initial state, built in its places."""
        rule, key = self.placement.sharding, jax.random.key(seed)
        shapes = jax.eval_shape(self.method.init, key, image)
        places = devices.state_shardings(shapes, self.mesh, rule)
        return run_once(self.method.init, key, image, shardings=places)

    def fit(
        self, name: str, state: Any, *, folder: pathlib.Path, **options: Any
    ) -> tuple[Any, float]:
        """Runs the steps; arguments and result as those of `runtime.fit`."""
        return runtime.fit(
            name,
            computed_in(self.placement.compute, self.method.step),
            state,
            self.batches,
            folder=folder,
            batch_axes=self.batch_axes,
            mesh=self.mesh,
            sharding=self.placement.sharding,
            **options,
        )


def of_training(
    method: Any,
    data: prepared.Prepared,
    *,
    sources: Sequence[str],
    batch_size: int,
    episodes: int,
    accumulate: int,
    placement: Placement,
    **options: Any,
) -> Steps:
    """The steps of a training.

    Args:
      method: method that trains networks.
      data: prepared data.
      sources: source domains.
      batch_size: clips of a batch, or of an episode.
      episodes: as in `train.train`.
      accumulate: likewise.
      placement: devices.
      **options: options of the batches.

    Raises:
      InputError: data without live or spoof clips, a batch that the parts, the domains or
        the mesh do not divide, or parts of an episode.
    """
    total = batch_size * episodes
    require_parts(method, total, accumulate)
    if method.batches == "episodes":
        size = registry.clips_per_domain(batch_size, len(sources))
        draw = functools.partial(pipeline.episodes, data, domains=sources, **options)
        return of_episodes(method, draw, size, episodes, placement)
    size = total // accumulate
    mesh = placement.of(accumulate, size)
    if accumulate > 1:
        method = dataclasses.replace(method, mesh=mesh)
    batches = pipeline.train_batches(
        data,
        domains=sources,
        batch_size=size,
        parts=accumulate,
        share=runtime.share(mesh, accumulate, size),
        **options,
    )
    axes = runtime.PART_AXES if accumulate > 1 else runtime.BATCH_AXES
    return Steps(method, batches, axes, mesh, placement)


def require_parts(method: Any, batch_size: int, accumulate: int) -> None:
    """Requires parts that a method takes and that divide its batch.

    Args:
      method: method that trains networks.
      batch_size: clips of a batch of all domains.
      accumulate: number of parts.

    Raises:
      InputError: neither.
    """
    limits.require(accumulate=(accumulate, limits.COUNT))
    if method.batches == "episodes" and accumulate > 1:
        raise InputError(
            "expected 1 for a method of episodes, which are computed one after the"
            f" other and averaged, got {accumulate}. Use episodes instead.",
            field="accumulate",
        )
    if method.batches == "pooled" and batch_size % accumulate:
        raise InputError(
            f"expected a divisor of the {batch_size} clips of a batch, got {accumulate}.",
            field="accumulate",
        )


def of_episodes(
    method: Any,
    draw: Callable[..., Any],
    batch_size: int,
    episodes: int,
    placement: Placement,
) -> Steps:
    """The steps of a method that takes episodes.

    Args:
      method: search method, or method that trains networks.
      draw: `pipeline.episodes` with its other arguments.
      batch_size: clips of each group.
      episodes: number of episodes per step.
      placement: devices.

    Raises:
      InputError: data without live or spoof clips, or a mesh that does not divide them.
    """
    mesh = placement.of(episodes, batch_size, of_groups=True)
    if episodes > 1:
        method = dataclasses.replace(method, mesh=mesh)
    batches = draw(
        batch_size=batch_size,
        episodes=episodes,
        share=runtime.share(mesh, episodes, batch_size),
    )
    axes = runtime.episode_axes(episodes)
    return Steps(method, batches, axes, mesh, placement)
