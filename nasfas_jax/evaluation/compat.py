"""Oracles: numbers computed as by published evaluators, for comparison with papers.

Most choose the threshold on the rated samples, or pool all attack types, or both, and do
not estimate performance. They reproduce each evaluator with its deviations, which
``docs/evaluation.md`` lists. Their numbers are reported only in columns named
``oracle_<evaluator>_<quantity>``, as rates in [0, 1].
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nasfas_jax.errors import InputError
from nasfas_jax.evaluation import metrics, thresholds
from nasfas_jax.evaluation.scores import ScoreTable

#: Rates by name; NumPy scalars among them.
Numbers = dict[str, Any]


class Curve(NamedTuple):
    """An ROC curve, and the point on it that is nearest to equal errors."""

    far: np.ndarray
    tpr: np.ndarray
    threshold: np.ndarray
    equal: int


def oracles(
    names: Sequence[str], development: ScoreTable, test: ScoreTable
) -> dict[str, float]:
    """The columns of the named evaluators (see ``EVALUATORS``) for a test split.

    Raises:
      InputError: an unknown evaluator, or one that cannot rate this split.
    """
    check(names)
    columns: Numbers = {}
    for name in names:
        for quantity, value in EVALUATORS[name](development, test).items():
            columns[f"oracle_{name}_{quantity}"] = float(value)
    return columns


def check(names: Sequence[str]) -> None:
    """Requires a list of names in ``EVALUATORS``.

    Raises:
      InputError: an unknown name, or no list.
    """
    if isinstance(names, list | tuple):
        unknown = [name for name in names if str(name) not in EVALUATORS]
    else:
        unknown = [names]
    if unknown:
        raise InputError(
            f"expected a list with some of {', '.join(EVALUATORS)}, got {unknown[0]!r}."
            " docs/evaluation.md says what each of them computes.",
            field="oracle",
        )


def _test(development: ScoreTable, test: ScoreTable) -> Numbers:
    """The rules of this package with the labels of the test split."""
    own = (test.score, test.label)
    at = thresholds.apcer_threshold(*own, test.attack_type, 1 / 20)
    least = metrics.error_rates(
        *own, test.attack_type, thresholds.min_hter_threshold(*own)
    )
    rates = {
        "threshold": metrics.eer_threshold(*own),
        "eer": metrics.equal_error_rate(*own),
        "min_hter": least.hter,
        "bpcer20": metrics.error_rates(*own, test.attack_type, at).bpcer,
    }
    for fpr in (0.001, 0.01, 0.1):
        rates[f"tpr_at_fpr_{fpr}"] = metrics.tpr_at_fpr(*own, fpr)
    return rates


def _cdcn(development: ScoreTable, test: ScoreTable) -> Numbers:
    curve = _thinned_curve(development)
    threshold = curve.threshold[curve.equal]
    return {"threshold": threshold, **_pooled(test, threshold)}


def _cdcn_siw_m(development: ScoreTable, test: ScoreTable) -> Numbers:
    curve = _thinned_curve(test)
    threshold = curve.threshold[curve.equal]
    eer = {"threshold": threshold, "eer": curve.far[curve.equal]}
    return eer | _pooled(test, threshold)


def _cdcn_cross(development: ScoreTable, test: ScoreTable) -> Numbers:
    curve = _thinned_curve(test)
    frr = 1 - curve.tpr
    return {
        "threshold": curve.threshold[curve.equal],
        "hter": ((curve.far + frr) / 2)[curve.equal],
        "auc": metrics.auc(test.score, test.label),
    }


def _fas_sgtd(development: ScoreTable, test: ScoreTable) -> Numbers:
    curve = _thinned_curve(development)
    threshold = curve.threshold[curve.equal]
    types = np.unique(test.attack_type[test.label == 0])
    if len(types) > 2:
        raise InputError(
            f"fas_sgtd rates two attack types at most, got {len(types)} in the "
            f"test split ({', '.join(types[:5])}). Leave fas_sgtd out.",
            field="oracle",
        )
    apcer = max(np.mean(test.score[test.attack_type == t] > threshold) for t in types)
    bpcer = np.mean(test.score[test.label == 1] < threshold)
    return {
        "threshold": threshold,
        "apcer": apcer,
        "bpcer": bpcer,
        "acer": (apcer + bpcer) / 2,
    }


def _ssdg(development: ScoreTable, test: ScoreTable) -> Numbers:
    grid = np.append(np.arange(10_001) / 10_000, 1.1)
    far, frr = _errors(test, grid)
    distance = np.abs(frr - far)
    at = len(grid) - 1 - int(np.argmin(distance[::-1]))
    return {
        "threshold": grid[at],
        "hter": (far[at] + frr[at]) / 2,
        "auc": metrics.auc(test.score, test.label),
    }


def _ssan(development: ScoreTable, test: ScoreTable) -> Numbers:
    curve = _thinned_curve(test)
    threshold = curve.threshold[curve.equal]
    live, spoof = thresholds.split(test.score, test.label)
    wrong = np.sum(live < threshold) + np.sum(spoof > threshold)
    numbers = {
        "threshold": threshold,
        "hter": ((curve.far + (1 - curve.tpr)) / 2)[curve.equal],
        "auc": metrics.auc(test.score, test.label),
        "acc": 1 - wrong / len(test),
    }
    for fpr in (0.1, 0.01, 0.001, 0.0001):
        # Here live is the negative class: a share of live is rejected by design.
        at = live[max(1, int(fpr * len(live))) - 1]
        numbers[f"tpr_at_fpr_{fpr}"] = np.mean(spoof < at)
    return numbers


def _siw_mv2(development: ScoreTable, test: ScoreTable) -> Numbers:
    curve = _thinned_curve(test)
    frr = 1 - curve.tpr
    acer = 0.5 * (curve.far + frr)
    best = int(np.argmin(acer))
    numbers = {
        "threshold": curve.threshold[best],
        "apcer": curve.far[best],
        "bpcer": frr[best],
        "acer": acer[best],
        "eer": _smaller_error(curve),
        "auc": metrics.auc(test.score, test.label),
    }
    for fpr in (0.005, 0.01, 0.02):
        nearest = curve.far[np.argmin(np.abs(curve.far - fpr))]
        numbers[f"tpr_at_fpr_{fpr}"] = curve.tpr[curve.far == nearest][-1]
    return numbers


def _fas_aug(development: ScoreTable, test: ScoreTable) -> Numbers:
    grid = np.linspace(test.score.min(), test.score.max(), 100_000)
    half, least = (np.add(*_errors(test, at)) / 2 for at in (np.array([0.5]), grid))
    return {"hter_at_0.5": half[0], "min_hter": least.min()}


def _kprokofi(development: ScoreTable, test: ScoreTable) -> Numbers:
    return {
        **_pooled(test, 0.5),
        "eer": _smaller_error(_thinned_curve(test)),
        "auc": metrics.auc(test.score, test.label),
    }


EVALUATORS: dict[str, Callable[[ScoreTable, ScoreTable], Numbers]] = {
    "test": _test,
    "cdcn": _cdcn,
    "cdcn_siw_m": _cdcn_siw_m,
    "cdcn_cross": _cdcn_cross,
    "fas_sgtd": _fas_sgtd,
    "ssdg": _ssdg,
    "ssan": _ssan,
    "siw_mv2": _siw_mv2,
    "fas_aug": _fas_aug,
    "kprokofi": _kprokofi,
}


def _thinned_curve(part: ScoreTable) -> Curve:
    """The curve of scikit-learn with its defaults, used by the code of the papers.

    It lacks points between which the counts grow linearly (``drop_intermediate``), and
    starts with a point that accepts nothing, with a threshold one above the highest score,
    as in versions before 1.3.
    """
    far, tpr, threshold = metrics.roc_curve(part.score, part.label)
    live, spoof = thresholds.split(part.score, part.label)
    counts = np.stack([np.rint(far * len(spoof)), np.rint(tpr * len(live))])[:, 1:]
    kept = np.ones(len(far), bool)
    if counts.shape[1] > 2:
        kept[2:-1] = np.diff(counts, 2).any(axis=0)
    threshold[0] = threshold[1] + 1
    far, tpr, threshold = far[kept], tpr[kept], threshold[kept]
    return Curve(far, tpr, threshold, int(np.argmin(np.abs(tpr + far - 1.0))))


def _smaller_error(curve: Curve) -> np.floating:
    """The smaller of the two errors where they are closest, called EER by some papers."""
    frr = 1 - curve.tpr
    at = np.argmin(np.abs(frr - curve.far))
    return min(curve.far[at], frr[at])


def _errors(part: ScoreTable, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pooled FAR and FRR where ``score >= at`` accepts."""
    live, spoof = thresholds.split(part.score, part.label)
    far = thresholds.count_accepted(spoof, at) / len(spoof)
    return far, (len(live) - thresholds.count_accepted(live, at)) / len(live)


def _pooled(part: ScoreTable, threshold: float) -> Numbers:
    """All attacks as one type; a score equal to the threshold is rejected."""
    apcer = np.mean(part.score[part.label == 0] > threshold)
    bpcer = np.mean(part.score[part.label == 1] <= threshold)
    return {"apcer": apcer, "bpcer": bpcer, "acer": (apcer + bpcer) / 2}
