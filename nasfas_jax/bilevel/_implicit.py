"""Hypergradients at an inner optimum, independent of the steps that led to it."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nasfas_jax.bilevel import _checks, _modes, _trees

PyTree = Any
Product = Callable[[PyTree], PyTree]


class Solution(NamedTuple):
    """Result of a solver.

    Attributes:
      x: solution of ``H x = v``.
      iterations: number of products with ``H`` that were computed; None: unknown.
    """

    x: PyTree
    iterations: jax.Array | int | None = None


@dataclasses.dataclass(frozen=True)
class ReportingSolver:
    """A solver of ``H x = v`` that reports its iterations.

    Called as a function of ``x -> H x`` and ``v``, it returns ``x``.

    Attributes:
      solve: the same, returning a `Solution`.
    """

    solve: Callable[[Product, PyTree], Solution]

    def __call__(self, product: Product, v: PyTree) -> PyTree:
        """The solution alone."""
        return self.solve(product, v).x


#: ``(x -> H x, v)`` to ``x``.
Solver = Callable[[Product, PyTree], PyTree]


class ImplicitHypergradient(NamedTuple):
    """Result of `implicit_hypergradient`.

    Attributes:
      value: outer loss at the optimum.
      hyper: its derivative with respect to ``h``.
      residual: ``|H x - v| / |v|``, relative residual of the solver's linear system.
      gradient_norm: ``|dL_in/dphi|``, zero at an optimum.
      iterations: number of iterations of the solver; None if it does not report them. The
        solver did not converge if it is the largest number allowed and ``residual`` is
        large.
    """

    value: jax.Array
    hyper: PyTree
    residual: jax.Array
    gradient_norm: jax.Array
    iterations: jax.Array | int | None = None


def conjugate_gradient(
    iterations: int = 20,
    damping: float = 0.0,
    tolerance: float = 1e-6,
    preconditioner: Product | None = None,
) -> ReportingSolver:
    """Conjugate gradients for ``(H + damping I) x = v``, as in iMAML.

    Args:
      iterations: largest number of iterations; each costs one product with ``H``.
      damping: number added to the diagonal of ``H``, which must then be positive
        definite; it biases ``x``.
      tolerance: relative residual ``|H x - v| / |v|`` at which to stop.
      preconditioner: function that multiplies a tree like ``v`` with an approximation of
        the inverse of ``H + damping I``, symmetric and positive definite, for example
        ``lambda v: jax.tree.map(jnp.divide, v, diagonal)``. The solution is the same; a
        better approximation needs fewer iterations. None: the identity.

    Raises:
      TypeError: a number of iterations that is not whole.
      ValueError: fewer than one iteration.
    """
    _checks.are_counts(iterations=iterations)
    near_inverse = preconditioner or (lambda v: v)

    def search(product, v):
        """The solution and the number of iterations."""
        target = tolerance**2 * _trees.dot(v, v)

        def unfinished(carry):
            _, r, _, _, count = carry
            return (_trees.dot(r, r) > target) & (count < iterations)

        def iterate(carry):
            x, r, p, r_z, count = carry
            h_p = product(p)
            rate = r_z / _trees.dot(p, h_p)
            x, r = _trees.add_scaled(x, rate, p), _trees.add_scaled(r, -rate, h_p)
            z = near_inverse(r)
            new_r_z = _trees.dot(r, z)
            return x, r, _trees.add_scaled(z, new_r_z / r_z, p), new_r_z, count + 1

        z = near_inverse(v)
        _checks.is_like(z, v, "preconditioner")
        zeros = jax.tree.map(jnp.zeros_like, v)
        start = zeros, v, z, _trees.dot(v, z), 0
        x, _, _, _, count = jax.lax.while_loop(unfinished, iterate, start)
        return x, count

    def solve(product, v):
        def damped(x):
            return _trees.add_scaled(product(x), damping, x)

        found = jax.lax.custom_linear_solve(
            damped, v, search, search, symmetric=True, has_aux=True
        )
        return Solution(*found)

    return ReportingSolver(solve)


def neumann(rate: float, iterations: int = 20) -> ReportingSolver:
    """The first ``iterations`` terms of the series ``x = rate sum_j (I - rate H)^j v``.

    It converges for ``rate`` below ``2 / max eigenvalue`` of ``H``, and equals the
    contribution of the last ``iterations`` steps of SGD at this rate (Lorraine et al.,
    arXiv 1911.02590).

    Args:
      rate: factor of the series, a learning rate.
      iterations: number of terms; each costs one product with ``H``.

    Raises:
      TypeError: a number of iterations that is not whole.
      ValueError: fewer than one iteration.
    """
    _checks.are_counts(iterations=iterations)

    def solve(product, v):
        def term(carry, _):
            total, power = carry
            total = _trees.add(total, power)
            power = jax.tree.map(lambda p, hp: p - rate * hp, power, product(power))
            return (total, power), None

        zeros = jax.tree.map(jnp.zeros_like, v)
        (total, _), _ = jax.lax.scan(term, (zeros, v), length=iterations)
        return Solution(jax.tree.map(lambda t: rate * t, total), iterations)

    return ReportingSolver(solve)


def implicit_hypergradient(
    outer_loss: Callable,
    inner_gradient: _modes.GradientFunction,
    optimum: PyTree,
    hyper: PyTree,
    *,
    inner_batch: PyTree,
    outer_batch: PyTree,
    solver: Solver | None = None,
    mode: _modes.AnyMode = "forward_over_reverse",
) -> ImplicitHypergradient:
    """Derivative of ``L_out(phi*(h), h)`` where ``phi*(h)`` minimizes the inner loss.

    By the implicit function theorem ``dL_out/dh - (d2L_in/dh dphi) H^-1 dL_out/dphi``,
    with ``H = d2L_in/dphi2``, all at ``phi*``. It differs from `hypergradient` in
    meaning: the steps, the learning rate and the initial parameters have no influence,
    since an optimum does not depend on them (the derivative with respect to the initial
    parameters would be zero; as in iMAML, put them in ``h`` and a proximal term in the
    inner loss). The accuracy is limited by those of ``optimum`` and of the solver; the
    result reports both.

    Call it under `jax.jit`; otherwise the loop of the solver is compiled at every call.

    Args:
      outer_loss: ``(phi, h, batch) -> scalar``.
      inner_gradient: gradient function of the inner loss, ``jax.grad(loss, (0, 1))``.
      optimum: ``phi*``, for example from `inner_update` with many steps.
      hyper: pytree of float arrays, ``h``.
      inner_batch: passed to ``inner_gradient``.
      outer_batch: passed to ``outer_loss``.
      solver: result of `conjugate_gradient` or `neumann`, or a function of ``x -> H x``
        and ``v`` that returns ``x``. None: `conjugate_gradient` with its defaults, which
        needs a symmetric ``H``.
      mode: how products with ``H`` are computed, as in `hypergradient`.

    Raises:
      TypeError: leaves that are not float, losses that are not scalar, a solver that is
        not a function, or a `jax.custom_vjp` function in the inner loss, see
        `forward_over_reverse`.
      ValueError: unknown ``mode``, or 'first_order', which has no ``H``.

    >>> import jax
    >>> inner = lambda w, h, x: ((w - h) ** 2).sum()  # its optimum is h
    >>> outer = lambda w, h, x: (w**3).sum()
    >>> @jax.jit
    ... def at_optimum(h):
    ...     grad = jax.grad(inner, (0, 1))
    ...     batches = {'inner_batch': None, 'outer_batch': None}
    ...     return implicit_hypergradient(outer, grad, h, h, **batches)
    >>> at_optimum(jax.numpy.array([1.0, 2.0])).hyper
    Array([ 3., 12.], dtype=float32)
    """
    _checks.are_floats(optimum=optimum, hyper=hyper)
    optimum, hyper, inner_batch, outer_batch = _trees.on_one_mesh(
        optimum, hyper, inner_batch, outer_batch
    )
    mode = _modes.get(mode)
    if mode == _modes.first_order():
        raise ValueError(
            "The implicit hypergradient consists of second derivatives, which the mode "
            "'first_order' omits; choose another mode."
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
    solver = conjugate_gradient() if solver is None else solver
    _checks.is_solver(solver, (conjugate_gradient, neumann))
    if not isinstance(solver, ReportingSolver):
        solver = ReportingSolver(lambda p, v, solve=solver: Solution(solve(p, v)))
    x, iterations = solver.solve(lambda x: products(x)[0], v)
    _checks.is_like(x, v, "solver")
    h_x, mixed_x = products(x)
    subtract = jax.tree.map(jnp.subtract, (h_x, direct), (v, mixed_x))
    size = _trees.norm(v)
    return ImplicitHypergradient(
        value,
        subtract[1],
        _trees.norm(subtract[0]) / jnp.maximum(size, jnp.finfo(size.dtype).tiny),
        _trees.norm(grads[0]),
        iterations,
    )
