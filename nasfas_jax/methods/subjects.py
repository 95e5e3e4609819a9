"""The steps of Meta-NAS and RFMeta as subjects of `instrument.measure`.

They are measured as they are: the optimizer that a step is given records the gradient
that reaches it.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from nasfas_jax.methods import meta_nas, rfmeta
from nasfas_jax.methods.instrument import Step, Subject


def recorded(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """``optimizer``, the first part of whose state is the last gradient it was given."""
    record = optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params),
        lambda updates, state, params=None: (updates, updates),
    )
    return optax.chain(record, optimizer)


def of_meta_nas(
    method: meta_nas.MetaNAS, episode: Callable[[int], dict], seed: int = 0
) -> Subject:
    """The search step of Meta-NAS, both its orders exact but for the mode.

    Its derivatives: by the weights, eq. 13, and by the alphas, eq. 14 (without a cost
    term), each as its optimizer gets it.

    Args:
      method: its inner optimizer is replaced by SGD of the measured rates.
      episode: a batch size to an episode, as `MetaNAS.step` takes it.
      seed: of the first weights.
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
            one = dataclasses.replace(
                method, mode=mode, inner_steps=steps, inner_optimizer=optax.sgd(rate)
            )
            new, metrics = one.step(state, episode)
            by = {"weights": new.opt_state[0], "alphas": new.alpha_opt_state[0]}
            return by, (new, metrics)

        return step

    return Subject("Meta-NAS", make, _arguments(method, episode, seed))


def of_rfmeta(
    method: rfmeta.RFMeta, episode: Callable[[int], dict], seed: int = 0
) -> Subject:
    """The step of RFMeta: derivatives of the whole L by F and by M (D's passes no inner
    step).

    Args:
      method: its inner rate, mode and steps are replaced by the measured ones.
      episode: a batch size to an episode, as `RFMeta.step` takes it.
      seed: of the first weights.
    """
    method = dataclasses.replace(
        method, optimizer=recorded(method.optimizer), order="exact"
    )

    def make(mode: str, steps: int) -> Step:
        def step(rate, state, episode):
            one = dataclasses.replace(
                method, mode=mode, inner_steps=steps, inner_learning_rate=rate
            )
            new, metrics = one.step(state, episode)
            return {name: new.opt_state[0][name] for name in "FM"}, (new, metrics)

        return step

    return Subject("RFMeta", make, _arguments(method, episode, seed))


def _arguments(method, episode, seed):
    def arguments(batch_size: int) -> tuple:
        drawn = episode(batch_size)
        image = drawn["query"]["image"][:1]
        return jax.jit(method.init)(jax.random.key(seed), image), drawn

    return arguments
