"""Agreement of architectures, and improvement over random ones."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from nasfas_jax.errors import InputError
from nasfas_jax.search.genotype import Genotype, Link


class Agreement(NamedTuple):
    """Equal choices of two architectures, as fractions of all.

    Attributes:
      edges: edges that both have; 1 in spaces that do not choose edges.
      operations: edges that both have with the same operation; an equal fusion point of
        branches counts as one more.
    """

    edges: float
    operations: float


def agreement(one: Genotype, other: Genotype) -> Agreement:
    """The agreement of two architectures of one space.

    Raises:
      InputError: architectures of different spaces.
    """
    if one.space != other.space:
        raise InputError(
            "agreement: expected architectures of one search space with equal options, got"
            f" {one.space} and {other.space}."
        )
    edges, operations = [], []
    for mine, yours in zip(one.cells, other.cells, strict=True):
        if isinstance(mine[0], Link):
            ends = {link[:2] for link in yours}
            edges += [link[:2] in ends for link in mine]
            operations += [link in yours for link in mine]
        else:
            edges += [True] * len(mine)
            operations += [a == b for a, b in zip(mine, yours, strict=True)]
    if one.fusion is not None:
        operations.append(one.fusion == other.fusion)
    return Agreement(float(np.mean(edges)), float(np.mean(operations)))


def agreements(genotypes: Mapping[int, Genotype]) -> dict[tuple[int, int], Agreement]:
    """Agreement of every pair of architectures, by their seeds."""
    pairs = itertools.combinations(genotypes, 2)
    return {(i, j): agreement(genotypes[i], genotypes[j]) for i, j in pairs}


def agreement_table(pairs: Mapping[tuple[int, int], Agreement]) -> list[list[str]]:
    """Table of the equal edges and operations of each pair, and of their mean, in %.

    Args:
      pairs: as `agreements` returns them.
    """
    rows = {f"{i} and {j}": pair for (i, j), pair in pairs.items()}
    if len(rows) > 1:
        rows["mean"] = Agreement(*np.mean(list(rows.values()), 0).tolist())
    body = [[k, *(f"{100 * x:.0f}" for x in pair)] for k, pair in rows.items()]
    return [["seeds", "equal edges, %", "equal operations, %"], *body]


def relative_improvement(searched: float, sampled: float) -> float:
    """Relative improvement of a searched over random architectures, in % (NAS-FAS sec. 6.6).

    Args:
      searched: mean error rate of the searched architectures.
      sampled: mean error rate of random architectures of the same space, trained alike.

    Returns:
      ``-100 (searched - sampled) / sampled``; positive if the search is better. NaN where
      random architectures make no errors.

    >>> relative_improvement(0.25, 0.5)
    50.0
    """
    if sampled == 0:
        return float("nan")
    return float(-100 * (searched - sampled) / sampled)
