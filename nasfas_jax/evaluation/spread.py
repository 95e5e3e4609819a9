"""Parts of the spread of results over architectures, targets and seeds.

Results are arrays [architectures, targets, seeds] of one rate, a training each. Their model
is the sum of the mean of a target, an effect of the architecture, one of the architecture on
this target, one of the seed on all architectures, and one of the seed on this architecture.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nasfas_jax import limits
from nasfas_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class _Results(limits.Kind):
    """Arrays of three axes with at least so many entries each."""

    least: tuple[int, int, int] = (2, 1, 1)

    def __contains__(self, value: object) -> bool:
        shape = value.shape if isinstance(value, np.ndarray) else ()
        return len(shape) == 3 and all(
            n >= low for n, low in zip(shape, self.least, strict=True)
        )


_TEXT = "an array [architectures, targets, seeds] of 2 or more architectures"
REFERENCE = _Results(np.ndarray, _TEXT)
RESULTS = _Results(np.ndarray, f"{_TEXT} and 2 or more seeds", (2, 1, 2))


class Shares(NamedTuple):
    """Shares of the variance of results within a target; their sum is 1.

    Attributes:
      architecture: of an architecture on all targets.
      interaction: of an architecture on one target; None for one target.
      batches: of the seed on all architectures, which are trained on the same batches;
        comparisons of the same seeds are free of it.
      seed: of the seed on one architecture.
    """

    architecture: float
    interaction: float | None
    batches: float
    seed: float


class Difference(NamedTuple):
    """A mean difference and its standard error."""

    mean: float
    error: float

    @property
    def ratio(self) -> float:
        """The difference in standard errors; NaN where the error is 0."""
        return self.mean / self.error if self.error else float("nan")


def shares(results: np.ndarray) -> Shares:
    """Shares of the variance of architectures and seeds.

    They are the estimates by the mean squares of a balanced analysis of variance with
    random effects; a negative one is 0.

    Args:
      results: [architectures, targets, seeds].

    Raises:
      InputError: an array of another shape, or results that do not differ at all.
    """
    limits.require(results=(results, RESULTS))
    count, targets, seeds = results.shape
    batches = results.mean(0) - results.mean((0, 2))[:, None]  # [targets, seeds]
    cells = results.mean(2) - results.mean((0, 2))  # [architectures, targets]
    effects = cells.mean(1)
    rest = results - results.mean((0, 2))[:, None] - cells[..., None] - batches
    of_seed = _mean_square(rest, (count - 1) * targets * (seeds - 1))
    of_batches = count * _mean_square(batches, targets * (seeds - 1))
    of_effects = targets * seeds * _mean_square(effects, count - 1)
    below, interaction = of_seed, None
    if targets > 1:
        freedom = (count - 1) * (targets - 1)
        below = seeds * _mean_square(cells - effects[:, None], freedom)
        interaction = max(0.0, below - of_seed) / seeds
    architecture = max(0.0, of_effects - below) / (targets * seeds)
    of_all = max(0.0, of_batches - of_seed) / count
    total = architecture + (interaction or 0.0) + of_all + of_seed
    if not total > 0:
        raise InputError(
            "expected results that differ, got equal ones.", field="results"
        )
    share = None if interaction is None else interaction / total
    return Shares(architecture / total, share, of_all / total, of_seed / total)


def _mean_square(values: np.ndarray, freedom: int) -> float:
    return float(np.square(values).sum()) / freedom


def difference(results: ArrayLike, reference: np.ndarray) -> Difference:
    """Results of a network minus the mean of reference architectures.

    The difference is taken for each target and seed, of the same batches. Its error has
    two parts: the deviation of these differences over their number, and that of the
    references' means over the number of architectures, which were drawn from others.

    Args:
      results: [targets, seeds].
      reference: [architectures, targets, seeds].

    Raises:
      InputError: arrays of other shapes, or fewer than two pairs.
    """
    limits.require(reference=(reference, REFERENCE))
    found = np.asarray(results, float)
    if found.shape != reference.shape[1:] or found.size < 2:
        raise InputError(
            f"expected an array {list(reference.shape[1:])} of 2 or more numbers, as the"
            f" reference has them, got {list(found.shape)}.",
            field="results",
        )
    pairs = (found - reference.mean(0)).ravel()
    of_pairs = pairs.var(ddof=1) / pairs.size
    of_reference = reference.mean((1, 2)).var(ddof=1) / len(reference)
    return Difference(float(pairs.mean()), float(np.sqrt(of_pairs + of_reference)))
