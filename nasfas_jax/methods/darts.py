"""Differentiable architecture search: DARTS and PC-DARTS (NAS-FAS eq. 10 and 11).

The architecture follows the query loss, the weights the support loss, by turns:

    alpha' = alpha - gamma_2 d/dalpha L_q(phi - gamma_1 dL_s(phi, alpha)/dphi, alpha)
    phi'   = phi - gamma_1 dL_s(phi, alpha')/dphi

In the first order ``gamma_1`` is 0 in the first line. Support and query may be random halves
of the data (NAS, figure 7a), or different domains or attack types (D/T-NAS, figure 7b). What
is PC-DARTS belongs to the search space, but for `DARTS.alphas_from`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from nasfas_jax import bilevel, limits
from nasfas_jax.methods import meta_nas
from nasfas_jax.methods.episodes import over_episodes
from nasfas_jax.methods.search_method import SearchMethod, SearchState, levers
from nasfas_jax.methods.state import MODES, norms


@dataclasses.dataclass(frozen=True)
class DARTS(SearchMethod):
    """The search step and its choices.

    BatchNorm uses the batch's statistics in every pass; its running averages are updated by
    the support pass of the weights only. As in DARTS, the architecture is updated first.

    Attributes:
      net: a supernet, ``net.apply(variables, x, alphas, train=...)``, with its search
        space as ``net.space``.
      inner_optimizer: optimizer of the one step inside eq. 11, whose state is fresh.
      optimizer: optimizer of the weights, eq. 10.
      alpha_optimizer: optimizer of the alphas, eq. 11.
      arch_order: 'exact', or 'first': eq. 11 at the current weights.
      mode: how the exact derivative passes through the inner step, a key of
        `bilevel.MODES` or a mode; `bilevel.finite_difference(0.01)` is DARTS's.
      alphas_from: first step that updates the alphas (PC-DARTS's warm-up).
      exact_from: number of steps with ``arch_order`` 'first' before the exact ones.
      shared_alphas: whether all cells have the same alphas.
      sample_temperature: temperature of sampled paths, see `SearchMethod`; None: the
        candidates are mixed by softmax(alpha).
      cost_weight: weight of the relative cost in the loss of the alphas.
      cost: relative cost of alphas, a scalar from 0 to 1; the space's ``relative_macs`` if
        None.
      loss: loss of predicted and target maps, a scalar; the space's own if None.
      mesh: mesh of several episodes per step, see `over_episodes`; None for one.

    Raises:
      InputError: an unknown order or mode, or a number out of range.
    """

    net: Any
    inner_optimizer: optax.GradientTransformation
    optimizer: optax.GradientTransformation
    alpha_optimizer: optax.GradientTransformation
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
            arch_order=(self.arch_order, limits.OneOf(meta_nas.ORDERS)),
            mode=(self.mode, MODES),
            **levers(self),
        )

    def _in_first_order(self) -> "DARTS":
        return dataclasses.replace(self, arch_order="first")

    def _alpha_gradient(self, state: SearchState, episode: dict) -> tuple[Any, Any]:
        """Query loss, and its derivative by the alphas (eq. 11)."""
        gradient = over_episodes(self._episode_gradient, self.mesh)
        return gradient(state.params, state.alphas, state.batch_stats, episode)

    def _episode_gradient(
        self, params: Any, alphas: Any, batch_stats: Any, episode: dict
    ) -> tuple[Any, Any]:
        """`alpha_gradient` of one episode."""

        def loss(params, alphas, batch):
            return self._loss_alone(params, alphas, batch_stats, batch)

        if self.arch_order == "first":
            return jax.value_and_grad(loss, 1)(params, alphas, episode["query"])
        found = bilevel.hypergradient(
            loss,
            jax.grad(loss, (0, 1)),
            params,
            alphas,
            inner_batch=joined(episode["support"]),
            outer_batch=episode["query"],
            optimizer=self.inner_optimizer,
            mode=self.mode,
        )
        return found.value, found.hyper

    def support_loss(
        self, params: Any, alphas: Any, batch_stats: Any, episode: dict
    ) -> tuple[jax.Array, Any]:
        """Support loss of one episode, and the new running averages."""
        return self._loss(params, alphas, batch_stats, joined(episode["support"]))

    def _step(self, state: SearchState, episode: dict) -> tuple[SearchState, dict]:
        """One update of the architecture and one of the weights.

        The groups of the support make one batch.
        """
        relative_cost, d_cost = jax.value_and_grad(self.relative_cost)(state.alphas)

        def update_alphas():
            value, grads = self._alpha_gradient(self.given(state), episode)
            new = self._updated_alphas(state, grads, d_cost)
            return value, optax.tree.norm(grads), *new

        nothing = jnp.full((), jnp.nan, episode["query"]["target"].dtype)
        query_loss, l2_alpha_grads, alphas, alpha_opt_state = jax.lax.cond(
            state.step >= self.alphas_from,
            update_alphas,
            lambda: (nothing, nothing, state.alphas, state.alpha_opt_state),
        )

        given = self.given(dataclasses.replace(state, alphas=alphas))
        weight_gradient = over_episodes(
            jax.value_and_grad(self.support_loss, has_aux=True), self.mesh
        )
        (loss, batch_stats), grads = weight_gradient(
            state.params, given.alphas, state.batch_stats, episode
        )
        params, opt_state = bilevel.apply_update(
            self.optimizer, state.params, state.opt_state, grads
        )
        metrics = {
            "loss": loss,
            "query_loss": query_loss,
            "relative_cost": relative_cost,
            "l2_alpha_grads": l2_alpha_grads,
            "l2_cost_grads": optax.tree.norm(d_cost),
            **norms(grads, state.params, params),
        }
        new = SearchState(
            state.step + 1,
            params,
            alphas,
            batch_stats,
            opt_state,
            alpha_opt_state,
            state.key,
        )
        return new, metrics


def joined(support: dict) -> dict:
    """The batch [G * B, ...] of all groups [G, B, ...]."""
    return {name: x.reshape(-1, *x.shape[2:]) for name, x in support.items()}
