"""Meta-learning for domain generalization (MLDG, AAAI 2018), compared in RFMeta Table 2.

The loss of the meta-train domains, and that of the meta-test domain after one inner
update on the meta-train domains:

    L = S(T) + b V(T - a dS(T)/dT)

with S the mean classification loss of the support domains, V the query domain's, and T
*all* parameters of F and M, where RFMeta adapts M alone.
"""

import dataclasses

import jax
import optax
from jax.sharding import Mesh

from nasfas_jax import bilevel, limits
from nasfas_jax.methods import feature_nets
from nasfas_jax.methods.episodes import over_episodes
from nasfas_jax.methods.feature_nets import FeatureMethod
from nasfas_jax.methods.state import MODES, TrainState, update
from nasfas_jax.ops import platform


@dataclasses.dataclass(frozen=True)
class MLDG(FeatureMethod):
    """Step of MLDG; the original uses labels alone (``depth_weight`` 0 in ``nets``).

    Attributes:
      nets: F, M and D.
      optimizer: optimizer of the three together.
      inner_learning_rate: a, learning rate of the inner update.
      query_weight: b, weight of the query loss; 1 in the original.
      mode: differentiation mode, a name of `bilevel.MODES` or a mode.
      mesh: mesh for several episodes per step, see `over_episodes`; None: one episode.
    """

    inner_learning_rate: float = 1e-3
    query_weight: float = 1.0
    mode: bilevel.AnyMode = "forward_over_reverse"
    mesh: Mesh | None = None

    batches = "episodes"

    def __post_init__(self):
        limits.require(
            inner_learning_rate=(self.inner_learning_rate, limits.NOT_NEGATIVE),
            mode=(self.mode, MODES),
            query_weight=(self.query_weight, limits.NOT_NEGATIVE),
        )

    @platform.full_precision
    def step(self, state: TrainState, episode: dict) -> tuple[TrainState, dict]:
        """One update by the mean of L; the arguments are those of `RFMeta.step`."""
        result = over_episodes(self._gradient, self.mesh)(state, episode)
        return update(self.optimizer, state, *result)

    def _gradient(self, state: TrainState, episode: dict) -> tuple:
        """L, its gradient, the new running averages and metrics of one episode."""

        def loss(params, _, batch):
            return feature_nets.loss(self.nets, params, state.batch_stats, batch)[0]

        def support_loss(params, _, batches):
            losses = jax.lax.map(lambda batch: loss(params, _, batch), batches)
            return losses.mean()

        meta = bilevel.hypergradient(
            loss,
            jax.grad(support_loss, (0, 1)),
            state.params,
            (),
            inner_batch=episode["support"],
            outer_batch=episode["query"],
            optimizer=optax.sgd(self.inner_learning_rate),
            mode=self.mode,
        )
        value, plain = jax.value_and_grad(support_loss)(
            state.params, (), episode["support"]
        )
        grads = jax.tree.map(lambda s, v: s + self.query_weight * v, plain, meta.params)
        _, (batch_stats, metrics) = feature_nets.loss(
            self.nets, state.params, state.batch_stats, feature_nets.join(episode)
        )
        total = value + self.query_weight * meta.value
        return total, grads, batch_stats, {**metrics, "cls_test": meta.value}
