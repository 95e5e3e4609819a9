"""Joint training on several domains without meta-learning (RFMeta figure 5)."""

import dataclasses

import jax
from jax.sharding import Mesh

from nasfas_jax import limits
from nasfas_jax.methods import feature_nets
from nasfas_jax.methods.episodes import over_episodes
from nasfas_jax.methods.feature_nets import FeatureMethod
from nasfas_jax.methods.state import TrainState, update
from nasfas_jax.ops import platform


@dataclasses.dataclass(frozen=True)
class MultiDomain(FeatureMethod):
    """``Cls + w Dep`` on one batch of all domains; ``w = 0`` is the binary CNN.

    Attributes:
      nets: F, M and D.
      optimizer: optimizer of the three together.
      batches: 'episodes', equally many clips per domain, or 'pooled', clips drawn from all
        domains together, so that large domains are more frequent.
      mesh: mesh for several episodes per step, see `over_episodes`; None: one episode.
    """

    batches: str = "episodes"
    mesh: Mesh | None = None

    def __post_init__(self):
        limits.require(batches=(self.batches, limits.OneOf(("episodes", "pooled"))))

    @platform.full_precision
    def step(self, state: TrainState, batch: dict) -> tuple[TrainState, dict]:
        """One update on an episode, whose domains are joined, or on a pooled batch."""
        gradient = jax.value_and_grad(self.objective, has_aux=True)
        (value, (batch_stats, metrics)), grads = over_episodes(gradient, self.mesh)(
            state.params, state.batch_stats, batch
        )
        return update(self.optimizer, state, value, grads, batch_stats, metrics)

    def objective(self, params: dict, stats: dict, batch: dict) -> tuple:
        """``Cls + w Dep``, and (the new running averages, metrics)."""
        if self.batches == "episodes":
            batch = feature_nets.join(batch)
        return feature_nets.loss(self.nets, params, stats, batch)
