"""Plain training on several domains at once: no meta-learning (RFMeta figure 5)."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh
from jax.typing import ArrayLike

from nasfas_jax import limits
from nasfas_jax.methods.episodes import over_episodes
from nasfas_jax.methods.rfmeta import FeatureNets, update
from nasfas_jax.methods.supervised import TrainState


@dataclasses.dataclass(frozen=True)
class MultiDomain:
    """``Cls + w Dep`` on one batch of all domains; ``w = 0`` is the binary CNN.

    Attributes:
      nets: F, M and D.
      optimizer: of the three together.
      batches: 'episodes', as many clips of each domain, or 'pooled', clips of all
        domains drawn together, so that large domains are seen more often.
      mesh: where `step` takes several episodes, see `over_episodes`; None: just one.
    """

    nets: FeatureNets
    optimizer: optax.GradientTransformation
    batches: str = "episodes"
    mesh: Mesh | None = None

    def __post_init__(self):
        limits.require(batches=(self.batches, limits.OneOf(("episodes", "pooled"))))

    def init(self, key: Array, image: ArrayLike) -> TrainState:
        """A fresh state for images like ``image`` [1, S, S, C]."""
        params, batch_stats = self.nets.init(key, image)
        return TrainState(
            jnp.zeros((), jnp.int32), params, batch_stats, self.optimizer.init(params)
        )

    def step(self, state: TrainState, batch: dict) -> tuple[TrainState, dict]:
        """One update on an episode, whose domains are joined, or on a pooled batch."""

        def gradient(state, batch):
            if self.batches == "episodes":
                batch = join(batch)

            def objective(params):
                return loss(self.nets, params, state.batch_stats, batch)

            return jax.value_and_grad(objective, has_aux=True)(state.params)

        (value, (batch_stats, metrics)), grads = over_episodes(
            gradient, state, batch, self.mesh
        )
        return update(self.optimizer, state, value, grads, batch_stats, metrics)

    def predict(self, params: dict, batch_stats: dict, image: Array) -> Array:
        """As `FeatureNets.predict`."""
        return self.nets.predict(params, batch_stats, image)


def join(episode: dict) -> dict:
    """All domains of an episode as one batch, the query domain's last."""
    return jax.tree.map(
        lambda s, q: jnp.concatenate([s.reshape(-1, *s.shape[2:]), q]),
        episode["support"],
        episode["query"],
    )


def loss(nets: FeatureNets, params: dict, stats: dict, batch: dict) -> tuple:
    """``Cls + w Dep`` of a batch, and (the new running averages, metrics)."""
    features, depth, new = nets.features(params, stats, batch)
    cls, new["M"] = nets.classification(
        params["M"], stats["M"], features, batch["label"]
    )
    return cls + depth, (new, {"cls": cls, "depth": depth})
