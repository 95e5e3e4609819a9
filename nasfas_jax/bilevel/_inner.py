"""Inner updates: ``k`` differentiable steps of an optimizer."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from nasfas_jax.bilevel import _checks, _recursion, _trees
from nasfas_jax.bilevel._plan import Plan, Segments
from nasfas_jax.bilevel._steps import Steps
from nasfas_jax.bilevel._update import Optimizer

PyTree = Any


class InnerUpdate(NamedTuple):
    """Result of `inner_update`.

    Attributes:
      params: ``phi_k``, the parameters after the steps.
      state: auxiliary state after the steps; None without ``state``.
      losses: losses of the steps, shape ``[k]``; None without ``step_loss``.
    """

    params: PyTree
    state: PyTree = None
    losses: jax.Array | None = None


def inner_update(
    gradient: Callable,
    params: PyTree,
    hyper: PyTree,
    *,
    batch: PyTree,
    optimizer: Optimizer,
    steps: int | None = 1,
    mask: PyTree = True,
    remat: bool = False,
    state: PyTree = None,
    policy: str = "batch",
    segments: Segments = None,
    step_loss: Callable | None = None,
) -> InnerUpdate:
    """Parameters ``phi_k`` after ``steps`` updates of ``params`` by ``optimizer``.

    One step of ``optax.sgd`` is NAS-FAS eq. 12. JAX can differentiate the steps in any mode
    and to any order.

    Call it under `jax.jit`, as everything in this package: otherwise the loop over the
    steps is compiled at every call (about half a second for a small loss), and JAX
    keeps each of these programs (some megabytes).

    Args:
      gradient: gradient function of the inner loss, ``jax.grad(loss, (0, 1))``.
      params: pytree of float arrays, ``phi``.
      hyper: pytree of float arrays, ``h``; ``()`` for none.
      batch: passed to ``gradient`` in every step.
      optimizer: an optax transformation, or a function from ``hyper`` to one, such as
        ``lambda h: optax.sgd(h['rate'])``; its state is initialized before the first
        step. Transformations that need more than the gradients and the parameters are
        not supported: those that need the value of the loss or the loss itself
        (optax.lbfgs, line searches, polyak_sgd, contrib.reduce_on_plateau, contrib.momo,
        contrib.sophia), and lookahead. For derivatives through ``optax.adam`` set
        ``eps_root > 0``.
      steps: number of steps, all on the same ``batch``. None: one step for each slice of
        ``batch`` along the first axis of its leaves.
      mask: True, or a tree of bools that is a prefix of ``params``: the parameters that are
        updated. The others are constant in the steps, but still have derivatives.
        (``optax.masked`` is different: it *adds* the plain gradient where its mask is
        False.)
      remat: whether to store the parameters and the optimizer state before each step
        instead of its activations, which a backward pass then recomputes.
      state: auxiliary state, if the loss has any. ``gradient`` is then called with it
        as fourth argument and returns ``(gradients, new state)``, as
        ``jax.grad(loss, (0, 1), has_aux=True)`` does.
      policy: 'batch': every step uses the given ``state``. 'carry' and 'inner': every
        step uses the new state of the previous step. No derivative passes through the
        state.
      segments: number of segments that a backward pass recomputes from their first state,
        as in `hypergradient`; it stores the activations of one segment at a time, or of
        one step with ``remat``.
      step_loss: ``(phi_t, h, batch, t) -> scalar``, computed after every step, as in
        `hypergradient`.

    Returns:
      An `InnerUpdate`: ``phi_k``, the auxiliary state after the steps, and the losses.

    Raises:
      TypeError: leaves that are not float, a loss that is not scalar, a ``gradient`` of
        another tree or shape, an update that changes tree, shape or dtype, or an
        ``optimizer`` that needs more than gradients.
      ValueError: unknown ``policy``, a mask that does not match ``params``, or a number
        of steps out of range.

    >>> import jax, optax
    >>> loss = lambda w, h, x: ((w * x - h) ** 2).sum()
    >>> @jax.jit
    ... def fit(w, h, x):
    ...     grad, sgd = jax.grad(loss, (0, 1)), optax.sgd(0.1)
    ...     return inner_update(grad, w, h, batch=x, optimizer=sgd, steps=20)
    >>> fit(0.0, 1.0, jax.numpy.array([1.0, 2.0])).params
    Array(0.6, dtype=float32)
    """
    _checks.are_floats(params=params, hyper=hyper)
    params, hyper, batch, state = _trees.on_one_mesh(params, hyper, batch, state)
    inner = Steps.of(gradient, batch, optimizer, mask, steps, state, policy, step_loss)
    plan = Plan.of(segments, inner.count)
    chosen, rest = _trees.split(mask, params)
    start = inner.start(chosen, (rest, hyper), state)
    after, losses = _recursion.run(
        inner, start, (rest, hyper), inner.slices, plan, remat=remat
    )
    return InnerUpdate(_trees.join(mask, after.params, rest), after.aux, losses)
