"""Hypergradients by a backward recursion over the inner steps.

Notation: ``phi`` are parameters, ``h`` hyperparameters (alphas, theta, ...), and a
*gradient function* maps ``(phi, h, batch)`` to ``(dL/dphi, dL/dh)`` of a scalar ``L``. It is
``jax.grad(loss, (0, 1))`` of an ordinary loss, or another hypergradient: levels nest.
"""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nasfas_jax.bilevel import _checks, _modes, _plan, _recursion, _trees, _values
from nasfas_jax.bilevel._inner import InnerUpdate
from nasfas_jax.bilevel._plan import Plan, Segments
from nasfas_jax.bilevel._steps import Steps
from nasfas_jax.bilevel._stored import with_derivative
from nasfas_jax.bilevel._update import Optimizer

PyTree = Any


class Hypergradient(NamedTuple):
    """Result of `hypergradient`.

    Attributes:
      value: value of the objective, a scalar.
      params: derivative with respect to ``phi``, the parameters before the inner steps
        (with ``last``: the parameters before the last steps).
      hyper: derivative with respect to ``h``.
      state: auxiliary state after all passes, see ``policy``; None without ``state``.
      inner: ``phi_k``, the auxiliary state after the inner steps, and the losses of the
        steps; None without ``return_inner``.
    """

    value: jax.Array
    params: PyTree
    hyper: PyTree
    state: PyTree = None
    inner: InnerUpdate | None = None

    @property
    def grads(self) -> tuple[PyTree, PyTree]:
        """``(params, hyper)``, the result of a gradient function, for nested levels."""
        return self.params, self.hyper


def hypergradient(
    outer_loss: Callable,
    inner_gradient: Callable,
    params: PyTree,
    hyper: PyTree,
    *,
    inner_batch: PyTree,
    outer_batch: PyTree,
    optimizer: Optimizer,
    steps: int | None = 1,
    mode: _modes.AnyMode = "forward_over_reverse",
    mask: PyTree = True,
    state: PyTree = None,
    policy: str = "batch",
    segments: Segments = None,
    offload: bool = False,
    last: int | None = None,
    step_loss: Callable | None = None,
    return_inner: bool = False,
    checks: Collection[str] = (),
) -> Hypergradient:
    """Value and derivatives of ``L_out(phi_k(phi, h), h, outer_batch)``.

    ``phi_k`` is the result of `inner_update`; derivatives are with respect to the
    parameters ``phi`` before the steps and to ``h``. The inner steps run once; then a
    recursion runs back over them, in which each step takes one second-derivative product
    of the inner loss. The mode 'unrolled' is plain ``jax.grad`` of all steps instead.

    Memory, besides the batches: the activations of *one* inner gradient and its
    derivative, plus the parameters and the optimizer state before each of the ``k``
    steps: ``k`` times the parameters for plain SGD, ``3 k`` times for Adam. If there are
    few activations, these states are most of the memory. ``segments='sqrt'`` stores the
    states of about ``2 sqrt(k)`` steps and runs each step twice. 'unrolled' stores the
    activations of all steps. (With a single step XLA may keep the activations of the
    gradient for its derivative: more memory, less time.) `cost` predicts memory and
    arithmetic.

    Call it under `jax.jit`: otherwise the loops over the steps are compiled at every
    call (about half a second for a small loss), and JAX keeps each of these programs
    (some megabytes).

    Under `jax.jit`, batches may be sharded over a mesh with automatic or explicit axes.
    For `jax.shard_map` see the package's docstring.

    Args:
      outer_loss: ``(phi, h, batch) -> scalar``.
      inner_gradient: gradient function of the inner loss, ``jax.grad(loss, (0, 1))``.
      params: pytree of float arrays, ``phi``.
      hyper: pytree of float arrays, ``h``; ``()`` for none.
      inner_batch: pytree of arrays, passed to ``inner_gradient``.
      outer_batch: pytree of arrays, passed to ``outer_loss``.
      optimizer: optimizer of the inner steps, as in `inner_update`.
      steps: number of steps, all on the same ``inner_batch``. None: one step for each
        slice of ``inner_batch`` along the first axis of its leaves.
      mode: how second derivatives are computed: a `Mode`, such as
        `finite_difference(epsilon)`, or its name, one of ``MODES``.
      mask: parameters that the inner steps update; see `inner_update`.
      state: auxiliary state (BatchNorm's running averages), if the losses have any.
        They are then called with it as fourth argument and return ``(value, new
        state)``; ``inner_gradient`` is ``jax.grad(loss, (0, 1), has_aux=True)``.
      policy: how ``state`` is updated. 'batch': every pass uses the given state, and the
        new state of the outer pass is returned. 'carry': every pass uses the new state of
        the previous pass, and the last one is returned. 'inner': as 'carry', but the
        state after the inner steps is returned. No derivative passes through the state.
      segments: number of segments of steps of which only the first state is stored, until
        the backward pass runs each segment again. 'sqrt': about the square root of the
        number of steps. None: the state before every step is stored, and no step runs
        again. The result is the same. In the mode 'unrolled', the activations of one
        segment are stored at a time.
      offload: whether the stored states (with segments, the first of each) are kept in
        host memory. Not supported in the mode 'unrolled', nor on platforms whose devices
        lack a memory of the kind 'pinned_host'.
      last: number of last steps that derivatives pass through (truncation). The steps
        before them run but store nothing; ``params`` is then the derivative with respect
        to the parameters before the last steps, and ``hyper`` lacks the influence of
        ``h`` on the earlier steps. None: all steps.
      step_loss: ``(phi_t, h, batch_t, t) -> scalar``, a term that is added to the
        objective after every step ``t = 1 .. k``; ``batch_t`` is the inner batch of that
        step. With ``state`` it takes the state after the step as fifth argument and
        returns ``(value, new state)``; the new state is ignored.
      return_inner: whether to return ``phi_k`` and the losses of the steps.
      checks: names of checks from `CHECKS`; without them, none is compiled.
        'divergence': every inner step and the result are finite. 'symmetry': the
        `symmetry_error` at ``phi`` is at the level of rounding. Both are
        `jax.experimental.checkify` checks: call the compiled function as ``error, result
        = jax.jit(checkify.checkify(function))(...)`` and then ``error.throw()``.
        'precision': params, hyper and the optimizer state have 32 bits or more, and a GPU
        or a TPU does not round the operands of the inner gradient's products; checked
        while tracing.

    Returns:
      A `Hypergradient`. Its value is NaN where ``phi_k`` is not finite, see
      `check_finite`.

    Raises:
      TypeError: leaves that are not float, losses that are not scalar, an
        ``inner_gradient`` of another tree or shape, an update that changes tree, shape or
        dtype, an ``optimizer`` that needs more than gradients, or a `jax.custom_vjp`
        function in the inner loss in the modes 'forward_over_reverse' and
        'finite_difference'.
      ValueError: unknown ``mode``, ``policy`` or check, a mask that does not match
        ``params``, a number of steps, segments or last steps out of range, or ``offload``
        where it is not supported.

    >>> import jax, optax
    >>> inner = lambda w, h, x: 0.5 * jax.numpy.sum((w - h) ** 2)
    >>> outer = lambda w, h, x: 0.5 * jax.numpy.sum(w**2)
    >>> @jax.jit
    ... def meta(w, h):
    ...     grad, sgd = jax.grad(inner, (0, 1)), optax.sgd(0.5)
    ...     batches = {'inner_batch': None, 'outer_batch': None}
    ...     return hypergradient(outer, grad, w, h, **batches, optimizer=sgd)
    >>> meta(jax.numpy.array([2.0]), jax.numpy.array([1.0])).hyper
    Array([0.75], dtype=float32)
    """
    _checks.are_floats(params=params, hyper=hyper)
    checks = _values.are_known(checks)
    params, hyper, inner_batch, outer_batch, state = _trees.on_one_mesh(
        params, hyper, inner_batch, outer_batch, state
    )
    mode = _modes.get(mode)
    inner = Steps.of(
        *(inner_gradient, inner_batch, optimizer, mask, steps, state, policy),
        step_loss,
    )
    plan = Plan.of(segments, inner.count, last, offload)
    with_state = () if state is None else (state,)
    first = inner_gradient, params, hyper, inner.first_batch
    mode.check(*first, *with_state)
    chosen, rest = _trees.split(mask, params)
    start = chosen, (rest, hyper), state
    _values.apply(checks, inner, start, first, with_state)

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
        # The outer loss may be independent of a parameter that became non-finite.
        value = jnp.where(_trees.all_finite(chosen), value, jnp.nan)
        return value, state_k if policy == "inner" else new_state

    differentiate = _recursion.recursion
    if mode == _modes.unrolled():
        _plan.stores_by_itself(offload)
        differentiate = _recursion.unrolled
    result = differentiate(outer, inner, *start, plan, mode)
    if "divergence" in checks:
        _values.is_finite_result(result.value, result.grads)
    d_chosen, (d_rest, d_hyper) = result.grads
    phi_k = InnerUpdate(
        _trees.join(mask, result.after.params, rest), result.after.aux, result.losses
    )
    return Hypergradient(
        result.value,
        _trees.join(mask, d_chosen, d_rest),
        d_hyper,
        result.aux,
        phi_k if return_inner else None,
    )


def loss_after_update(
    outer_loss: Callable,
    inner_gradient: Callable,
    params: PyTree,
    hyper: PyTree,
    *,
    inner_batch: PyTree,
    outer_batch: PyTree,
    optimizer: Optimizer,
    steps: int | None = 1,
    mode: _modes.AnyMode = "forward_over_reverse",
    mask: PyTree = True,
    segments: Segments = None,
    offload: bool = False,
) -> jax.Array:
    """``L_out(phi_k(phi, h), h, outer_batch)`` as a term of a larger objective.

    Its derivatives with respect to ``params`` and ``hyper`` are those of `hypergradient`,
    computed together with the value, so that `jax.grad` of an objective with such terms
    takes the time and the memory of the chosen mode. Only first derivatives are
    supported: second derivatives are zero, and so are derivatives with respect to values
    that the losses close over.

    All arguments are those of `hypergradient`.

    Args:
      outer_loss: ``(phi, h, batch) -> scalar``.
      inner_gradient: gradient function of the inner loss.
      params: ``phi``.
      hyper: ``h``.
      inner_batch: passed to ``inner_gradient``.
      outer_batch: passed to ``outer_loss``.
      optimizer: optimizer of the inner steps.
      steps: number of inner steps.
      mode: how second derivatives are computed.
      mask: parameters that the inner steps update.
      segments: number of segments that run again.
      offload: whether stored states are kept in host memory.

    Raises:
      TypeError: as `hypergradient`.
      ValueError: as `hypergradient`.

    >>> import jax, optax
    >>> inner = lambda w, h, x: 0.5 * (w - h) ** 2
    >>> outer = lambda w, h, x: 0.5 * w**2
    >>> @jax.jit
    ... @jax.grad
    ... def objective(w):  # w after one step is (w + 1) / 2
    ...     after = loss_after_update(
    ...         outer, jax.grad(inner, (0, 1)), w, 1.0,
    ...         inner_batch=None, outer_batch=None, optimizer=optax.sgd(0.5),
    ...     )
    ...     return w + after
    >>> print(objective(2.0))
    1.75
    """
    result = hypergradient(
        outer_loss,
        inner_gradient,
        *jax.lax.stop_gradient((params, hyper)),
        inner_batch=inner_batch,
        outer_batch=outer_batch,
        optimizer=optimizer,
        steps=steps,
        mode=mode,
        mask=mask,
        segments=segments,
        offload=offload,
    )
    return with_derivative(result.value, result.grads, (params, hyper))
