"""The network of a genotype of the FAS space."""

from typing import Any, ClassVar, cast

import flax.linen as nn
from jax import Array

from nasfas_jax import theta as thetas
from nasfas_jax.layers import ConvBlock
from nasfas_jax.search import branches
from nasfas_jax.search.fas import options, skeleton
from nasfas_jax.search.genotype import Genotype


class FASNet(nn.Module):
    """The network of an architecture of the FAS space, trained from scratch.

    Attributes:
      genotype: the architecture; its space has channels, map size, theta and lambda. Names
        of layers: stem_0, stem_1, the edges low_0 to high_3 (those with two convolutions
        also low_0_wide), head_0 and head_1; low_pool, mid_pool and high_pool. Those of a
        branch are in branch_<name>.
      stages: number of stages that a branch runs; None for the whole network.
    """

    last_layer: ClassVar[str] = "head_1"
    genotype: Genotype
    stages: int | None = None

    @property
    def input(self) -> str | None:
        """Input of the batches to train on, if it has branches."""
        return getattr(self.genotype.space, "input", None)

    @property
    def map_size(self) -> int:
        """Side of the predicted map, in pixels."""
        return self.genotype.space.map_size

    @nn.compact
    def __call__(
        self,
        x: Array,
        *,
        train: bool,
        theta: Any = None,
        lam: Any = None,
    ) -> Array:
        """Predicts a coarse depth map.

        Args:
          x: [N, H, W, 3], pixels in [-1, 1]; [N, H, W, 3 B] for B branches.
          train: whether BatchNorm uses the batch, and updates ``batch_stats``.
          theta: replaces the space's own; a scalar, or a scalar or one value per output
            channel for each layer, as a dict. Arrays may be traced.
          lam: replaces the space's own, likewise.

        Returns:
          [N, map_size, map_size], 0 for background and spoof, 1 for the nearest.
        """
        space = cast(options.FASOptions, self.genotype.space)
        theta = space.own_theta if theta is None else theta
        lam = space.own_lam if lam is None else lam
        operations: dict[str, tuple[str, ...]] = dict(
            zip(options.CELLS, self.genotype.cells, strict=True)
        )

        def conv(features: int, x: Array, name: str) -> Array:
            own = thetas.of_layer("theta", theta, name)
            return ConvBlock(features, name=name)(x, theta=own, train=train)

        def cell(name: str, x: Array) -> Array:
            for edge, operation in enumerate(operations[name]):
                label = f"{name}_{edge}"
                if operation == "skip":
                    continue
                if operation != space.convolution:
                    width = options.hidden_width(operation, space.channels)
                    x = conv(width, x, f"{label}_wide")
                x = conv(space.channels, x, label)
            return x

        call: dict[str, Any] = {"theta": theta, "lam": lam, "train": train}
        stages = skeleton.stages(space, cell, **call)
        return branches.fused(self, stages, x, **call)
