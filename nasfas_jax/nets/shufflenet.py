"""ShuffleNetV2 1.0x (Ma et al., ECCV 2018)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nasfas_jax import ops
from nasfas_jax.nets.classifier import Classifier, ConvNorm, identity

#: Channels and number of units of the three stages; the first unit halves the sides.
STAGES = ((116, 4), (232, 8), (464, 4))


class Unit(nn.Module):
    """Unit of ShuffleNetV2: half of the channels is convolved, then both are shuffled.

    With stride 2, both branches see all channels.

    Attributes:
      channels: output channels, even.
      stride: 1 or 2.
    """

    channels: int
    stride: int

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[N, H, W, C] to [N, ceil(H / stride), ceil(W / stride), channels]."""

        def conv(x: Array, size: int = 1, stride: int = 1) -> Array:
            deep = size > 1
            features = x.shape[-1] if deep else self.channels // 2
            layer = ConvNorm(
                features, size, stride, deep, activation=identity if deep else nn.relu
            )
            return layer(x, train=train)

        if self.stride == 1:
            kept, x = jnp.split(x, 2, axis=-1)
        else:
            kept = conv(conv(x, 3, 2))
        x = conv(conv(conv(x), 3, self.stride))
        return ops.shuffle(jnp.concatenate([kept, x], -1), 2)


class ShuffleNetV2(Classifier):
    """ShuffleNetV2 1.0x; 2,278,604 parameters at 1,000 classes."""

    def features(self, x: Array, train: bool) -> Array:
        """Images to features of 1/32 of the sides, rounded up."""
        x = ConvNorm(self.scaled(24), 3, 2)(x, train=train)
        x = ops.max_pool(x)
        for channels, count in STAGES:
            for i in range(count):
                unit = Unit(self.scaled(channels, 2), 1 if i else 2)
                x = unit(x, train=train)
        return ConvNorm(self.scaled(1024), 1)(x, train=train)
