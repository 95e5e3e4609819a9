"""Calibration of an evaluated model: probabilities of live from its scores."""

import dataclasses
import html

import numpy as np

from nasfas_jax import evaluation
from nasfas_jax.evaluation import calibration
from nasfas_jax.report import robustness as pictures
from nasfas_jax.report.picture import Picture


@dataclasses.dataclass(frozen=True, repr=False)
class Calibration:
    """Probabilities of live by a temperature from development data, on test data.

    Attributes:
      name: name of the model.
      threshold: threshold of the verdicts, where the probability is 1/2.
      temperature: the temperature, in units of the score.
      before: reliability at temperature 1.
      after: reliability at the temperature.
    """

    name: str
    threshold: float
    temperature: float
    before: calibration.Reliability
    after: calibration.Reliability

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of live of scores; see `calibration.probabilities`."""
        return calibration.probabilities(scores, self.threshold, self.temperature)

    def picture(self) -> Picture:
        """Reliability diagram before and after."""
        pairs = {
            "temperature 1": self.before,
            f"temperature {self.temperature:.3g}": self.after,
        }
        return pictures.reliability(
            {
                name: (one.probability, one.frequency, one.count)
                for name, one in pairs.items()
            }
        )

    def __repr__(self) -> str:
        return (
            f"<Calibration of {self.name}: temperature {self.temperature:.4g},"
            f" expected calibration error {100 * self.after.error:.1f} % on test videos"
            f" ({100 * self.before.error:.1f} % at temperature 1)>"
        )

    def _repr_html_(self) -> str:
        """HTML for notebooks: the errors and the diagram."""
        return f"<p>{html.escape(repr(self)[1:-1])}</p>{self.picture().html}"


def calibrate(
    scores: evaluation.ScoreTable, threshold: float, name: str
) -> Calibration:
    """Fits a temperature on the development videos and tests it on the test videos.

    Args:
      scores: a row for each clip.
      threshold: threshold of the verdicts.
      name: name of the model.

    Raises:
      InputError: as `calibration.fit_temperature`.
    """
    development, test = (
        evaluation.by_video(scores.take(scores.split == split))
        for split in ("development", "test")
    )
    temperature = calibration.fit_temperature(
        development.score, development.label, threshold
    )
    before, after = (
        calibration.reliability(
            calibration.probabilities(test.score, threshold, value), test.label
        )
        for value in (1.0, temperature)
    )
    return Calibration(name, threshold, temperature, before, after)
