"""Networks and methods trained and tested for several targets and seeds."""

import dataclasses
import inspect
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasfas_jax import evaluation, limits, tables
from nasfas_jax.data.loading import prepared
from nasfas_jax.errors import InputError, did_you_mean
from nasfas_jax.report import meta_figures
from nasfas_jax.report.picture import Picture
from nasfas_jax.workflows import hand_crafted, improvement, references
from nasfas_jax.workflows.data import domains
from nasfas_jax.workflows.evaluate import Evaluated, evaluate
from nasfas_jax.workflows.train import FOLDER, describe, train

#: Rates of a table by name, with their titles.
METRICS = {
    "hter": "HTER",
    "auc": "AUC",
    "acer": "ACER",
    "apcer": "APCER",
    "bpcer": "BPCER",
}
DEFAULT_METRICS = ("hter", "auc")


class _Networks(limits.Kind):
    """Dictionaries of at least one network, by texts."""

    def __contains__(self, value: Any) -> bool:
        texts = isinstance(value, Mapping) and all(isinstance(k, str) for k in value)
        return bool(value) and texts


NETWORKS = _Networks(Mapping, "a dict of one or more networks by name, as {'a': 'cdn'}")
Tests = references.Tests


@dataclasses.dataclass(frozen=True)
class Setup:
    """A network of a sweep, with settings of its own.

    Attributes:
      net: network, name or description, as `train` takes it.
      settings: other arguments of `train`, in the place of those of the sweep.
    """

    net: Any
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, net: Any) -> "Setup":
        """The setup itself, or that of a network without settings of its own."""
        return net if isinstance(net, Setup) else cls(net)


@dataclasses.dataclass(frozen=True, repr=False)
class Swept:
    """Results of a sweep.

    Attributes:
      evaluated: ``{network: {target: [results of each seed]}}``.
      targets: domains held out, in the order of the table.
      metrics: rates in the table, keys of `METRICS`.
      by_domain: whether each tested domain is a column of its own.
    """

    evaluated: dict[str, dict[str, list[Evaluated]]]
    targets: list[str]
    metrics: Sequence[str] = DEFAULT_METRICS
    by_domain: bool = False

    @property
    def tests(self) -> Tests:
        """Rates as fractions, `rates` of each evaluation, by network and column."""
        found: dict[str, dict[str, list]] = {name: {} for name in self.evaluated}
        for name, by_target in self.evaluated.items():
            for target, several in by_target.items():
                for one in several:
                    results = (
                        one.by_domain() if self.by_domain else {target: one.result}
                    )
                    for column, result in results.items():
                        found[name].setdefault(column, []).append(rates(result))
        return found

    @property
    def columns(self) -> list[str]:
        """The targets, or the tested domains, in the order of the table."""
        return list(next(iter(self.tests.values())))

    def table(self) -> list[list[str]]:
        """See `table`."""
        return table(self.tests, self.columns, self.metrics)

    def by_target(self, metric: str = "hter") -> Picture:
        """A rate of every network on each target, as NAS-FAS figure 13.

        Raises:
          InputError: a metric that is not a key of `METRICS`.
        """
        limits.require(metric=(metric, limits.OneOf(METRICS)))
        columns = self.columns
        rates = {
            name: [[one[metric] for one in found[column]] for column in columns]
            for name, found in self.tests.items()
        }
        names = [column or "test split" for column in columns]
        return meta_figures.grouped_bars(rates, names, METRICS[metric])

    def improvements(
        self, random: Mapping[str, str], metric: str = "acer"
    ) -> improvement.Improvements:
        """See `improvements`."""
        limits.require(metric=(metric, limits.OneOf(METRICS)))
        return improvements(self.tests, random, metric)

    def beside(self, reference: Sequence[str]) -> references.Compared:
        """The networks beside reference architectures, see `references.Compared`."""
        return beside(self.tests, reference, self.metrics)

    def __repr__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return tables.as_html(self.table())


def sweep(
    data: prepared.Prepared,
    networks: Mapping[str, Any],
    *,
    targets: Sequence[str],
    seeds: Sequence[int] = (0,),
    folder: str | pathlib.Path | None = None,
    rule: str = "eer",
    metrics: Sequence[str] = DEFAULT_METRICS,
    by_domain: bool = False,
    **settings: Any,
) -> Swept:
    """Trains and tests every network for every target and seed.

    An ablation is a sweep over setups: ``{"depth map": Setup(net, {"view":
    View(target="depth")}), ...}`` trains networks with different settings.

    Args:
      data: prepared data.
      networks: by name, networks, names or descriptions as `train` takes them, or a `Setup`
        of one with arguments of its own.
      targets: domains held out, one training each; '' for the test split.
      seeds: seeds, one training each.
      folder: folder for ``<target>/seed<seed>/train/<network>``; what is trained there
        already is not trained again. A temporary one for each training if None.
      rule: threshold rule, see `evaluate`.
      metrics: rates in the table, keys of `METRICS`.
      by_domain: whether each tested domain is a column of its own, where one target tests
        several, as NAS-FAS Table 8.
      **settings: other arguments of `train`, of all networks.

    Raises:
      InputError: an unknown target, setting or metric, or as `train` and `evaluate`.
    """
    limits.require(
        data=(data, prepared.DATA),
        networks=(networks, NETWORKS),
        targets=(targets, limits.Several(limits.TEXT)),
        seeds=(seeds, limits.Several(limits.SEED)),
        folder=(folder, FOLDER),
        metrics=(metrics, limits.Several(limits.OneOf(METRICS))),
        by_domain=(by_domain, limits.FLAG),
    )
    setups = {name: Setup.of(network) for name, network in networks.items()}
    for setup in setups.values():
        _require_settings(settings | dict(setup.settings))
    evaluation.thresholds.find(rule)  # a wrong name shows before the work
    named = (setup.net for setup in setups.values() if isinstance(setup.net, str))
    hand_crafted.require_libraries(named)
    for target in targets:  # wrong targets and names are reported before any work
        sources, _ = domains(data, target)
        for setup in setups.values():
            describe(setup.net, len(sources))
    found: dict[str, dict[str, list[Evaluated]]] = {
        name: {target: [] for target in targets} for name in networks
    }
    for target in targets:
        for seed in seeds:
            at = pathlib.Path(folder) / target / f"seed{seed}" if folder else None
            for name, setup in setups.items():
                model = train(
                    data,
                    setup.net,
                    target=target,
                    seed=seed,
                    folder=at and at / "train" / name,
                    **settings | dict(setup.settings),
                )
                tested = evaluate(model, data, target=target, rule=rule, seed=seed)
                found[name][target].append(tested)
    return Swept(found, list(targets), metrics, by_domain)


def _require_settings(settings: Mapping[str, Any]) -> None:
    """Requires names of other arguments of `train`."""
    own = ("data", "net", "target", "seed", "folder")
    known = [name for name in inspect.signature(train).parameters if name not in own]
    for name in settings:
        if name not in known:
            raise InputError(
                f"expected an argument of nf.train, {', '.join(known)}, got {name!r}."
                f"{did_you_mean(name, known)}",
                field=name,
            )


def rates(result: evaluation.Result) -> dict[str, float]:
    """`METRICS` of the tested data; ``within``, EER on source development data."""
    return {
        **{name: getattr(result.test, name) for name in METRICS if name != "auc"},
        "auc": result.auc,
        "within": result.development_eer,
    }


def table(
    tests: Tests, targets: Sequence[str], metrics: Sequence[str] = DEFAULT_METRICS
) -> list[list[str]]:
    """Header and rows: rates in % of each target and of their mean; EER on development.

    The last column is the EER on development data of the source domains, over all targets.
    Each is the mean and, over more than one seed or fold, the sample deviation (ddof 1).
    Targets with different numbers of folds have no mean.

    Args:
      tests: `rates` of each test, ``{row: {target: [rates of each seed]}}``.
      targets: domains held out, in the order of the columns.
      metrics: keys of `METRICS`, in the order of each cell.
    """
    titles = " / ".join(METRICS[name] for name in metrics)
    counts = {len(by_target[t]) for by_target in tests.values() for t in targets}
    means = len(targets) > 1 and len(counts) == 1
    names = [*(target or "test split" for target in targets), *["mean"] * means]
    rows = [
        ["method", *(f"{name}: {titles}, %" for name in names), "EER on development, %"]
    ]
    for name, by_target in tests.items():
        across, within = (
            [np.array([[one[m] for m in of] for one in by_target[t]]) for t in targets]
            for of in (metrics, ("within",))
        )  # of each target, [seeds or folds, metrics]
        if means:
            cells = [*across, np.mean(across, 0), np.mean(within, 0)]
        else:
            cells = [*across, np.concatenate(within)]
        rows.append([name, *(_cell(100 * cell) for cell in cells)])
    return rows


def beside(
    tests: Tests, reference: Sequence[str], metrics: Sequence[str] = DEFAULT_METRICS
) -> references.Compared:
    """Networks beside reference architectures.

    Args:
      tests: as in `table`.
      reference: names of two or more random architectures among them.
      metrics: keys of `METRICS`.

    Raises:
      InputError: a name that the tests do not have.
    """
    titles = {name: METRICS[name] for name in metrics}
    return references.Compared(tests, reference, titles)


def improvements(
    tests: Tests, random: Mapping[str, str], metric: str = "acer"
) -> improvement.Improvements:
    """Searched beside random architectures (NAS-FAS sec. 6.6, figure 11).

    Args:
      tests: as in `table`.
      random: by row of searched architectures, the row of random ones of its space.
      metric: key of `METRICS`, an error rate.

    Raises:
      InputError: a row that the tests do not have.
    """
    rows = {*random, *random.values()}
    limits.require(random=(sorted(rows), limits.Several(limits.OneOf(tests))))
    rates = {
        name: [one[metric] for several in by_target.values() for one in several]
        for name, by_target in tests.items()
        if name in rows
    }
    return improvement.Improvements(
        {name: (rates[name], rates[other]) for name, other in random.items()},
        METRICS[metric],
    )


def _cell(values: np.ndarray) -> str:
    """Means and deviations in text, of [seeds, metrics] in %."""
    means = values.mean(0)
    if len(values) == 1:
        return " / ".join(f"{mean:.1f}" for mean in means)
    spread = values.std(0, ddof=1)
    pairs = zip(means, spread, strict=True)
    return " / ".join(f"{mean:.1f} ± {sd:.1f}" for mean, sd in pairs)
