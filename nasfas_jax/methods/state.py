"""State of a training step, its optimizers, and its update."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from nasfas_jax import bilevel, limits


class _Modes(limits.OneOf):
    """Names of modes; mode objects and functions are allowed as well."""

    def __contains__(self, value: Any) -> bool:
        return callable(value) or super().__contains__(value)


#: Courses of the learning rate, see `schedule`.
DECAYS = ("cosine", "constant", "halve")
#: Modes of differentiation: a name of `bilevel.MODES`, or a mode.
MODES = _Modes(bilevel.MODES)
BELOW_ONE = limits.Range(0, math.nextafter(1, 0))


def adam(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps_root: float = 0.0,
) -> optax.GradientTransformation:
    """Adam with L2 regularization inside the gradient, as PyTorch's ``weight_decay``.

    Args:
      learning_rate: a positive number, or a schedule of the step.
      weight_decay: coefficient of the parameter in the gradient, not negative.
      b1: decay of the first moment, from 0 to below 1.
      b2: decay of the second moment, from 0 to below 1.
      eps_root: constant added under the root, not negative. It must be positive where
        derivatives pass through the update: the root's derivative is infinite at a
        zero gradient.

    Raises:
      InputError: a number outside its range.
    """
    if not callable(learning_rate):
        limits.require(learning_rate=(learning_rate, limits.POSITIVE))
    limits.require(
        weight_decay=(weight_decay, limits.NOT_NEGATIVE),
        b1=(b1, BELOW_ONE),
        b2=(b2, BELOW_ONE),
        eps_root=(eps_root, limits.NOT_NEGATIVE),
    )
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.adam(learning_rate, b1=b1, b2=b2, eps_root=eps_root),
    )


def schedule(decay: str, learning_rate: float, *, steps: int) -> optax.Schedule:
    """The learning rate of each of ``steps`` steps.

    Args:
      decay: one of `DECAYS`. 'constant'; 'cosine', with a linear warm-up from 0 over the
        first tenth of the steps (large first steps can close the ReLU at the end of a
        depth network for good); or 'halve': halved at 500/1300 and 1000/1300 of the
        steps, as NAS-FAS sec. 6.1 halves every 500 of 1300 epochs.
      learning_rate: the highest rate, positive.
      steps: number of steps of the whole training, 1 or more.

    Raises:
      InputError: an unknown decay, or a number outside its range.
    """
    limits.require(
        decay=(decay, limits.OneOf(DECAYS)),
        learning_rate=(learning_rate, limits.POSITIVE),
        steps=(steps, limits.COUNT),
    )
    if decay == "cosine":
        return optax.warmup_cosine_decay_schedule(
            0.0, learning_rate, warmup_steps=steps // 10, decay_steps=steps
        )
    if decay == "constant":
        return optax.constant_schedule(learning_rate)
    at = {steps * 500 // 1300: 0.5, steps * 1000 // 1300: 0.5}
    return optax.piecewise_constant_schedule(learning_rate, at)


#: Types of the arithmetic of a step.
COMPUTE = ("float32", "tensorfloat32", "bfloat16")


def computed_in(dtype: str, step: Callable[..., Any]) -> Callable[..., Any]:
    """A step whose networks compute in ``dtype``.

    With 'tensorfloat32' the operands of products are rounded: on GPUs to 11 bits, on TPUs
    to three bfloat16 each. With 'bfloat16' layers compute in the type of their input, the
    images, which are converted. Parameters, BatchNorm, losses, optimizers and the state
    remain in float32. On CPUs 'tensorfloat32' is 'float32'.

    Args:
      dtype: one of `COMPUTE`.
      step: ``step(state, batch)`` of a method.

    Raises:
      InputError: another type.
    """
    limits.require(compute=(dtype, limits.OneOf(COMPUTE)))
    if dtype == "float32":
        return step

    def convert(path: Any, x: jax.Array) -> jax.Array:
        image = jax.tree_util.DictKey("image")
        return x.astype(dtype) if path[-1] == image else x

    @functools.wraps(step)
    def converted(state: Any, batch: Any) -> Any:
        if dtype == "bfloat16":
            batch = jax.tree_util.tree_map_with_path(convert, batch)
        with jax.default_matmul_precision(dtype):
            return step(state, batch)

    return converted


@struct.dataclass
class TrainState:
    """Everything that a training step changes.

    Attributes:
      step: number of steps taken, a scalar int32.
      params: pytree of parameters.
      batch_stats: running averages of BatchNorm.
      opt_state: state of the optimizer.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any


def update(
    optimizer: optax.GradientTransformation,
    state: TrainState,
    loss: jax.Array,
    grads: Any,
    batch_stats: Any,
    metrics: dict[str, jax.Array],
) -> tuple[TrainState, dict[str, jax.Array]]:
    """The state after one update of the optimizer, and the metrics of the step.

    Args:
      optimizer: optimizer of ``state.params``.
      state: the state before.
      loss: the loss, a scalar, reported as ``loss``.
      grads: gradient of the loss, like ``state.params``.
      batch_stats: the new running averages.
      metrics: further metrics of the step, scalars.
    """
    params, opt_state = bilevel.apply_update(
        optimizer, state.params, state.opt_state, grads
    )
    new = TrainState(state.step + 1, params, batch_stats, opt_state)
    return new, {"loss": loss, **metrics, **norms(grads, state.params, params)}


def norms(grads: Any, params: Any, new_params: Any) -> dict[str, jax.Array]:
    """L2 norms of the gradients, the parameters and their update."""
    update = jax.tree.map(jnp.subtract, new_params, params)
    return {
        "l2_grads": optax.tree.norm(grads),
        "l2_params": optax.tree.norm(params),
        "l2_updates": optax.tree.norm(update),
    }
