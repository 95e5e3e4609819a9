"""DeepPixBiS: binary supervision of every pixel (George and Marcel, ICB 2019)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nasfas_jax import limits, losses, ops
from nasfas_jax.layers import WIDTHS, at_least_float32, batch_norm, kept
from nasfas_jax.nets.classifier import ConvNorm, identity, scaled

#: DenseNet-161: channels of the stem and of a layer, and layers of the first two blocks.
STEM, GROWTH, BLOCKS = 96, 48, (6, 12)
#: Channels of a layer's 1 x 1 convolution over its growth.
BOTTLENECK = 4


def _normalized(x: Array, train: bool) -> Array:
    """ReLU of BatchNorm; call it inside ``nn.compact``."""
    wide = at_least_float32(x)
    return nn.relu(batch_norm(wide, train)(x.astype(wide)).astype(x.dtype))


class DenseLayer(nn.Module):
    """BatchNorm, ReLU, 1 x 1 convolution, twice, the second 3 x 3; joined to the input.

    Attributes:
      growth: channels that are added.
    """

    growth: int

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[N, H, W, C] to [N, H, W, C + growth]."""
        y = ConvNorm(BOTTLENECK * self.growth, 1)(_normalized(x, train), train=train)
        y = Plain(self.growth, 3)(y)
        return jnp.concatenate([x, y], -1)


class Plain(nn.Module):
    """Convolution without bias.

    Attributes:
      features: output channels.
      size: side of the kernel, odd.
    """

    features: int
    size: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[N, H, W, C] to [N, H, W, features]."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        init = nn.initializers.he_normal()
        kernel = self.param("kernel", init, shape, at_least_float32(x))
        return kept(ops.convolve(x, kernel.astype(x.dtype)))


class DeepPixBiS(nn.Module):
    """The first eight children of DenseNet-161, a map of probabilities, and one of all.

    A 1 x 1 convolution of the 384 features and a sigmoid give the map, 14 x 14 for
    224 x 224 images; a fully connected layer of its pixels gives the probability of the
    image. The loss is half the cross entropy of the pixels and half that of the image
    (`losses.deep_pixel`). The score is the mean of the map.

    The weights are random at the start; the paper's are ImageNet's.

    Attributes:
      width: multiplier of the channels, 1/64 or more.
      map_size: side of the predicted map, in pixels; logits of other sides are resized.

    Raises:
      InputError: a value out of range.
    """

    width: float = 1.0
    map_size: int = 14

    target = "binary"
    loss = staticmethod(losses.deep_pixel)
    probabilities = True

    def __post_init__(self):
        limits.require(
            width=(self.width, WIDTHS), map_size=(self.map_size, limits.COUNT)
        )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array | tuple[Array, Array]:
        """Predicts a map of probabilities of live.

        Args:
          x: [N, H, W, C], pixels in [-1, 1].
          train: whether BatchNorm uses the batch, and updates ``batch_stats``.

        Returns:
          [N, map_size, map_size]; with ``train`` also the probabilities of images [N].
        """
        x = ops.max_pool(ConvNorm(scaled(STEM, self.width), 7, 2)(x, train=train))
        for count in BLOCKS:
            for _ in range(count):
                x = DenseLayer(scaled(GROWTH, self.width))(x, train=train)
            x = Plain(max(1, x.shape[-1] // 2))(_normalized(x, train))
            x = ops.adaptive_average(x, tuple(max(1, s // 2) for s in x.shape[1:3]))
        decoder = ConvNorm(1, 1, bn=False, activation=identity, name="map")
        logits = ops.resize(decoder(x, train=train), self.map_size)
        maps = nn.sigmoid(logits[..., 0])
        wide = at_least_float32(x)
        one = nn.Dense(1, param_dtype=wide, name="image")
        probability = nn.sigmoid(one(maps.reshape(maps.shape[0], -1).astype(wide)))[
            ..., 0
        ]
        return (maps, probability) if train else maps
