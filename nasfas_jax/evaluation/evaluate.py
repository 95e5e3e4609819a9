"""Evaluation of a score table: threshold from development, error rates on test."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from nasfas_jax.errors import InputError, some
from nasfas_jax.evaluation import compat, metrics, thresholds
from nasfas_jax.evaluation.intervals import Interval, bootstrap
from nasfas_jax.evaluation.scores import SPLITS, ScoreTable, by_video, normalized

#: Development AUC below which a warning says that the polarity may be flipped.
FLIPPED = 0.4
#: Fewest people for a meaningful interval or comparison with chance.
FEW = 5
#: Fields of a result that are oracles if the model was selected on test data.
NUMBERS = (
    *("threshold", "development_eer", "development_auc"),
    *("test", "auc", "intervals"),
)


@dataclasses.dataclass(frozen=True)
class Counts:
    """Sizes of one split.

    ``by_type`` counts the evaluated rows (videos or clips) of each attack type and of
    "live".
    """

    clips: int
    videos: int
    subjects: int
    by_type: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Result:
    """Error rates of a score table; rates and AUC are fractions in [0, 1].

    ``threshold`` (by ``rule``), ``development_eer`` and ``development_auc`` come from the
    development split alone; ``test`` and ``auc`` describe the test split, the rates at
    that threshold. ``intervals`` has those of hter, acer, auc and development_auc.
    ``warnings`` are sentences for the reader of the numbers.

    ``oracle`` holds numbers with a threshold chosen by test labels, or with pooled attack
    types, under names that start with ``oracle_``; they do not estimate performance. If
    ``selected_on`` is "test", no number does.
    """

    level: str
    rule: str
    selected_on: str | None
    warnings: tuple[str, ...]
    threshold: float
    development_eer: float
    development_auc: float
    development: Counts
    test: metrics.ErrorRates
    test_counts: Counts
    auc: float
    intervals: dict[str, Interval]
    oracle: dict[str, float]

    def columns(self) -> dict[str, Any]:
        """All fields by their names in files.

        The entries of ``oracle`` are included; if the model was selected on test data, the
        names of all affected numbers start with ``oracle_``.
        """
        fields = dataclasses.asdict(self)
        oracle = fields.pop("oracle")
        if self.selected_on == "test":
            fields = {
                f"oracle_{name}" if name in NUMBERS else name: value
                for name, value in fields.items()
            }
        return fields | oracle

    def to_json(self) -> str:
        """``columns`` as indented JSON."""
        return json.dumps(self.columns(), indent=2, allow_nan=False)


def fields_of(columns: Mapping[str, Any]) -> dict[str, Any]:
    """``Result.columns`` by the names of the fields, without the prefix of oracles."""
    own = {f"oracle_{name}": name for name in NUMBERS}
    if columns["selected_on"] != "test":
        own = {}
    return {own.get(name, name): value for name, value in columns.items()}


def evaluate(
    table: ScoreTable,
    *,
    rule: str = "eer",
    level: Literal["video", "clip"] = "video",
    seed: int = 0,
    samples: int = 1000,
    oracle: Sequence[str] = (),
) -> Result:
    """Error rates on the test split at a threshold from the development split.

    Args:
      table: rows of the splits "development" and "test"; "train" rows are used by the
        leakage check only.
      rule: name of the threshold rule, see ``thresholds.find``.
      level: 'video' for the mean score of the clips of each video, or 'clip'.
      seed: seed of the bootstrap.
      samples: number of resamples of the bootstrap.
      oracle: evaluators of ``compat.EVALUATORS`` to compute in addition.

    Raises:
      InputError: a subject or video in more than one split, a split that is missing or has
        one class only, contradictory clips of one video, or an unknown rule or oracle.
    """
    if level not in ("video", "clip"):
        raise InputError(
            f"expected video or clip, got {level!r}. Choose one.", field="level"
        )
    check_leakage(
        {name: getattr(table, name) for name in ("video", "subject", "split")}
    )
    rows = by_video(table) if level == "video" else table
    development, test = of_split(rows, "development"), of_split(rows, "test")
    threshold, rates, auc = rate(rows, rule)
    intervals = bootstrap(test, threshold, seed=seed, samples=samples)
    of_development = bootstrap(development, threshold, seed=seed, samples=samples)
    if "auc" in of_development:
        intervals["development_auc"] = of_development["auc"]
    development_auc = metrics.auc(development.score, development.label)
    return Result(
        level=level,
        rule=rule,
        selected_on=table.selected_on,
        warnings=(
            *_of_learning(
                development_auc,
                len(np.unique(development.subject)),
                intervals.get("development_auc"),
            ),
            *_of_test(test, table.selected_on),
        ),
        threshold=threshold,
        development_eer=metrics.equal_error_rate(development.score, development.label),
        development_auc=development_auc,
        development=_counts(table, development, "development"),
        test=rates,
        test_counts=_counts(table, test, "test"),
        auc=auc,
        intervals=intervals,
        oracle=compat.oracles(oracle, development, test),
    )


def by_domain(
    table: ScoreTable, *, rule: str = "eer", seed: int = 0
) -> dict[str, Result]:
    """Error rates on each tested domain alone, all at the same threshold.

    Args:
      table: as `evaluate` takes it.
      rule: name of the threshold rule, see ``thresholds.find``.
      seed: seed of the bootstrap.

    Raises:
      InputError: as `evaluate`; or a tested domain has one class only.
    """
    tested = table.split == "test"
    return {
        str(name): evaluate(
            table.take(~tested | (table.domain == name)), rule=rule, seed=seed
        )
        for name in np.unique(table.domain[tested])
    }


def rate(rows: ScoreTable, rule: str) -> tuple[float, metrics.ErrorRates, float]:
    """Threshold from the development rows, error rates and AUC of the test rows.

    Args:
      rows: rows of the splits "development" and "test", as `by_video` makes them.
      rule: name of the threshold rule, see ``thresholds.find``.

    Raises:
      InputError: a split that is missing or has one class only, or an unknown rule.
    """
    development, test = of_split(rows, "development"), of_split(rows, "test")
    threshold = thresholds.find(rule)(
        development.score, development.label, development.attack_type
    )
    rates = metrics.error_rates(test.score, test.label, test.attack_type, threshold)
    return threshold, rates, metrics.auc(test.score, test.label)


def _of_learning(auc: float, people: int, interval: Interval | None) -> Iterator[str]:
    """Warns if the development split does not show that the network learned anything.

    It does if the 95 % interval of its AUC over people is above 0.5, and it has `FEW` people
    or more: intervals from fewer are too narrow.
    """
    percent = f"the AUC on development is {100 * auc:.1f} %"
    below = interval is not None and interval.high < 0.5
    if auc < FLIPPED or below:
        yield (
            f"polarity: {percent}, below 50 %: labels or scores may be flipped (live is "
            "1, and a higher score means live)"
        )
    if people < FEW:
        yield (
            f"chance: not shown to be better than chance: {percent}, from {people} people, "
            "too few to tell"
        )
    elif interval is not None and interval.low <= 0.5 and not below:
        yield (
            f"chance: at chance on development data: {percent}, with a 95 % interval of "
            f"{100 * interval.low:.1f} to {100 * interval.high:.1f}; nothing shows that "
            "the network learned to separate live from spoof"
        )


def _of_test(test: ScoreTable, selected_on: str | None) -> Iterator[str]:
    """Limits of what the test numbers say."""
    if (people := len(np.unique(test.subject))) < FEW:
        yield (
            f"intervals: people tested: {people}, too few to estimate how the rates vary "
            "over people"
        )
    if selected_on == "test":
        yield (
            "selection: the model was selected on test data, so every number is an "
            "oracle's and none an estimate of performance"
        )


def check_leakage(columns: Mapping[str, np.ndarray]) -> None:
    """Requires subjects and videos in one split only.

    Names are compared in the form of ``scores.normalized``.

    Args:
      columns: 'video', 'subject' and 'split' of every clip.

    Raises:
      InputError: a subject or a video in more than one split; up to five are named.
    """
    for what in ("video", "subject"):
        values, split_of = normalized(what, columns[what]), columns["split"]
        names = {split: set(values[split_of == split].tolist()) for split in SPLITS}
        for one, other in (SPLITS[:2], SPLITS[1:], SPLITS[::2]):
            both = sorted(names[one] & names[other])
            if both:
                rows = ((values == both[0]) & (split_of == s) for s in (one, other))
                seen = " and ".join(columns["video"][row][0] for row in rows)
                seen = f" (the first in the videos {seen})" if what != "video" else ""
                raise InputError(
                    f"{what}: expected {one} and {other} to share none, got "
                    f"{len(both)} in both: {some(both)}{seen}. Rates would flatter the "
                    "network: split by subject, and if two datasets number their "
                    "people alike, put the dataset's name in front."
                )


def of_split(rows: ScoreTable, split: str) -> ScoreTable:
    """The rows of one split.

    Raises:
      InputError: no live or no spoof rows among them.
    """
    chosen = rows.take(rows.split == split)
    live = int(chosen.label.sum())
    if not live or live == len(chosen):
        raise InputError(
            f"split {split}: expected live and spoof rows, got {live} live and "
            f"{len(chosen) - live} spoof (splits of all rows: "
            f"{', '.join(np.unique(rows.split)) or 'none'}). The threshold is chosen "
            "on development and applied to test, so each needs both classes: score "
            "both splits, or choose another protocol."
        )
    return chosen


def _counts(clips: ScoreTable, rows: ScoreTable, split: str) -> Counts:
    chosen = clips.split == split
    names, numbers = np.unique(rows.attack_type, return_counts=True)
    return Counts(
        clips=int(chosen.sum()),
        videos=len(np.unique(clips.video[chosen])),
        subjects=len(np.unique(rows.subject)),
        by_type=dict(zip(names.tolist(), numbers.tolist(), strict=True)),
    )
