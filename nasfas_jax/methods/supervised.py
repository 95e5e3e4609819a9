"""Supervised training of one network on batches pooled from all domains."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.core import FrozenDict
from jax.sharding import Mesh
from jax.typing import ArrayLike

from nasfas_jax import losses
from nasfas_jax.layers import KEEP_CONVOLUTIONS
from nasfas_jax.methods.episodes import over_episodes
from nasfas_jax.methods.state import TrainState, update
from nasfas_jax.ops import platform


@dataclasses.dataclass(frozen=True)
class Supervised:
    """Supervision of maps, for example depth maps (NAS-FAS sec. 3.3).

    Attributes:
      net: module from images or clips to maps, ``net.apply(variables, x, train=...)``.
        With ``train`` it may return more after the maps, for a loss of its own.
      optimizer: optimizer of its parameters.
      loss: loss (predicted, target) of maps [B, h, w]; None for ``net.loss`` where the
        network has one, and otherwise MSE plus contrastive depth loss.
      call: more keyword arguments of the network's call, as ``theta``; may be traced,
        without a mesh.
      mesh: mesh for batches in parts, see `over_episodes`; None: one batch.
      remat: whether the backward pass stores the outputs of convolutions alone, and
        computes the rest again.
    """

    net: nn.Module
    optimizer: optax.GradientTransformation
    call: Mapping[str, Any] = FrozenDict()
    loss: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    mesh: Mesh | None = None
    remat: bool = False

    batches = "pooled"

    def init(self, key: jax.Array, image: ArrayLike) -> TrainState:
        """Initial state for inputs like ``image`` [1, ..., S, S, 3]."""
        variables = self.net.init(key, image, train=False)
        params = variables["params"]
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),  # none without BatchNorm
            opt_state=self.optimizer.init(params),
        )

    @platform.full_precision
    def step(self, state: TrainState, batch: dict) -> tuple[TrainState, dict]:
        """One update on ``image`` [B, ..., S, S, 3] and ``target`` [B, h, w].

        With a mesh they have a leading axis of parts [P]: the step follows the mean of
        their gradients.
        """
        gradient = jax.value_and_grad(self._loss, has_aux=True)
        (value, batch_stats), grads = over_episodes(gradient, self.mesh)(
            state.params, state.batch_stats, batch
        )
        return update(self.optimizer, state, value, grads, batch_stats, {})

    def _loss(self, params: Any, batch_stats: Any, batch: dict) -> tuple[Any, Any]:
        """Loss of a batch, and the new running averages."""
        predicted, new = self._applied(params, batch_stats, batch["image"])
        new_stats = new.get("batch_stats", {})
        wide = batch["target"].dtype
        predicted = jax.tree.map(lambda x: x.astype(wide), predicted)
        if self.loss is None:
            own = getattr(self.net, "loss", losses.depth_loss)
            return own(predicted, batch["target"]), new_stats
        maps = predicted[0] if isinstance(predicted, tuple) else predicted
        return self.loss(maps, batch["target"]), new_stats

    def _applied(self, params: Any, batch_stats: Any, image: jax.Array) -> tuple:
        """Maps, or a tuple that begins with them, and the new collections."""

        def apply(params: Any, image: jax.Array) -> Any:
            return self.net.apply(
                {"params": params, "batch_stats": batch_stats},
                image,
                train=True,
                mutable=["batch_stats"],
                **self.call,
            )

        apply = jax.checkpoint(apply, policy=KEEP_CONVOLUTIONS) if self.remat else apply
        return apply(params, image)

    @platform.full_precision
    def predict(self, params: Any, batch_stats: Any, image: jax.Array) -> jax.Array:
        """Maps [B, h, w] of inputs [B, ..., S, S, 3], with the running averages."""
        variables = {"params": params, "batch_stats": batch_stats}
        maps = self.net.apply(variables, image, train=False, **self.call)
        assert isinstance(maps, jax.Array)  # no collection is mutable
        return maps
