"""Error rates of presentation attack detection, after ISO/IEC 30107-3.

A higher score means live (label 1), a lower one spoof (label 0); a sample is accepted
when ``score >= threshold``. Everything is O(n log n) and exact: rates are ratios of
counts, and comparisons between rates are made on the integers.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nasfas_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class ErrorRates:
    """Rates in [0, 1] at one threshold.

    ``apcer`` is that of the worst attack type (``worst_type``), and ``acer`` its mean
    with ``bpcer``. ``far`` pools all attacks, ``frr`` equals ``bpcer``, and ``hter`` is
    the mean of those two.
    """

    threshold: float
    apcer: float
    worst_type: str
    apcer_by_type: dict[str, float]
    bpcer: float
    acer: float
    far: float
    frr: float
    hter: float


class RocCurve(NamedTuple):
    """One point for every distinct score, from (0, 0) to (1, 1), by falling threshold.

    ``far`` and ``tpr`` hold at ``score >= threshold``; the first threshold is infinite.
    """

    far: np.ndarray
    tpr: np.ndarray
    threshold: np.ndarray


def eer_threshold(scores: ArrayLike, labels: ArrayLike) -> float:
    """The threshold where false acceptance and false rejection come closest.

    Candidates are the midpoints between adjacent distinct scores, so that the threshold
    equals no score; of two that are equally good the higher one is taken. (Accepting
    all or none is never better than a midpoint.) If all scores are equal, the threshold
    lies just above them and everything is rejected.

    Args:
      scores: [n], finite.
      labels: [n], 1 for live and 0 for spoof.

    Raises:
      InputError: lengths differ, a score is not finite, a label is neither 0 nor 1, or
        only one class is there.
    """
    live, spoof = _split(scores, labels)
    distinct = np.unique(np.concatenate([live, spoof]))
    if len(distinct) == 1:
        return float(np.nextafter(distinct[0], np.inf))
    below, above = distinct[:-1], distinct[1:]
    rejected = np.searchsorted(live, below, side="right")
    accepted = len(spoof) - np.searchsorted(spoof, below, side="right")
    # |FAR - FRR| times both class sizes: integers tie where rounded rates may not.
    gap = np.abs(accepted * len(live) - rejected * len(spoof))
    best = len(gap) - 1 - int(np.argmin(gap[::-1]))
    low, high = below[best], above[best]
    middle = low / 2 + high / 2
    return float(middle if low < middle <= high else high)


def equal_error_rate(scores: ArrayLike, labels: ArrayLike) -> float:
    """(FAR + FRR) / 2 at ``eer_threshold``; arguments and errors as there."""
    live, spoof = _split(scores, labels)
    threshold = eer_threshold(scores, labels)
    far, frr = np.mean(spoof >= threshold), np.mean(live < threshold)
    return float((far + frr) / 2)


def error_rates(
    scores: ArrayLike, labels: ArrayLike, attack_types: ArrayLike, threshold: float
) -> ErrorRates:
    """Error rates of the samples at a threshold that was fixed beforehand.

    Args:
      scores: [n], finite.
      labels: [n], 1 for live and 0 for spoof.
      attack_types: [n] names; those of live samples are not looked at.
      threshold: accept when ``score >= threshold``.

    Raises:
      InputError: as ``eer_threshold``, or the threshold is NaN.
    """
    live, spoof = _split(scores, labels)
    types = np.asarray(attack_types)
    if types.shape != np.shape(scores):
        raise InputError(
            f"attack_types: expected one name for each of the {np.size(scores)} "
            f"scores, got an array of shape {types.shape}. Pass columns of one table."
        )
    if np.isnan(threshold):
        raise InputError(
            "threshold: expected a number, got NaN. Pass a fixed threshold."
        )
    is_spoof = np.asarray(labels) == 0
    accepted = np.asarray(scores, np.float64)[is_spoof] >= threshold
    names, index = np.unique(types[is_spoof], return_inverse=True)
    rates = np.bincount(index, weights=accepted) / np.bincount(index)
    by_type = dict(zip(names.tolist(), rates.tolist(), strict=True))
    worst = max(by_type, key=by_type.__getitem__)
    apcer = by_type[worst]
    far, frr = float(np.mean(spoof >= threshold)), float(np.mean(live < threshold))
    return ErrorRates(
        threshold=float(threshold),
        apcer=apcer,
        worst_type=worst,
        apcer_by_type=by_type,
        bpcer=frr,
        acer=(apcer + frr) / 2,
        far=far,
        frr=frr,
        hter=(far + frr) / 2,
    )


def auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Probability that a live sample scores above a spoof one, ties counted half.

    Exact (Mann-Whitney), not the area under a thinned curve. Arguments and errors as in
    ``eer_threshold``.
    """
    live, spoof = _split(scores, labels)
    below = np.searchsorted(spoof, live, side="left").sum()
    not_above = np.searchsorted(spoof, live, side="right").sum()
    return float((below + not_above) / (2 * len(live) * len(spoof)))


def roc_curve(scores: ArrayLike, labels: ArrayLike) -> RocCurve:
    """The full ROC curve, no point dropped; arguments as ``eer_threshold``."""
    live, spoof = _split(scores, labels)
    distinct = np.unique(np.concatenate([live, spoof]))[::-1]
    far = (len(spoof) - np.searchsorted(spoof, distinct, side="left")) / len(spoof)
    tpr = (len(live) - np.searchsorted(live, distinct, side="left")) / len(live)
    return RocCurve(
        np.concatenate([[0.0], far]),
        np.concatenate([[0.0], tpr]),
        np.concatenate([[np.inf], distinct]),
    )


def _split(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Sorted live scores and sorted spoof scores, after all checks."""
    values, classes = np.asarray(scores), np.asarray(labels)
    if values.ndim != 1 or values.shape != classes.shape:
        raise InputError(
            "scores and labels: expected two sequences of equal length, got shapes "
            f"{values.shape} and {classes.shape}. Pass two columns of one table."
        )
    known = np.isin(classes, (0, 1))
    if not known.all():
        raise InputError(
            f"labels: expected 1 (live) or 0 (spoof), got {classes[~known][0]!r} at "
            f"position {int(np.argmin(known))}. Map the dataset's own labels first."
        )
    finite = np.isfinite(values)
    if not finite.all():
        raise InputError(
            f"scores: expected finite numbers, got {values[~finite][0]} at position "
            f"{int(np.argmin(finite))} ({np.sum(~finite)} of {len(values)} scores). "
            "A network that diverged gives such scores: look at its training curve."
        )
    live, spoof = np.sort(values[classes == 1]), np.sort(values[classes == 0])
    if not len(live) or not len(spoof):
        raise InputError(
            f"labels: expected live and spoof samples, got {len(live)} live (label 1) "
            f"and {len(spoof)} spoof (label 0). Error rates need both classes."
        )
    return live.astype(np.float64), spoof.astype(np.float64)
