"""Architectures between the most probable and the cheapest, from the alphas of one search."""

import itertools
from typing import Any, NamedTuple

import numpy as np

from nasfas_jax.search import cost
from nasfas_jax.search.genotype import Genotype, Link

#: Weight of the cost at which the cheapest architecture is the best one.
CHEAPEST = 1e9


class Point(NamedTuple):
    """An architecture of the trade-off.

    Attributes:
      genotype: the architecture.
      log_probability: mean over its edges of the logarithm of the weight of the operation,
        and of the edge where the space chooses edges.
      cost: its cost over the largest.
      weight: weight of the cost from which on the architecture is the best one.
    """

    genotype: Genotype
    log_probability: float
    cost: float
    weight: float


def points(space: Any, alphas: Any, table: cost.Table) -> list[Point]:
    """Every architecture that is the best one for some weight of the cost.

    For a weight mu of 0 or more, it is the one with the largest sum over its edges of
    ``log p - mu * cost``, with the relative cost. The weights at which it changes are found
    exactly: at the weight at which two neighbors are equal, either they are the best, or a
    third architecture is, between them. The fusion point of branches is always the most
    probable one.

    Args:
      space: the search space.
      alphas: alphas at the end of a search.
      table: costs of the candidates.

    Returns:
      From the most probable architecture, which `derive` returns, to the cheapest.
    """
    largest = space.largest(table)
    if getattr(space, "fusions", ()):
        fusion = np.eye(len(space.fusions))[np.argmax(alphas["fusion"])]
        copies = space.copies(fusion)
        table = {cell: copies[cell] * rows for cell, rows in table.items()}
    logs, costs = {}, {}
    for cell, weights in space.occurrences(alphas).items():
        tiny = np.finfo(np.float64).tiny
        logs[cell] = np.log(np.maximum(np.asarray(weights, np.float64), tiny))
        costs[cell] = np.broadcast_to(table[cell] / largest, logs[cell].shape)

    def best(weight: float) -> tuple[Genotype, float, float]:
        scores = {cell: logs[cell] - weight * costs[cell] for cell in logs}
        found = space.strongest({**alphas, **scores})
        chosen = one_hot(space, found)
        log, relative = (
            float(sum((chosen[cell] * t[cell]).sum() for cell in logs))
            for t in (logs, costs)
        )
        return found, log, relative

    def between(one: Any, other: Any) -> list[Any]:
        if one[2] - other[2] < 1e-12:
            return []
        weight = (one[1] - other[1]) / (one[2] - other[2])
        third = best(weight)
        gain = (third[1] - weight * third[2]) - (one[1] - weight * one[2])
        if gain <= 1e-9 * (1 + abs(one[1])):
            return []
        return [*between(one, third), third, *between(third, other)]

    first, last = best(0.0), best(CHEAPEST)
    ordered = [first, *between(first, last)]
    if last[2] < first[2]:
        ordered.append(last)
    edges = sum(map(len, first[0].cells))
    weights = [0.0] + [
        (a[1] - b[1]) / (a[2] - b[2]) for a, b in itertools.pairwise(ordered)
    ]
    return [
        Point(found, log / edges, relative, weight)
        for (found, log, relative), weight in zip(ordered, weights, strict=True)
    ]


def one_hot(space: Any, genotype: Genotype) -> dict[str, np.ndarray]:
    """The operations of an architecture as ones, ``{cell: [edges, operations]}``."""
    found = {}
    for (name, count), cell in zip(space.cells.items(), genotype.cells, strict=True):
        found[name] = chosen = np.zeros((count, len(space.operations)))
        for edge, operation in enumerate(cell):
            if isinstance(operation, Link):
                edge, operation = space.edge_of(operation), operation.operation
            chosen[edge, space.operations.index(operation)] = 1
    return found
