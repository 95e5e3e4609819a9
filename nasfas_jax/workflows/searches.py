"""Several searches that differ in their seed, and how far their results agree."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from nasfas_jax import limits, tables
from nasfas_jax.data.loading import prepared
from nasfas_jax.report.picture import Picture
from nasfas_jax.report.searches import agreement_matrix
from nasfas_jax.search import comparison
from nasfas_jax.search.space import SearchSpace
from nasfas_jax.workflows.search import Found, search_architecture
from nasfas_jax.workflows.train import FOLDER


@dataclasses.dataclass(frozen=True, repr=False)
class Searches:
    """Architectures found with several seeds.

    Attributes:
      found: result of each search.
      seeds: its seed.
    """

    found: list[Found]
    seeds: list[int]

    @property
    def agreements(self) -> dict[tuple[int, int], comparison.Agreement]:
        """Fractions of equal edges and operations, by the seeds of each pair."""
        genotypes = [one.genotype for one in self.found]
        return comparison.agreements(dict(zip(self.seeds, genotypes, strict=True)))

    def table(self) -> list[list[str]]:
        """See `comparison.agreement_table`."""
        return comparison.agreement_table(self.agreements)

    def picture(self) -> Picture:
        """Equal operations of every pair, as a matrix."""
        matrix = np.eye(len(self.seeds))
        for (one, other), pair in self.agreements.items():
            i, j = self.seeds.index(one), self.seeds.index(other)
            matrix[i, j] = matrix[j, i] = pair.operations
        return agreement_matrix(matrix, [str(seed) for seed in self.seeds])

    def __repr__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return tables.as_html(self.table())


def search_several(
    data: prepared.Prepared,
    space: SearchSpace,
    *,
    seeds: int = 5,
    seed: int = 0,
    folder: str | pathlib.Path | None = None,
    on_start: Callable[[int], None] = lambda seed: None,
    **settings: Any,
) -> Searches:
    """Searches several times, with different seeds.

    Args:
      data: as `search_architecture`.
      space: likewise.
      seeds: number of searches, 2 or more.
      seed: seed of the first; the others have the next ones.
      folder: folder for ``seed<seed>``, the folder of each search; a temporary one for
        each if None.
      on_start: called with the seed before each search.
      **settings: other arguments of `search_architecture`.

    Raises:
      InputError: as `search_architecture`; or fewer than two seeds.
      Stopped: by a signal; what is done is not searched again by the next call.
      Diverged: the loss of a search is not finite.
    """
    limits.require(
        seeds=(seeds, limits.TWO_OR_MORE),
        seed=(seed, limits.SEED),
        folder=(folder, FOLDER),
    )
    found, numbers = [], list(range(seed, seed + seeds))
    for number in numbers:
        on_start(number)
        at = pathlib.Path(folder) / f"seed{number}" if folder else None
        one = search_architecture(data, space, seed=number, folder=at, **settings)
        found.append(one)
    return Searches(found, numbers)
