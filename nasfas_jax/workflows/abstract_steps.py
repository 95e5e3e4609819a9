"""A training or search step with shapes in the place of data, and its compilation."""

import contextlib
import dataclasses
import math
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from nasfas_jax import runtime
from nasfas_jax.compilation import cache_in
from nasfas_jax.errors import InputError
from nasfas_jax.methods.state import computed_in
from nasfas_jax.nets.cost import macs_in
from nasfas_jax.ops import platform as forms
from nasfas_jax.runtime import devices, loop
from nasfas_jax.workflows.steps import Placement


@dataclasses.dataclass(frozen=True)
class Step:
    """A step of a method, with shapes in the place of data.

    Attributes:
      name: network or method.
      method: with ``init``, ``step`` and, for most, a mesh for several episodes.
      image_shape: shape of one input, see `View.input_shape`.
      map_size: side of the target maps.
      batch_size: clips of a batch, or of each group of an episode.
      groups: number of groups of an episode; 0 for batches of all domains.
      episodes: episodes per step, or parts of a batch of all domains.
      placement: mesh, sharding and type of the arithmetic.
    """

    name: str
    method: Any
    image_shape: tuple[int, ...]
    map_size: int
    batch_size: int
    groups: int
    episodes: int
    placement: Placement = dataclasses.field(default_factory=Placement)

    @property
    def mode(self) -> str:
        """Name of the differentiation mode; '' for a method without one."""
        mode = getattr(self.method, "mode", "")
        return mode if isinstance(mode, str) else mode.name

    @property
    def remat(self) -> bool | None:
        """See `Supervised.remat`; None for methods without it."""
        return getattr(self.method, "remat", None)

    def of(
        self,
        *,
        batch_size: int | None = None,
        mode: str = "",
        remat: bool | None = None,
    ) -> "Step":
        """Copy of the step with another batch size, differentiation mode or ``remat``."""
        changed: dict[str, Any] = {} if remat is None else {"remat": remat}
        if mode:
            changed["mode"] = mode
        method = dataclasses.replace(self.method, **changed)
        size = self.batch_size if batch_size is None else batch_size
        return dataclasses.replace(self, method=method, batch_size=size)

    def mesh(self, chips: list[Any]) -> Mesh:
        """The mesh that training makes of the devices.

        Raises:
          InputError: the slices do not divide the batch.
        """
        mesh = runtime.make_mesh(
            chips, episodes=self.episodes, shape=self.placement.mesh
        )
        try:
            devices.require_divided(
                mesh.shape,
                self.batch_size,
                of_groups=self.groups > 0,
                parts=1 if self.groups else self.episodes,
            )
        except InputError as error:
            text = f"{error.args[0]}{self._fitting(mesh.size)}"
            raise InputError(text, field=error.field) from None
        return mesh

    def _fitting(self, count: int) -> str:
        """A sentence on numbers of devices that divide the batch."""
        total = self.batch_size * self.episodes
        fitting = [n for n in range(1, total + 1) if self._divides(n)]
        near = sorted(sorted(fitting, key=lambda n: abs(n - count))[:2])
        return f" Numbers of devices that fit: {', '.join(map(str, near))}."

    def _divides(self, count: int) -> bool:
        return self.batch_size % (count // math.gcd(self.episodes, count)) == 0

    def trace(self, mesh: Mesh) -> jax.stages.Traced:
        """The compiled step of the training loop, traced for a mesh."""
        method = self.method
        if self.episodes > 1:
            method = dataclasses.replace(method, mesh=mesh)
        image = jax.ShapeDtypeStruct((1, *self.image_shape), np.float32)
        key = jax.eval_shape(lambda: jax.random.key(0))
        state = jax.eval_shape(method.init, key, image)
        shardings = devices.state_shardings(state, mesh, self.placement.sharding)
        state = _placed(state, shardings)
        axes = runtime.PART_AXES if self.episodes > 1 else runtime.BATCH_AXES
        if self.groups:
            axes = runtime.episode_axes(self.episodes)
        batch = self._batch()
        batch = _placed(batch, devices.shardings(batch, axes, mesh))
        run = computed_in(self.placement.compute, method.step)
        return loop.compile_step(run, shardings, mesh).trace(state, batch)

    def _batch(self) -> dict[str, Any]:
        """Shapes of a batch of `pipeline.train_batches` or of `pipeline.episodes`."""
        lead = (self.episodes,) if self.episodes > 1 else ()

        def clips(*shape: int) -> dict[str, Any]:
            shape, side = (*lead, *shape), (self.map_size,) * 2
            return {
                "image": jax.ShapeDtypeStruct((*shape, *self.image_shape), np.float32),
                "target": jax.ShapeDtypeStruct((*shape, *side), np.float32),
                "label": jax.ShapeDtypeStruct(shape, np.int32),
            }

        if not self.groups:
            return clips(self.batch_size)
        return {
            "support": clips(self.groups - 1, self.batch_size),
            "query": clips(self.batch_size),
            "query_domain": jax.ShapeDtypeStruct(lead, np.int32),
        }


class Compiled(NamedTuple):
    """A compiled step.

    Attributes:
      program: None where it needs more memory than the device has.
      flops: operations of one device by convolutions and matrix products, see `Plan`.
      refusal: the compiler's reason for None.
    """

    program: jax.stages.Compiled | None
    flops: float
    refusal: str = ""


def compiled(step: Step, mesh: Mesh) -> Compiled:
    """The step compiled for the devices of a mesh, which may be those of a topology."""
    here = mesh.devices.flat[0].platform == jax.default_backend()
    traced, flops = _traced(step, mesh, here)
    lowered = traced.lower()
    try:
        # A program for a topology is written to the cache and cannot be read from it.
        with contextlib.nullcontext() if here else cache_in(""):
            return Compiled(lowered.compile(), flops)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        refusal = str(error).splitlines()[0].partition(": ")[2]
        return Compiled(None, flops, refusal)


def lowered_flops(step: Step, mesh: Mesh, platform: str) -> tuple[float, float]:
    """Operations of a step lowered for a platform: traced, and by XLA's count."""
    traced, flops = _traced(step, mesh, here=False)
    costs: Any = traced.lower(lowering_platforms=(platform,)).cost_analysis() or {}
    return flops, costs.get("flops", 0.0)


def _traced(step: Step, mesh: Mesh, here: bool) -> tuple[jax.stages.Traced, float]:
    """The traced step, in this machine's forms of operators or in portable ones."""
    with contextlib.nullcontext() if here else forms.portable():
        traced = step.trace(mesh)
    return traced, 2.0 * macs_in(traced.jaxpr.jaxpr) / mesh.shape["data"]


def _placed(shapes: Any, shardings: Any) -> Any:
    """Shapes with shardings."""
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        shapes,
        shardings,
    )
