"""Cost of one Meta-NAS step in each order and mode: time, compile time, memory."""

import dataclasses
import functools
from collections.abc import Iterator

import jax

from nasfas_jax.benchmarks import cases, timing
from nasfas_jax.compilation import run_once
from nasfas_jax.methods import meta_nas

#: (weight_order, arch_order, mode); without an exact order the mode has no effect.
SETTINGS = (
    ("first", "first", "forward_over_reverse"),
    ("exact", "first", "forward_over_reverse"),
    ("exact", "exact", "forward_over_reverse"),
    ("exact", "exact", "reverse_over_reverse"),
)


@dataclasses.dataclass(frozen=True)
class StepCost:
    """Median seconds a step, seconds to compile without cache, and peak bytes."""

    weights: str
    architecture: str
    mode: str
    seconds: float
    compile: float
    peak_bytes: int


def step_costs(
    method: meta_nas.MetaNAS, *, batch_size: int, image_size: int, repeats: int = 5
) -> Iterator[StepCost]:
    """Measures a search step on noise of two support domains and a query domain.

    Args:
      method: search method; its orders and mode are replaced by `SETTINGS`.
      batch_size: number of images per domain.
      image_size: side of the images in pixels.
      repeats: number of timed steps, of which the median is taken.
    """
    episode = cases.noise_episode(
        batch_size, image_size=image_size, map_size=method.net.space.map_size
    )
    for weights, architecture, mode in SETTINGS:
        one = dataclasses.replace(
            method,
            weight_order=weights,
            arch_order=architecture,
            mode=mode,
            alphas_from=0,
        )
        state = run_once(one.init, jax.random.key(0), episode["query"]["image"][:1])
        step = timing.compiled(one.step, state, episode)
        (seconds,) = timing.medians([functools.partial(step, state, episode)], repeats)
        yield StepCost(
            weights, architecture, mode, seconds, step.seconds, step.peak_bytes
        )
