"""Functions of known value and derivative."""

from typing import Any

import jax
import optax

PyTree = Any


def with_derivative(value: jax.Array, derivative: PyTree, at: PyTree) -> jax.Array:
    """``value`` as a function of ``at`` that has a given first derivative.

    For gradients that were computed together with the value, e.g. by `hypergradient` or
    inside of a scan: an objective made of such values is differentiated by `jax.grad`
    without computing them again. Second derivatives of the result are zero.

    Args:
      value: scalar.
      derivative: tree like ``at``, the derivative of ``value`` by it.
      at: tree of float arrays, the point at which ``value`` was computed.

    Returns:
      ``value``; the derivative of the result by ``at`` is ``derivative``.

    >>> import jax
    >>> def cube(x):  # computes its own derivative
    ...     return with_derivative(x**3, 3 * x**2, x)
    >>> jax.value_and_grad(cube)(2.0)
    (Array(8., dtype=float32, weak_type=True), Array(12., dtype=float32, weak_type=True))
    """
    constant = jax.lax.stop_gradient
    zero = jax.tree.map(lambda x: x - constant(x), at)  # with derivative one
    return constant(value) + optax.tree.vdot(constant(derivative), zero)
