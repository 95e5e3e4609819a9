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
      params: its derivative by ``phi``, the parameters before the inner steps (with
        ``last``: by the parameters before the last ones).
      hyper: its derivative by ``h``.
      state: auxiliary state after the passes; None without.
      inner: ``phi_k``, the auxiliary state with it, and the losses of the steps; None
        without ``return_inner``.
    """

    value: jax.Array
    params: PyTree
    hyper: PyTree
    state: PyTree = None
    inner: InnerUpdate | None = None

    @property
    def grads(self) -> tuple[PyTree, PyTree]:
        """``(params, hyper)``, as a gradient function returns: levels nest by it."""
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

    ``phi_k`` is `inner_update`, and derivatives are by its *start* ``phi`` and by ``h``.
    The inner steps run once; then a recursion runs back over them, in which each step
    takes one second-derivative product of the inner loss. The mode 'unrolled' is plain
    ``jax.grad`` of all steps instead.

    Memory, besides the batches: the activations of *one* inner gradient and its
    derivative, plus the stored state before each of the ``k`` steps, the parameters and
    the optimizer state: ``k`` times the parameters for plain SGD, ``3 k`` times for Adam.
    With few activations it is most of the memory. ``segments='sqrt'`` stores the states
    of about ``2 sqrt(k)`` steps and runs each step twice. 'unrolled' stores the
    activations of all steps. (With a single step XLA may keep the activations of the
    gradient for its derivative: more memory, less time.) `cost` predicts all this.

    Call it under `jax.jit`: outside, the loops over the steps are compiled at every
    call (about half a second for a small loss), and JAX keeps each of these programs
    (some megabytes).

    On a mesh of devices: under `jax.jit` batches may be split over automatic or explicit
    axes. Inside `jax.shard_map` see the package's docstring.

    Args:
      outer_loss: ``(phi, h, batch) -> scalar``.
      inner_gradient: gradient function of the inner loss, ``jax.grad(loss, (0, 1))``.
      params: pytree of float arrays, ``phi``.
      hyper: pytree of float arrays, ``h``; ``()`` for none.
      inner_batch: passed to ``inner_gradient``.
      outer_batch: passed to ``outer_loss``.
      optimizer: as in `inner_update`.
      steps: number of steps on the one ``inner_batch``; None: one per slice of it.
      mode: how second derivatives are computed: a `Mode`, such as
        `finite_difference(epsilon)`, or its name, one of ``MODES``.
      mask: parameters that the inner steps update; see `inner_update`.
      state: auxiliary state (BatchNorm's running averages), if the losses have any.
        They are then called with it as fourth argument and return ``(value, new
        state)``; ``inner_gradient`` is ``jax.grad(loss, (0, 1), has_aux=True)``.
      policy: how ``state`` is updated. 'batch': every pass uses it as given, and the
        outer pass's new state is returned. 'carry': every pass uses the new state of the
        pass before, and the last is returned. 'inner': as 'carry', without the outer
        pass's. No derivative passes through state.
      segments: number of segments of steps of which only the start is stored, until the
        backward pass runs each of them again. 'sqrt': about the square root of the number
        of steps. None: the state before every step is stored, and none runs again. The
        result is the same; in the mode 'unrolled', the activations of one segment are
        stored at a time.
      offload: whether the stored states (with segments, their starts) are kept in host
        memory. Not in the mode 'unrolled', and only on platforms whose devices have a
        memory of the kind 'pinned_host'.
      last: number of last steps that derivatives pass through (truncation). The steps
        before run all the same and store nothing; ``params`` is then the derivative by
        the parameters before the last steps, and ``hyper`` lacks the influence of ``h``
        on the steps before. None: all steps.
      step_loss: ``(phi_t, h, batch_t, t) -> scalar``, a term that is added to the
        objective after every step ``t = 1 .. k``; ``batch_t`` is the inner batch of that
        step. With ``state`` it takes the state after the step as fifth argument and
        returns ``(value, new state)``, of which the new state is dropped.
      return_inner: whether the result has ``phi_k`` and the losses of the steps.
      checks: names of checks out of `CHECKS`. They cost nothing when left out.
        'divergence': every inner step and the result are finite. 'symmetry': the
        `symmetry_error` at ``phi`` is at the level of rounding. Both are
        `jax.experimental.checkify` checks: call the compiled function as ``error, result
        = jax.jit(checkify.checkify(function))(...)`` and then ``error.throw()``.
        'precision': params, hyper and the optimizer state have 32 bits or more, and a GPU
        or a TPU does not round the operands of the inner gradient's products, while
        tracing.

    Returns:
      A `Hypergradient`. Its value is NaN where ``phi_k`` is not finite, see
      `check_finite`.

    Raises:
      TypeError: leaves that are not float, losses that are not scalar, an update that
        changes tree, shape or dtype, an ``optimizer`` that is no transformation of
        gradients, a `jax.custom_vjp` function under the inner loss in the modes
        'forward_over_reverse' and 'finite_difference'.
      ValueError: unknown ``mode``, ``policy`` or check, a mask or a number of steps,
        segments or last steps that does not fit, ``offload`` where it is not possible.

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

    Its derivatives by ``params`` and ``hyper`` are those of `hypergradient`, computed
    together with the value, so that `jax.grad` of an objective with such terms has the
    time and the memory of the chosen mode. First derivatives only: those of second order
    are zero, and so are those by values that the losses close over.

    Args:
      outer_loss: as in `hypergradient`; so are all other arguments.
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
