"""Calibration: probabilities of live from scores, by a temperature."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from nasfas_jax.errors import InputError
from nasfas_jax.evaluation.thresholds import split

#: Bins of equal width in [0, 1] of a reliability diagram.
BINS = 10
#: Range of the temperature; scores that separate the classes reach its lower end.
RANGE = (1e-4, 1e4)


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Probabilities of live against frequencies, in bins of equal width.

    Attributes:
      probability: mean probability in each bin [bins]; NaN in an empty one.
      frequency: share of live samples in each bin [bins]; NaN in an empty one.
      count: number of samples in each bin [bins].
    """

    probability: np.ndarray
    frequency: np.ndarray
    count: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: mean gap of the bins, weighted by their counts."""
        full = self.count > 0
        gaps = np.abs(self.probability - self.frequency)[full]
        return float(np.average(gaps, weights=self.count[full]))


def probabilities(
    scores: ArrayLike, threshold: float, temperature: float
) -> np.ndarray:
    """Probabilities of live [n], ``sigmoid((score - threshold) / temperature)``.

    At the threshold the probability is 1/2, so that verdicts do not change.
    """
    return special.expit((np.asarray(scores, np.float64) - threshold) / temperature)


def fit_temperature(scores: ArrayLike, labels: ArrayLike, threshold: float) -> float:
    """The temperature in `RANGE` that maximizes the likelihood of the labels.

    Args:
      scores: [n] of development data, finite.
      labels: [n], 1 for live and 0 for spoof.
      threshold: threshold of the verdicts.

    Raises:
      InputError: as `thresholds.eer_threshold`, or a threshold that is not finite.
    """
    split(scores, labels)
    if not np.isfinite(threshold):
        raise InputError(
            f"expected a finite number, got {threshold}.", field="threshold"
        )
    signs = 2 * np.asarray(labels) - 1
    margins = signs * (np.asarray(scores, np.float64) - threshold)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -margins / np.exp(log_temperature)).mean())

    found = optimize.minimize_scalar(loss, bounds=np.log(RANGE), method="bounded")
    return float(np.exp(found.x))


def reliability(
    probability: ArrayLike, labels: ArrayLike, bins: int = BINS
) -> Reliability:
    """Probabilities of live against the frequencies of live samples.

    Args:
      probability: [n], in [0, 1].
      labels: [n], 1 for live and 0 for spoof.
      bins: number of bins of equal width.

    Raises:
      InputError: a probability outside [0, 1], or as `thresholds.eer_threshold`.
    """
    split(probability, labels)
    given = np.asarray(probability, np.float64)
    if not ((given >= 0) & (given <= 1)).all():
        raise InputError("expected values from 0 to 1.", field="probability")
    place = np.minimum((given * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, given, minlength=bins) / count
        live = (
            np.bincount(place, np.asarray(labels, np.float64), minlength=bins) / count
        )
    return Reliability(mean, live, count)
