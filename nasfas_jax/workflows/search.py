"""Searching an architecture on the source domains of prepared data."""

import dataclasses
import functools
import html
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from nasfas_jax import attack_types, files, limits, nets, runtime
from nasfas_jax.data.loading import pipeline, prepared, provenance, views
from nasfas_jax.errors import InputError
from nasfas_jax.report import figures
from nasfas_jax.report.cells import draw_graph
from nasfas_jax.report.picture import Picture
from nasfas_jax.runtime import processes
from nasfas_jax.search import cost as costs
from nasfas_jax.search import genotype, spaces, trade_off
from nasfas_jax.search.space import SearchSpace
from nasfas_jax.theta import Learned
from nasfas_jax.workflows import collapse, records, searchers
from nasfas_jax.workflows import steps as steps_of
from nasfas_jax.workflows.data import domains, unseen
from nasfas_jax.workflows.trade_off import TradeOff
from nasfas_jax.workflows.train import FOLDER


class _Spaces(limits.Kind):
    """Objects of the registered classes of spaces, to which users add their own."""

    def __contains__(self, value: Any) -> bool:
        return type(value) in spaces.SPACES.values()


SPACES = _Spaces(object, "a search space, as nf.spaces.get('nas_fas') returns")


class Groups(NamedTuple):
    """The groups that the query of an episode is drawn from.

    Attributes:
      names: names of the groups, sorted.
      left_out: macro types without a group, since the protocol tests one of their attack
        types and does not teach it.
      unseen: these attack types.
    """

    names: list[str]
    left_out: list[str]
    unseen: list[str]


@dataclasses.dataclass(frozen=True, repr=False)
class Found:
    """An architecture found by a search.

    Attributes:
      genotype: the architecture.
      alphas: architecture weights at the end, ``{cell: [edges, operations]}``.
      metrics: logged metrics, one dictionary per logged step, none of a random
        architecture; ``alphas/<cell>`` are the
        candidates' probabilities [edges, operations].
      learned: training data of the search.
      seconds: time of the search with all earlier starts, compiling included.
      space: the space that was searched, whose channels a genotype may double.
      stopped: reason of an early end, see ``skip_limit``; '' without one.
    """

    genotype: genotype.Genotype
    alphas: dict[str, np.ndarray]
    metrics: list[dict[str, Any]]
    learned: provenance.Provenance
    seconds: float
    space: Any = None
    stopped: str = ""

    @property
    def warnings(self) -> list[str]:
        """Signs of a collapse in the alphas at the end, see `collapse.warnings`."""
        if not self.metrics:
            return []
        space, last = self.genotype.space, self.metrics[-1]
        cells = {name: np.array(last[f"alphas/{name}"]) for name in space.cells}
        return collapse.warnings(collapse.Choice.of(cells, space.legend))

    @property
    def net(self) -> nn.Module:
        """The network to train."""
        return nets.SearchedNet(self.genotype)

    def cells(self) -> Picture:
        """Drawing of the cells."""
        return draw_graph(self.genotype.space.graph(self.genotype))

    def health(self) -> Picture:
        """Entropy of the probabilities and share of skips, over the steps.

        Raises:
          InputError: a random architecture, which no steps led to.
        """
        if not self.metrics:
            raise InputError(
                "health: expected the metrics of a search, got none: a random architecture"
                " is not searched."
            )
        steps = [line["step"] for line in self.metrics]
        space = self.genotype.space
        over_time = {
            name: np.array([line[f"alphas/{name}"] for line in self.metrics])
            for name in space.cells
        }
        return figures.search_health(steps, over_time, space.legend)

    def trade_off(
        self,
        cost: str = "macs",
        *,
        image_size: int = 256,
        folder: str | pathlib.Path | None = None,
    ) -> TradeOff:
        """Architectures of this search from the most probable to the cheapest one.

        Args:
          cost: 'macs', 'parameters' or 'latency', see `search.cost.table`.
          image_size: side of the images, for 'latency'.
          folder: folder of the search, for 'latency': its measured seconds are used; they
            are measured anew if None.

        Raises:
          InputError: an unknown cost, or a random architecture, which has no alphas.
        """
        if not self.alphas or self.space is None:
            raise InputError(
                "trade_off: expected the alphas of a search, got none: a random"
                " architecture is not searched."
            )
        table = costs.table(self.space, cost, image_size=image_size, folder=folder)
        return TradeOff(trade_off.points(self.space, self.alphas, table), cost)

    def __repr__(self) -> str:
        return "\n".join(f"{k}: {text}" for k, text in self.genotype.texts().items())

    def _repr_html_(self) -> str:
        """HTML for notebooks: the cells and the course of the search."""
        pictures = (self.cells(), *([self.health()] if self.metrics else []))
        notes = [note for note in (self.stopped, *self.warnings) if note]
        shown = [*(picture.html for picture in pictures), *map(html.escape, notes)]
        return "".join(f"<p>{one}</p>" for one in shown)


def groups(data: prepared.Prepared, *, target: str = "", by: str = "domain") -> Groups:
    """The groups of a search's episodes; arguments as `search_architecture`.

    Raises:
      InputError: an unknown target or ``by``, or fewer than two groups.
    """
    sources, _ = domains(data, target)
    new = unseen(data)
    names = list(pipeline.groups(data, domains=sources, by=by, unseen=new))
    left_out = attack_types.macro_types(new) if by == "macro_type" else []
    return Groups(names, list(left_out), new)


def view_of(space: SearchSpace, view: pipeline.View | None) -> pipeline.View:
    """A view with the target and map size of a space, and the input of its branches."""
    found = dataclasses.replace(
        view or pipeline.View(), target=space.target, map_size=space.map_size
    )
    if branched := getattr(space, "input", None):
        found = dataclasses.replace(found, input=branched)
    return found


def search_architecture(
    data: prepared.Prepared,
    space: SearchSpace,
    *,
    target: str = "",
    method: str = "meta_nas",
    view: pipeline.View | None = None,
    theta: float | Learned | None = None,
    lam: float | Learned | None = None,
    by: str = "domain",
    steps: int = 48,
    batch_size: int = 4,
    episodes: int = 1,
    compute: str = "float32",
    mesh: str | None = None,
    sharding: str = "replicated",
    seed: int = 0,
    folder: str | pathlib.Path | None = None,
    skip_limit: float | None = None,
    log_every: int = 2,
    save_every: int = 20,
    **settings: Any,
) -> Found:
    """Searches by Meta-NAS (NAS-FAS Algorithm 1), DARTS, or at random.

    With ``method="darts"``, ``by="half"`` is the paper's NAS and ``by="domain"`` or
    ``"macro_type"`` its D/T-NAS.

    Args:
      data: prepared data, see `data.open_data`; two or more groups.
      space: search space of `search.spaces.get`.
      target: domain held out for testing; '' searches on all domains, or on the
        training split of the protocol that the data were opened with.
      method: 'meta_nas', 'darts' or 'random', see `searchers.METHODS`.
      view: input of the batches; the target is that of the space, and with branches the
        input. The default is the static-dynamic image.
      theta: share of central differences in the convolutions of the supernet and of the
        network that is found, see `theta`; None for the space's own.
      lam: share of central differences in the pooling, likewise.
      by: what the query of an episode is drawn from, 'domain' or 'macro_type'; or 'half',
        random halves of all clips for support and query. Macro types of which the
        protocol tests an attack type that it does not teach take no part.
      steps: number of search steps.
      batch_size: clips of each group in an episode.
      episodes: episodes per step, distributed over devices.
      compute: type of the networks' arithmetic, as in `train.train`.
      mesh: sizes of the axes of the devices, likewise.
      sharding: rule for the arrays of the state, likewise.
      seed: seed of weights, alphas, order and augmentation.
      folder: folder for checkpoints, metrics, ``record.json``, ``groups.json`` and
        ``genotype.json``, and with this cost ``latency.json``, from which an interrupted
        search resumes; a temporary one if None.
      skip_limit: share of the edges, from 0 to 1; the search ends early after the step at
        which skip is the strongest operation on more of them, once alphas are updated. None
        for no early end.
      log_every: steps between lines of metrics.
      save_every: steps between checkpoints.
      **settings: fields of the settings of the method, such as `searchers.DARTSSettings`:
        ``arch_order="first"``.

    Raises:
      InputError: an unknown or wrong setting, an unknown target, fewer than two groups,
        a ``folder`` with other settings or data, or a ``skip_limit`` in a space without
        skip.
      Stopped: by a signal, after a checkpoint.
      Diverged: the loss is not finite.
    """
    limits.require(
        data=(data, prepared.DATA),
        space=(space, SPACES),
        view=(view, views.VIEW),
        steps=(steps, limits.COUNT),
        batch_size=(batch_size, pipeline.BATCH_SIZES),
        episodes=(episodes, limits.COUNT),
        seed=(seed, limits.SEED),
        folder=(folder, FOLDER),
        skip_limit=(skip_limit, collapse.SKIP_LIMIT),
        log_every=(log_every, limits.COUNT),
        save_every=(save_every, limits.COUNT),
    )
    space = _with_weights(space, theta, lam)
    placement = steps_of.Placement(mesh, sharding, compute)
    chosen = searchers.settings_of(method, **settings)
    view = view_of(space, view)
    drawn = groups(data, target=target, by=by)
    sources, _ = domains(data, target)
    given = {
        "method": method,
        "view": dataclasses.asdict(view),
        "by": by,
        "batch_size": batch_size,
        "episodes": episodes,
        **({} if skip_limit is None else {"skip_limit": skip_limit}),
        **({} if compute == "float32" else {"compute": compute}),
        **dataclasses.asdict(chosen),
    }
    learned = provenance.Provenance.of(data, sources)
    record = records.Record(_decisive(seed, space, given), learned, [steps])
    if isinstance(chosen, searchers.RandomSettings):
        return _at_random(space, seed, record, folder)
    search = chosen.make_method(space, steps=steps)
    collapsed = collapse.early_end(space, skip_limit, search.alphas_from)
    draw = functools.partial(
        pipeline.episodes,
        data,
        domains=sources,
        seed=seed,
        by=by,
        unseen=drawn.unseen,
        view=view,
    )
    placed = steps_of.of_episodes(search, draw, batch_size, episodes, placement)
    image = np.zeros((1, *view.input_shape(data.recipe)), np.float32)
    every = {"log_every": log_every, "save_every": save_every}
    with records.opened(folder, record, mesh=mesh, sharding=sharding, **every) as path:
        of_episodes = {"by": by, "groups": drawn.names}
        processes.once(lambda: files.write_json(path / "groups.json", of_episodes))
        placed = _with_cost(placed, chosen.cost, data.recipe.image_size, path)
        state = placed.init(seed, image)
        return _run(placed, state, learned, collapsed, path, steps=steps, **every)


def _with_weights(space: Any, theta: Any, lam: Any) -> Any:
    """A space with the theta and lambda that are not None."""
    weights = {"theta": theta, "lam": lam}
    given = {name: value for name, value in weights.items() if value is not None}
    return spaces.with_options(space, **given)


def _decisive(seed: int, space: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a search that decide its result."""
    options = {k: v for k, v in dataclasses.asdict(space).items() if v is not None}
    searched = {"space": space.name, "space_options": options, **given}
    return records.decisive({"seed": seed, "search": searched})


def _at_random(
    space: Any,
    seed: int,
    record: records.Record,
    folder: str | pathlib.Path | None,
) -> Found:
    """A random architecture, stored in the folder."""
    found = space.sample(seed)
    if folder is not None:
        with records.opened(folder, record) as path:
            processes.once(lambda: genotype.save(path / "genotype.json", found))
    return Found(found, {}, [], record.learned, 0.0, space)


def _with_cost(
    placed: steps_of.Steps, cost: str, image_size: int, folder: pathlib.Path
) -> steps_of.Steps:
    """Steps whose relative cost is that of the name.

    Args:
      placed: steps of a search, whose cost is 'macs'.
      cost: a name of `search.cost.COSTS`.
      image_size: side of the images, for 'latency'.
      folder: folder in which measured latencies are stored.
    """
    if cost == "macs":
        return placed
    space = placed.method.net.space
    made = functools.partial(
        costs.table, space, cost, image_size=image_size, folder=folder
    )
    processes.once(lambda: bool(made()))  # measured latencies are written down
    relative = functools.partial(costs.relative, space, made())
    return placed._replace(method=dataclasses.replace(placed.method, cost=relative))


def _run(
    placed: steps_of.Steps,
    state: Any,
    learned: provenance.Provenance,
    collapsed: Callable[[Any], str],
    folder: pathlib.Path,
    **options: Any,
) -> Found:
    """Runs the steps of a search, and stores and returns what it found.

    Args:
      placed: the steps.
      state: the initial state.
      learned: training data.
      collapsed: reason to end at a state, '' for none.
      folder: folder of the search.
      **options: ``steps``, ``log_every`` and ``save_every``.
    """
    space = placed.method.net.space
    began = time.monotonic()
    state, seconds = placed.fit(
        "search",
        state,
        folder=folder,
        extra_metrics=lambda state: _probabilities(space, runtime.fetch(state.alphas)),
        ends=lambda state: bool(collapsed(state)),
        **options,
    )
    alphas, done = runtime.fetch((state.alphas, state.step))
    done = int(done)
    found = space.derive(alphas)
    processes.require_same("genotype", found.as_dict())
    wall = time.monotonic() - began
    stopped = collapsed(state) if done < options["steps"] else ""
    facts = {"stopped": stopped} if stopped else {}

    def write() -> dict[str, Any]:
        genotype.save(folder / "genotype.json", found)
        return records.summarize(folder, facts, done, seconds, wall)

    wall = processes.once(write)["wall_seconds"]
    metrics = runtime.read_metrics(folder)
    return Found(found, alphas, metrics, learned, wall, space, stopped)


def _probabilities(space: SearchSpace, alphas: Any) -> dict[str, np.ndarray]:
    """Candidates' probabilities of each cell, [edges, operations], to be logged.

    With branches also those of the fusion points.
    """
    found = dict(space.probabilities(alphas))
    if getattr(space, "fusions", ()):
        found["fusion"] = jax.nn.softmax(alphas["fusion"])
    return {f"alphas/{name}": np.asarray(value) for name, value in found.items()}
