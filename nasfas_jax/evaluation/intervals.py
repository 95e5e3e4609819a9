"""Bootstrap intervals of rates over test subjects.

Whole subjects are drawn with replacement, since the videos of one person resemble each
other; thresholds stay as they are, so the intervals hold the chance in the choice of
test subjects, not that of training or of the development split.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from nasfas_jax.evaluation.scores import ScoreTable


@dataclasses.dataclass(frozen=True)
class Interval:
    """A 95 % percentile interval; ``samples`` is the number of resamples behind it."""

    low: float
    high: float
    samples: int


def bootstrap(
    table: ScoreTable, threshold: float, *, seed: int = 0, samples: int = 1000
) -> dict[str, Interval]:
    """Intervals of hter, acer and auc over resampled subjects.

    A resample without live or without spoof rows is left out (``Interval.samples``
    counts the others), and an attack type missing in one does not enter its maximum.
    Fewer than two subjects say nothing about others: no interval is given.
    """
    return _intervals(_resampled(table, threshold, seed, samples))


def paired_bootstrap(
    first: tuple[ScoreTable, float],
    second: tuple[ScoreTable, float],
    *,
    seed: int = 0,
    samples: int = 1000,
) -> dict[str, Interval]:
    """Intervals of the differences second - first, both on the same drawn subjects.

    Args:
      first: rows and threshold of a system.
      second: of another, its rows of the same clips in the same order.
      seed: of the drawing.
      samples: how many resamples.
    """
    one, other = (
        _resampled(table, threshold, seed, samples)
        for table, threshold in (first, second)
    )
    return _intervals({name: other[name] - values for name, values in one.items()})


def _intervals(values: dict[str, np.ndarray]) -> dict[str, Interval]:
    intervals = {}
    for name, of_resamples in values.items():
        low, high = np.percentile(of_resamples, [2.5, 97.5])
        intervals[name] = Interval(float(low), float(high), len(of_resamples))
    return intervals


def _resampled(
    table: ScoreTable, threshold: float, seed: int, samples: int
) -> dict[str, np.ndarray]:
    """hter, acer and auc of each resample that has both classes; {} if none can be."""
    subjects, owner = np.unique(table.subject, return_inverse=True)
    if len(subjects) < 2:
        return {}
    drawn = np.random.default_rng(seed).multinomial(
        len(subjects), np.full(len(subjects), 1 / len(subjects)), size=samples
    )
    drawn = drawn.astype(np.float64)
    live, accepted = table.label == 1, table.score >= threshold

    def total(rows: np.ndarray) -> np.ndarray:
        """Number of the rows in each resample, [samples]."""
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
    return {name: value[whole] for name, value in values.items()}


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
