"""DARTS on three supernets in JAX compared with PyTorch: time, compile time, memory.

Both sides are first checked to compute the same and then timed in turn.
"""

import dataclasses
import functools
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import jax
import numpy as np
import optax

from nasfas_jax.benchmarks import cases, memory, timing
from nasfas_jax.compilation import run_once
from nasfas_jax.methods import darts
from nasfas_jax.methods.state import adam
from nasfas_jax.search import fas, spaces
from nasfas_jax.search.baseline.space import OPERATIONS, BaselineSpace
from nasfas_jax.search.dag import structure
from nasfas_jax.timing import medians

ORDERS = ("first", "exact")
#: Relative tolerance of the loss, and of the gradient by the alphas of each order.
TOLERANCES = {"loss": 1e-4, "first": 1e-2, "exact": 5e-2}
#: The same where a GPU rounds the operands of products to TensorFloat-32, 11 bits.
ROUNDED = {"loss": 1e-2, "first": 0.1, "exact": 0.5}
RATES = {
    "inner_rate": 1e-3,
    "learning_rate": 1e-4,
    "weight_decay": 5e-5,
    "alpha_learning_rate": 6e-4,
    "alpha_weight_decay": 1e-3,
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A supernet and the sizes of its batches.

    Attributes:
      title: name for display.
      space: the search space.
      size: side of the images in pixels.
      batch: images of the support, and of the query.
      order: 'first' or 'exact'.
    """

    title: str
    space: Any
    size: int
    batch: int
    order: str = "exact"

    def method(self) -> darts.DARTS:
        """DARTS in JAX."""
        return darts.DARTS(
            self.space.supernet(),
            optax.sgd(RATES["inner_rate"]),
            adam(RATES["learning_rate"], weight_decay=RATES["weight_decay"]),
            adam(
                RATES["alpha_learning_rate"],
                weight_decay=RATES["alpha_weight_decay"],
                b1=0.5,
            ),
            arch_order=self.order,
        )

    def peer(self) -> Any:
        """DARTS in PyTorch, one module an edge and an operation."""
        from nasfas_jax.benchmarks.peers import cells, nets

        if isinstance(self.space, BaselineSpace):
            net, rename = cells.Supernet(self.space), cells.weights
        else:
            net, rename = nets.Supernet(self.space), nets.supernet_weights
        loss = cells.LOSSES[self.space.name]
        return cells.DARTS(net, rename, loss, self.order, RATES)

    def episode(self) -> dict:
        """Noise: a support and a query of ``batch`` images."""
        drawn = cases.noise_episode(
            self.batch, image_size=self.size, map_size=self.space.map_size
        )
        support = {name: x[:1] for name, x in drawn["support"].items()}
        return {"support": support, "query": drawn["query"]}


CASES = (
    Case("baseline space", spaces.get("nas_baseline"), 64, 4),
    Case(
        "FAS space",
        fas.FASSpace(channels=32, stem_channels=16, head_channels=32),
        64,
        4,
    ),
    # A stem that quarters the sides: cells of 32 x 32 pixels, as on CIFAR.
    Case(
        "PC-DARTS at the size of CIFAR",
        spaces.get("nas_baseline", operation_space="pc_darts"),
        128,
        4,
    ),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """Median seconds a step, bytes of both sides, and seconds to compile our step.

    ``compile`` is without cache, ``cached`` with the program in the compilation cache;
    both include tracing. Bytes are the growth of the resident memory of a new process
    during a step.
    """

    case: str
    order: str
    ours_seconds: float
    peer_seconds: float
    ours_bytes: int
    peer_bytes: int
    compile: float
    cached: float

    @property
    def ratios(self) -> dict[str, float]:
        """Our time and memory divided by the peer's; below 1 is better."""
        return {
            "time": self.ours_seconds / self.peer_seconds,
            "memory": self.ours_bytes / self.peer_bytes,
        }


def our_step(case: Case, cache: str = "") -> tuple[Any, dict, timing.Compiled]:
    """State, episode and step of a case, compiled with the cache in a folder, '' for none."""
    method, episode = case.method(), case.episode()
    state = run_once(method.init, jax.random.key(0), episode["query"]["image"][:1])
    state, episode = jax.device_put((jax.device_get(state), episode))
    return state, episode, timing.compiled(method.step, state, episode, cache=cache)


def compare(case: Case, peer: Any, state: Any, metrics: dict, episode: dict) -> None:
    """Checks the query loss and the norm of its gradient by the alphas on both sides.

    Args:
      case: computed step.
      peer: the peer, before its first step.
      state: our state before the step.
      metrics: those of our step.
      episode: the episode of the step as tensors.

    Raises:
      AssertionError: the two sides disagree.
    """
    peer.load(jax.device_get(state.params), jax.tree.leaves(state.alphas))
    loss, _ = peer.step(episode)
    what = f"of {case.title}, {case.order}"
    tolerances = TOLERANCES if timing.full_precision() else ROUNDED
    query = metrics["query_loss"]
    timing.check(f"loss {what}", query, np.asarray(loss), tolerances["loss"])
    norm = np.asarray(np.linalg.norm(peer.alpha_gradients()))
    ours = metrics["l2_alpha_grads"]
    timing.check(f"gradient by the alphas {what}", ours, norm, tolerances[case.order])


def rows(case: Case, repeats: int = 5) -> Iterator[Row]:
    """Compares the steps of every order of a case with the peer's.

    Args:
      case: supernet to measure.
      repeats: number of timed steps of each side, of which the median is taken.

    Raises:
      InputError: PyTorch is not installed, or memory cannot be measured on this system.
      AssertionError: the two sides disagree.
    """
    timing.require_torch()
    from nasfas_jax.benchmarks.peers import metagrad as peers

    for order in ORDERS:
        one = dataclasses.replace(case, order=order)
        with tempfile.TemporaryDirectory() as cache:
            state, episode, step = our_step(one, cache)
            jax.clear_caches()
            cached = our_step(one, cache)[-1].seconds
            grown = memory.of_step(functools.partial(grow, one, cache), step)
        peer, tensors = one.peer(), peers.tensors(jax.device_get(episode))
        _, metrics = step(state, episode)
        compare(one, peer, state, metrics, tensors)
        calls = [
            functools.partial(step, state, episode),
            functools.partial(peer.step, tensors),
        ]
        ours, theirs = medians(calls, repeats)
        of_peer = memory.of_step(functools.partial(grow, one, None))
        yield Row(case.title, order, ours, theirs, grown, of_peer, step.seconds, cached)


def grow(case: Case, cache: str | None) -> int:
    """`memory.growth` of a step.

    Args:
      case: the step.
      cache: folder of the compilation cache that has our step; None for the peer's step.
    """
    if cache is not None:
        state, episode, step = our_step(case, cache)
        return memory.growth(lambda: step(state, episode))
    from nasfas_jax.benchmarks.peers import metagrad as peers

    peer, tensors = case.peer(), peers.tensors(case.episode())
    return memory.growth(lambda: peer.step(tensors))


@dataclasses.dataclass(frozen=True)
class GrownSpace(BaselineSpace):
    """The baseline space with other numbers of cells and candidates.

    Attributes:
      cell_groups: how many times two normal cells and a reduction cell.
      candidate_count: number of candidates, 'none' included.
    """

    name: ClassVar[str] = "grown"
    cell_groups: int = 3
    candidate_count: int = 7

    @property
    def layout(self) -> tuple[tuple[str, int], ...]:
        """Kind and channels of each cell."""
        return super().layout[: 3 * self.cell_groups]

    @property
    def operations(self) -> tuple[str, ...]:
        """Names of the candidates."""
        return OPERATIONS[self.operation_space][: self.candidate_count]


@dataclasses.dataclass(frozen=True)
class Grown:
    """Cost of an exact step of a larger or smaller baseline space.

    Attributes:
      along: what varies: 'cells', 'candidates' or 'channels'.
      value: its value.
      seconds: median seconds a step.
      compile: seconds to trace and compile it, without cache.
      temporary_bytes: memory for intermediate values, as planned by XLA.
    """

    along: str
    value: int
    seconds: float
    compile: float
    temporary_bytes: int


#: Values of each axis; the others are those of the space.
GROWTH: dict[str, Sequence[int]] = {
    "cells": (3, 6, 9),
    "candidates": (3, 5, 7),
    "channels": (8, 16, 32),
}


def growth(
    repeats: int = 3, size: int = 64, batch: int = 4, order: str = "exact"
) -> Iterator[Grown]:
    """Measures steps of baseline spaces with other cells, candidates and channels.

    Args:
      repeats: number of timed steps, of which the median is taken.
      size: side of the images in pixels.
      batch: images of the support, and of the query.
      order: 'first' or 'exact'.
    """
    for along, values in GROWTH.items():
        for value in values:
            options: dict[str, Any] = {
                "cells": {"cell_groups": value // len(structure.LAYOUT[:3])},
                "candidates": {"candidate_count": value},
                "channels": {"channels": value},
            }[along]
            case = Case(along, GrownSpace(**options), size, batch, order)
            state, episode, step = our_step(case)
            (seconds,) = medians([functools.partial(step, state, episode)], repeats)
            yield Grown(along, value, seconds, step.seconds, step.temporary_bytes)
