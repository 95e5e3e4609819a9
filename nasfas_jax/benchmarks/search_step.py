"""Cost of one Meta-NAS step in each order and mode, and accuracy of its alpha gradient."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import jax

from nasfas_jax.benchmarks import cases, instrument, timing
from nasfas_jax.compilation import run_once
from nasfas_jax.methods import meta_nas
from nasfas_jax.timing import medians

#: (weight_order, arch_order, mode); if both orders are 'first' the mode has no effect.
SETTINGS = (
    ("exact", "exact", "forward_over_reverse"),
    ("first", "first", "forward_over_reverse"),
    ("first", "second", "forward_over_reverse"),
    ("exact", "first", "forward_over_reverse"),
    ("exact", "second", "forward_over_reverse"),
    ("exact", "exact", "reverse_over_reverse"),
)


@dataclasses.dataclass(frozen=True)
class StepCost:
    """Median seconds a step, seconds to compile without cache, and peak bytes.

    ``cosine`` compares the derivative by the alphas, at the initial weights and on noise,
    with that of the first setting; ``norm_ratio`` is its norm over that one's.
    """

    weights: str
    architecture: str
    mode: str
    seconds: float
    compile: float
    peak_bytes: int
    cosine: float
    norm_ratio: float


def step_costs(
    method: meta_nas.MetaNAS,
    *,
    batch_size: int,
    image_size: int,
    settings: Sequence[tuple[str, str, str]] = SETTINGS,
    repeats: int = 5,
) -> Iterator[StepCost]:
    """Measures a search step on noise of two support domains and a query domain.

    Args:
      method: search method; its orders and mode are replaced by the settings.
      batch_size: number of images per domain.
      image_size: side of the images in pixels.
      settings: orders and modes as in `SETTINGS`; the derivatives of the others are
        compared with those of the first.
      repeats: number of timed steps, of which the median is taken.
    """
    episode = cases.noise_episode(
        batch_size, image_size=image_size, map_size=method.net.space.map_size
    )
    recorded = cases.recorded(method.alpha_optimizer)
    exact = None
    for weights, architecture, mode in settings:
        one = dataclasses.replace(
            method,
            alpha_optimizer=recorded,
            cost_weight=0.0,
            weight_order=weights,
            arch_order=architecture,
            mode=mode,
            alphas_from=0,
            exact_from=0,
        )
        state = run_once(one.init, jax.random.key(0), episode["query"]["image"][:1])
        step = timing.compiled(one.step, state, episode)
        (seconds,) = medians([functools.partial(step, state, episode)], repeats)
        grads = jax.device_get(step(state, episode)[0].alpha_opt_state[0])
        exact = grads if exact is None else exact
        yield StepCost(
            weights,
            architecture,
            mode,
            seconds,
            step.seconds,
            step.peak_bytes,
            *instrument.compare(grads, exact),
        )
