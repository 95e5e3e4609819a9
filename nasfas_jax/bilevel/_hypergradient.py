"""Hypergradients by a backward recursion over the inner steps.

Notation: ``phi`` are parameters, ``h`` hyperparameters (alphas, theta, ...), and an inner
*gradient function* maps ``(phi, h, batch)`` to ``(dL/dphi, dL/dh)`` of a scalar ``L``. It is
``jax.grad(loss, (0, 1))`` of an ordinary loss, or another hypergradient: levels nest.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

PyTree = Any
Loss = Callable[[PyTree, PyTree, PyTree], jax.Array]
GradientFunction = Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]


class Hypergradient(NamedTuple):
    """``value`` of the objective and its derivatives by ``params`` and by ``hyper``."""

    value: jax.Array
    params: PyTree
    hyper: PyTree


def inner_update(
    gradient: GradientFunction,
    params: PyTree,
    hyper: PyTree,
    batch: PyTree,
    optimizer: optax.GradientTransformation,
    *,
    steps: int = 1,
) -> PyTree:
    """``phi_k``: ``steps`` updates of ``params`` by ``optimizer`` on one batch.

    Written as the equation stands (NAS-FAS eq. 12 for one step of ``optax.sgd``), so it
    can be differentiated by ``jax`` in any mode and to any order.
    """

    def step(carry, _):
        phi, opt_state = carry
        phi, opt_state = apply_update(
            optimizer, phi, opt_state, gradient(phi, hyper, batch)[0]
        )
        return (phi, opt_state), None

    (phi, _), _ = jax.lax.scan(
        step, (params, optimizer.init(params)), length=steps, xs=None
    )
    return phi


def hypergradient(
    outer_loss: Loss,
    inner_gradient: GradientFunction,
    params: PyTree,
    hyper: PyTree,
    inner_batch: PyTree,
    outer_batch: PyTree,
    optimizer: optax.GradientTransformation,
    *,
    steps: int = 1,
    mode: str = "forward_over_reverse",
) -> Hypergradient:
    """Value and derivatives of ``L_out(phi_k(phi, h), h, outer_batch)``.

    The inner steps run once and are saved (parameters, optimizer state and gradient of
    each, no activations); then a recursion runs back over them, and each step meets the
    second derivative of the inner loss once. Peak memory is one inner gradient's, however
    many steps there are. With ``optax.adam`` inside give ``eps_root > 0``: the derivative
    of its square root is infinite at a zero gradient.

    Args:
      outer_loss: ``(phi, h, batch) -> scalar``.
      inner_gradient: gradient function of the inner loss, ``jax.grad(loss, (0, 1))``.
      params: pytree of float arrays, ``phi``.
      hyper: pytree of float arrays, ``h``.
      inner_batch: what ``inner_gradient`` is given, in every step.
      outer_batch: what ``outer_loss`` is given.
      optimizer: the inner optimizer; its state starts fresh.
      steps: number of inner steps ``k``.
      mode: a key of ``MODES``.

    >>> import jax, optax
    >>> inner = lambda w, h, x: 0.5 * jax.numpy.sum((w - h) ** 2)
    >>> outer = lambda w, h, x: 0.5 * jax.numpy.sum(w**2)
    >>> w, h, sgd = jax.numpy.array([2.0]), jax.numpy.array([1.0]), optax.sgd(0.5)
    >>> hypergradient(outer, jax.grad(inner, (0, 1)), w, h, None, None, sgd).hyper
    Array([0.75], dtype=float32)
    """

    def forward(carry, _):
        phi, opt_state = carry
        grads = inner_gradient(phi, hyper, inner_batch)[0]
        if mode == "first_order":  # a constant for whoever differentiates this, too
            grads = jax.lax.stop_gradient(grads)
        return apply_update(optimizer, phi, opt_state, grads), (phi, opt_state, grads)

    start = (params, optimizer.init(params))
    (phi_k, opt_state_k), saved = jax.lax.scan(forward, start, length=steps, xs=None)
    value, (d_phi, d_hyper) = jax.value_and_grad(outer_loss, (0, 1))(
        phi_k, hyper, outer_batch
    )

    def backward(carry, step):
        d_phi, d_opt_state, d_hyper = carry
        phi, opt_state, grads = step
        d_phi, d_opt_state, d_hyper_step = pull_back_update(
            inner_gradient,
            phi,
            opt_state,
            grads,
            hyper,
            inner_batch,
            optimizer,
            d_phi,
            d_opt_state,
            mode=mode,
        )
        return (d_phi, d_opt_state, _add(d_hyper, d_hyper_step)), None

    d_opt_state = jax.tree.map(jnp.zeros_like, _floats(opt_state_k))
    (d_phi, _, d_hyper), _ = jax.lax.scan(
        backward, (d_phi, d_opt_state, d_hyper), saved, reverse=True
    )
    return Hypergradient(value, d_phi, d_hyper)


def pull_back_update(
    inner_gradient: GradientFunction,
    params: PyTree,
    opt_state: PyTree,
    grads: PyTree,
    hyper: PyTree,
    batch: PyTree,
    optimizer: optax.GradientTransformation,
    d_params: PyTree,
    d_opt_state: list[jax.Array] | None = None,
    *,
    mode: str,
) -> tuple[PyTree, list[jax.Array], PyTree]:
    """The transposed derivative of one update ``phi' = U(phi, s, g(phi, h))``.

    Args:
      inner_gradient: gradient function whose first part is ``g``.
      params: ``phi`` before the update.
      opt_state: ``s`` before the update.
      grads: ``g(phi, h)``, saved.
      hyper: ``h``.
      batch: what ``inner_gradient`` is given.
      optimizer: ``U``.
      d_params: cotangent of ``phi'``.
      d_opt_state: cotangents of the float leaves of the new optimizer state; zeros if
        None, where nothing looks at that state.
      mode: a key of ``MODES``.

    Returns:
      The cotangents of ``phi``, of the float leaves of ``s``, and of ``h``.
    """

    def update(phi, state_floats, g):
        phi, new_state = apply_update(
            optimizer, phi, _with_floats(opt_state, state_floats), g
        )
        return phi, _floats(new_state)

    if d_opt_state is None:
        d_opt_state = jax.tree.map(jnp.zeros_like, _floats(opt_state))
    _, pull_back = jax.vjp(update, params, _floats(opt_state), grads)
    d_phi, d_before, v = pull_back((d_params, d_opt_state))
    h_phi, h_hyper = second_derivative_product(
        inner_gradient, params, hyper, batch, v, mode=mode
    )
    return _add(d_phi, h_phi), d_before, h_hyper


def second_derivative_product(
    gradient: GradientFunction,
    params: PyTree,
    hyper: PyTree,
    batch: PyTree,
    v: PyTree,
    *,
    mode: str,
) -> tuple[PyTree, PyTree]:
    """``(d2L/dphi dphi . v, d2L/dh dphi . v)`` for the ``L`` that ``gradient`` belongs to.

    Raises:
      ValueError: ``mode`` is not a key of ``MODES``.
    """
    if mode not in MODES:
        raise ValueError(
            f"Unknown mode {mode!r} of differentiation; choose one of {sorted(MODES)}."
        )
    return MODES[mode](gradient, params, hyper, batch, v)


def _forward_over_reverse(gradient, params, hyper, batch, v):
    """Second derivatives commute: the row ``v^T d(dL/dphi)`` is a derivative along ``v``.

    One forward-mode pass over the gradient, nothing stored for a second backward pass
    (MixFlow-MG, arXiv 2505.00793, without its ``custom_vjp``: this nests further).
    """
    return jax.jvp(lambda phi: gradient(phi, hyper, batch), (params,), (v,))[1]


def _reverse_over_reverse(gradient, params, hyper, batch, v):
    """As automatic differentiation of the unrolled program does it: transpose."""
    _, pull_back = jax.vjp(lambda phi, h: gradient(phi, h, batch)[0], params, hyper)
    return pull_back(v)


def _first_order(gradient, params, hyper, batch, v):
    """The inner gradient is a constant: no second derivative."""
    del gradient, batch, v
    return jax.tree.map(jnp.zeros_like, (params, hyper))


MODES = {
    "first_order": _first_order,
    "forward_over_reverse": _forward_over_reverse,
    "reverse_over_reverse": _reverse_over_reverse,
}


def apply_update(optimizer, params, opt_state, grads):
    """``U(phi, s, g)``: the new parameters and the new optimizer state."""
    # Optax multiplies floats with its integer step counts.
    with jax.numpy_dtype_promotion("standard"):
        updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def _add(a, b):
    return jax.tree.map(jnp.add, a, b)


def _is_float(leaf):
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def _floats(tree: PyTree) -> list[jax.Array]:
    """The float leaves of an optimizer state; step counts have no derivative."""
    return [leaf for leaf in jax.tree.leaves(tree) if _is_float(leaf)]


def _with_floats(tree: PyTree, floats: list[jax.Array]) -> PyTree:
    """``tree`` with its float leaves replaced, in order."""
    new = iter(floats)
    return jax.tree.map(lambda leaf: next(new) if _is_float(leaf) else leaf, tree)
