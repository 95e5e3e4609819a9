"""What one Meta-NAS step costs in each order and mode: time, compile time, memory."""

import dataclasses
import statistics
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from nasfas_jax.commands import search
from nasfas_jax.methods import instrument, meta_nas

#: (weight_order, arch_order, mode); a mode says nothing where no order is exact.
CASES = (
    ("first", "first", "forward_over_reverse"),
    ("exact", "first", "forward_over_reverse"),
    ("exact", "exact", "forward_over_reverse"),
    ("exact", "exact", "reverse_over_reverse"),
)


@dataclasses.dataclass(frozen=True)
class StepCost:
    """One line of the table; seconds a step, seconds to compile cold, bytes at peak."""

    weights: str
    architecture: str
    mode: str
    seconds: float
    compile: float
    peak_bytes: int


def step_costs(config, image_size: int, *, repeats: int = 5) -> Iterator[StepCost]:
    """Measures the step of ``config.search`` on two support domains and a query.

    Args:
      config: the search part of a config; its orders and mode are replaced.
      image_size: side of the faces in pixels.
      repeats: timed steps; the median counts.
    """
    base = search.make_method(config)
    episode = _episode(config.batch_size, image_size, base.net.space.map_size)
    for weights, architecture, mode in CASES:
        method = dataclasses.replace(
            base,
            weight_order=weights,
            arch_order=architecture,
            mode=mode,
            alphas_from=0,
        )
        yield _cost(method, episode, repeats)


def _cost(method: meta_nas.MetaNAS, episode: dict, repeats: int) -> StepCost:
    state = jax.jit(method.init)(jax.random.key(0), episode["query"]["image"][:1])
    program, compile_seconds = instrument.compile_cold(method.step, state, episode)
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(program(state, episode))
        times.append(time.perf_counter() - began)
    memory: Any = program.memory_analysis()
    peak = (
        memory.temp_size_in_bytes
        + memory.argument_size_in_bytes
        + memory.output_size_in_bytes
    )
    return StepCost(
        method.weight_order,
        method.arch_order,
        method.mode,
        statistics.median(times[1:]),
        compile_seconds,
        peak,
    )


def _episode(batch_size: int, size: int, map_size: int) -> dict:
    """Noise in the shape of an episode of three domains."""
    random = np.random.default_rng(0)

    def batch(*shape: int) -> dict:
        return {
            "image": random.normal(size=(*shape, size, size, 3)).astype(np.float32),
            "target": random.random((*shape, map_size, map_size), np.float32),
        }

    return {"support": batch(2, batch_size), "query": batch(batch_size)}
