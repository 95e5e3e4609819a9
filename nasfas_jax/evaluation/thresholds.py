"""Threshold rules: functions that choose a threshold on labeled scores.

A higher score means live (label 1), a lower one spoof (label 0); a sample is accepted
when ``score >= threshold``. A threshold lies between two adjacent distinct scores, or
beyond all of them, so that no score equals it. Comparisons are made on integer counts,
or on ratios of two of them, so that equal rates tie exactly.
"""

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from nasfas_jax.errors import InputError

Rule = Callable[[ArrayLike, ArrayLike, ArrayLike], float]


def eer_threshold(scores: ArrayLike, labels: ArrayLike) -> float:
    """The threshold with the smallest difference of false acceptance and false rejection.

    Of equally good thresholds the highest is chosen, as in bob.measure. If all scores are
    equal, the threshold is just above them and everything is rejected.

    Args:
      scores: [n], finite.
      labels: [n], 1 for live and 0 for spoof.

    Raises:
      InputError: lengths differ, a score is not finite, a label is neither 0 nor 1, or
        only one class is there.
    """
    live, spoof = split(scores, labels)
    at = cuts(live, spoof)
    accepted, rejected = count_accepted(spoof, at), len(live) - count_accepted(live, at)
    return _best(at, np.abs(accepted * len(live) - rejected * len(spoof)))


def min_hter_threshold(scores: ArrayLike, labels: ArrayLike) -> float:
    """The threshold of least HTER, (FAR + FRR) / 2; the highest of equally good ones.

    Arguments and errors as ``eer_threshold``.
    """
    live, spoof = split(scores, labels)
    at = cuts(live, spoof)
    accepted, rejected = count_accepted(spoof, at), len(live) - count_accepted(live, at)
    return _best(at, accepted * len(live) + rejected * len(spoof))


def far_threshold(scores: ArrayLike, labels: ArrayLike, target: float) -> float:
    """The lowest threshold at which FAR, all attacks pooled, is ``target`` at most.

    Other arguments and errors as ``eer_threshold``.
    """
    live, spoof = split(scores, labels)
    at = cuts(live, spoof)
    return float(at[np.argmax(count_accepted(spoof, at) / len(spoof) <= target)])


def apcer_threshold(
    scores: ArrayLike, labels: ArrayLike, attack_types: ArrayLike, target: float
) -> float:
    """The lowest threshold at which the APCER of every attack type is ``target`` at most.

    ``bpcer20`` uses a target of 1/20. ``attack_types`` are [n] names, those of live samples
    ignored; other arguments and errors as ``eer_threshold``.
    """
    live, spoof = split(scores, labels)
    at = cuts(live, spoof)
    spoof = np.asarray(labels) == 0
    score = np.asarray(scores, np.float64)[spoof]
    types = types_like(attack_types, scores)[spoof]
    worst = np.max(
        [
            count_accepted(np.sort(score[types == name]), at) / np.sum(types == name)
            for name in np.unique(types)
        ],
        axis=0,
    )
    return float(at[np.argmax(worst <= target)])


#: The rules without a number; ``find`` also knows ``far=<x>``.
RULES: dict[str, Rule] = {
    "eer": lambda scores, labels, types: eer_threshold(scores, labels),
    "min_hter": lambda scores, labels, types: min_hter_threshold(scores, labels),
    "bpcer20": functools.partial(apcer_threshold, target=1 / 20),
}


def find(rule: str) -> Rule:
    """The rule of a name: one of ``RULES``, or ``far=<x>`` with x from 0 to 1.

    Raises:
      InputError: there is no such rule.

    >>> find("far=0.25")([0.1, 0.2, 0.3, 0.4, 0.5], [0, 0, 0, 0, 1], ["a"] * 5)
    0.35
    """
    if str(rule) in RULES:
        return RULES[rule]
    name, _, number = str(rule).partition("=")
    try:
        target = float(number) if name == "far" else -1.0
    except ValueError:
        target = -1.0
    if not 0 <= target <= 1:
        raise InputError(
            f"expected {', '.join(RULES)} or far=<x> with x from 0 to 1, got "
            f"{rule!r}. Choose one; far=0.01 accepts one attack in a hundred at most.",
            field="rule",
        )
    return lambda scores, labels, types: far_threshold(scores, labels, target)


def cuts(live: np.ndarray, spoof: np.ndarray) -> np.ndarray:
    """All distinct thresholds, rising: [m + 1] for m distinct scores.

    The first accepts all, the last rejects all, and the others are midpoints of adjacent
    distinct scores (or the upper one if no number is between them).
    """
    distinct = np.unique(np.concatenate([live, spoof]))
    low, high = distinct[:-1], distinct[1:]
    middle = low / 2 + high / 2
    middle = np.where((low < middle) & (middle <= high), middle, high)
    ends = np.nextafter(distinct[[0, -1]], [-np.inf, np.inf])
    return np.concatenate([ends[:1], middle, ends[1:]])


def count_accepted(ordered: np.ndarray, at: ArrayLike) -> np.ndarray:
    """Number of the rising scores at or above each threshold."""
    return len(ordered) - np.searchsorted(ordered, at, side="left")


def split(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Rising live scores and rising spoof scores; errors as ``eer_threshold``."""
    values, classes = np.asarray(scores), np.asarray(labels)
    if values.ndim != 1 or classes.shape != values.shape:
        raise InputError(
            "expected two lists of equal length, got shapes "
            f"{values.shape} and {classes.shape}. Pass two columns of one table.",
            field="scores, labels",
        )
    known = np.isin(classes, (0, 1))
    if not known.all():
        raise InputError(
            f"expected 1 (live) or 0 (spoof), got {classes[~known][0]!r} at "
            f"position {int(np.argmin(known))}. Map the dataset's own labels first.",
            field="labels",
        )
    finite = np.isfinite(values)
    if not finite.all():
        raise InputError(
            f"expected finite numbers, got {values[~finite][0]} at position "
            f"{int(np.argmin(finite))} ({np.sum(~finite)} of {len(values)} scores). "
            "A network that diverged gives such scores: look at its training curve.",
            field="scores",
        )
    live, spoof = np.sort(values[classes == 1]), np.sort(values[classes == 0])
    if not len(live) or not len(spoof):
        raise InputError(
            f"expected live and spoof samples, got {len(live)} live (label 1) "
            f"and {len(spoof)} spoof (label 0). Error rates need both classes.",
            field="labels",
        )
    return live.astype(np.float64), spoof.astype(np.float64)


def types_like(attack_types: ArrayLike, scores: ArrayLike) -> np.ndarray:
    """The attack types as an array, one for each score.

    Raises:
      InputError: there are more or fewer.
    """
    types = np.asarray(attack_types)
    if types.shape != np.shape(scores):
        raise InputError(
            f"expected one name for each of the {np.size(scores)} "
            f"scores, got an array of shape {types.shape}. Pass columns of one table.",
            field="attack_types",
        )
    return types


def _best(at: np.ndarray, cost: np.ndarray) -> float:
    """The last threshold of least cost."""
    return float(at[len(cost) - 1 - int(np.argmin(cost[::-1]))])
