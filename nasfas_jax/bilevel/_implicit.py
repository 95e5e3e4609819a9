"""The hypergradient at an inner optimum, whichever way it was reached."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.sparse import linalg

from nasfas_jax.bilevel import _checks, _modes, _trees

PyTree = Any
Solver = Callable[[Callable[[PyTree], PyTree], PyTree], PyTree]


class ImplicitHypergradient(NamedTuple):
    """What `implicit_hypergradient` returns.

    Attributes:
      value: of the outer loss at the optimum.
      hyper: its derivative by ``h``.
      residual: ``|H x - v| / |v|``, what the solver left of its linear system.
      gradient_norm: ``|dL_in/dphi|``, zero at an optimum.
    """

    value: jax.Array
    hyper: PyTree
    residual: jax.Array
    gradient_norm: jax.Array


def conjugate_gradient(
    iterations: int = 20, damping: float = 0.0, tolerance: float = 1e-6
) -> Solver:
    """Solves ``(H + damping I) x = v`` for a positive definite matrix, as iMAML does.

    Args:
      iterations: the most; each costs one product with ``H``.
      damping: makes a semidefinite ``H``, as networks have, definite; biases ``x``.
      tolerance: stops where ``|H x - v| <= tolerance |v|``.
    """

    def solve(product, v):
        def damped(x):
            return jax.tree.map(lambda hx, a: hx + damping * a, product(x), x)

        return linalg.cg(damped, v, tol=tolerance, maxiter=iterations)[0]

    return solve


def neumann(rate: float, iterations: int = 20) -> Solver:
    """``x = rate sum_j (I - rate H)^j v``, ``iterations`` terms of the Neumann series.

    It converges where ``rate`` is below ``2 / max eigenvalue`` of ``H``, and equals
    what the last ``iterations`` steps of SGD at this rate contribute (Lorraine et al.,
    arXiv 1911.02590).
    """

    def solve(product, v):
        def term(carry, _):
            total, power = carry
            total = _trees.add(total, power)
            power = jax.tree.map(lambda p, hp: p - rate * hp, power, product(power))
            return (total, power), None

        zeros = jax.tree.map(jnp.zeros_like, v)
        (total, _), _ = jax.lax.scan(term, (zeros, v), length=iterations)
        return jax.tree.map(lambda t: rate * t, total)

    return solve


def implicit_hypergradient(
    outer_loss: Callable,
    inner_gradient: _modes.GradientFunction,
    optimum: PyTree,
    hyper: PyTree,
    inner_batch: PyTree,
    outer_batch: PyTree,
    *,
    solver: Solver | None = None,
    mode: str | _modes.Mode = "forward_over_reverse",
) -> ImplicitHypergradient:
    """Derivative of ``L_out(phi*(h), h)`` where ``phi*(h)`` minimizes the inner loss.

    By the implicit function theorem ``dL_out/dh - (d2L_in/dh dphi) H^-1 dL_out/dphi``,
    with ``H = d2L_in/dphi2``, all at ``phi*``. It replaces the recursion over steps of
    `hypergradient`, and means something else: no step, no learning rate and no start
    takes part, since an optimum forgets them (a derivative by the start would be zero;
    as in iMAML, put the start in ``h`` and a proximal term in the inner loss). It is as
    good as ``optimum`` is one and as the solver is: the result says both.

    Args:
      outer_loss: ``(phi, h, batch) -> scalar``.
      inner_gradient: gradient function of the inner loss, ``jax.grad(loss, (0, 1))``.
      optimum: ``phi*``, say from `inner_update` with many steps.
      hyper: pytree of float arrays, ``h``.
      inner_batch: what ``inner_gradient`` is given.
      outer_batch: what ``outer_loss`` is given.
      solver: `conjugate_gradient` if None, or `neumann`; or a function of ``x -> H x``
        and ``v``.
      mode: how a product with ``H`` is computed, a key of ``MODES``.

    Raises:
      TypeError: leaves that are not float, or losses that are not scalar.
      ValueError: unknown ``mode``, or 'first_order', which has no ``H``.

    >>> inner = lambda w, h, x: ((w - h) ** 2).sum()  # its optimum is h
    >>> outer = lambda w, h, x: (w**3).sum()
    >>> h = jax.numpy.array([1.0, 2.0])
    >>> grad = jax.grad(inner, (0, 1))
    >>> implicit_hypergradient(outer, grad, h, h, None, None).hyper
    Array([ 3., 12.], dtype=float32)
    """
    _checks.are_floats(optimum=optimum, hyper=hyper)
    if mode == "first_order":
        raise ValueError(
            "The implicit hypergradient is made of second derivatives, which the mode "
            "'first_order' leaves out; choose another."
        )

    def checked(phi, h):
        value = outer_loss(phi, h, outer_batch)
        _checks.is_scalar(value, "outer")
        return value

    def products(x):
        return _modes.second_derivative_product(
            inner_gradient, optimum, hyper, inner_batch, x, mode=mode
        )

    with _checks.explained():
        grads = inner_gradient(optimum, hyper, inner_batch)
    _checks.is_gradient(grads, optimum, hyper)
    value, (v, direct) = jax.value_and_grad(checked, (0, 1))(optimum, hyper)
    x = (solver or conjugate_gradient())(lambda x: products(x)[0], v)
    h_x, mixed_x = products(x)
    subtract = jax.tree.map(jnp.subtract, (h_x, direct), (v, mixed_x))
    return ImplicitHypergradient(
        value,
        subtract[1],
        _trees.norm(subtract[0]) / _trees.norm(v),
        _trees.norm(grads[0]),
    )
