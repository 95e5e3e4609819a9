"""Searched architectures beside random ones of their space (NAS-FAS sec. 6.6, figure 11)."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasfas_jax import limits, nets, tables
from nasfas_jax.data.loading import prepared
from nasfas_jax.report.picture import Picture
from nasfas_jax.report.searches import searched_and_random
from nasfas_jax.search import comparison
from nasfas_jax.search.genotype import Genotype
from nasfas_jax.workflows.evaluate import evaluate
from nasfas_jax.workflows.search import Found
from nasfas_jax.workflows.train import FOLDER, train


class _Searches(limits.Kind):
    """Lists of results of searches."""

    def __contains__(self, value: Any) -> bool:
        several = isinstance(value, Sequence) and bool(value)
        return several and all(isinstance(one, Found) for one in value)


SEARCHES = _Searches(Sequence, "a list of results of nf.search_architecture")


@dataclasses.dataclass(frozen=True, repr=False)
class Improvements:
    """Error rates of searched and of random architectures.

    Attributes:
      rates: by search, its rates and those of random architectures of the same space, as
        fractions.
      metric: title of the rates.
    """

    rates: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    metric: str

    @property
    def relative(self) -> dict[str, float]:
        """Relative improvement RI of each search, in %."""
        means = {k: [float(np.mean(one)) for one in v] for k, v in self.rates.items()}
        return {k: comparison.relative_improvement(*v) for k, v in means.items()}

    def table(self) -> list[list[str]]:
        """Header and rows: means of both with their ranges, and RI, in %."""
        titles = [f"{which}: {self.metric}, %" for which in ("searched", "random")]
        rows = [["search", *titles, "RI, %"]]
        for name, relative in self.relative.items():
            cells = map(_range, self.rates[name])
            rows.append([name, *cells, f"{relative:+.1f}"])
        return rows

    def picture(self) -> Picture:
        """Searched over random architectures, with the diagonal of equal rates."""
        labels = {name: f"{name}: RI {ri:+.1f} %" for name, ri in self.relative.items()}
        labelled = {labels[name]: pair for name, pair in self.rates.items()}
        return searched_and_random(labelled, self.metric)

    def __repr__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return tables.as_html(self.table())


def improvement_over_random(
    data: prepared.Prepared,
    found: Sequence[Found],
    *,
    target: str = "",
    samples: int = 3,
    seed: int = 0,
    folder: str | pathlib.Path | None = None,
    **settings: Any,
) -> Improvements:
    """Trains and tests searched and random architectures alike.

    Args:
      data: prepared data.
      found: results of searches in one space.
      target: domain held out; '' for the test split of the protocol.
      samples: number of random architectures, with as many channels.
      seed: seed of the trainings, and of the first random architecture.
      folder: folder for ``searched<i>`` and ``random<seed>``; temporary ones if None.
      **settings: other arguments of `train`.

    Raises:
      InputError: searches in different spaces, or as `train` and `evaluate`.
    """
    limits.require(
        data=(data, prepared.DATA),
        found=(found, SEARCHES),
        samples=(samples, limits.COUNT),
        seed=(seed, limits.SEED),
        folder=(folder, FOLDER),
    )
    space = found[0].genotype.space
    for one in found[1:]:
        comparison.agreement(found[0].genotype, one.genotype)  # of one space

    def hter(name: str, genotype: Genotype, **searched: Any) -> float:
        model = train(
            data,
            nets.SearchedNet(genotype),
            target=target,
            seed=seed,
            folder=folder and pathlib.Path(folder) / name,
            **searched,
            **settings,
        )
        return evaluate(model, data, target=target, seed=seed).result.test.hter

    searched = [
        hter(f"searched{i}", one.genotype, searched=one.learned)
        for i, one in enumerate(found)
    ]
    sampled = []
    for number in range(seed, seed + samples):
        # A found architecture has the channels of retraining already.
        random = dataclasses.replace(space.sample(number), space=space)
        sampled.append(hter(f"random{number}", random))
    return Improvements({space.title: (searched, sampled)}, "HTER")


def _range(rates: Sequence[float]) -> str:
    """The mean in %, and the smallest and largest of several."""
    low, mean, high = (100 * f(rates) for f in (np.min, np.mean, np.max))
    return f"{mean:.1f} ({low:.1f} to {high:.1f})" if len(rates) > 1 else f"{mean:.1f}"
