"""Sums over a leading axis in the memory of one slice; values with a given derivative."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nasfas_jax.bilevel import _checks

PyTree = Any


def with_derivative(value: jax.Array, derivative: PyTree, at: PyTree) -> jax.Array:
    """``value`` as a function of ``at`` that has a given first derivative.

    For gradients that were computed together with the value, e.g. by `hypergradient` or
    inside a scan: `jax.grad` of an objective that contains such values does not compute
    them again. Second derivatives of the result are zero.

    Args:
      value: scalar.
      derivative: tree like ``at``, the derivative of ``value`` with respect to ``at``.
      at: tree of float arrays, the point at which ``value`` was computed; their dtypes may
        differ.

    Returns:
      ``value``; its derivative with respect to ``at`` is ``derivative``.

    >>> import jax
    >>> def cube(x):  # computes its own derivative
    ...     return with_derivative(x**3, 3 * x**2, x)
    >>> jax.value_and_grad(cube)(2.0)
    (Array(8., dtype=float32, weak_type=True), Array(12., dtype=float32, weak_type=True))
    """
    constant = jax.lax.stop_gradient
    dtype = jnp.result_type(value)

    def zero(slope: jax.Array, x: jax.Array) -> jax.Array:
        product = jnp.vdot(constant(slope), x - constant(x))
        return product if product.dtype == dtype else product.astype(dtype)

    zeros = jax.tree.leaves(jax.tree.map(zero, derivative, at))
    return constant(value) + sum(zeros)


def scan_sum(
    f: Callable[[PyTree], tuple[PyTree, PyTree]], slices: PyTree
) -> tuple[PyTree, PyTree]:
    """Sum of a function over the slices of arrays along their first axis.

    The slices are computed one after another, in the memory of one. Derivatives of all
    orders pass through the loop; in reverse mode the intermediate values of every slice
    are stored (see `sum_of_losses`).

    Args:
      f: function from one slice to the pair of a tree to be summed and a tree to be
        stacked (``()`` for none).
      slices: tree of arrays with a common first axis.

    Returns:
      The sum, and the stacked trees.

    Raises:
      TypeError: a function that does not return a pair.
      ValueError: arrays without a common first axis.

    >>> import jax
    >>> total, squares = scan_sum(lambda x: (x, x**2), jax.numpy.array([1.0, 2.0, 3.0]))
    >>> print(total, squares)
    6.0 [1. 4. 9.]
    """
    _checks.are_slices(slices)
    f = jax.jit(f)  # traced once, for the shapes and for the loop
    first = jax.tree.map(lambda x: x[0], slices)
    result = jax.eval_shape(f, first)
    _checks.is_summand(result)
    zero = jax.tree.map(jnp.zeros_like, result[0])

    def add(total, one):
        summand, kept = f(one)
        return jax.tree.map(jnp.add, total, summand), kept

    return jax.lax.scan(add, zero, slices)


def sum_of_losses(
    loss: Callable[[PyTree, PyTree], tuple[jax.Array, PyTree]],
    params: PyTree,
    batches: PyTree,
) -> tuple[jax.Array, PyTree]:
    """Sum of a loss over stacked batches, in the memory of one batch.

    The gradient of each batch is computed inside the loop, together with its loss, so
    that the intermediate values of only one batch are stored. Only first derivatives are
    supported: second derivatives are zero.

    Args:
      loss: function from ``params`` and one batch to the pair of a scalar and auxiliary
        values. Derivatives with respect to values that it closes over are zero; such
        values belong in ``params``.
      params: tree of float arrays.
      batches: tree of arrays with a common first axis.

    Returns:
      The sum, whose derivative with respect to ``params`` is the sum of the gradients,
      and the stacked auxiliary values, which have no derivative.

    >>> import jax
    >>> def square(w, x):
    ...     return (w * x) ** 2, {}
    >>> x = jax.numpy.array([1.0, 2.0])
    >>> print(jax.grad(lambda w: sum_of_losses(square, w, x)[0])(3.0))  # 2 w (1 + 4)
    30.0
    """
    fixed = jax.lax.stop_gradient(params)

    def gradient(batch):
        (value, aux), grads = jax.value_and_grad(loss, has_aux=True)(fixed, batch)
        return (value, grads), aux

    (value, grads), aux = scan_sum(gradient, batches)
    return with_derivative(value, grads, params), jax.lax.stop_gradient(aux)
