"""Costs of candidates, and the expected cost of an architecture's cells.

A table of costs, ``{cell: [edges, operations]}`` or ``{cell: [operations]}``, holds the cost
of each candidate in the network for retraining. `relative` is the expected cost under the
alphas, relative to the largest cost of an architecture: differentiable, 0 to 1.
"""

import json
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from nasfas_jax import files, limits
from nasfas_jax.compilation import run_once
from nasfas_jax.errors import InputError
from nasfas_jax.timing import medians

#: Names of the costs: multiply-adds, parameters, seconds of one image on this device.
COSTS = ("macs", "parameters", "latency")
#: Measured seconds and the device, in the folder of a search.
LATENCY_FILE = "latency.json"
#: Timed calls of each candidate, after a first one that compiles it.
REPEATS = 15

Table = Mapping[str, np.ndarray]


class Candidate(NamedTuple):
    """A module that an operation of an edge adds to the network.

    Attributes:
      module: called with an array and ``train``.
      shape: shape of the array, [1, H, W, C].
    """

    module: nn.Module
    shape: tuple[int, ...]


#: For every cell, edge and operation, the candidates of all cells of this kind.
Candidates = Mapping[str, list[list[list[Candidate]]]]


def relative(space: Any, table: Table, alphas: Any) -> jax.Array:
    """Expected cost of the cells over the largest, a scalar.

    0 for cells whose operations cost nothing, 1 for the most expensive architecture. With
    a weight, added to the loss of the alphas, it makes the search prefer cheap
    architectures. With branches, a cell before the fusion point costs as many times as there
    are branches, and the largest cost is that of a fusion at the score.

    Args:
      space: the search space, with `occurrences` and `largest`.
      table: costs of the candidates, not negative and not all zero.
      alphas: alphas of the space.
    """
    expected = {
        cell: (p * np.broadcast_to(table[cell], p.shape).astype(p.dtype)).sum()
        for cell, p in space.occurrences(alphas).items()
    }
    if getattr(space, "fusions", ()):
        copies = space.copies(jax.nn.softmax(alphas["fusion"]))
        expected = {cell: cost * copies[cell] for cell, cost in expected.items()}
    expected = list(expected.values())
    return sum(expected, jnp.zeros_like(expected[0])) / space.largest(table)


def parameters(candidates: Candidates) -> Table:
    """Number of parameters of every candidate."""

    def count(one: Candidate) -> int:
        key = jax.eval_shape(lambda: jax.random.key(0))
        x = jax.ShapeDtypeStruct(one.shape, jnp.float32)
        made = jax.eval_shape(lambda k, x: one.module.init(k, x, train=False), key, x)
        return sum(math.prod(p.shape) for p in jax.tree.leaves(made.get("params", {})))

    return _sums(candidates, count)


def seconds(candidates: Candidates, *, repeats: int = REPEATS) -> Table:
    """Seconds of every candidate for one image: see `latency`.

    Args:
      candidates: candidates at their shapes.
      repeats: number of timed calls of each.
    """
    return _sums(candidates, lambda one: latency(one.module, one.shape, repeats))


def latency(module: nn.Module, shape: tuple[int, ...], repeats: int = REPEATS) -> float:
    """Median seconds of compiled forward passes on this device, after a first one.

    Args:
      module: called with an array and ``train``.
      shape: shape of the array; N = 1 for the latency of one image.
      repeats: number of timed calls.
    """
    x = jnp.zeros(shape)
    key = jax.random.key(0)
    variables = run_once(lambda k: module.init(k, x, train=False), key)
    run = jax.jit(lambda v, x: module.apply(v, x, train=False))
    (found,) = medians([lambda: jax.block_until_ready(run(variables, x))], repeats)
    return found


def _sums(candidates: Candidates, cost: Callable[[Candidate], float]) -> Table:
    """Sum of the costs of each operation's candidates; equal candidates count alike."""
    known: dict[Candidate, float] = {}

    def of(one: Candidate) -> float:
        if one not in known:
            known[one] = float(cost(one))
        return known[one]

    return {
        cell: np.array([[sum(map(of, c)) for c in edge] for edge in edges], np.float64)
        for cell, edges in candidates.items()
    }


def table(
    space: Any,
    name: str,
    *,
    image_size: int = 256,
    folder: str | pathlib.Path | None = None,
) -> Table:
    """Costs of the candidates of a space by the name of the cost.

    Args:
      space: the search space.
      name: one of `COSTS`.
      image_size: side of the images, for 'latency'.
      folder: folder of a search, for 'latency': the measured seconds are stored in its
        ``latency.json`` with the name of the device, and read from there if they exist, so
        that a resumed search uses the same numbers.

    Raises:
      InputError: an unknown name, a space that does not declare its candidates, or a file
        that does not fit the space.
    """
    limits.require(cost=(name, limits.OneOf(COSTS)))
    if name == "macs":
        return space.edge_macs()
    if name == "parameters":
        return parameters(space.candidates(image_size))
    path = None if folder is None else pathlib.Path(folder) / LATENCY_FILE
    if path is not None and path.exists():
        return _read(path, space, image_size)
    measured = seconds(space.candidates(image_size))
    if path is not None:
        content = {
            "device": jax.devices()[0].device_kind,
            "image_size": image_size,
            "operations": list(space.operations),
            "seconds": {cell: rows.tolist() for cell, rows in measured.items()},
        }
        files.write_json(path, content)
    return measured


def _read(path: pathlib.Path, space: Any, image_size: int) -> Table:
    """The seconds of a file.

    Raises:
      InputError: seconds of another space or image size, or no numbers.
    """
    shapes = {cell: (n, len(space.operations)) for cell, n in space.cells.items()}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = {k: np.array(v, float) for k, v in content["seconds"].items()}
        fits = content["operations"] == list(space.operations)
        fits = fits and content["image_size"] == image_size
    except (ValueError, KeyError, TypeError, AttributeError):
        found, fits = {}, False
    good = all(np.isfinite(rows).all() and (rows >= 0).all() for rows in found.values())
    if not fits or not good or {k: v.shape for k, v in found.items()} != shapes:
        raise InputError(
            f"{path}: expected the seconds of every candidate of the space {space.title}"
            f" for images of {image_size} pixels, got other content. Remove the file to"
            " measure them again."
        )
    return found
