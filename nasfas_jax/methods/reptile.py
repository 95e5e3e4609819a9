"""Reptile (arXiv 1803.02999), compared in RFMeta Table 2; without second derivatives.

Each domain is a task: a few steps of SGD on its loss lead from the common parameters T to
T_i, and the optimizer updates T with the gradient ``mean_i (T - T_i)``.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from nasfas_jax import bilevel, limits
from nasfas_jax.methods import feature_nets
from nasfas_jax.methods.episodes import over_episodes
from nasfas_jax.methods.feature_nets import FeatureMethod
from nasfas_jax.methods.state import TrainState, update
from nasfas_jax.ops import platform


@dataclasses.dataclass(frozen=True)
class Reptile(FeatureMethod):
    """Step of Reptile.

    Attributes:
      nets: F, M and D.
      optimizer: optimizer of the outer update, ``optax.sgd(e)`` in the original.
      inner_learning_rate: learning rate of SGD on the batch of a domain.
      inner_steps: number of inner updates per domain.
      mesh: mesh for several episodes per step, see `over_episodes`; None: one episode.
    """

    inner_learning_rate: float = 1e-3
    inner_steps: int = 3
    mesh: Mesh | None = None

    batches = "episodes"

    def __post_init__(self):
        limits.require(
            inner_learning_rate=(self.inner_learning_rate, limits.POSITIVE),
            inner_steps=(self.inner_steps, limits.COUNT),
        )

    @platform.full_precision
    def step(self, state: TrainState, episode: dict) -> tuple[TrainState, dict]:
        """One update by the mean over all tasks; the arguments are those of `RFMeta.step`."""
        result = over_episodes(self._moved, self.mesh)(state, episode)
        return update(self.optimizer, state, *result)

    def _moved(self, state: TrainState, episode: dict) -> tuple:
        """Loss, ``mean_i (T - T_i)``, new running averages and metrics of one episode.

        The query domain is a task like the others.
        """
        tasks = jax.tree.map(
            lambda s, q: jnp.concatenate([s, q[None]]),
            episode["support"],
            episode["query"],
        )

        def loss(params, _, batch):
            return feature_nets.loss(self.nets, params, state.batch_stats, batch)[0]

        def difference(batch):
            adapted = bilevel.inner_update(
                jax.grad(loss, (0, 1)),
                state.params,
                (),
                batch=batch,
                optimizer=optax.sgd(self.inner_learning_rate),
                steps=self.inner_steps,
            )
            return jax.tree.map(jnp.subtract, state.params, adapted.params)

        moved = jax.tree.map(lambda x: x.mean(0), jax.lax.map(difference, tasks))
        value, (batch_stats, metrics) = feature_nets.loss(
            self.nets, state.params, state.batch_stats, feature_nets.join(episode)
        )
        return value, moved, batch_stats, metrics
