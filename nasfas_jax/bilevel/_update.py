"""Inner updates: ``k`` steps of an optimizer, written so that JAX differentiates them."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from nasfas_jax.bilevel import _checks, _trees

PyTree = Any
Optimizer = (
    optax.GradientTransformation | Callable[[PyTree], optax.GradientTransformation]
)

#: How auxiliary state, such as BatchNorm's running averages, is updated.
POLICIES = ("batch", "carry", "inner")


class InnerUpdate(NamedTuple):
    """Result of `inner_update`.

    Attributes:
      params: ``phi_k``, the parameters after the steps.
      state: auxiliary state after the steps; None without.
    """

    params: PyTree
    state: PyTree = None


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
) -> InnerUpdate:
    """Parameters ``phi_k`` after ``steps`` updates of ``params`` by ``optimizer``.

    One step of ``optax.sgd`` is NAS-FAS eq. 12. JAX can differentiate the steps in any mode
    and to any order.

    Call it under `jax.jit`, as everything in this package: outside, the loop over the
    steps is compiled at every call (about half a second for a small loss), and JAX
    keeps each of these programs (some megabytes).

    Args:
      gradient: gradient function of the inner loss, ``jax.grad(loss, (0, 1))``.
      params: pytree of float arrays, ``phi``.
      hyper: pytree of float arrays, ``h``; ``()`` for none.
      batch: passed to ``gradient`` in every step.
      optimizer: an optax transformation of the gradients alone, or a function that makes
        one of ``hyper``, ``lambda h: optax.sgd(h['rate'])``; its state is new. Not
        supported are transformations that also need the value of the loss or the loss
        itself (optax.lbfgs, line searches, polyak_sgd, contrib.reduce_on_plateau,
        contrib.momo, contrib.sophia), and lookahead. For derivatives through
        ``optax.adam`` set ``eps_root > 0``.
      steps: number of steps on the one ``batch``. None: one step for each slice of
        ``batch`` along the first axis of its leaves.
      mask: True, or a tree of bools that is a prefix of ``params``: the parameters that are
        updated. The others are constant in the steps and have derivatives all the same.
        (``optax.masked`` is different: it *adds* the plain gradient where its mask is
        False.)
      remat: whether to store the parameters and the optimizer state before each step
        instead of its activations, which a backward pass then computes again.
      state: auxiliary state, if the loss has any. ``gradient`` is then called with it
        as fourth argument and returns ``(gradients, new state)``, as
        ``jax.grad(loss, (0, 1), has_aux=True)`` does.
      policy: 'batch': every step uses ``state`` as given. 'carry' and 'inner': every
        step uses the new state of the step before. No derivative passes through state.

    Returns:
      An `InnerUpdate`: ``phi_k``, and the state to be used with it.

    Raises:
      TypeError: leaves that are not float, a loss that is not scalar, an update that
        changes tree, shape or dtype, an ``optimizer`` that is no transformation of
        gradients.
      ValueError: unknown ``policy``, a mask or a number of steps that does not fit.

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
    inner = Steps.of(gradient, batch, optimizer, mask, steps, state, policy)
    chosen, rest = _trees.split(mask, params)
    (chosen, _, new_state), _ = inner.run(chosen, (rest, hyper), state, remat=remat)
    phi_k = _trees.join(mask, chosen, rest)
    return InnerUpdate(phi_k, new_state)


def apply_update(
    optimizer: optax.GradientTransformation,
    params: PyTree,
    opt_state: optax.OptState,
    grads: PyTree,
) -> tuple[Any, optax.OptState]:
    """New parameters and new optimizer state, ``U(phi, s, g)``.

    Raises:
      TypeError: an optimizer that is no transformation of gradients, or that changes the
        tree of the parameters.
    """
    # Optax multiplies floats with its integer step counts.
    promotion = jax.numpy_dtype_promotion("standard")
    with promotion, _checks.explained(_checks.OPTIMIZER_ERRORS):
        updates, opt_state = optimizer.update(grads, opt_state, params)
    _checks.has_same_tree(params, updates, "params")
    return optax.apply_updates(params, updates), opt_state


class UpdateCotangents(NamedTuple):
    """Result of `pull_back_update`.

    Attributes:
      params: cotangent of the parameters before the update.
      opt_state: cotangents of the float leaves of the optimizer state before it.
      grads: cotangent of the gradients.
      hyper: cotangent of ``h`` as an argument of the optimizer.
    """

    params: PyTree
    opt_state: list[jax.Array]
    grads: PyTree
    hyper: PyTree


def pull_back_update(
    optimizer: Optimizer,
    params: PyTree,
    opt_state: PyTree,
    grads: PyTree,
    d_params: PyTree,
    d_opt_state: list[jax.Array] | None = None,
    *,
    hyper: PyTree = (),
) -> UpdateCotangents:
    """Transposed derivative of an optimizer's update ``phi', s' = U(phi, s, g, h)``.

    All arguments of ``U`` count as independent; where ``g`` depends on ``phi`` and ``h``,
    its cotangent goes to `second_derivative_product`. For ``optax.sgd(rate)`` that
    cotangent is ``-rate d_params``.

    Args:
      optimizer: ``U``, an optax transformation, or a function that makes one of ``h``.
      params: ``phi`` before the update.
      opt_state: ``s`` before the update.
      grads: ``g``.
      d_params: cotangent of ``phi'``.
      d_opt_state: cotangents of the float leaves of ``s'``; None: zeros.
      hyper: ``h``.

    >>> import jax, optax
    >>> sgd = optax.sgd(0.5)
    >>> w = jax.numpy.array([2.0])
    >>> pull_back_update(sgd, w, sgd.init(w), 3 * w, jax.numpy.array([1.0])).grads
    Array([-0.5], dtype=float32)
    """

    def update(phi, state_floats, g, h):
        phi, new_state = apply_update(
            build(optimizer, h), phi, _trees.with_floats(opt_state, state_floats), g
        )
        return phi, _trees.floats(new_state)

    floats = _trees.floats(opt_state)
    if d_opt_state is None:
        d_opt_state = jax.tree.map(jnp.zeros_like, floats)
    _, pull_back = jax.vjp(update, params, floats, grads, hyper)
    return UpdateCotangents(*pull_back((d_params, d_opt_state)))


def build(optimizer: Optimizer, hyper: PyTree) -> optax.GradientTransformation:
    """The optimizer; a function is called with ``hyper``."""
    _checks.is_made(optimizer)
    made = optimizer(hyper) if callable(optimizer) else optimizer
    _checks.is_optimizer(made)
    return made


@dataclasses.dataclass(frozen=True)
class Steps:
    """Inner steps on the parameters that are updated; the others count as ``hyper``.

    Attributes:
      gradient: ``(phi, (rest, h), batch, state) -> ((g_phi, (g_rest, g_h)), state)``.
      batch: one batch for all steps, or stacked.
      optimizer: ``(rest, h) -> transformation``.
      steps: number of steps; None: one per slice of ``batch``.
      policy: one of `POLICIES`.
    """

    gradient: Callable
    batch: PyTree
    optimizer: Callable
    steps: int | None
    policy: str

    @classmethod
    def of(cls, gradient, batch, optimizer, mask, steps, state, policy) -> "Steps":
        """Steps with the arguments of the public functions."""
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
        """Batch of the step at the slice ``one``."""
        return self.batch if self.steps is not None else one

    @property
    def slices(self) -> PyTree:
        """Stacked batches to scan over; None if all steps use the same one."""
        return None if self.steps is not None else self.batch

    @property
    def first_batch(self) -> PyTree:
        """Batch of the first step."""
        return self.at(jax.tree.map(lambda leaf: leaf[0], self.slices))

    @property
    def unroll(self) -> bool:
        """Whether to omit the loop; XLA's CPU convolutions are slow inside loops."""
        return self.steps == 1

    def init(self, params: PyTree, hyper: PyTree) -> PyTree:
        """Fresh state of the optimizer."""
        return self.optimizer(hyper).init(params)

    def run(
        self, params, hyper, state, *, save=False, constant=False, remat=False
    ) -> tuple[Any, Any]:
        """Runs all steps; returns ``((phi_k, optimizer state, state), saved)``.

        Args:
          params: ``phi`` before the first step.
          hyper: ``(rest, h)``.
          state: auxiliary state or None.
          save: whether ``saved`` has the parameters, optimizer state, gradient and state
            of each step; otherwise it is None.
          constant: whether inner gradients are constants in derivatives.
          remat: whether a backward pass computes each step again.
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
