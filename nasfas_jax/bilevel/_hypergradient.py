"""Hypergradients by a backward recursion over the inner steps.

Notation: ``phi`` are parameters, ``h`` hyperparameters (alphas, theta, ...), and an inner
*gradient function* maps ``(phi, h, batch)`` to ``(dL/dphi, dL/dh)`` of a scalar ``L``. It is
``jax.grad(loss, (0, 1))`` of an ordinary loss, or another hypergradient: levels nest.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nasfas_jax.bilevel import _checks, _modes, _trees
from nasfas_jax.bilevel._update import Optimizer, Steps, apply_update, build

PyTree = Any


class Hypergradient(NamedTuple):
    """``value`` of the objective and its derivatives by ``params`` and by ``hyper``."""

    value: jax.Array
    params: PyTree
    hyper: PyTree


def hypergradient(
    outer_loss: Callable,
    inner_gradient: Callable,
    params: PyTree,
    hyper: PyTree,
    inner_batch: PyTree,
    outer_batch: PyTree,
    optimizer: Optimizer,
    *,
    steps: int | None = 1,
    mode: str | _modes.Mode = "forward_over_reverse",
    mask: PyTree = True,
    state: PyTree = None,
    policy: str = "batch",
) -> Any:
    """Value and derivatives of ``L_out(phi_k(phi, h), h, outer_batch)``.

    ``phi_k`` is `inner_update`, and derivatives are to its *start* ``phi`` and to ``h``.
    The inner steps run once and are saved (parameters, optimizer state and gradient of
    each, no activations); then a recursion runs back over them, and each step meets the
    second derivative of the inner loss once. Peak memory is one inner gradient's, however
    many steps there are (with a single step XLA may keep the activations of its gradient
    for its second derivative: more memory, less time). The mode 'unrolled' instead is
    plain ``jax.grad`` of the whole program and keeps all activations of all steps.

    Args:
      outer_loss: ``(phi, h, batch) -> scalar``.
      inner_gradient: gradient function of the inner loss, ``jax.grad(loss, (0, 1))``.
      params: pytree of float arrays, ``phi``.
      hyper: pytree of float arrays, ``h``; ``()`` where there are none.
      inner_batch: what ``inner_gradient`` is given.
      outer_batch: what ``outer_loss`` is given.
      optimizer: any optax transformation, or a function that makes one of ``hyper``.
      steps: number of steps on the one ``inner_batch``; None: one for each slice of it.
      mode: a key of ``MODES``, or a function like `finite_difference(epsilon)`.
      mask: what the inner steps update; see `inner_update`.
      state: auxiliary state (BatchNorm's running averages), if the losses have any.
        They are then called with it as fourth argument and return ``(value, new
        state)``; ``inner_gradient`` is ``jax.grad(loss, (0, 1), has_aux=True)``.
      policy: what becomes of ``state``. 'batch': every pass sees it as given, and the
        outer pass's new state is kept. 'carry': every pass sees what the pass before
        it left, and the last is kept. 'inner': as 'carry', but the outer pass's is
        dropped (RFMeta's released code). No derivative passes through state.

    Returns:
      A `Hypergradient`; with ``state``, the pair of it and the state that is kept. Its
      value is NaN where ``phi_k`` is not finite, see `check_finite`.

    Raises:
      TypeError: leaves that are not float, losses that are not scalar, an update that
        changes tree, shape or dtype, an ``optimizer`` that is none, a ``custom_vjp``
        under forward mode.
      ValueError: unknown ``mode`` or ``policy``, a mask or a number of steps that does
        not fit.

    >>> import jax, optax
    >>> inner = lambda w, h, x: 0.5 * jax.numpy.sum((w - h) ** 2)
    >>> outer = lambda w, h, x: 0.5 * jax.numpy.sum(w**2)
    >>> w, h, sgd = jax.numpy.array([2.0]), jax.numpy.array([1.0]), optax.sgd(0.5)
    >>> hypergradient(outer, jax.grad(inner, (0, 1)), w, h, None, None, sgd).hyper
    Array([0.75], dtype=float32)
    """
    _checks.are_floats(params=params, hyper=hyper)
    product = _modes.get(mode)
    inner = Steps.of(inner_gradient, inner_batch, optimizer, mask, steps, state, policy)
    chosen, rest = _trees.split(mask, params)

    def outer(chosen, rest_and_hyper, state_k):
        """``(value, kept state)``."""
        rest, hyper = rest_and_hyper
        phi_k = _trees.join(mask, chosen, rest)
        if state is None:
            value, new_state = outer_loss(phi_k, hyper, outer_batch), None
        else:
            result = outer_loss(phi_k, hyper, outer_batch, state_k)
            _checks.is_pair(result, "outer")
            value, new_state = result
        _checks.is_scalar(value, "outer")
        # A loss that does not look at a parameter would hide what became of it.
        value = jnp.where(_trees.all_finite(chosen), value, jnp.nan)
        return value, state_k if policy == "inner" else new_state

    differentiate = _unrolled if mode == "unrolled" else _recursion
    value, new_state, d_chosen, (d_rest, d_hyper) = differentiate(
        outer, inner, chosen, (rest, hyper), state, product
    )
    result = Hypergradient(value, _trees.join(mask, d_chosen, d_rest), d_hyper)
    return result if state is None else (result, new_state)


def _unrolled(outer, inner: Steps, params, hyper, state, product):
    """Reverse mode over the whole program, nothing said about memory."""
    del product

    def objective(params, hyper):
        (phi_k, _, state_k), _ = inner.run(params, hyper, state)
        return outer(phi_k, hyper, state_k)

    (value, new_state), grads = jax.value_and_grad(objective, (0, 1), has_aux=True)(
        params, hyper
    )
    return value, new_state, *grads


def _recursion(outer, inner: Steps, params, hyper, state, product):
    """The same, one step of the backward pass at a time."""
    constant = product is _modes.MODES["first_order"]
    (phi_k, opt_state_k, state_k), saved = inner.run(
        params, hyper, state, save=True, constant=constant
    )
    (value, new_state), (d_phi, d_hyper) = jax.value_and_grad(
        outer, (0, 1), has_aux=True
    )(phi_k, hyper, state_k)

    def backward(carry, step):
        d_phi, d_opt_state, d_hyper = carry
        (phi, opt_state, grads, *state_then), one = step
        (state_now,) = state_then or (state,)
        d_phi, d_opt_state, d_hyper_step = pull_back_update(
            lambda phi, h, batch: inner.gradient(phi, h, batch, state_now)[0],
            phi,
            opt_state,
            grads,
            hyper,
            inner.at(one),
            inner.optimizer,
            d_phi,
            d_opt_state,
            mode=product,
        )
        return (d_phi, d_opt_state, _trees.add(d_hyper, d_hyper_step)), None

    d_opt_state = jax.tree.map(jnp.zeros_like, _trees.floats(opt_state_k))
    (d_phi, d_opt_state, d_hyper), _ = jax.lax.scan(
        backward,
        (d_phi, d_opt_state, d_hyper),
        (saved, inner.slices),
        length=inner.steps,  # where the mask moves nothing, nothing is saved
        reverse=True,
        unroll=inner.unroll,
    )
    # Some optimizers start from the parameters, or from hyper.
    _, pull_back = jax.vjp(
        lambda phi, h: _trees.floats(inner.init(phi, h)), params, hyper
    )
    first = pull_back(d_opt_state)
    return value, new_state, *_trees.add((d_phi, d_hyper), first)


def pull_back_update(
    inner_gradient: _modes.GradientFunction,
    params: PyTree,
    opt_state: PyTree,
    grads: PyTree,
    hyper: PyTree,
    batch: PyTree,
    optimizer: Optimizer,
    d_params: PyTree,
    d_opt_state: list[jax.Array] | None = None,
    *,
    mode: str | _modes.Mode,
) -> tuple[PyTree, list[jax.Array], PyTree]:
    """The transposed derivative of one update ``phi' = U(phi, s, g(phi, h), h)``.

    Args:
      inner_gradient: gradient function whose first part is ``g``.
      params: ``phi`` before the update.
      opt_state: ``s`` before the update.
      grads: ``g(phi, h)``, saved.
      hyper: ``h``.
      batch: what ``inner_gradient`` is given.
      optimizer: ``U``, an optax transformation, or a function that makes one of ``h``.
      d_params: cotangent of ``phi'``.
      d_opt_state: cotangents of the float leaves of the new optimizer state; zeros if
        None, where nothing looks at that state.
      mode: a key of ``MODES``, or a function like them.

    Returns:
      The cotangents of ``phi``, of the float leaves of ``s``, and of ``h``.
    """

    def update(phi, state_floats, g, h):
        phi, new_state = apply_update(
            build(optimizer, h), phi, _trees.with_floats(opt_state, state_floats), g
        )
        return phi, _trees.floats(new_state)

    if d_opt_state is None:
        d_opt_state = jax.tree.map(jnp.zeros_like, _trees.floats(opt_state))
    _, pull_back = jax.vjp(update, params, _trees.floats(opt_state), grads, hyper)
    d_phi, d_before, v, d_hyper = pull_back((d_params, d_opt_state))
    products = _modes.second_derivative_product(
        inner_gradient, params, hyper, batch, v, mode=mode
    )
    d_phi, d_hyper = _trees.add((d_phi, d_hyper), products)
    return d_phi, d_before, d_hyper
