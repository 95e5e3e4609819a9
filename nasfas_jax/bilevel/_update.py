"""One update of an optimizer, and its transposed derivative."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from nasfas_jax.bilevel import _checks, _trees

PyTree = Any
Optimizer = (
    optax.GradientTransformation | Callable[[PyTree], optax.GradientTransformation]
)


def apply_update(
    optimizer: optax.GradientTransformation,
    params: PyTree,
    opt_state: optax.OptState,
    grads: PyTree,
) -> tuple[Any, optax.OptState]:
    """New parameters and new optimizer state, ``U(phi, s, g)``.

    Raises:
      TypeError: an optimizer that needs more than gradients, or that changes the tree of
        the parameters.
    """
    # Optax multiplies floats with its integer step counts.
    promotion = jax.numpy_dtype_promotion("standard")
    with promotion, _checks.explained(_checks.OPTIMIZER_ERRORS):
        updates, opt_state = optimizer.update(grads, opt_state, params)
    _checks.has_same_tree(params, updates, "params")
    return optax.apply_updates(params, updates), opt_state


def build(optimizer: Optimizer, hyper: PyTree) -> optax.GradientTransformation:
    """Optimizer of the inner steps; a function is called with ``hyper``."""
    _checks.is_made(optimizer)
    made = optimizer(hyper) if callable(optimizer) else optimizer
    _checks.is_optimizer(made)
    return made


class UpdateCotangents(NamedTuple):
    """Result of `pull_back_update`.

    Attributes:
      params: cotangent of the parameters before the update.
      opt_state: cotangents of the float leaves of the optimizer state before it.
      grads: cotangent of the gradients.
      hyper: cotangent of ``h``, on which the optimizer may depend.
    """

    params: PyTree
    opt_state: list[jax.Array]
    grads: PyTree
    hyper: PyTree


def pull_back_update(
    optimizer: Optimizer,
    params: PyTree,
    opt_state: PyTree,
    grads: PyTree,
    d_params: PyTree,
    d_opt_state: list[jax.Array] | None = None,
    *,
    hyper: PyTree = (),
) -> UpdateCotangents:
    """Transposed derivative of an optimizer's update ``phi', s' = U(phi, s, g, h)``.

    The arguments of ``U`` are treated as independent; if ``g`` depends on ``phi`` and
    ``h``, pass its cotangent to `second_derivative_product`. For ``optax.sgd(rate)`` that
    cotangent is ``-rate d_params``.

    Args:
      optimizer: ``U``, an optax transformation, or a function from ``h`` to one.
      params: ``phi`` before the update.
      opt_state: ``s`` before the update.
      grads: ``g``.
      d_params: cotangent of ``phi'``.
      d_opt_state: cotangents of the float leaves of ``s'``; None: zeros.
      hyper: ``h``.

    >>> import jax, optax
    >>> sgd = optax.sgd(0.5)
    >>> w = jax.numpy.array([2.0])
    >>> pull_back_update(sgd, w, sgd.init(w), 3 * w, jax.numpy.array([1.0])).grads
    Array([-0.5], dtype=float32)
    """

    def update(phi, state_floats, g, h):
        phi, new_state = apply_update(
            build(optimizer, h), phi, _trees.with_floats(opt_state, state_floats), g
        )
        return phi, _trees.floats(new_state)

    floats = _trees.floats(opt_state)
    if d_opt_state is None:
        d_opt_state = jax.tree.map(jnp.zeros_like, floats)
    _, pull_back = jax.vjp(update, params, floats, grads, hyper)
    return UpdateCotangents(*pull_back((d_params, d_opt_state)))
