"""Inner updates: ``k`` steps of an optimizer, as a program that can be differentiated."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import optax

from nasfas_jax.bilevel import _checks, _trees

PyTree = Any
Optimizer = (
    optax.GradientTransformation | Callable[[PyTree], optax.GradientTransformation]
)

#: What becomes of auxiliary state, such as BatchNorm's running averages.
POLICIES = ("batch", "carry", "inner")


def inner_update(
    gradient: Callable,
    params: PyTree,
    hyper: PyTree,
    batch: PyTree,
    optimizer: Optimizer,
    *,
    steps: int | None = 1,
    mask: PyTree = True,
    remat: bool = False,
    state: PyTree = None,
    policy: str = "batch",
) -> Any:
    """``phi_k``: ``params`` after ``steps`` updates by ``optimizer``.

    Written as the equation stands (NAS-FAS eq. 12 for one step of ``optax.sgd``), so it
    can be differentiated by ``jax`` in any mode and to any order.

    Args:
      gradient: gradient function of the inner loss, ``jax.grad(loss, (0, 1))``.
      params: pytree of float arrays, ``phi``.
      hyper: pytree of float arrays, ``h``; ``()`` where there are none.
      batch: what ``gradient`` is given, in every step.
      optimizer: any optax transformation, or a function that makes one of ``hyper``,
        ``lambda h: optax.sgd(h['rate'])``; its state starts fresh. For derivatives
        through ``optax.adam`` give ``eps_root > 0``.
      steps: number of steps on the one ``batch``. None: one step for each slice of
        ``batch`` along the first axis of its leaves.
      mask: True, or a tree of bools that begins like ``params``: what is updated. The
        rest stays and still takes part in the derivatives. (``optax.masked`` is not
        that: it *adds* the plain gradient where its mask is False.)
      remat: keep no activations of a step, but compute them again when a derivative
        passes back through it.
      state: auxiliary state, if the loss has any. ``gradient`` is then called with it
        as fourth argument and returns ``(gradients, new state)``, as
        ``jax.grad(loss, (0, 1), has_aux=True)`` does.
      policy: 'batch': every step sees ``state`` as given. 'carry' and 'inner': every
        step sees what the step before made of it. No derivative passes through state.

    Returns:
      ``phi_k``; with ``state``, the pair of ``phi_k`` and the state it is to be used with.

    Raises:
      TypeError: leaves that are not float, a loss that is not scalar, an update that
        changes tree, shape or dtype, an ``optimizer`` that is none.
      ValueError: unknown ``policy``, a mask or a number of steps that does not fit.

    >>> import jax, optax
    >>> loss = lambda w, h, x: ((w * x - h) ** 2).sum()
    >>> x = jax.numpy.array([1.0, 2.0])
    >>> inner_update(jax.grad(loss, (0, 1)), 0.0, 1.0, x, optax.sgd(0.1), steps=20)
    Array(0.6, dtype=float32)
    """
    _checks.are_floats(params=params, hyper=hyper)
    inner = Steps.of(gradient, batch, optimizer, mask, steps, state, policy)
    chosen, rest = _trees.split(mask, params)
    (chosen, _, new_state), _ = inner.run(chosen, (rest, hyper), state, remat=remat)
    phi_k = _trees.join(mask, chosen, rest)
    return phi_k if state is None else (phi_k, new_state)


def apply_update(optimizer, params, opt_state, grads):
    """``U(phi, s, g)``: the new parameters and the new optimizer state."""
    # Optax multiplies floats with its integer step counts.
    with jax.numpy_dtype_promotion("standard"):
        updates, opt_state = optimizer.update(grads, opt_state, params)
    _checks.has_same_tree(params, updates, "params")
    return optax.apply_updates(params, updates), opt_state


def build(optimizer: Optimizer, hyper: PyTree) -> optax.GradientTransformation:
    """The optimizer, where it depends on ``hyper``."""
    made = optimizer(hyper) if callable(optimizer) else optimizer
    _checks.is_optimizer(made)
    return made


@dataclasses.dataclass(frozen=True)
class Steps:
    """The inner steps on the parameters that move; the others count as ``hyper``.

    Attributes:
      gradient: ``(phi, (rest, h), batch, state) -> ((g_phi, (g_rest, g_h)), state)``.
      batch: one batch for all steps, or stacked.
      optimizer: ``(rest, h) -> transformation``.
      steps: their number; None: one a slice of ``batch``.
      policy: one of `POLICIES`.
    """

    gradient: Callable
    batch: PyTree
    optimizer: Callable
    steps: int | None
    policy: str

    @classmethod
    def of(cls, gradient, batch, optimizer, mask, steps, state, policy) -> "Steps":
        """From what the public functions are given."""
        if policy not in POLICIES:
            raise ValueError(f"Unknown policy {policy!r}; choose one of {POLICIES}.")
        _checks.is_number_of_steps(steps, batch)

        def split_gradient(chosen, rest_and_hyper, one, state_now):
            rest, hyper = rest_and_hyper
            params = _trees.join(mask, chosen, rest)
            with _checks.explained():
                if state is None:
                    grads, new_state = gradient(params, hyper, one), None
                else:
                    grads, new_state = gradient(params, hyper, one, state_now)
            _checks.is_gradient(grads, params, hyper)
            g_chosen, g_rest = _trees.split(mask, grads[0])
            return (g_chosen, (g_rest, grads[1])), new_state

        return cls(
            split_gradient, batch, lambda h: build(optimizer, h[1]), steps, policy
        )

    def at(self, one: PyTree) -> PyTree:
        """The batch of a step that scans over ``slices``."""
        return self.batch if self.steps is not None else one

    @property
    def slices(self) -> PyTree:
        """What to scan over besides the steps."""
        return None if self.steps is not None else self.batch

    @property
    def unroll(self) -> bool:
        """No loop for one step: on CPU XLA compiles convolutions in loops badly."""
        return self.steps == 1

    def init(self, params: PyTree, hyper: PyTree) -> PyTree:
        """A fresh state of the optimizer."""
        return self.optimizer(hyper).init(params)

    def run(
        self, params, hyper, state, *, save=False, constant=False, remat=False
    ) -> tuple[Any, Any]:
        """All steps: ``((phi_k, optimizer state, state), what each step started from)``.

        Args:
          params: ``phi`` before the first step.
          hyper: ``(rest, h)``.
          state: auxiliary state or None.
          save: return parameters, optimizer state, gradient and state of each step.
          constant: inner gradients are constants for whoever differentiates.
          remat: compute each step again in a backward pass.
        """

        def step(carry, one):
            phi, opt_state, state = carry
            grads, new_state = self.gradient(phi, hyper, self.at(one), state)
            grads = jax.lax.stop_gradient(grads[0]) if constant else grads[0]
            new = apply_update(self.optimizer(hyper), phi, opt_state, grads)
            _checks.is_unchanged(phi, new[0], "params")
            _checks.is_unchanged(opt_state, new[1], "optimizer's state")
            if self.policy == "batch":
                new_state, saved = state, (phi, opt_state, grads)
            else:
                _checks.is_unchanged(state, new_state, "auxiliary state")
                new_state = jax.lax.stop_gradient(new_state)
                saved = phi, opt_state, grads, state
            return (*new, new_state), saved if save else None

        return jax.lax.scan(
            jax.checkpoint(step) if remat else step,
            (params, self.init(params, hyper), state),
            self.slices,
            length=self.steps,
            unroll=self.unroll,
        )
