"""Domain/Type-aware Meta-NAS (NAS-FAS sec. 4.4, Algorithm 1) with exact derivatives.

Learners ``phi_i = phi - gamma_1 dL(B_i, phi, alpha)/dphi`` adapt to the support domains
(eq. 12). The weights follow the learners' losses on the query domain, differentiated with
respect to the *initial* weights (eq. 13). The architecture follows the query loss at the
new weights, with the derivative through eq. 13 and eq. 12 (eq. 14):

    M(phi, alpha)  = sum_i L(B_q, phi_i(phi, alpha), alpha)
    phi'(alpha)    = phi - gamma~_1 dM/dphi
    alpha'         = alpha - gamma_2 d/dalpha L(B_q, phi'(alpha), alpha)

`MetaNAS.step` computes these lines. In place of the plain gradient steps of the paper, any
optax transformation of gradients can be used; derivatives pass through its update.

Several episodes e per step (the paper has one): M and L are means over the episodes, which
share one ``phi' = phi - gamma~_1 mean_e dM_e/dphi``. With ``v = mean_e dL_e/dphi`` at
``phi'``, the chain rule gives

    d/dalpha mean_e L_e(phi'(alpha), alpha) = mean_e dL_e/dalpha + (dphi'/dalpha)^T v
        = mean_e dL_e/dalpha - gamma~_1 mean_e (d2M_e/dalpha dphi) v

so a step takes three means: of ``dM_e``, of ``dL_e`` at ``phi'``, and of the products with
``v``; otherwise episodes are independent. (The mean of the episodes' own eq. 14 is the
derivative of another objective.) If the optimizer is not plain descent, ``v`` is first
pulled back through its update.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from nasfas_jax import bilevel, limits
from nasfas_jax.methods.episodes import over_episodes
from nasfas_jax.methods.search_method import SearchMethod, SearchState, levers
from nasfas_jax.methods.state import MODES, norms

ORDERS = ("first", "exact")
#: Orders of eq. 14.
ARCH_ORDERS = ("first", "second", "exact")


class _Update(NamedTuple):
    """Eq. 12 and 13 of a step, and the query loss at the new weights.

    Attributes:
      meta: ``M`` and its derivatives at the weights before.
      params: ``phi'``.
      opt_state: the new state of the optimizer of the weights.
      loss: ``L(B_q, phi', alpha)``.
      batch_stats: the new running averages.
      v: derivative of the loss by ``phi'``.
      d_alpha: derivative of the loss by ``alpha`` for constant ``phi'``.
    """

    meta: bilevel.Hypergradient
    params: Any
    opt_state: Any
    loss: jax.Array
    batch_stats: Any
    v: Any
    d_alpha: Any


@dataclasses.dataclass(frozen=True)
class MetaNAS(SearchMethod):
    """Search step of Meta-NAS.

    BatchNorm uses the statistics of the batch in every pass; its running averages are
    those of the outer pass alone (the query batch at the new weights). No derivative
    passes through them.

    Attributes:
      net: a supernet, ``net.apply(variables, x, alphas, train=...)``, with its search
        space as ``net.space``.
      inner_optimizer: optimizer of the learners (eq. 12); its state is new in every step.
      optimizer: optimizer of the weights (eq. 13). Adam needs ``eps_root > 0`` if
        ``arch_order`` is not 'first'.
      alpha_optimizer: optimizer of the alphas (eq. 14).
      inner_steps: number of inner updates per learner.
      weight_order: 'exact', or 'first': eq. 13 with a constant inner gradient.
      arch_order: 'exact'; 'first': eq. 14 with a constant ``phi'``; or 'second': without
        the terms that have both rates as factors, eq. 12's and eq. 13's, and with them
        the third derivatives.
      mode: how derivatives through updates are computed, a name of `bilevel.MODES` or a
        mode. 'finite_difference' is used for eq. 12 and again for eq. 13, whose
        third derivative it only approximates; 'first_order' makes both orders 'first'.
      alphas_from: number of steps before the first update of the alphas.
      exact_from: number of steps in first order, of eq. 13 and 14, before the others.
      shared_alphas: whether all cells have the same alphas.
      sample_temperature: temperature of sampled paths, see `SearchMethod`; None: the
        candidates are mixed by softmax(alpha).
      cost_weight: weight of the relative cost in the loss of the alphas; 0 in the paper.
      cost: relative cost of alphas, a scalar from 0 to 1; the space's ``relative_macs`` if
        None.
      loss: loss of predicted and target maps, a scalar; the space's own if None.
      mesh: mesh for several episodes per step, see `over_episodes`; None: one episode.

    Raises:
      InputError: an unknown order or mode, or a number out of range.
    """

    net: Any
    inner_optimizer: optax.GradientTransformation
    optimizer: optax.GradientTransformation
    alpha_optimizer: optax.GradientTransformation
    inner_steps: int = 1
    weight_order: str = "exact"
    arch_order: str = "exact"
    mode: bilevel.AnyMode = "forward_over_reverse"
    alphas_from: int = 0
    exact_from: int = 0
    shared_alphas: bool = False
    sample_temperature: float | None = None
    cost_weight: float = 0.0
    cost: Callable[[Any], jax.Array] | None = None
    loss: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    mesh: Mesh | None = None

    def __post_init__(self):
        limits.require(
            inner_steps=(self.inner_steps, limits.COUNT),
            weight_order=(self.weight_order, limits.OneOf(ORDERS)),
            arch_order=(self.arch_order, limits.OneOf(ARCH_ORDERS)),
            mode=(self.mode, MODES),
            **levers(self),
        )

    def meta_objective(
        self, params: Any, alphas: Any, batch_stats: Any, episode: dict
    ) -> bilevel.Hypergradient:
        """``M`` of one episode and its derivatives by ``phi`` and ``alpha``.

        Args:
          params: ``phi``.
          alphas: ``alpha``.
          batch_stats: running averages of BatchNorm.
          episode: as in `step`, one episode.
        """

        def loss(phi, alpha, batch):
            return self._loss_alone(phi, alpha, batch_stats, batch)

        def learner(support):
            """``L(B_q, phi_i, alpha)``, where ``phi_i`` is eq. 12 on ``support``."""
            result = bilevel.hypergradient(
                loss,
                jax.grad(loss, (0, 1)),
                params,
                alphas,
                inner_batch=support,
                outer_batch=episode["query"],
                optimizer=self.inner_optimizer,
                steps=self.inner_steps,
                mode=self.mode if self.weight_order == "exact" else "first_order",
            )
            return result, ()

        return bilevel.scan_sum(learner, episode["support"])[0]

    def query_loss(
        self, params: Any, alphas: Any, batch_stats: Any, episode: dict
    ) -> tuple[jax.Array, Any]:
        """``L(B_q, phi, alpha)`` of one episode, and the new running averages."""
        return self._loss(params, alphas, batch_stats, episode["query"])

    def _in_first_order(self) -> "MetaNAS":
        return dataclasses.replace(self, weight_order="first", arch_order="first")

    def _step(self, state: SearchState, episode: dict) -> tuple[SearchState, dict]:
        """One iteration of Algorithm 1."""
        given = self.given(state)
        new = self._update(given, episode)
        cost, d_cost = jax.value_and_grad(self.relative_cost)(state.alphas)

        # alpha' = alpha - gamma_2 (d_alpha + (dphi'/dalpha)^T v).
        def update_alphas():
            grads = self._total(given, new, episode)
            return self._updated_alphas(state, grads, d_cost)

        new_alpha, alpha_opt_state = jax.lax.cond(
            state.step >= self.alphas_from,
            update_alphas,
            lambda: (state.alphas, state.alpha_opt_state),
        )
        metrics = {
            "loss": new.loss,
            "meta_objective": new.meta.value,
            "relative_cost": cost,
            "l2_alpha_grads": optax.tree.norm(new.d_alpha),
            "l2_cost_grads": optax.tree.norm(d_cost),
            **norms(new.meta.params, state.params, new.params),
        }
        new_state = SearchState(
            state.step + 1,
            new.params,
            new_alpha,
            new.batch_stats,
            new.opt_state,
            alpha_opt_state,
            state.key,
        )
        return new_state, metrics

    def _alpha_gradient(self, state: SearchState, episode: dict) -> tuple[Any, Any]:
        """``L(B_q, phi', alpha)``, and its derivative by the alphas (eq. 14)."""
        new = self._update(state, episode)
        return new.loss, self._total(state, new, episode)

    def _update(self, state: SearchState, episode: dict) -> _Update:
        """Eq. 12 and 13, ``phi' = phi - gamma~_1 dM/dphi``, and the query loss there."""
        phi, alpha, stats = state.params, state.alphas, state.batch_stats
        meta_objective = over_episodes(self.meta_objective, self.mesh)
        meta = meta_objective(phi, alpha, stats, episode)
        new_phi, opt_state = bilevel.apply_update(
            self.optimizer, phi, state.opt_state, meta.params
        )
        query_loss = over_episodes(
            jax.value_and_grad(self.query_loss, (0, 1), has_aux=True), self.mesh
        )
        (loss, batch_stats), (v, d_alpha) = query_loss(new_phi, alpha, stats, episode)
        return _Update(meta, new_phi, opt_state, loss, batch_stats, v, d_alpha)

    def _total(self, state: SearchState, new: _Update, episode: dict) -> Any:
        """Eq. 14 in the order ``arch_order``."""
        if self.arch_order == "first":
            return new.d_alpha
        through = self._through_update(state, new.meta, new.v, episode)
        return jax.tree.map(jnp.add, new.d_alpha, through)

    def _through_update(
        self, state: SearchState, meta: bilevel.Hypergradient, v: Any, episode: dict
    ) -> Any:
        """``(dphi'/dalpha)^T v``, the part of eq. 14 through eq. 13 and 12.

        With ``phi' = U(phi, dM/dphi)``, the update of the optimizer, it is
        ``d/dalpha (u . dM/dphi)`` for a constant ``u = (dU/dg)^T v``, which is
        ``-gamma~_1 v`` for plain descent.
        """
        u = bilevel.pull_back_update(
            self.optimizer, state.params, state.opt_state, meta.params, v
        ).grads
        second = self.arch_order == "second"
        product = self._query_product if second else self._mixed_product
        return over_episodes(product, self.mesh)(
            state.params, state.alphas, state.batch_stats, u, episode
        )

    def _mixed_product(
        self, params: Any, alphas: Any, batch_stats: Any, u: Any, episode: dict
    ) -> Any:
        """``d/dalpha (u . dM/dphi)`` of one episode."""

        def gradient(phi, alpha, batch):
            return self.meta_objective(phi, alpha, batch_stats, batch).grads

        _, mixed = bilevel.second_derivative_product(
            gradient, params, alphas, episode, u, mode=self.mode
        )
        return mixed

    def _query_product(
        self, params: Any, alphas: Any, batch_stats: Any, u: Any, episode: dict
    ) -> Any:
        """``d/dalpha (u . dM/dphi)`` of one episode to first order in the rates.

        With learners ``phi_i = phi - gamma_1 g_i`` and their Hessians ``H_i``,

            dM/dphi = sum_i (I - gamma_1 H_i) dL(B_q, phi_i, alpha)/dphi

        and u is proportional to the outer rate, so that all derivatives of ``g_i`` and
        ``H_i`` by alpha, and the distance from ``phi`` to ``phi_i``, have both rates as
        factors. Without them it is ``N d/dalpha (u . dL(B_q, phi, alpha)/dphi)`` for N
        learners: one product of second derivatives.
        """
        gradient = jax.grad(
            lambda phi, alpha, batch: self._loss_alone(phi, alpha, batch_stats, batch),
            (0, 1),
        )
        _, mixed = bilevel.second_derivative_product(
            gradient, params, alphas, episode["query"], u, mode=self.mode
        )
        learners = len(episode["support"]["image"])
        return jax.tree.map(lambda x: learners * x, mixed)
