"""The network of a genotype of the FAS space."""

from typing import cast

import flax.linen as nn
from jax import Array
from jax.typing import ArrayLike

from nasfas_jax.layers import ConvBlock
from nasfas_jax.search.fas import options, skeleton
from nasfas_jax.search.genotype import Genotype


class FASNet(nn.Module):
    """One architecture of the FAS space, trained from scratch.

    Attributes:
      genotype: the architecture; its space has the channels and the map's size.
    """

    genotype: Genotype

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
        theta: ArrayLike | None = None,
        lam: ArrayLike | None = None,
    ) -> Array:
        """Predicts the depth of each pixel of a coarse map.

        Args:
          x: [N, H, W, 3], pixels in [-1, 1].
          train: whether BatchNorm uses the batch, and updates ``batch_stats``.
          theta: instead of the space's own; a scalar that may be traced.
          lam: of CDP; 0.7 if None; a scalar that may be traced.

        Returns:
          [N, map_size, map_size], 0 for background and spoof, 1 for the nearest.
        """
        space = cast(options.FASOptions, self.genotype.space)
        theta = space.theta if theta is None else theta
        lam = 0.7 if lam is None else lam
        operations: dict[str, tuple[str, ...]] = dict(
            zip(options.CELLS, self.genotype.cells, strict=True)
        )

        def conv(features: int, x: Array, name: str) -> Array:
            return ConvBlock(features, name=name)(x, theta=theta, train=train)

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

        return skeleton.assemble(space, cell, x, theta=theta, lam=lam, train=train)
