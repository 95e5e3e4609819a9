"""Ablation of theta or lambda: all settings and seeds trained by one compiled program."""

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from nasfas_jax import evaluation, files, limits, nets, runtime, tables
from nasfas_jax import theta as thetas
from nasfas_jax.data.loading import augment as augmentation
from nasfas_jax.data.loading import pipeline, prepared, provenance, views
from nasfas_jax.errors import InputError, renaming
from nasfas_jax.evaluation.evaluate import rate
from nasfas_jax.methods.state import TrainState, adam, schedule
from nasfas_jax.methods.supervised import Supervised
from nasfas_jax.report import ablation
from nasfas_jax.report.picture import Picture
from nasfas_jax.workflows import evaluate, records, registry
from nasfas_jax.workflows.data import Tested, domains, tested
from nasfas_jax.workflows.swept import NAMES, Program
from nasfas_jax.workflows.train import FOLDER, SEARCHED, example_image


class _Seeds(limits.Kind):
    """Lists of different seeds."""

    def __contains__(self, value: Any) -> bool:
        return value in limits.Several(limits.SEED)


SEEDS = _Seeds(object, "a number of seeds, 1 or more, or a list of different seeds")


@dataclasses.dataclass(frozen=True)
class Run:
    """One trained network of an ablation.

    Attributes:
      input: input image, see `views.View`.
      value: value of theta or lambda.
      seed: seed of weights, order and augmentation.
      loss: training loss of the last step.
      threshold: threshold from source development data.
      acer: mean of the worst attack type's APCER and BPCER on test data, 0 to 1.
      hter: mean of FAR and FRR on test data, 0 to 1.
      auc: area under the ROC curve on test data, 0 to 1.
    """

    input: str
    value: float
    seed: int
    loss: float
    threshold: float
    acer: float
    hter: float
    auc: float


@dataclasses.dataclass(frozen=True, repr=False)
class Ablation:
    """Error rates by theta or lambda; a table in a terminal and in a notebook.

    Attributes:
      swept: 'theta' or 'lam'.
      runs: a run for each input, value and seed, in this order.
    """

    swept: str
    runs: tuple[Run, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """The values of theta or lambda."""
        return tuple(dict.fromkeys(run.value for run in self.runs))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The input images."""
        return tuple(dict.fromkeys(run.input for run in self.runs))

    def rates(self, metric: str, input: str) -> np.ndarray:
        """Rates [seeds, values] of one input image.

        Args:
          metric: 'acer', 'hter' or 'auc'.
          input: one of ``inputs``.

        Raises:
          InputError: another metric or input.
        """
        limits.require(
            metric=(metric, limits.OneOf(ablation.METRICS)),
            input=(input, limits.OneOf(self.inputs)),
        )
        rates = [getattr(run, metric) for run in self.runs if run.input == input]
        return np.reshape(rates, (len(self.values), -1)).T

    def table(self) -> list[list[str]]:
        """Rows of text: mean and sample standard deviation over seeds, in percent."""
        head = ["input", NAMES[self.swept], "seeds"]
        rows = [[*head, *(f"{name}, %" for name in ablation.METRICS.values())]]
        for name in self.inputs:
            columns = [100 * self.rates(metric, name) for metric in ablation.METRICS]
            for i, value in enumerate(self.values):
                cells = [_mean_and_deviation(rates[:, i]) for rates in columns]
                rows.append([name, f"{value:g}", str(len(columns[0])), *cells])
        return rows

    def panel(self, metric: str = "acer") -> ablation.Panel:
        """The curves of one metric, to be drawn with others by `ablation.bands`."""
        curves = {
            name.replace("_", "-"): self.rates(metric, name) for name in self.inputs
        }
        title = ablation.METRICS[metric]
        return ablation.Panel(NAMES[self.swept], title, self.values, curves)

    def curves(self, metric: str = "acer") -> Picture:
        """A metric against theta or lambda, as NAS-FAS figure 9a.

        Args:
          metric: 'acer', 'hter' or 'auc'.
        """
        return ablation.bands([self.panel(metric)])

    def __repr__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return tables.as_html(self.table())


def ablate(
    data: prepared.Prepared,
    net: nn.Module | str,
    *,
    theta: float | Sequence[float] | None = None,
    lam: float | Sequence[float] | None = None,
    seeds: int | Sequence[int] = 3,
    target: str = "",
    inputs: Sequence[str] = ("static_dynamic",),
    view: pipeline.View | None = None,
    steps: int = 1500,
    batch_size: int = 8,
    learning_rate: float = 5e-3,
    decay: str = "cosine",
    weight_decay: float = 5e-5,
    augment: str = "flip",
    chunk: int | None = None,
    rule: str = "eer",
    searched: provenance.Provenance | None = None,
    folder: str | os.PathLike | None = None,
) -> Ablation:
    """Trains and tests a network for each of several values of theta or lambda.

    theta or lambda is an argument of one compiled program, which trains all values and seeds.
    The run of a value and a seed is the training of `train` with this seed: the same first
    weights, batches and augmentation. All values of a seed are given the same batches. The
    results agree up to rounding, which training amplifies: scaling the first weights by
    1 + 1e-7 moves losses by about 2e-3 after 40 steps. Hence several seeds.

    Steps are not saved: an interrupted ablation repeats the input that it was at, and all
    inputs without a ``folder``. Of several devices, one is used.

    Args:
      data: prepared data, see `data.open_data`.
      net: a network of `nets.build` or of a genotype, or a name for `nets.build`. NAS-FAS
        figure 9a has theta on 'cdn_cdc' and lambda on 'cdn_cdp'.
      theta: different values of theta, 0 to 1, as [0, 0.1, ..., 1] in figure 9a; or one
        number, where ``lam`` is a list; None for the network's own.
      lam: values of lambda, likewise. One of both is a list.
      seeds: number of seeds, from 0 on, or the seeds.
      target: domain held out for testing, see `train`.
      inputs: input images, see `views.View`; all values are trained on each.
      view: color space, target and pixel range of the batches; its input is replaced.
      steps: number of steps of each training.
      batch_size: clips of a batch, half of them live.
      learning_rate: highest learning rate of Adam.
      decay: course of the learning rate, see `methods.state.schedule`.
      weight_decay: L2 coefficient of the weights.
      augment: recipe in `data.loading.augment`.
      chunk: number of networks that are trained side by side, by ``vmap``; the others wait
        in a loop of the same program. None: 1 on CPU, where convolutions with a batch of
        kernels are several times slower, and all on other devices. Fewer need less memory.
      rule: threshold rule, see `evaluation.thresholds.find`.
      searched: training data of the search that found the architecture.
      folder: folder for ``record.json`` and ``<input>.json``, the runs of each input; those
        that are there already are not trained again. None: nothing is written.

    Raises:
      InputError: a setting out of range, values of both, of neither or for a network
        that has none, an unknown target, tested subjects or domains that were learned
        from, or a ``folder`` with other settings or data.
      Diverged: a loss is not finite.
    """
    swept, values, module = _settings(net, theta, lam)
    seeds = _seeds(seeds)
    inputs = [inputs] if isinstance(inputs, str) else inputs
    limits.require(
        data=(data, prepared.DATA),
        inputs=(inputs, limits.Several(views.INPUT)),
        view=(view, views.VIEW),
        steps=(steps, limits.COUNT),
        batch_size=(batch_size, pipeline.BATCH_SIZES),
        augment=(augment, limits.OneOf(augmentation.RECIPES)),
        chunk=(chunk, limits.OrNone(limits.COUNT)),
        searched=(searched, SEARCHED),
        folder=(folder, FOLDER),
    )
    evaluation.thresholds.find(rule)
    sources, _ = domains(data, target)
    plan = tested(data, target)
    learned = provenance.Provenance.of(data, sources)
    for what, one in (("The ablation", learned), ("The search", searched)):
        if one is not None:
            provenance.require_unseen(one, data, plan._asdict(), what=what)
    each = _views(module, view, inputs)
    rate = schedule(decay, learning_rate, steps=steps)
    method = Supervised(module, adam(rate, weight_decay=weight_decay))
    program = Program(method, swept, values, seeds, chunk)
    settings = {
        **{"swept": swept, "values": list(values), "seeds": seeds, "length": steps},
        **{"batch_size": batch_size, "learning_rate": learning_rate, "decay": decay},
        **{"weight_decay": weight_decay, "augment": augment, "rule": rule},
        "view": {k: v for k, v in dataclasses.asdict(each[0]).items() if k != "input"},
    }
    described = {"ablate": settings, "network": nets.description_of(module)}
    record = records.Record(records.decisive(described), learned, [], searched)

    def trained(one: pipeline.View, progress: runtime.Progress, done: int) -> list[Run]:
        options = {"batch_size": batch_size, "augment": augment, "view": one}
        batches = _batches(data, seeds, domains=sources, **options)
        image = example_image(data.recipe, one)
        state, losses = program.train(batches, image, steps, progress, done=done)
        scored = _tables(program, state, data, sources, plan, one)
        rates = [_rates(table, rule) for table in scored]
        return _runs(program.settings, one.input, losses, rates)

    path = None if folder is None else pathlib.Path(folder)
    with contextlib.ExitStack() as stack:
        if path is not None:
            stack.enter_context(files.locked(path))
            records.begin(path, record)
        name = f"ablate {NAMES[swept]}"
        progress = stack.enter_context(runtime.Progress(name, steps * len(each)))
        runs = [
            _once(path, one.input, functools.partial(trained, one, progress, i * steps))
            for i, one in enumerate(each)
        ]
    return Ablation(swept, tuple(itertools.chain(*runs)))


def _views(
    module: Any, view: pipeline.View | None, inputs: Sequence[str]
) -> list[pipeline.View]:
    """The view of each input, with the network's map size.

    Raises:
      InputError: an input that the network does not take.
    """
    view = dataclasses.replace(view or pipeline.View(), map_size=module.map_size)
    each = [dataclasses.replace(view, input=name) for name in inputs]
    for one in each:
        registry.require_input(nets.description_of(module), one)
    return each


def _runs(
    settings: Sequence[tuple[float, int]],
    input: str,
    losses: np.ndarray,
    rates: Sequence[Mapping[str, float]],
) -> list[Run]:
    """Runs of settings (value, seed) with their losses [runs] and rates on test data."""
    each = zip(settings, losses, rates, strict=True)
    return [
        Run(input, value, seed, float(loss), **own) for (value, seed), loss, own in each
    ]


def _once(
    folder: pathlib.Path | None, input: str, train: Callable[[], list[Run]]
) -> list[Run]:
    """The runs of an input: those in the folder, or else trained and stored there.

    Raises:
      InputError: a damaged file.
    """
    if folder is None:
        return train()
    path = folder / f"{input}.json"
    found = _read(path)
    if found is None:
        found = train()
        files.write_json(path, list(map(dataclasses.asdict, found)))
    return found


def _read(path: pathlib.Path) -> list[Run] | None:
    """The runs of an input that were written; None if there is no file.

    Raises:
      InputError: a damaged file.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [Run(**row) for row in rows]
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise InputError(
            f"The runs in {path} are damaged ({error}). Remove the file, so that its input"
            " is trained again."
        ) from None


def _batches(
    data: prepared.Prepared, seeds: Sequence[int], **options: Any
) -> Iterator[pipeline.Batch]:
    """Batches without end, one for each seed on a leading axis, as `train` has them."""
    streams = [pipeline.train_batches(data, seed=seed, **options) for seed in seeds]
    while True:
        yield jax.tree.map(lambda *x: np.stack(x), *map(next, streams))


def _settings(
    net: nn.Module | str, theta: Any, lam: Any
) -> tuple[str, tuple[float, ...], Any]:
    """Name and values of what is swept, and the network with the other one's value."""
    with renaming({"name": "net"}):
        module = nets.build(net) if isinstance(net, str) else net
    nets.description_of(module)  # names another module
    given: dict[str, Any] = {"theta": theta, "lam": lam}
    several = [name for name, value in given.items() if np.ndim(value) == 1]
    if len(several) != 1:
        raise InputError(
            "expected a list of values of one of them, as theta=[0, 0.5, 1], got"
            f" theta={theta!r} and lam={lam!r}.",
            field="theta, lam",
        )
    (swept,) = several
    values = np.asarray(given.pop(swept)).tolist()
    limits.require(**{swept: (values, limits.Several(thetas.RANGE))})
    module = nets.with_weights(module, **given, **{swept: float(values[0])})
    return swept, tuple(float(value) for value in values), module


def _seeds(seeds: Any) -> list[int]:
    """The seeds; those from 0 on where their number is given."""
    if seeds in limits.COUNT:
        return list(range(seeds))
    limits.require(seeds=(seeds, SEEDS))
    return [int(seed) for seed in seeds]


def _tables(
    program: Program,
    state: TrainState,
    data: prepared.Prepared,
    sources: Sequence[str],
    plan: Tested,
    view: pipeline.View,
) -> Iterator[evaluation.ScoreTable]:
    """The score table of each run."""
    scores, columns = [], []
    for _, batch, about in evaluate.clips(
        data, sources=sources, tested=plan, view=view, batch_size=16
    ):
        scores.append(program.score(state, batch["image"])[:, batch["valid"]])
        columns.append(about)
    names = [name for name in evaluation.COLUMNS if name != "score"]
    joined: dict[str, Any] = {
        name: np.concatenate([one[name] for one in columns]) for name in names
    }
    for row in np.concatenate(scores, 1):
        yield evaluation.ScoreTable(**joined, score=row, selected_on=None)


def _rates(table: evaluation.ScoreTable, rule: str) -> dict[str, float]:
    """Rates on the tested videos at the threshold from the development videos."""
    threshold, rates, auc = rate(evaluation.by_video(table), rule)
    return {"threshold": threshold, "acer": rates.acer, "hter": rates.hter, "auc": auc}


def _mean_and_deviation(rates: np.ndarray) -> str:
    """Mean and sample standard deviation, which a single value does not have.

    >>> _mean_and_deviation(np.array([10.0, 12.0]))
    '11.0 ± 1.4'
    """
    mean = f"{rates.mean():.1f}"
    return mean if len(rates) == 1 else f"{mean} ± {rates.std(ddof=1):.1f}"
