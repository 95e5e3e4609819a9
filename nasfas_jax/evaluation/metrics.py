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
from nasfas_jax.evaluation.thresholds import (
    count_accepted,
    eer_threshold,
    far_threshold,
    split,
    types_like,
)

__all__ = [
    "DetCurve",
    "ErrorRates",
    "RocCurve",
    "auc",
    "det_curve",
    "eer_threshold",
    "equal_error_rate",
    "error_rates",
    "roc_curve",
    "tpr_at_fpr",
]


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


class DetCurve(NamedTuple):
    """``RocCurve``'s points as errors: from (0, 1) to (1, 0), by falling threshold.

    Drawn on probit axes (``report.figures.det``) normally distributed scores give a
    straight line.
    """

    far: np.ndarray
    frr: np.ndarray
    threshold: np.ndarray


def equal_error_rate(scores: ArrayLike, labels: ArrayLike) -> float:
    """(FAR + FRR) / 2 at ``eer_threshold``; arguments and errors as there."""
    live, spoof = split(scores, labels)
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
      attack_types: [n] names; those of live samples are ignored.
      threshold: accept when ``score >= threshold``.

    Raises:
      InputError: as ``eer_threshold``, or the threshold is NaN.
    """
    live, spoof = split(scores, labels)
    types = types_like(attack_types, scores)
    if np.isnan(threshold):
        raise InputError(
            "expected a number, got NaN. Pass a fixed threshold.", field="threshold"
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
    live, spoof = split(scores, labels)
    below = np.searchsorted(spoof, live, side="left").sum()
    not_above = np.searchsorted(spoof, live, side="right").sum()
    return float((below + not_above) / (2 * len(live) * len(spoof)))


def tpr_at_fpr(scores: ArrayLike, labels: ArrayLike, fpr: float) -> float:
    """The highest share of live samples accepted while FAR is ``fpr`` at most.

    A point of the curve of these samples, without interpolation; since it uses their
    labels, it is an oracle on a test split. Errors as ``eer_threshold``.
    """
    live, _ = split(scores, labels)
    return float(np.mean(live >= far_threshold(scores, labels, fpr)))


def roc_curve(scores: ArrayLike, labels: ArrayLike) -> RocCurve:
    """The full ROC curve, no point dropped; arguments as ``eer_threshold``."""
    live, spoof = split(scores, labels)
    distinct = np.unique(np.concatenate([live, spoof]))[::-1]
    at = np.concatenate([[np.inf], distinct])
    return RocCurve(
        count_accepted(spoof, at) / len(spoof), count_accepted(live, at) / len(live), at
    )


def det_curve(scores: ArrayLike, labels: ArrayLike) -> DetCurve:
    """The full DET curve, no point dropped; arguments as ``eer_threshold``."""
    live, _ = split(scores, labels)
    far, _, at = roc_curve(scores, labels)
    return DetCurve(far, (len(live) - count_accepted(live, at)) / len(live), at)
