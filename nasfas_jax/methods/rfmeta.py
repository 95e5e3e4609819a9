"""Regularized fine-grained meta-learning (RFMeta, AAAI 2020, Algorithm 1), exact.

F extracts features, M classifies them, D estimates depth from them. On each support
(meta-train) domain i, a meta learner makes one inner update by its classification loss;
all meta learners are evaluated on the query (meta-test) domain:

    M_i = M - a dCls_i(F, M)/dM
    L   = sum_i [Cls_i(F, M) + w Dep_i(F, D) + Cls_q(F, M_i)] + w Dep_q(F, D)

F, M and D follow the gradient of L, those of M and F also through the inner update, in
which dCls_i depends on the features of domain i. `RFMeta.objective` has these lines.
"""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh

from nasfas_jax import bilevel, limits
from nasfas_jax.methods.episodes import over_episodes
from nasfas_jax.methods.feature_nets import FeatureMethod
from nasfas_jax.methods.state import MODES, TrainState, update
from nasfas_jax.ops import platform

ORDERS = ("first", "exact")
#: Rules for the running averages of BatchNorm. 'mean': one update per step, by the mean of
#: the query domain (weight 1/2) and the support domains (1/2 in total) for F and D, and by
#: the mean of the support domains for M. 'sequential', as in the authors' code: one update
#: per domain, the support domains first, then, for F and D, the query domain. Adapted
#: learners and the query domain do not change the averages of M.
AVERAGES = ("mean", "sequential")


@dataclasses.dataclass(frozen=True)
class RFMeta(FeatureMethod):
    """Step of RFMeta; the paper's ablations (figure 5) are arguments.

    Attributes:
      nets: F, M and D.
      optimizer: optimizer of the three together. The paper has three updates at one rate,
        to which Adam's element-wise update is equal.
      inner_learning_rate: a, learning rate of the inner update.
      order: 'exact', or 'first': the inner gradient is constant.
      mode: how derivatives through the inner steps are computed, a name of
        `bilevel.MODES` or a mode.
      fine_grained: False merges the support domains into one ('aggregation').
      inner_steps: number of inner updates per meta learner; 1 in the paper.
      averages: rule for the running averages of BatchNorm, one of `AVERAGES`;
        'sequential' reads the attribute ``bn_momentum`` of F, M and D.
      mesh: mesh for several episodes per step, see `over_episodes`; None: one episode.
    """

    inner_learning_rate: float = 1e-3
    order: str = "exact"
    mode: bilevel.AnyMode = "forward_over_reverse"
    fine_grained: bool = True
    inner_steps: int = 1
    averages: str = "mean"
    mesh: Mesh | None = None

    batches = "episodes"

    def __post_init__(self):
        limits.require(
            inner_learning_rate=(self.inner_learning_rate, limits.NOT_NEGATIVE),
            order=(self.order, limits.OneOf(ORDERS)),
            mode=(self.mode, MODES),
            averages=(self.averages, limits.OneOf(AVERAGES)),
            inner_steps=(self.inner_steps, limits.COUNT),
        )

    def objective(self, params: dict, stats: dict, episode: dict) -> tuple:
        """L, and (the new running averages, metrics); for first derivatives only."""
        support, query = episode["support"], episode["query"]
        if not self.fine_grained:
            support = jax.tree.map(lambda x: x.reshape(1, -1, *x.shape[2:]), support)

        def support_terms(shared, batch):
            """``Cls_i(F, M) + w Dep_i(F, D) + Cls_q(F, M_i)`` of a support domain."""
            params, z_q = shared
            z_i, dep_i, new_i = self.nets.features(params, stats, batch)
            cls_i, new_i["M"] = self.nets.classification(
                params["M"], stats["M"], z_i, batch["label"]
            )
            z, labels = (z_i, z_q), (batch["label"], query["label"])
            cls_q, cosine = self._meta_test(params["M"], stats["M"], z, labels)
            terms = {"cls": cls_i, "depth": dep_i, "cls_test": cls_q, "cosine": cosine}
            return cls_i + dep_i + cls_q, (terms, new_i)

        z_q, dep_q, new_q = self.nets.features(params, stats, query)
        total, (terms, new) = bilevel.sum_of_losses(
            support_terms, (params, z_q), support
        )
        metrics = {name: term.mean() for name, term in terms.items()}
        metrics["depth_test"] = dep_q
        return total + dep_q, (self._running_averages(stats, new, new_q), metrics)

    def _meta_test(
        self,
        learner: Any,
        stats: Any,
        z: tuple[Array, Array],
        labels: tuple[Array, Array],
    ) -> tuple[Array, Array]:
        """``Cls_q(F, M_i)``, and the cosine of the gradients of both domains.

        Args:
          learner: parameters of M.
          stats: running averages of M.
          z: features of the support and of the query domain.
          labels: labels of both.

        Returns:
          The loss, and the cosine between ``dCls_i/dM`` and ``dCls_q/dM`` at M, which
          training increases according to eq. 10.
        """

        def cls_i(m, z, label):
            return self.nets.classification(m, stats, z[0], label)[0]

        def cls_q(m, z, label):
            return self.nets.classification(m, stats, z[1], label)[0]

        loss = bilevel.loss_after_update(
            cls_q,
            jax.grad(cls_i, (0, 1)),
            learner,
            z,
            inner_batch=labels[0],
            outer_batch=labels[1],
            optimizer=optax.sgd(self.inner_learning_rate),  # M_i = M - a dCls_i/dM
            steps=self.inner_steps,
            mode=self.mode if self.order == "exact" else "first_order",
        )
        at = jax.lax.stop_gradient((learner, z))
        directions = jax.grad(cls_i)(*at, labels[0]), jax.grad(cls_q)(*at, labels[1])
        return loss, cosine(*directions)

    def _running_averages(self, stats: dict, support: dict, query: dict) -> dict:
        """Running averages after a step, by the rule ``averages``.

        Args:
          stats: averages before the step.
          support: averages after an update by each support domain alone, stacked.
          query: averages of F and D after an update by the query domain alone.
        """
        if self.averages == "mean":
            mean = jax.tree.map(lambda x: x.mean(0), support)
            both = jax.tree.map(
                lambda a, b: (a + b) / 2, query, {k: mean[k] for k in query}
            )
            return {**both, "M": mean["M"]}
        domains = {
            name: jax.tree.map(
                lambda s, q: jnp.concatenate([s, q[None]]), s, query[name]
            )
            if name in query
            else s
            for name, s in support.items()
        }
        nets = {
            "F": self.nets.extractor,
            "D": self.nets.estimator,
            "M": self.nets.learner,
        }
        keep = {name: 1 - nets[name].bn_momentum for name in domains}
        return {
            name: jax.tree.map(
                partial(_sequential_average, keep=keep[name]), stats[name], after
            )
            for name, after in domains.items()
        }

    @platform.full_precision
    def step(self, state: TrainState, episode: dict) -> tuple[TrainState, dict]:
        """One iteration of Algorithm 1.

        Args:
          state: the state before.
          episode: ``support``: ``image`` [N-1, B, S, S, C], ``target`` [N-1, B, h, w]
            and ``label`` [N-1, B]; ``query``: the same without the first axis. With
            a mesh, E of them on a leading axis: the step follows the mean of L.
        """
        gradient = jax.value_and_grad(self.objective, has_aux=True)
        (loss, (batch_stats, metrics)), grads = over_episodes(gradient, self.mesh)(
            state.params, state.batch_stats, episode
        )
        return update(self.optimizer, state, loss, grads, batch_stats, metrics)


def _sequential_average(before: Array, after: Array, *, keep: float) -> Array:
    """Running average after one update ``r <- keep r + (1 - keep) b`` per domain.

    Args:
      before: r before the step.
      after: r after an update by each domain alone, ``keep r + (1 - keep) b_i``, stacked.
      keep: weight of the old average.
    """
    average = before
    for alone in after:
        average = alone + keep * (average - before)
    return average


def cosine(a: Any, b: Any) -> Array:
    """Cosine similarity of two pytrees."""
    lengths = optax.tree.norm(a) * optax.tree.norm(b)
    return jnp.asarray(optax.tree.vdot(a, b) / (lengths + 1e-30))
