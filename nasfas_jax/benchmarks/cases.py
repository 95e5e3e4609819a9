"""The steps of Meta-NAS and RFMeta as cases of `instrument.measure`, and noise for them.

The steps are measured unchanged: the optimizer given to a step records the gradient that
it receives.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nasfas_jax.benchmarks.instrument import Case, Step
from nasfas_jax.compilation import run_once
from nasfas_jax.methods import meta_nas, rfmeta

#: Domains of an episode of noise.
DOMAINS = 3


def noise_episode(
    batch_size: int,
    *,
    image_size: int,
    map_size: int,
    channels: int = 3,
    seed: int = 0,
) -> dict[str, dict[str, np.ndarray]]:
    """Returns noise in the shape of an episode, alternately live and spoof.

    Args:
      batch_size: number of images N per domain.
      image_size: side of the images in pixels.
      map_size: side m of the target maps.
      channels: number of image channels C.
      seed: seed of the noise.

    Returns:
      ``query``: ``image`` [N, H, W, C] from -1 to 1, ``target`` [N, m, m] from 0 to 1 and
      zero for a spoof, ``label`` [N]; ``support``: the same with a leading axis of
      `DOMAINS` - 1.
    """
    random = np.random.default_rng(seed)
    live = np.arange(batch_size) % 2

    def batch(*shape: int) -> dict[str, np.ndarray]:
        image = random.uniform(-1, 1, (*shape, image_size, image_size, channels))
        target = random.random((*shape, map_size, map_size), np.float32)
        return {
            "image": image.astype(np.float32),
            "target": target * live[:, None, None].astype(np.float32),
            "label": np.broadcast_to(live.astype(np.int32), shape).copy(),
        }

    return {"support": batch(DOMAINS - 1, batch_size), "query": batch(batch_size)}


def recorded(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Wraps an optimizer so that its state starts with the last gradient received."""
    record = optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params),
        lambda updates, state, params=None: (updates, updates),
    )
    return optax.chain(record, optimizer)


def of_meta_nas(
    method: meta_nas.MetaNAS, episode: Callable[[int], dict], seed: int = 0
) -> Case:
    """The search step of Meta-NAS, exact in both orders except for the mode.

    Its derivatives are those that reach the optimizers: with respect to the weights
    (eq. 13) and to the alphas (eq. 14, without a cost term).

    Args:
      method: search method; its inner optimizer is replaced by SGD at the measured rates.
      episode: function from a batch size to an episode for `MetaNAS.step`.
      seed: seed of the initial weights.
    """
    method = dataclasses.replace(
        method,
        optimizer=recorded(method.optimizer),
        alpha_optimizer=recorded(method.alpha_optimizer),
        weight_order="exact",
        arch_order="exact",
        alphas_from=0,
        cost_weight=0.0,
    )

    def make(mode: str, steps: int) -> Step:
        def step(rate, state, episode):
            measured = dataclasses.replace(
                method, mode=mode, inner_steps=steps, inner_optimizer=optax.sgd(rate)
            )
            new, metrics = measured.step(state, episode)
            by = {"weights": new.opt_state[0], "alphas": new.alpha_opt_state[0]}
            return by, (new, metrics)

        return step

    return Case("Meta-NAS", make, _arguments(method, episode, seed))


def of_rfmeta(
    method: rfmeta.RFMeta, episode: Callable[[int], dict], seed: int = 0
) -> Case:
    """The step of RFMeta.

    Its derivatives are those of the total loss L with respect to F and M; the derivative
    with respect to D passes through no inner step.

    Args:
      method: its inner rate, mode and steps are replaced by the measured ones.
      episode: function from a batch size to an episode for `RFMeta.step`.
      seed: seed of the initial weights.
    """
    method = dataclasses.replace(
        method, optimizer=recorded(method.optimizer), order="exact"
    )

    def make(mode: str, steps: int) -> Step:
        def step(rate, state, episode):
            measured = dataclasses.replace(
                method, mode=mode, inner_steps=steps, inner_learning_rate=rate
            )
            new, metrics = measured.step(state, episode)
            return {name: new.opt_state[0][name] for name in "FM"}, (new, metrics)

        return step

    return Case("RFMeta", make, _arguments(method, episode, seed))


def _arguments(
    method: Any, episode: Callable[[int], dict], seed: int
) -> Callable[[int], tuple]:
    def arguments(batch_size: int) -> tuple:
        drawn = episode(batch_size)
        image = drawn["query"]["image"][:1]
        return run_once(method.init, jax.random.key(seed), image), drawn

    return arguments
