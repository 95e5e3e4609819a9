"""Networks beside reference architectures, random ones of a search space."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from nasfas_jax import limits, tables
from nasfas_jax.errors import InputError
from nasfas_jax.evaluation import spread

#: Results by network, target and seed, and the titles of their rates.
Tests = Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]
#: Titles of the parts of `spread.Shares`.
PARTS = (
    "architecture",
    "architecture on one target",
    "seed, on all architectures (batches)",
    "seed, on one architecture",
)


@dataclasses.dataclass(frozen=True, repr=False)
class Compared:
    """Networks of a sweep compared with reference architectures, trained alike.

    The mean of the references is what a search must surpass; the one with the smallest error
    on development data is what as many trainings find without any search.

    Attributes:
      tests: rates of each test, ``{network: {target: [rates of each seed]}}``.
      reference: names of the reference architectures, two or more.
      metrics: titles of the rates to compare, by name.
    """

    tests: Tests
    reference: Sequence[str]
    metrics: Mapping[str, str]

    def __post_init__(self):
        limits.require(reference=(self.reference, limits.Several(limits.TEXT)))
        for name in self.reference:
            limits.require(reference=(name, limits.OneOf(self.tests)))
        counts = {len(found) for by in self.tests.values() for found in by.values()}
        if len(counts) > 1:
            raise InputError(
                "expected as many tests of each target, as domains have and families of"
                f" protocols do not, got {sorted(counts)}.",
                field="reference",
            )

    def results(self, name: str, metric: str) -> np.ndarray:
        """Rates of a network, fractions [targets, seeds]."""
        return np.array([[one[metric] for one in s] for s in self.tests[name].values()])

    def of_reference(self, metric: str) -> np.ndarray:
        """Rates of the reference, fractions [architectures, targets, seeds]."""
        return np.stack([self.results(name, metric) for name in self.reference])

    def best(self, metric: str) -> np.ndarray:
        """Rates of the reference with the smallest error within, [targets, seeds]."""
        chosen = self.of_reference("within").argmin(0)
        return np.take_along_axis(self.of_reference(metric), chosen[None], 0)[0]

    def differences(self, metric: str) -> dict[str, spread.Difference]:
        """Differences of all others from the mean of the reference, see `spread`."""
        reference = self.of_reference(metric)
        found = {
            k: self.results(k, metric) for k in self.tests if k not in self.reference
        }
        found[f"random, best of {len(reference)} on development"] = self.best(metric)
        return {k: spread.difference(v, reference) for k, v in found.items()}

    def shares(self, metric: str) -> spread.Shares:
        """Shares of the variance of the reference, see `spread`.

        Raises:
          InputError: one seed.
        """
        return spread.shares(self.of_reference(metric))

    def table(self) -> list[list[str]]:
        """Header and rows: differences in %, their errors, and the ratio of both."""
        count = len(self.reference)
        header = [f"beside the mean of {count} random architectures"]
        header += [f"{title}, % (standard errors)" for title in self.metrics.values()]
        columns = [self.differences(name) for name in self.metrics]
        rows = [
            [name, *(_cell(column[name]) for column in columns)] for name in columns[0]
        ]
        return [header, *rows]

    def variance(self) -> list[list[str]]:
        """Header and rows: shares of the variance of the reference, in %.

        Raises:
          InputError: one seed.
        """
        titles = [f"{title}, %" for title in self.metrics.values()]
        columns = zip(*(self.shares(name) for name in self.metrics), strict=True)
        rows = [
            [name, *(f"{100 * share:.0f}" for share in shares)]
            for name, shares in zip(PARTS, columns, strict=True)
            if None not in shares
        ]
        return [["share of the variance within a target", *titles], *rows]

    def __repr__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return tables.as_html(self.table())


def _cell(difference: spread.Difference) -> str:
    """A difference and its error in %, and their ratio."""
    mean, error = 100 * difference.mean, 100 * difference.error
    return f"{mean:+.1f} ± {error:.1f} ({difference.ratio:+.1f})"
