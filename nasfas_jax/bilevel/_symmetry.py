"""Symmetry of second derivatives, tested along random directions."""

from typing import Any

import jax
import jax.numpy as jnp

from nasfas_jax.bilevel import _checks, _modes, _trees

PyTree = Any


def symmetry_error(
    gradient: _modes.GradientFunction,
    params: PyTree,
    hyper: PyTree,
    batch: PyTree,
    *,
    key: jax.Array | None = None,
) -> jax.Array:
    """Relative asymmetry of a gradient function's derivative at one point, a scalar.

    ``|u . H v - v . H u| / max(|H v|, |v . H u|)`` for two random normal vectors, where
    ``H`` is the derivative of ``(dL/dphi, dL/dh)`` with respect to ``(phi, h)``, the part
    of ``v`` for ``h`` is zero, and both products are forward-mode derivatives. If
    ``gradient`` is the gradient of a function and JAX differentiates it as such, the
    result is rounding, about 1e-6 in float32. If not, the result is of the order of the
    asymmetric share of ``H`` (1 for plain gradient reversal), and the modes
    'forward_over_reverse' and 'finite_difference', and `conjugate_gradient`, are wrong by
    as much.

    It detects hand-written derivatives (`jax.custom_vjp`, `jax.custom_jvp`) that are not
    the derivative of their function, and gradient functions that do not return a gradient.
    It does not detect `jax.lax.stop_gradient`, which keeps second derivatives symmetric:
    every mode then agrees with ``jax.grad`` of the written-out steps, and treats the
    stopped values as constants.

    Args:
      gradient: gradient function of the inner loss, ``jax.grad(loss, (0, 1))``. For a
        loss with state, ``lambda p, h, b: gradient(p, h, b, state)[0]``.
      params: pytree of float arrays, ``phi``.
      hyper: pytree of float arrays, ``h``.
      batch: passed to ``gradient``.
      key: random key of the two vectors; None: ``jax.random.key(0)``.

    Raises:
      TypeError: leaves that are not float, a loss that is not scalar, or a
        `jax.custom_vjp` function in the derivative rule of another one.

    >>> import jax
    >>> loss = lambda w, h, x: jax.numpy.sum(jax.numpy.sin(w * h))
    >>> w, h = jax.numpy.array([1.0, 2.0]), jax.numpy.array(0.5)
    >>> error = jax.jit(lambda w, h: symmetry_error(jax.grad(loss, (0, 1)), w, h, None))
    >>> bool(error(w, h) < 1e-6)
    True
    """
    _checks.are_floats(params=params, hyper=hyper)
    u_key, v_key = jax.random.split(jax.random.key(0) if key is None else key)
    u, v = _trees.normal_like(u_key, (params, hyper)), _trees.normal_like(v_key, params)

    def field(phi, h):
        grads = gradient(phi, h, batch)
        _checks.is_gradient(grads, params, hyper)
        return grads

    def derivative(along):
        return jax.jvp(field, (params, hyper), along)[1]

    by_phi = v, jax.tree.map(jnp.zeros_like, hyper)
    both = jax.tree.map(lambda *pair: jnp.stack(pair), by_phi, u)
    with _checks.explained():
        # A loop: compiled once, and in the memory of one.
        products = jax.lax.map(_checks.has_forward_mode(derivative), both)
    h_v, (h_u, _) = (jax.tree.map(lambda x, i=i: x[i], products) for i in range(2))
    u_h_v, v_h_u = _trees.dot(u, h_v), _trees.dot(v, h_u)
    scale = jnp.maximum(_trees.norm(h_v), jnp.abs(v_h_u))
    return jnp.abs(u_h_v - v_h_u) / jnp.maximum(scale, jnp.finfo(scale.dtype).tiny)


def check_symmetry(
    gradient: _modes.GradientFunction,
    params: PyTree,
    hyper: PyTree,
    batch: PyTree,
    *,
    key: jax.Array | None = None,
    tolerance: float | None = None,
) -> float:
    """Returns `symmetry_error` if it is small; for use outside of `jax.jit`.

    Args:
      gradient: gradient function of the inner loss, as in `symmetry_error`.
      params: ``phi``.
      hyper: ``h``.
      batch: passed to ``gradient``.
      key: random key of the two vectors; None: ``jax.random.key(0)``.
      tolerance: largest accepted error; None: the square root of the precision of
        ``params``, 3e-4 in float32 and 1e-8 in float64.

    Raises:
      TypeError: as `symmetry_error`.
      ValueError: the error is above the tolerance, or not finite.
    """

    @jax.jit
    def error_at(params, hyper, batch):
        return symmetry_error(gradient, params, hyper, batch, key=key)

    error = error_at(params, hyper, batch)
    if tolerance is None:
        tolerance = float(jnp.finfo(error.dtype).eps) ** 0.5
    if not error <= tolerance:
        raise ValueError(
            f"The second derivatives of the inner loss are not symmetric: |u . H v - v . "
            f"H u| is {float(error):.2g} of |H v|, expected at most {tolerance:.2g}. The "
            "likely cause is a hand-written derivative in the loss (`jax.custom_vjp`, "
            "`jax.custom_jvp`) that is not the derivative of its function, as in gradient "
            "reversal. Choose mode='reverse_over_reverse' or 'unrolled', which are exact "
            "without symmetry. If rounding may be the cause, as in deep networks in "
            "float32, measure in float64 or raise `tolerance`."
        )
    return float(error)
