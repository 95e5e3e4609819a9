"""From a score table to honest numbers: threshold from development, rates on test."""

import dataclasses
import json
from collections.abc import Callable
from typing import Literal

import numpy as np

from nasfas_jax.errors import InputError
from nasfas_jax.evaluation import metrics
from nasfas_jax.evaluation.scores import SPLITS, ScoreTable, by_video


@dataclasses.dataclass(frozen=True)
class Counts:
    """How much stands behind the rates of one part.

    ``by_type`` counts the evaluated rows (videos or clips) of each attack type and of
    "live".
    """

    clips: int
    videos: int
    subjects: int
    by_type: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Interval:
    """A percentile interval; ``samples`` is the number of resamples it rests on."""

    low: float
    high: float
    samples: int


@dataclasses.dataclass(frozen=True)
class Result:
    """What ``evaluate`` found; rates lie in [0, 1].

    ``threshold`` and ``development_eer`` come from the development part alone;
    ``test``, ``auc`` and ``intervals`` (of hter, acer and auc) describe the test part
    at that threshold. ``oracle_`` fields look at the test labels to choose a threshold:
    they are no estimate of performance, and None unless asked for.
    """

    level: str
    threshold: float
    development_eer: float
    development: Counts
    test: metrics.ErrorRates
    test_counts: Counts
    auc: float
    intervals: dict[str, Interval]
    oracle_eer: float | None = None
    oracle_threshold: float | None = None

    def to_json(self) -> str:
        """All fields as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False)


def evaluate(
    table: ScoreTable,
    *,
    level: Literal["video", "clip"] = "video",
    seed: int = 0,
    samples: int = 1000,
    oracle: bool = False,
) -> Result:
    """Rates on the test part at the development part's EER threshold.

    Args:
      table: rows of the splits "development" and "test"; "train" rows are only looked
        at by the leakage check.
      level: evaluate each video by the mean of its clips' scores, or each clip.
      seed: of the bootstrap.
      samples: resamples of the bootstrap.
      oracle: also report the EER of the test part itself.

    Raises:
      InputError: a subject or video stands in two parts, a part is missing or holds one
        class only, or clips of one video contradict each other.
    """
    if level not in ("video", "clip"):
        raise InputError(f"level: expected video or clip, got {level!r}. Choose one.")
    check_leakage(table)
    rows = by_video(table) if level == "video" else table
    development, test = _part(rows, "development"), _part(rows, "test")
    threshold = metrics.eer_threshold(development.score, development.label)
    own = (test.score, test.label)
    return Result(
        level=level,
        threshold=threshold,
        development_eer=metrics.equal_error_rate(development.score, development.label),
        development=_counts(table, development, "development"),
        test=metrics.error_rates(*own, test.attack_type, threshold),
        test_counts=_counts(table, test, "test"),
        auc=metrics.auc(*own),
        intervals=bootstrap(test, threshold, seed=seed, samples=samples),
        oracle_eer=metrics.equal_error_rate(*own) if oracle else None,
        oracle_threshold=metrics.eer_threshold(*own) if oracle else None,
    )


def check_leakage(table: ScoreTable) -> None:
    """Refuse a table in which a subject or a video stands in two parts.

    Raises:
      InputError: naming up to five of them.
    """
    for what in ("video", "subject"):
        values = getattr(table, what)
        parts = {split: set(values[table.split == split].tolist()) for split in SPLITS}
        for one, other in (SPLITS[:2], SPLITS[1:], SPLITS[::2]):
            both = sorted(parts[one] & parts[other])
            if both:
                raise InputError(
                    f"{what}: expected {one} and {other} to share none, got "
                    f"{len(both)} in both: {', '.join(both[:5])}"
                    f"{', ...' if len(both) > 5 else ''}. Rates would flatter the "
                    "network: split by subject, and if two datasets number their "
                    "people alike, put the dataset's name in front."
                )


def bootstrap(
    table: ScoreTable, threshold: float, *, seed: int = 0, samples: int = 1000
) -> dict[str, Interval]:
    """95 % percentile intervals of hter, acer and auc over resampled subjects.

    Whole subjects are drawn with replacement, since the videos of one person resemble
    each other; the threshold stays as it is, so the intervals hold the chance in the
    choice of test subjects, not that of training or of the development part. A resample
    without live or without spoof rows is left out (``Interval.samples`` counts the
    others), and an attack type missing in one does not enter its maximum. Fewer than
    two subjects say nothing about others: no interval is given.
    """
    subjects, owner = np.unique(table.subject, return_inverse=True)
    if len(subjects) < 2:
        return {}
    drawn = np.random.default_rng(seed).multinomial(
        len(subjects), np.full(len(subjects), 1 / len(subjects)), size=samples
    )
    drawn = drawn.astype(np.float64)
    live, accepted = table.label == 1, table.score >= threshold

    def total(rows: np.ndarray) -> np.ndarray:
        """How many of the rows each resample holds, [samples]."""
        return drawn @ np.bincount(owner[rows], minlength=len(subjects))

    lives, spoofs = total(live), total(~live)
    whole = (lives > 0) & (spoofs > 0)
    if not whole.any():
        return {}
    # The number of ordered live-spoof pairs is quadratic in the counts of subjects.
    ordered = np.einsum(
        "bi,ij,bj->b", drawn, _pairs(table, owner), drawn, optimize=True
    )
    with np.errstate(invalid="ignore"):
        frr = total(live & ~accepted) / lives
        far = total(~live & accepted) / spoofs
        apcer = _worst(table, total, accepted)
        values = {
            "hter": (far + frr) / 2,
            "acer": (apcer + frr) / 2,
            "auc": ordered / (lives * spoofs),
        }
    return {name: _interval(value[whole]) for name, value in values.items()}


def _worst(
    table: ScoreTable, total: Callable[[np.ndarray], np.ndarray], accepted: np.ndarray
) -> np.ndarray:
    """APCER of the worst attack type in each resample, [samples]."""
    worst = np.full_like(total(accepted), np.nan)
    for name in np.unique(table.attack_type[table.label == 0]):
        of_type = (table.label == 0) & (table.attack_type == name)
        worst = np.fmax(worst, total(of_type & accepted) / total(of_type))
    return worst


def _pairs(table: ScoreTable, owner: np.ndarray) -> np.ndarray:
    """Pairs of i's live and j's spoof rows in the right order, ties half: [i, j]."""
    count = int(owner.max()) + 1
    order = np.argsort(table.score)  # sorted queries are searched several times faster
    score, label, owner = table.score[order], table.label[order], owner[order]
    live, live_owner = score[label == 1], owner[label == 1]
    pairs = np.zeros((count, count))
    for j in range(count):
        spoof = score[(label == 0) & (owner == j)]
        below = np.searchsorted(spoof, live, side="left")
        not_above = np.searchsorted(spoof, live, side="right")
        pairs[:, j] = np.bincount(
            live_owner, weights=(below + not_above) / 2, minlength=count
        )
    return pairs


def _interval(values: np.ndarray) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high), len(values))


def _part(rows: ScoreTable, split: str) -> ScoreTable:
    part = rows.take(rows.split == split)
    live = int(part.label.sum())
    if not live or live == len(part):
        raise InputError(
            f"split {split}: expected live and spoof rows, got {live} live and "
            f"{len(part) - live} spoof (splits of all rows: "
            f"{', '.join(np.unique(rows.split)) or 'none'}). The threshold is chosen "
            "on development and applied to test, so each needs both classes: score "
            "both parts, or choose another protocol."
        )
    return part


def _counts(clips: ScoreTable, rows: ScoreTable, split: str) -> Counts:
    of_split = clips.split == split
    names, numbers = np.unique(rows.attack_type, return_counts=True)
    return Counts(
        clips=int(of_split.sum()),
        videos=len(np.unique(clips.video[of_split])),
        subjects=len(np.unique(rows.subject)),
        by_type=dict(zip(names.tolist(), numbers.tolist(), strict=True)),
    )
