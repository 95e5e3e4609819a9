"""Memory, operations and traffic of a training or search step, before anything is run.

The step that `train` or `search_architecture` would run is compiled ahead of time, from
shapes alone: no data are read, nothing is computed, and no TPU is needed to compile for one.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
from jax.sharding import Mesh

from nasfas_jax import bilevel, limits, tables
from nasfas_jax.data.loading import pipeline, views
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.methods.state import schedule
from nasfas_jax.runtime import programs, topologies
from nasfas_jax.search.space import SearchSpace
from nasfas_jax.theta import Weight
from nasfas_jax.workflows import registry, searchers
from nasfas_jax.workflows import search as searching
from nasfas_jax.workflows import steps as steps_of
from nasfas_jax.workflows import train as training
from nasfas_jax.workflows.abstract_steps import Step, compiled, lowered_flops
from nasfas_jax.workflows.steps import Placement

#: Platforms for which a step is lowered and not compiled.
LOWERED = ("cuda", "rocm")
#: Doublings of the batch at most.
DOUBLINGS = 10


@dataclasses.dataclass(frozen=True)
class Fit:
    """The largest batch of a differentiation mode in a memory.

    Attributes:
      mode: its name, or 'remat'; '' for a method without modes.
      batch_size: clips of a batch, or of each group; 0 if the step's own does not fit.
      bytes: memory of one device at this size; at the step's own if that does not fit, 0
        where the compiler refuses it.
      compiles: number of programs compiled for the answer.
    """

    mode: str
    batch_size: int
    bytes: int
    compiles: int


@dataclasses.dataclass(frozen=True, repr=False)
class Plan:
    """Figures of one device for one step; `table` has them as rows.

    Attributes:
      step: what was planned.
      target: topology, platform or device.
      mesh: number of slices by axis.
      memory: by kind; None where the step is not compiled.
      flops: operations of convolutions and matrix products, from the traced step: all
        turns of loops, both branches of conditions.
      xla_flops: operations by XLA's count, with the body of a loop counted once.
      bytes_accessed: bytes read and written by XLA's count, scaled by ``flops`` over
        ``xla_flops`` where loops make that more than 1; None where it is not known.
      collectives: operations between devices.
      chip: published figures of the device; None where there are none.
      fits: largest batches.
      limit: bytes that they were to fit.
    """

    step: Step
    target: str
    mesh: Mapping[str, int]
    memory: programs.Memory | None
    flops: float
    xla_flops: float
    bytes_accessed: float | None
    collectives: tuple[programs.Collective, ...]
    chip: topologies.Chip | None
    fits: tuple[Fit, ...] = ()
    limit: float = 0.0

    @property
    def seconds(self) -> dict[str, float]:
        """Least seconds of a step by the published figures, for each resource.

        An estimate, never reached: the largest is the roofline. A result of n bytes of an
        all-reduce counts as 2n sent and received by each device, others as n.
        """
        if self.chip is None or self.bytes_accessed is None:
            return {}
        flops = max(self.flops, self.xla_flops)
        found = {
            "compute": flops / self.chip.flops[self.step.placement.compute],
            "memory": self.bytes_accessed / self.chip.bandwidth,
        }
        if self.chip.interconnect:
            sent = sum(
                one.bytes * one.times * (2 if one.kind == "all-reduce" else 1)
                for one in self.collectives
            )
            found["interconnect"] = sent / self.chip.interconnect
        return found

    def traffic(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Executions and bytes of collectives per step, by their kind and axes."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for one in self.collectives:
            key = (one.kind, " and ".join(one.axes))
            count, size = found.get(key, (0, 0))
            found[key] = (count + one.times, size + one.times * one.bytes)
        return found

    def table(self) -> tables.Rows:
        """The figures as rows of text, header first."""
        axes = ", ".join(f"{axis} {n}" for axis, n in self.mesh.items())
        rows = [["per device and step", self.target], ["mesh", axes]]
        size = f"{self.step.batch_size} clips"
        if self.step.groups:
            size += f" of each of {self.step.groups} groups"
        rows.append(["batch", f"{size}, {self.step.episodes} episode(s)"])
        if self.step.mode:
            rows.append(["meta-gradient mode", self.step.mode])
        if self.step.remat:
            rows.append(["stored for the backward pass", "outputs of convolutions"])
        if self.memory is not None:
            kinds = dataclasses.asdict(self.memory) | {"total": self.memory.total}
            rows += [[f"memory: {k}", quantity(n, "B")] for k, n in kinds.items()]
        rows.append(["operations, traced", quantity(self.flops, "FLOP")])
        rows.append(["operations, by XLA", quantity(self.xla_flops, "FLOP")])
        if self.bytes_accessed is not None:
            rows.append(["bytes accessed", quantity(self.bytes_accessed, "B")])
        for (kind, axes), (count, size) in sorted(self.traffic().items()):
            rows.append([f"{kind} over {axes}", f"{count}, {quantity(size, 'B')}"])
        return [*rows, *self._estimates()]

    def _estimates(self) -> list[list[str]]:
        rows = [
            [f"estimated least time: {resource}", quantity(seconds, "s")]
            for resource, seconds in self.seconds.items()
        ]
        for fit in self.fits:
            found = f"{fit.batch_size} clips, {quantity(fit.bytes, 'B')}"
            if not fit.batch_size:
                found = f"does not fit with {self.step.batch_size} clips"
            limit = f"{self.limit / 2**30:.4g} GiB"
            name = f"largest batch in {limit}{fit.mode and f', {fit.mode}'}"
            rows.append([name, f"{found} ({fit.compiles} compiles)"])
        return rows

    def __repr__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> str:
        return tables.as_html(self.table())


def quantity(number: float, unit: str) -> str:
    """A number with three digits and the decimal prefix of its unit.

    >>> quantity(35_400_000, "B"), quantity(1.5e-5, "s"), quantity(0, "B")
    ('35.4 MB', '15 us', '0 B')
    """
    exponent = math.floor(math.log10(number) / 3) if number > 0 else 0
    exponent = min(max(exponent, -3), 5)
    prefix = {-3: "n", -2: "u", -1: "m", 0: ""}.get(exponent) or " kMGTP"[exponent]
    return f"{number / 1000.0**exponent:.4g} {prefix.strip()}{unit}"


def plan_search(
    space: SearchSpace,
    recipe: Recipe,
    *,
    method: str = "meta_nas",
    view: pipeline.View | None = None,
    groups: int = 3,
    batch_size: int = 4,
    episodes: int = 1,
    steps: int = 48,
    compute: str = "float32",
    mesh: str | None = None,
    sharding: str = "replicated",
    topology: str = "",
    platform: str = "",
    memory: float | None = None,
    modes: Sequence[str] | None = None,
    **settings: Any,
) -> Plan:
    """The plan of a step of `search_architecture`.

    Args:
      space: as in `search_architecture`, like all arguments that are not described here.
      recipe: recipe of the data, of which the image size counts.
      method: 'meta_nas' or 'darts'.
      view: input of the batches.
      groups: number of groups of an episode: source domains, macro types, or 2 halves.
      batch_size: clips of each group.
      episodes: episodes per step.
      steps: number of steps.
      compute: as in `search_architecture`.
      mesh: likewise.
      sharding: likewise.
      topology: as in `plan_step`, like the arguments below.
      platform: see there.
      memory: see there.
      modes: see there.
      **settings: settings of the method.

    Raises:
      InputError: a wrong setting, or as `plan_step`.
    """
    limits.require(
        space=(space, searching.SPACES),
        method=(method, limits.OneOf([m for m in searchers.METHODS if m != "random"])),
        groups=(groups, limits.TWO_OR_MORE),
        view=(view, views.VIEW),
    )
    view = searching.view_of(space, view)
    step = Step(
        name=f"search by {method}",
        method=searchers.settings_of(method, **settings).make_method(
            space, steps=steps
        ),
        image_shape=view.input_shape(recipe),
        map_size=view.map_size,
        batch_size=batch_size,
        groups=groups,
        episodes=episodes,
        placement=Placement(mesh, sharding, compute),
    )
    targets = {"topology": topology, "platform": platform}
    return plan_step(step, memory=memory, modes=modes, **targets)


def plan_training(
    net: nn.Module | str | Mapping[str, Any],
    recipe: Recipe,
    *,
    theta: Weight | None = None,
    lam: Weight | None = None,
    view: pipeline.View | None = None,
    groups: int = 3,
    batch_size: int = 8,
    episodes: int = 1,
    accumulate: int = 1,
    remat: bool = False,
    compute: str = "float32",
    mesh: str | None = None,
    sharding: str = "replicated",
    loss: registry.Loss | None = None,
    optimizer: str | None = None,
    topology: str = "",
    platform: str = "",
    memory: float | None = None,
    modes: Sequence[str] | None = None,
) -> Plan:
    """The plan of a step of `train`.

    Args:
      net: as in `train`, like all arguments that are not described here.
      recipe: recipe of the data, of which the image size and the frames count.
      theta: as in `train`.
      lam: as in `train`.
      view: input and target of the batches.
      groups: number of source domains.
      batch_size: clips of a batch; of an episode, the same number of each domain.
      episodes: episodes per step; a batch of all domains is as many times larger.
      accumulate: as in `train`, like the arguments below.
      remat: see there.
      compute: see there.
      mesh: see there.
      sharding: see there.
      loss: see there.
      optimizer: see there.
      topology: as in `plan_step`, like the arguments below.
      platform: see there.
      memory: see there.
      modes: see there.

    Raises:
      InputError: a wrong setting, hand-crafted features, or as `plan_step`.
    """
    limits.require(groups=(groups, limits.TWO_OR_MORE), view=(view, views.VIEW))
    description = training.describe(net, groups, theta, lam)
    if "features" in description:
        raise InputError(
            f"expected a network or method with steps, got {description['features']!r},"
            " hand-crafted features, which are fitted on a processor.",
            field="net",
        )
    view = training.view_of(description, view)
    registry.require_input(description, view)
    if "method" in description:
        registry.require_sizes(description["method"], recipe.image_size, view.map_size)
    rate = schedule("constant", 1e-3, steps=1)  # no figure depends on it
    chosen = registry.OPTIMIZERS[optimizer or registry.default_optimizer(description)]
    transformation = chosen(rate, weight_decay=5e-5)
    method = registry.make_method(description, transformation, loss, remat=remat)
    pooled = method.batches == "pooled"
    size = registry.clips_per_domain(batch_size, groups) if not pooled else batch_size
    steps_of.require_parts(method, size * episodes, accumulate)
    step = Step(
        name=f"training of {registry.name_of(description)}",
        method=method,
        image_shape=view.input_shape(recipe),
        map_size=view.map_size,
        batch_size=size * episodes // accumulate if pooled else size,
        groups=0 if pooled else groups,
        episodes=accumulate if pooled else episodes,
        placement=Placement(mesh, sharding, compute),
    )
    targets = {"topology": topology, "platform": platform}
    return plan_step(step, memory=memory, modes=modes, **targets)


def plan_step(
    step: Step,
    *,
    topology: str = "",
    platform: str = "",
    memory: float | None = None,
    modes: Sequence[str] | None = None,
) -> Plan:
    """Compiles a step ahead of time and reads its figures.

    The largest batch is found by doubling: two programs give the memory by clip, from which
    the last doubling that fits is predicted; it is compiled, and halved until it fits.

    Args:
      step: the step.
      topology: TPU topology, as 'v5e:4x4'; '' for this machine's devices.
      platform: 'cuda' or 'rocm': the step for one device is lowered and not compiled,
        which gives its operations and no memory; '' to compile.
      memory: bytes of a device that the largest batch is to fit; None for the chip's, if
        its figures are known, and otherwise no search for a batch.
      modes: differentiation modes whose largest batch is searched for; None for the
        step's own, of a network with and without ``remat``; an empty list for none.

    Raises:
      InputError: libtpu is missing, an unknown topology, platform or mode, a topology and
        a platform, a batch that the devices do not divide, or a step that needs more
        memory than the chip has.
    """
    limits.require(
        batch_size=(step.batch_size, limits.COUNT),
        episodes=(step.episodes, limits.COUNT),
        platform=(platform, limits.OneOf(("", *LOWERED))),
        memory=(memory, limits.OrNone(limits.POSITIVE)),
    )
    for mode in modes or ():
        limits.require(modes=(mode, limits.OneOf(bilevel.MODES if step.mode else ())))
    if platform and topology:
        raise InputError(
            f"expected a topology or a platform, got {topology!r} and {platform!r}.",
            field="platform",
        )
    if platform:
        return _lowered(step, platform)
    chips = topologies.devices(topology) if topology else jax.devices()
    kind = chips[0].device_kind
    chip = topologies.CHIPS.get(kind)
    mesh = step.mesh(chips)
    program, flops, refusal = compiled(step, mesh)
    if program is None:
        raise InputError(
            f"expected a step that fits one device of {topology or kind}, and the compiler"
            f" finds that it does not: {refusal} A smaller batch, more devices, another"
            " mode or remat needs less.",
            field="batch_size",
        )
    costs: Any = program.cost_analysis() or {}
    by_xla = costs.get("flops", 0.0)
    accessed = costs.get("bytes accessed")
    found = Plan(
        step=step,
        target=topology or f"{mesh.size} x {kind}",
        mesh=dict(mesh.shape),
        memory=programs.Memory.of(program),
        flops=flops,
        xla_flops=by_xla,
        bytes_accessed=accessed and accessed * max(1.0, flops / max(by_xla, 1.0)),
        collectives=tuple(programs.collectives(program.as_text() or "", mesh)),
        chip=chip,
    )
    limit = memory or (chip.memory if chip else None)
    if limit is None:
        return found
    fits = [
        largest_batch(_sizes(other, mesh, found), step.batch_size, limit, name)
        for name, other in _alternatives(step, modes).items()
    ]
    return dataclasses.replace(found, fits=tuple(fits), limit=limit)


def largest_batch(
    size: Callable[[int], int | None], batch_size: int, limit: float, mode: str = ""
) -> Fit:
    """The largest batch that fits, among doublings of ``batch_size``.

    Args:
      size: bytes of a device by the batch size; None where the compiler refuses it.
      batch_size: the smallest batch.
      limit: bytes that fit.
      mode: as in `Fit`.
    """
    known: dict[int, int | None] = {}

    def fits(n: int) -> bool:
        if n not in known:
            known[n] = size(n)
        found = known[n]
        return found is not None and found <= limit

    if not fits(batch_size):
        return Fit(mode, 0, known[batch_size] or 0, len(known))
    best = batch_size
    if fits(2 * batch_size):
        first, second = known[batch_size] or 0, known[2 * batch_size] or 0
        growth = max(second - first, 1)
        best = 2 * batch_size
        turns = (
            n for n in range(DOUBLINGS, 1, -1) if first + growth * (2**n - 1) <= limit
        )
        for n in range(next(turns, 1), 1, -1):
            if fits(batch_size * 2**n):
                best = batch_size * 2**n
                break
    return Fit(mode, best, known[best] or 0, len(known))


def _alternatives(step: Step, modes: Sequence[str] | None) -> dict[str, Step]:
    """Steps to fit in memory: of each mode, or with and without ``remat``."""
    if modes is not None:
        return {mode: step.of(mode=mode) for mode in modes}
    if step.remat is None:
        return {step.mode: step}
    return {"": step.of(remat=False), "remat": step.of(remat=True)}


def _sizes(step: Step, mesh: Mesh, known: Plan) -> Callable[[int], int | None]:
    """Bytes of a device by the batch size; those of the plan are not compiled again."""

    def size(batch_size: int) -> int | None:
        same = (step.mode, step.remat) == (known.step.mode, known.step.remat)
        if same and batch_size == known.step.batch_size:
            return known.memory.total if known.memory else None
        program = compiled(step.of(batch_size=batch_size), mesh).program
        return None if program is None else programs.Memory.of(program).total

    return size


def _lowered(step: Step, platform: str) -> Plan:
    """The plan of a step that is not compiled, for one device."""
    mesh = step.mesh(jax.devices()[:1])
    flops, by_xla = lowered_flops(step, mesh, platform)
    return Plan(
        step=step,
        target=f"1 x {platform}, not compiled",
        mesh=dict(mesh.shape),
        memory=None,
        flops=flops,
        xla_flops=by_xla,
        bytes_accessed=None,
        collectives=(),
        chip=None,
    )
