"""Loop of inner steps, and the values that it stores for a backward pass."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nasfas_jax.bilevel import _checks, _trees
from nasfas_jax.bilevel._update import apply_update, build

PyTree = Any
#: How auxiliary state, such as BatchNorm's running averages, is updated.
POLICIES = ("batch", "carry", "inner")


class State(NamedTuple):
    """State before or after an inner step.

    Attributes:
      params: updated parameters.
      opt_state: optimizer state.
      aux: auxiliary state of the losses, or None.
    """

    params: PyTree
    opt_state: PyTree
    aux: PyTree


class Slice(NamedTuple):
    """Number and batch of a step, as the loop scans over them.

    Attributes:
      t: number of the step, from 1.
      batch: batch of the step; None if all steps use the same one.
    """

    t: jax.Array
    batch: PyTree


@dataclasses.dataclass(frozen=True)
class Steps:
    """Inner steps on the parameters that are updated; the others count as ``hyper``.

    Attributes:
      gradient: ``(phi, (rest, h), batch, aux) -> ((g_phi, (g_rest, g_h)), aux)``.
      batch: one batch for all steps, or stacked.
      optimizer: ``(rest, h) -> transformation``.
      steps: number of steps; None: one per slice of ``batch``.
      policy: one of `POLICIES`.
      loss: ``(state after the step, (rest, h), slice) -> scalar``, a term of the
        objective after every step, or None.
    """

    gradient: Callable
    batch: PyTree
    optimizer: Callable
    steps: int | None
    policy: str
    loss: Callable | None = None

    @classmethod
    def of(
        cls,
        gradient,
        batch,
        optimizer,
        mask,
        steps,
        state,
        policy,
        step_loss=None,
    ) -> "Steps":
        """Steps with the arguments of the public functions."""
        if policy not in POLICIES:
            raise ValueError(f"Unknown policy {policy!r}; choose one of {POLICIES}.")
        _checks.is_number_of_steps(steps, batch)

        def split_gradient(chosen, rest_and_hyper, one, aux):
            rest, hyper = rest_and_hyper
            params = _trees.join(mask, chosen, rest)
            with _checks.explained():
                if state is None:
                    grads, new_aux = gradient(params, hyper, one), None
                else:
                    grads, new_aux = gradient(params, hyper, one, aux)
            _checks.is_gradient(grads, params, hyper)
            g_chosen, g_rest = _trees.split(mask, grads[0])
            return (g_chosen, (g_rest, grads[1])), new_aux

        def split_loss(after: State, rest_and_hyper, one: Slice):
            assert step_loss is not None
            rest, hyper = rest_and_hyper
            params = _trees.join(mask, after.params, rest)
            arguments = params, hyper, inner.at(one), one.t
            if state is None:
                value = step_loss(*arguments)
            else:
                result = step_loss(*arguments, after.aux)
                _checks.is_pair(result, "step")
                value = result[0]
            _checks.is_scalar(value, "step")
            return value

        def made(rest_and_hyper):
            return build(optimizer, rest_and_hyper[1])

        loss = split_loss if step_loss else None
        inner = cls(split_gradient, batch, made, steps, policy, loss)
        return inner

    @property
    def count(self) -> int:
        """Number of steps."""
        if self.steps is not None:
            return self.steps
        return jnp.shape(jax.tree.leaves(self.batch)[0])[0]

    @property
    def slices(self) -> Slice:
        """Slices of all steps."""
        stacked = None if self.steps is not None else self.batch
        return Slice(jnp.arange(1, self.count + 1), stacked)

    def at(self, one: Slice) -> PyTree:
        """Batch of the step of a slice."""
        return self.batch if self.steps is not None else one.batch

    @property
    def first_batch(self) -> PyTree:
        """Batch of the first step."""
        if self.steps is not None:
            return self.batch
        return jax.tree.map(lambda leaf: leaf[0], self.batch)

    @property
    def unroll(self) -> bool:
        """Whether to omit the loop; XLA's CPU convolutions are slow inside loops."""
        return self.steps == 1

    def start(self, params: PyTree, hyper: PyTree, aux: PyTree) -> State:
        """State before the first step, with a fresh state of the optimizer."""
        return State(params, self.optimizer(hyper).init(params), aux)

    def advance(self, state: State, hyper, one: Slice, *, constant=False):
        """One step: ``(state after it, gradient)``."""
        grads, new_aux = self.gradient(state.params, hyper, self.at(one), state.aux)
        grads = jax.lax.stop_gradient(grads[0]) if constant else grads[0]
        new = apply_update(self.optimizer(hyper), state.params, state.opt_state, grads)
        _checks.is_unchanged(state.params, new[0], "params")
        _checks.is_unchanged(state.opt_state, new[1], "optimizer's state")
        if self.policy == "batch":
            new_aux = state.aux
        else:
            _checks.is_unchanged(state.aux, new_aux, "auxiliary state")
            new_aux = jax.lax.stop_gradient(new_aux)
        return State(*new, new_aux), grads

    def run(
        self,
        state: State,
        hyper,
        slices: Slice,
        *,
        save=None,
        constant=False,
        remat=False,
    ) -> tuple[State, Any]:
        """Runs the steps of ``slices``; returns ``(state after them, saved)``.

        Args:
          state: state before them.
          hyper: ``(rest, h)``.
          slices: slices of the steps.
          save: function of the state before a step, its gradient, and the state and the
            slice of the step that was made; its results are stacked to ``saved``.
          constant: whether inner gradients are constants in derivatives.
          remat: whether a backward pass computes each step again.
        """

        def step(before, one):
            after, grads = self.advance(before, hyper, one, constant=constant)
            return after, save(before, grads, after, one) if save else None

        return jax.lax.scan(
            jax.checkpoint(step) if remat else step, state, slices, unroll=self.unroll
        )

    def without_aux(self, state: State) -> State:
        """``state``, without the auxiliary one where all steps use the same."""
        return state._replace(aux=None) if self.policy == "batch" else state

    def with_aux(self, state: State, aux: PyTree) -> State:
        """The inverse of `without_aux`."""
        return state._replace(aux=aux) if self.policy == "batch" else state
