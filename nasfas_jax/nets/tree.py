"""A tree of networks in the style of DTN (Liu et al., CVPR 2019)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nasfas_jax import limits, losses, ops
from nasfas_jax.layers import WIDTHS, at_least_float32
from nasfas_jax.nets.classifier import ConvNorm, identity, scaled

#: Levels of nodes that route; two leaves below each of the last level.
LEVELS = 3
#: Channels of all convolutions, and side of what a node projects.
CHANNELS, SIDE = 32, 8


class ConvUnit(nn.Module):
    """Two residual blocks of two 3 x 3 convolutions each (DTN's CRU), with leaky ReLU."""

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[N, H, W, C] to the same shape."""
        for _ in range(2):
            y = ConvNorm(x.shape[-1], activation=nn.leaky_relu)(x, train=train)
            y = ConvNorm(x.shape[-1], activation=identity)(y, train=train)
            x = nn.leaky_relu(x + y)
        return x


class Route(nn.Module):
    """Share of images that go right (DTN's TRU): sigmoid of a projection of features.

    Attributes:
      halvings: number of 3 x 3 convolutions of stride 2 before the projection.
    """

    halvings: int

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Features [N, H, W, C] to [N, 1, 1]."""
        for _ in range(self.halvings):
            conv = ConvNorm(x.shape[-1], 3, 2, activation=nn.leaky_relu)
            x = conv(x, train=train)
        x = ops.adaptive_average(x, SIDE)
        wide = at_least_float32(x)
        flat = x.reshape(len(x), -1).astype(wide)
        projection = nn.Dense(1, param_dtype=wide, name="projection")
        return nn.sigmoid(projection(flat))[..., None].astype(x.dtype)


class TreeNet(nn.Module):
    """A tree whose eight leaves predict depth maps, mixed by learned routes.

    As in DTN, a 5 x 5 convolution comes first, every node of three levels has a
    `ConvUnit` with max pooling and projects its features to one number that chooses
    between its children, and a leaf has a `ConvUnit` and a convolution to a map.

    In DTN the route is hard, and its projection is trained without labels, to be the
    largest eigenvector of the spoofs' features; leaves also have a classifier. Here routes
    are shares, trained with the map: the predicted map is the sum of the leaves' maps,
    each times the product of the shares on its way.

    Attributes:
      width: multiplier of the channels, 1/64 or more.
      map_size: side of the predicted map, in pixels; maps of other sides are resized.

    Raises:
      InputError: a value out of range.
    """

    width: float = 1.0
    map_size: int = 32

    target = "depth"
    loss = staticmethod(losses.pixel_mse)
    probabilities = True

    def __post_init__(self):
        limits.require(
            width=(self.width, WIDTHS), map_size=(self.map_size, limits.COUNT)
        )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Predicts a coarse depth map.

        Args:
          x: [N, H, W, C], pixels in [-1, 1].
          train: whether BatchNorm uses the batch, and updates ``batch_stats``.

        Returns:
          [N, map_size, map_size], from 0 to 1.
        """
        channels = scaled(CHANNELS, self.width)
        stem = ConvNorm(channels, 5, bn=False, activation=nn.leaky_relu, name="stem")
        nodes = [(stem(x, train=train), jnp.ones((x.shape[0], 1, 1), x.dtype))]
        for level in range(LEVELS):
            children = []
            for i, (features, share) in enumerate(nodes):
                unit = ConvUnit(name=f"node_{level}_{i}")
                features = ops.max_pool(unit(features, train=train))
                route = Route(LEVELS - level, name=f"route_{level}_{i}")
                right = route(features, train=train)
                children += [(features, share * (1 - right)), (features, share * right)]
            nodes = children
        total = jnp.zeros((), x.dtype)
        for i, (features, share) in enumerate(nodes):
            leaf = ConvUnit(name=f"leaf_{i}")(features, train=train)
            last = ConvNorm(1, bn=False, activation=nn.sigmoid, name=f"map_{i}")
            maps = ops.resize(last(leaf, train=train), self.map_size)[..., 0]
            total = total + share * maps
        return total
