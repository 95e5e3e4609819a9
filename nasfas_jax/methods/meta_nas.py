"""Domain/Type-aware Meta-NAS (NAS-FAS sec. 4.4, Algorithm 1), exactly.

With learners ``phi_i = phi - gamma_1 dL(B_i, phi, alpha)/dphi`` on the support domains
(eq. 12), the weights follow the learners' losses on the query domain, differentiated to
the *initial* weights (eq. 13), and the architecture follows the query loss at the new
weights, through eq. 13 and through eq. 12 (eq. 14):

    M(phi, alpha)  = sum_i L(B_q, phi_i(phi, alpha), alpha)
    phi'(alpha)    = phi - gamma~_1 dM/dphi
    alpha'         = alpha - gamma_2 d/dalpha L(B_q, phi'(alpha), alpha)

``step`` below is these lines. In place of the text's plain gradient steps, any optax
transformation of gradients can be used; derivatives pass through it as it is.

With several episodes e a step (the paper has one), M and L are means over them, and all
share one ``phi' = phi - gamma~_1 mean_e dM_e/dphi``. With ``v = mean_e dL_e/dphi`` at
``phi'``, the chain rule gives

    d/dalpha mean_e L_e(phi'(alpha), alpha) = mean_e dL_e/dalpha + (dphi'/dalpha)^T v
        = mean_e dL_e/dalpha - gamma~_1 mean_e (d2M_e/dalpha dphi) v

where episodes work alone but for ``phi'`` and ``v``, which are common: the query of one
also judges what another did to the weights. (The mean of each episode's own eq. 14 is
the derivative of another objective.) So a step takes three means: of ``dM_e``, of
``dL_e`` at ``phi'``, and of the products with ``v``. Another optimizer than plain descent
comes between: ``v`` goes back through its one update first, then to the episodes.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh
from jax.typing import ArrayLike

from nasfas_jax import bilevel, limits
from nasfas_jax.methods.episodes import over_episodes
from nasfas_jax.methods.state import norms

ORDERS = ("first", "exact")
MODES = limits.OneOf(bilevel.MODES)


@struct.dataclass
class SearchState:
    """All that a search step changes."""

    step: jax.Array
    params: Any
    alphas: Any
    batch_stats: Any
    opt_state: Any
    alpha_opt_state: Any


@dataclasses.dataclass(frozen=True)
class MetaNAS:
    """The search step and its choices.

    BatchNorm takes the batch's statistics in every pass; its running averages are kept
    from the outer pass only (the query batch at the new weights). They feed no
    derivative.

    Attributes:
      net: a supernet, ``net.apply(variables, x, alphas, train=...)``, with its search
        space as ``net.space``.
      inner_optimizer: of eq. 12; its state starts fresh in every step.
      optimizer: of the weights, eq. 13. Adam needs ``eps_root > 0`` where
        ``arch_order`` is exact.
      alpha_optimizer: of the alphas, eq. 14.
      inner_steps: updates of each learner.
      weight_order: 'exact', or 'first': eq. 13 with the inner gradient a constant.
      arch_order: 'exact', or 'first': eq. 14 with ``phi'`` a constant.
      mode: how derivatives through updates are computed, a key of `bilevel.MODES` or a
        mode function.
        'finite_difference' stands in eq. 12 and again in eq. 13, whose third derivative
        it only approximates; 'first_order' makes both orders 'first'.
      alphas_from: the step from which on the alphas are updated; fixed before.
      cost_weight: weight of the space's ``relative_macs`` in the loss of the alphas; 0
        in the paper.
      loss: loss of predicted and target maps, a scalar; the space's own if None.
      mesh: where `step` takes several episodes, see `over_episodes`; None: just one.

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
    mode: str | Callable = "forward_over_reverse"
    alphas_from: int = 0
    cost_weight: float = 0.0
    loss: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    mesh: Mesh | None = None

    def __post_init__(self):
        limits.require(
            inner_steps=(self.inner_steps, limits.COUNT),
            weight_order=(self.weight_order, limits.OneOf(ORDERS)),
            arch_order=(self.arch_order, limits.OneOf(ORDERS)),
            **({} if callable(self.mode) else {"mode": (self.mode, MODES)}),
            alphas_from=(self.alphas_from, limits.COUNT_OR_NONE),
            cost_weight=(self.cost_weight, limits.NOT_NEGATIVE),
        )

    def init(self, key: jax.Array, image: ArrayLike) -> SearchState:
        """A fresh state for images like ``image`` [1, S, S, 3]."""
        alpha_key, param_key = jax.random.split(key)
        alphas = self.net.space.init_alphas(alpha_key, jnp.result_type(image))
        variables = self.net.init(param_key, image, alphas, train=False)
        return SearchState(
            step=jnp.zeros((), jnp.int32),
            params=variables["params"],
            alphas=alphas,
            batch_stats=variables["batch_stats"],
            opt_state=self.optimizer.init(variables["params"]),
            alpha_opt_state=self.alpha_optimizer.init(alphas),
        )

    def _loss(self, batch_stats: Any, params: Any, alphas: Any, batch: dict):
        """Loss of a batch, and the new running averages."""
        predicted, new = self.net.apply(
            {"params": params, "batch_stats": batch_stats},
            batch["image"],
            alphas,
            train=True,
            mutable=["batch_stats"],
        )
        loss = self.net.space.loss if self.loss is None else self.loss
        return loss(predicted, batch["target"]), new["batch_stats"]

    def meta_objective(self, loss, params, alphas, episode) -> bilevel.Hypergradient:
        """``M`` and its derivatives by ``phi`` and by ``alpha`` (eq. 12 and 13)."""

        def learner(total, support):
            one = bilevel.hypergradient(
                loss,
                jax.grad(loss, (0, 1)),
                params,
                alphas,
                support,
                episode["query"],
                self.inner_optimizer,
                steps=self.inner_steps,
                mode=self._mode(self.weight_order),
            )
            return jax.tree.map(jnp.add, total, one), None

        nothing = bilevel.Hypergradient(
            *jax.tree.map(
                jnp.zeros_like, (episode["query"]["target"].sum(), params, alphas)
            )
        )
        return jax.lax.scan(learner, nothing, episode["support"])[0]

    def step(self, state: SearchState, episode: dict) -> tuple[SearchState, dict]:
        """One iteration of Algorithm 1.

        Args:
          state: the state before.
          episode: ``support``: ``image`` [N-1, B, S, S, 3] and ``target``
            [N-1, B, h, w]; ``query``: the same without the first axis. With a mesh,
            E of them on a leading axis.
        """

        @jax.jit  # traced once, however often its derivatives are taken
        def loss(batch_stats, params, alphas, batch):
            return self._loss(batch_stats, params, alphas, batch)[0]

        def meta_gradient(state, episode):
            return self.meta_objective(
                partial(loss, state.batch_stats), state.params, state.alphas, episode
            )

        def query_gradient(state, episode):
            return jax.value_and_grad(
                partial(self._loss, state.batch_stats), (0, 1), has_aux=True
            )(state.params, state.alphas, episode["query"])

        # Eq. 12 and 13.
        meta = over_episodes(meta_gradient, state, episode, self.mesh)
        params, opt_state = bilevel.apply_update(
            self.optimizer, state.params, state.opt_state, meta.params
        )

        # Eq. 14: the direct term, and the one through phi'(alpha).
        (query_loss, batch_stats), (d_params, d_alphas) = over_episodes(
            query_gradient,
            dataclasses.replace(state, params=params),
            episode,
            self.mesh,
        )

        relative_macs, d_cost = jax.value_and_grad(self.net.space.relative_macs)(
            state.alphas
        )

        def update_alphas():
            grads = jax.tree.map(
                lambda g, c: g + self.cost_weight * c, d_alphas, d_cost
            )
            if self.arch_order == "exact":
                through = self._through_update(
                    meta_gradient, state, meta, d_params, episode
                )
                grads = jax.tree.map(jnp.add, grads, through)
            return bilevel.apply_update(
                self.alpha_optimizer, state.alphas, state.alpha_opt_state, grads
            )

        alphas, alpha_opt_state = jax.lax.cond(
            state.step >= self.alphas_from,
            update_alphas,
            lambda: (state.alphas, state.alpha_opt_state),
        )
        metrics = {
            "loss": query_loss,
            "meta_objective": meta.value,
            "relative_macs": relative_macs,
            "l2_alpha_grads": optax.tree.norm(d_alphas),
            "l2_cost_grads": optax.tree.norm(d_cost),
            **norms(meta.params, state.params, params),
        }
        new_state = SearchState(
            state.step + 1, params, alphas, batch_stats, opt_state, alpha_opt_state
        )
        return new_state, metrics

    def _through_update(self, meta_gradient, state, meta, d_params, episode):
        """``d/dalpha`` of ``d_params . phi'(alpha)``: eq. 14 through eq. 13 and 12."""

        def gradient(params, alphas, batch):
            state, episode = batch
            at = dataclasses.replace(state, params=params, alphas=alphas)
            return meta_gradient(at, episode)[1:]

        def product(gradient, params, alphas, batch, v):
            def one(shared, episode):
                state, v = shared
                return bilevel.second_derivative_product(
                    gradient,
                    state.params,
                    state.alphas,
                    (state, episode),
                    v,
                    mode=self.mode,
                )

            state, episodes = batch
            at = dataclasses.replace(state, params=params, alphas=alphas)
            return over_episodes(one, (at, v), episodes, self.mesh)

        _, _, d_alphas = bilevel.pull_back_update(
            gradient,
            state.params,
            state.opt_state,
            meta.params,
            state.alphas,
            (state, episode),
            self.optimizer,
            d_params,
            mode=product,
        )
        return d_alphas

    def _mode(self, order: str) -> str | Callable:
        return self.mode if order == "exact" else "first_order"
