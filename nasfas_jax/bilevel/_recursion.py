"""Two ways to differentiate the steps: plain reverse mode, and a backward recursion."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nasfas_jax.bilevel import _modes, _trees
from nasfas_jax.bilevel._plan import Plan
from nasfas_jax.bilevel._steps import Slice, State, Steps
from nasfas_jax.bilevel._update import pull_back_update

PyTree = Any
#: Largest estimated error of a finite difference, as a share of the outer derivative.
ERROR_SHARE = 0.1
#: ``(phi_k, (rest, h), aux_k) -> (value, kept aux)``.
Outer = Callable[[PyTree, PyTree, PyTree], tuple[jax.Array, PyTree]]


class Result(NamedTuple):
    """Value and derivatives of an objective.

    Attributes:
      value: the objective.
      aux: new auxiliary state.
      grads: derivatives with respect to the updated parameters, and to ``(rest, h)``.
      after: state after the inner steps.
      losses: losses of the steps, or None.
    """

    value: jax.Array
    aux: PyTree
    grads: tuple[PyTree, PyTree]
    after: State
    losses: jax.Array | None


class Beginning(NamedTuple):
    """Beginning of the derivatives: the start, or the state after the skipped steps.

    Attributes:
      params: parameters there.
      state: ``(params, (rest, h)) -> state``.
      slices: slices of the steps from there.
      losses: losses of the steps before; None without.
    """

    params: PyTree
    state: Callable[[PyTree, PyTree], State]
    slices: Slice
    losses: jax.Array | None

    @classmethod
    def of(cls, inner: Steps, params, hyper, aux, skipped: int) -> "Beginning":
        """Runs the skipped steps, without derivative."""
        slices = inner.slices
        if not skipped:
            return cls(params, lambda p, h: inner.start(p, h, aux), slices, None)
        first, others = (
            jax.tree.map(lambda leaf, part=part: leaf[part], slices)
            for part in (slice(skipped), slice(skipped, None))
        )
        state, losses = jax.lax.stop_gradient(
            inner.run(
                inner.start(params, hyper, aux),
                hyper,
                first,
                save=loss_of(inner, hyper),
            )
        )
        return cls(state.params, lambda p, h: state._replace(params=p), others, losses)


def loss_of(inner: Steps, hyper: PyTree) -> Callable | None:
    """The loss of a step, as `Steps.run` saves it."""
    loss = inner.loss
    if loss is None:
        return None
    return lambda before, grads, after, one: loss(after, hyper, one)


def joined(*losses: jax.Array | None) -> jax.Array | None:
    """Losses of all steps, of parts of which some may be None."""
    parts = [part.reshape(-1) for part in losses if part is not None]
    return jnp.concatenate(parts) if parts else None


def run(inner: Steps, state: State, hyper, slices: Slice, plan: Plan, *, remat=False):
    """Runs the steps for plain reverse mode: ``(state after them, losses)``."""
    save, first = loss_of(inner, hyper), None
    if plan.segments:
        whole, slices = plan.divide(slices)

        @jax.checkpoint
        def segment(state, slices):
            return inner.run(state, hyper, slices, save=save, remat=remat)

        state, first = jax.lax.scan(segment, state, whole)
    last = None
    if len(slices.t):
        state, last = inner.run(state, hyper, slices, save=save, remat=remat)
    return state, joined(first, last)


def unrolled(
    outer: Outer, inner: Steps, params, hyper, aux, plan: Plan, mode: _modes.Mode
) -> Result:
    """Plain reverse mode through all steps."""
    del mode
    begin = Beginning.of(inner, params, hyper, aux, plan.skipped)

    def objective(params, hyper):
        after, losses = run(
            inner, begin.state(params, hyper), hyper, begin.slices, plan
        )
        value, kept = outer(after.params, hyper, after.aux)
        losses = joined(begin.losses, losses)
        return value + _total(losses), (kept, after, losses)

    (value, (kept, after, losses)), grads = jax.value_and_grad(
        objective, (0, 1), has_aux=True
    )(begin.params, hyper)
    return Result(value, kept, grads, after, losses)


def _total(losses: jax.Array | None) -> jax.Array | float:
    return 0.0 if losses is None else losses.sum()


class Cotangent(NamedTuple):
    """Derivatives of the objective with respect to the result of a step.

    Attributes:
      params: derivative with respect to the parameters after the step.
      opt_state: that with respect to the float leaves of the optimizer state after it.
      hyper: that with respect to ``(rest, h)``, summed over the later steps.
      scale: largest norm of an outer derivative so far, with which the error of a
        `finite_difference` is compared.
    """

    params: PyTree
    opt_state: list[jax.Array]
    hyper: PyTree
    scale: jax.Array


def recursion(
    outer: Outer, inner: Steps, params, hyper, aux, plan: Plan, mode: _modes.Mode
) -> Result:
    """Recursion over the steps, one second-derivative product at a time.

    Segments are run once more from their start, which is stored, before the recursion
    goes back over their steps; the states before these are stored for one segment at a
    time.
    """
    back = _Backward(inner, hyper, aux, mode, plan.offload)
    begin = Beginning.of(inner, params, hyper, aux, plan.skipped)
    state, slices = begin.state(begin.params, hyper), begin.slices
    whole = starts = saved = first = last = None
    if plan.segments:
        whole, slices = plan.divide(slices)
        state, starts = jax.lax.scan(back.segment_forward, state, whole)
    if len(slices.t):
        state, saved = back.forward(state, slices, offload=not plan.segments)
    (value, kept), (d_phi, d_hyper) = jax.value_and_grad(outer, (0, 1), has_aux=True)(
        state.params, hyper, state.aux
    )
    d_state = jax.tree.map(jnp.zeros_like, _trees.floats(state.opt_state))
    cotangent = Cotangent(d_phi, d_state, d_hyper, _trees.norm(d_phi))
    if len(slices.t):
        cotangent, last = back.steps(cotangent, saved, slices)
    if plan.segments:
        cotangent, first = jax.lax.scan(
            back.segment, cotangent, (starts, whole), reverse=True
        )
    # The first optimizer state may depend on the parameters or on hyper.
    _, pull_back = jax.vjp(
        lambda phi, h: _trees.floats(begin.state(phi, h).opt_state), begin.params, hyper
    )
    grads = _trees.add(
        (cotangent.params, cotangent.hyper), pull_back(cotangent.opt_state)
    )
    losses = joined(begin.losses, first, last)
    return Result(value + _total(losses), kept, grads, state, losses)


@dataclasses.dataclass(frozen=True)
class _Backward:
    """The two directions of the recursion.

    Attributes:
      inner: the steps.
      hyper: ``(rest, h)``.
      aux: auxiliary state, where all steps use the same.
      mode: how second derivatives are computed.
      offload: whether what is stored goes to host memory.
    """

    inner: Steps
    hyper: PyTree
    aux: PyTree
    mode: _modes.Mode
    offload: bool

    def forward(self, state: State, slices: Slice, *, offload: bool = False):
        """Runs steps: ``(state after them, what was saved of each)``."""

        def save(before, grads, after, one):
            del after, one
            grads = None if self.mode.computes_gradient else grads
            return self._store(before, grads, offload=offload)

        constant = self.mode == _modes.first_order()
        return self.inner.run(state, self.hyper, slices, save=save, constant=constant)

    def segment_forward(self, state: State, slices: Slice):
        """Runs the steps of a segment: ``(state after them, stored start)``."""
        after, _ = self.inner.run(state, self.hyper, slices)
        return after, self._store(state, None, offload=True)

    def segment(self, cotangent: Cotangent, start_and_slices):
        """Recursion over the steps of a segment, from its start."""
        stored, slices = start_and_slices
        start, _ = self._load(stored)
        _, saved = self.forward(start, slices)
        return self.steps(cotangent, saved, slices)

    def steps(self, cotangent: Cotangent, saved, slices: Slice):
        """Recursion over steps: ``(cotangent before them, their losses)``."""
        return jax.lax.scan(
            self._step,
            cotangent,
            (saved, slices),
            reverse=True,
            unroll=self.inner.unroll,
        )

    def _store(self, before: State, grads, *, offload: bool):
        stored = self.inner.without_aux(before), grads
        return _trees.to_host(stored) if self.offload and offload else stored

    def _load(self, stored) -> tuple[State, PyTree]:
        before, grads = _trees.to_device(stored) if self.offload else stored
        return self.inner.with_aux(before, self.aux), grads

    def _step(self, cotangent: Cotangent, saved_and_slice):
        """Transposed derivative of one step ``phi' = U(phi, s, g(phi, h), h)``."""
        saved, one = saved_and_slice
        before, grads = self._load(saved)
        if grads is None:
            (grads, _), _ = self.inner.gradient(
                before.params, self.hyper, self.inner.at(one), before.aux
            )
        cotangent, loss = self._add_loss(cotangent, before, one)
        direct = pull_back_update(
            self.inner.optimizer,
            before.params,
            before.opt_state,
            grads,
            cotangent.params,
            cotangent.opt_state,
            hyper=self.hyper,
        )
        product = (
            lambda phi, h, batch: self.inner.gradient(phi, h, batch, before.aux)[0],
            before.params,
            self.hyper,
            self.inner.at(one),
            direct.grads,
        )
        if isinstance(self.mode, _modes.FiniteDifference):
            products, error = self.mode.measured(*product)
            trusted = error <= ERROR_SHARE * cotangent.scale
            products = jax.tree.map(lambda p: jnp.where(trusted, p, jnp.nan), products)
        else:
            products = _modes.second_derivative_product(*product, mode=self.mode)
        d_phi, d_hyper = _trees.add((direct.params, direct.hyper), products)
        d_hyper = _trees.add(cotangent.hyper, d_hyper)
        return cotangent._replace(
            params=d_phi, opt_state=direct.opt_state, hyper=d_hyper
        ), loss

    def _add_loss(self, cotangent: Cotangent, before: State, one: Slice):
        """The cotangent with the derivatives of the loss of a step, and that loss."""
        loss = self.inner.loss
        if loss is None:
            return cotangent, None
        after, _ = self.inner.advance(before, self.hyper, one)

        def of_step(phi, hyper):
            return loss(after._replace(params=phi), hyper, one)

        value, (d_phi, d_hyper) = jax.value_and_grad(of_step, (0, 1))(
            after.params, self.hyper
        )
        return cotangent._replace(
            params=_trees.add(cotangent.params, d_phi),
            hyper=_trees.add(cotangent.hyper, d_hyper),
            scale=jnp.maximum(cotangent.scale, _trees.norm(d_phi)),
        ), value
