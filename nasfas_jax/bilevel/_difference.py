"""Central differences of a gradient, with estimates of their error."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nasfas_jax.bilevel import _trees

PyTree = Any
#: Ratio of two steps of which one is chosen.
RATIO = 8.0


def shifted_gradients(gradient: Callable, params, hyper, batch, v, epsilon):
    """Gradients at ``phi + e v`` and ``phi - e v``, and the step ``e = epsilon / |v|``."""
    size = _trees.norm(v)
    # At v = 0 the quotient is 0 for any finite step.
    step = jax.lax.stop_gradient(
        epsilon / jnp.maximum(size, jnp.finfo(size.dtype).tiny)
    )

    def shifted(sign):
        moved = jax.tree.map(
            lambda p, d: p + sign * step.astype(p.dtype) * d, params, v
        )
        return gradient(moved, hyper, batch)

    return shifted(1), shifted(-1), step


def central(gradient: Callable, params, hyper, batch, v, epsilon):
    """``(g(phi + e v) - g(phi - e v)) / 2e``, and the mean of the two gradients."""
    plus, minus, step = shifted_gradients(gradient, params, hyper, batch, v, epsilon)
    mean = jax.tree.map(lambda a, b: (a + b) / 2, plus, minus)
    return jax.tree.map(
        lambda a, b: (a - b) / (2 * step.astype(a.dtype)), plus, minus
    ), mean


def rounding(grads: PyTree, v: PyTree, epsilon) -> jax.Array:
    """Estimated norm of the rounding error of a central difference, a scalar."""
    size = _trees.norm(v)
    share = float(jnp.finfo(size.dtype).eps) / (2 * epsilon)
    return share * _trees.norm(grads) * size


def with_chosen_step(gradient: Callable, params, hyper, batch, v):
    """The best of three central differences, and its estimated error.

    The steps are ``RATIO`` apart, around ``(3/2 eps)^(1/3)``, which is best where the
    third derivative is of the size of the gradient. The error of a difference is the
    rounding of gradient and parameters, plus its distance from the next smaller step,
    which is nearly all of its truncation; that of the smallest step falls with its
    square.

    Returns:
      ``(difference, error)``; the error is the norm of both parts of ``g``, a scalar.
    """
    precision = float(jnp.finfo(_trees.norm(v).dtype).eps)
    middle = (1.5 * precision) ** (1 / 3)

    def at(epsilon):
        difference, mean = central(gradient, params, hyper, batch, v, epsilon)
        # The parameters round as well when they are shifted.
        shift = precision / (2 * epsilon) * _trees.norm(params)
        rounded = rounding(mean, v, epsilon) + shift * _trees.norm(difference)
        return difference, rounded

    steps = middle * jnp.asarray([RATIO, 1, 1 / RATIO], _trees.norm(v).dtype)
    # A loop: compiled once, and in the memory of one.
    differences, rounded = jax.lax.map(at, steps)
    gaps = [
        _trees.norm(jax.tree.map(lambda d, i=i: d[i] - d[i + 1], differences))
        for i in range(2)
    ]
    truncated = jnp.stack([*gaps, gaps[1] / RATIO**2])
    error = jax.lax.stop_gradient(truncated + rounded)
    error = jnp.where(jnp.isfinite(error), error, jnp.inf)
    best = jnp.argmin(error)
    return jax.tree.map(lambda d: d[best], differences), error[best]
