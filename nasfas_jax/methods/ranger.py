"""Ranger: rectified Adam with lookahead and centralized gradients."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from nasfas_jax import limits
from nasfas_jax.limits import COUNT

BELOW_ONE = limits.Range(0, math.nextafter(1, 0))


def ranger(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float = 0.0,
    b1: float = 0.95,
    b2: float = 0.999,
    eps: float = 1e-5,
    threshold: float = 5.0,
    sync_period: int = 6,
    slow_step: float = 0.5,
) -> optax.GradientTransformation:
    """Ranger by the rule and the defaults of the authors' release 20.4.11.

    `centralize`, then `scale_by_rectified_adam`, decoupled weight decay, the learning rate,
    and `lookahead`.

    Args:
      learning_rate: a positive number, or a schedule of the step.
      weight_decay: decoupled decay: parameters shrink by this times the learning rate.
      b1: decay of the first moment, from 0 to below 1.
      b2: decay of the second moment, from 0 to below 1.
      eps: constant added to the root of the second moment, positive.
      threshold: length of the approximated moving average above which steps are adaptive,
        4 or more: the variance of the adaptive rate is finite only above 4.
      sync_period: number of steps between synchronizations of the slow parameters.
      slow_step: step of the slow parameters towards the fast ones, 0 to 1.

    Raises:
      InputError: a number outside its range.
    """
    if not callable(learning_rate):
        limits.require(learning_rate=(learning_rate, limits.POSITIVE))
    limits.require(
        weight_decay=(weight_decay, limits.NOT_NEGATIVE),
        b1=(b1, BELOW_ONE),
        b2=(b2, BELOW_ONE),
        eps=(eps, limits.POSITIVE),
        threshold=(threshold, limits.Range(4)),
        sync_period=(sync_period, COUNT),
        slow_step=(slow_step, limits.Range(0, 1)),
    )
    inner = optax.chain(
        centralize(),
        scale_by_rectified_adam(b1, b2, eps, threshold),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
    return lookahead(inner, sync_period, slow_step)


def centralize() -> optax.GradientTransformation:
    """Subtracts the mean over all axes but the last, the output channels of HWIO kernels.

    (`optax.centralize` reduces the first axis as well as it keeps none for images.) Where
    the gradient of an output channel is uniform, the difference is rounding error, which
    Adam would scale to steps of full size: differences below the rounding bound of the
    mean, n times the machine epsilon times the largest magnitude, are set to zero for
    all n entries of the channel.
    """

    def centered(gradient: jax.Array) -> jax.Array:
        if gradient.ndim < 2:
            return gradient
        axes = tuple(range(gradient.ndim - 1))
        difference = gradient - gradient.mean(axes, keepdims=True)
        count = math.prod(gradient.shape[:-1])
        bound = count * jnp.finfo(gradient.dtype).eps
        largest = jnp.abs(gradient).max(axes, keepdims=True)
        spread = jnp.abs(difference).max(axes, keepdims=True)
        return jnp.where(spread <= bound * largest, 0, difference)

    return optax.stateless(lambda updates, _: jax.tree.map(centered, updates))


def scale_by_rectified_adam(
    b1: float, b2: float, eps: float, threshold: float
) -> optax.GradientTransformation:
    """Rectified Adam (RAdam) with eps beside the uncorrected second moment.

    Unlike `optax.scale_by_radam`, which adds eps after the bias correction of the second
    moment; in the first adaptive steps the two differ by a factor of 13 in eps. Steps
    before the threshold are the corrected first moment, unscaled.
    """
    longest = 2 / (1 - b2) - 1

    def update(updates, state, params=None):
        del params
        first = optax.tree.update_moment(updates, state.mu, b1, 1)
        second = optax.tree.update_moment(updates, state.nu, b2, 2)
        count = state.count + 1
        steps = count.astype(jnp.result_type(float))
        decayed = b2**steps
        length = longest - 2 * steps * decayed / (1 - decayed)
        adaptive = length > threshold
        # Where the step is not adaptive, the root's argument may be negative.
        safe = jnp.where(adaptive, length, longest)
        ratio = (safe - 4) * (safe - 2) * longest
        ratio = ratio / ((longest - 4) * (longest - 2) * safe)
        scale = jnp.sqrt((1 - decayed) * ratio)
        correction = 1 - b1**steps
        corrected = jax.tree.map(lambda m: m / correction.astype(m.dtype), first)

        def step(m: jax.Array, v: jax.Array) -> jax.Array:
            rectified = scale.astype(m.dtype) * m / (jnp.sqrt(v) + eps)
            return jnp.where(adaptive, rectified, m)

        new = jax.tree.map(step, corrected, second)
        return new, optax.ScaleByAdamState(count=count, mu=first, nu=second)

    return optax.GradientTransformation(optax.scale_by_adam(b1, b2).init, update)


class LookaheadState(NamedTuple):
    """State of `lookahead`.

    Attributes:
      count: number of steps taken.
      slow: slow parameters.
      inner: state of the inner optimizer.
    """

    count: jax.Array
    slow: optax.Params
    inner: optax.OptState


def lookahead(
    inner: optax.GradientTransformation, sync_period: int, slow_step: float
) -> optax.GradientTransformation:
    """Moves slow parameters towards the fast ones every ``sync_period`` steps.

    The fast parameters then become the slow ones; moments of the inner optimizer are kept.
    Parameters are one plain pytree, unlike the pairs of `optax.lookahead`.
    """

    def init(params):
        return LookaheadState(jnp.zeros((), jnp.int32), params, inner.init(params))

    def update(updates, state, params=None):
        assert params is not None
        updates, inner_state = inner.update(updates, state.inner, params)
        count = state.count + 1
        sync = count % sync_period == 0
        fast = optax.apply_updates(params, updates)
        slow = jax.tree.map(
            lambda s, f: jnp.where(sync, s + slow_step * (f - s), s), state.slow, fast
        )
        updates = jax.tree.map(
            lambda u, s, p: jnp.where(sync, s - p, u), updates, slow, params
        )
        return updates, LookaheadState(count, slow, inner_state)

    return optax.GradientTransformation(init, update)
