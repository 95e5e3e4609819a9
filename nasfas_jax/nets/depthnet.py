"""DepthNet and the central difference networks CDN (NAS-FAS sec. 3.3, Table 1)."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nasfas_jax import limits, losses, ops
from nasfas_jax import theta as thetas
from nasfas_jax.layers import WIDTHS, CentralPool, ConvBlock, map_init
from nasfas_jax.nets.operators import OPERATORS

#: Channels of the first and third convolution of each of the three blocks.
BLOCKS = (128, 128, 128)
POOLS = ("cdp", "max")
CONVOLUTIONS = ("cdc", *OPERATORS)


class CDN(nn.Module):
    """Central difference network, which predicts the depth map of an image.

    conv 64; three blocks of conv 128, 196, 128 and pooling; the blocks' outputs resized
    to the map and concatenated; conv 128, 64 and 1.  Every convolution is a 3 x 3 CDC
    with BatchNorm and ReLU, the last without BatchNorm, as in the authors' code: the
    map is not negative, and its mean is the score of liveness (`nets.score`).

    Attributes:
      theta: share of central differences in the convolutions, 0 to 1 (0 is a plain
        convolution): a number, values for the layers ConvBlock_0 to ConvBlock_12 by name
        (a number, or one for each output channel), or `theta.Learned`.
      lam: share of central differences in the pooling, likewise; its layers are pool_0 to
        pool_2.
      pool: 'cdp' or 'max', 3 x 3 at stride 2.
      convolution: 'cdc', or one of those that NAS-FAS compares with it (figure 9c):
        'lbconv', 'gaborconv' (both without theta), or 'selfconv', in which theta is the
        share of self-attention (0.2 in the paper).
      middle: channels of the second convolution of each block; 192 in NAS-FAS Table 8.
      width: multiplier of the channels, 1/64 or more; 2,245,016 parameters at 1.
      map_size: side of the predicted map, in pixels.

    Raises:
      InputError: an unknown ``pool``, or another value out of range.
    """

    theta: Any = 0.7
    lam: Any = 0.7
    pool: str = "cdp"
    width: float = 1.0
    map_size: int = 32
    convolution: str = "cdc"
    middle: int = 196

    def __post_init__(self):
        limits.require(
            pool=(self.pool, limits.OneOf(POOLS)),
            convolution=(self.convolution, limits.OneOf(CONVOLUTIONS)),
            middle=(self.middle, limits.COUNT),
            width=(self.width, WIDTHS),
            map_size=(self.map_size, limits.COUNT),
        )
        object.__setattr__(self, "theta", thetas.parse("theta", self.theta))
        object.__setattr__(self, "lam", thetas.parse("lam", self.lam))
        super().__post_init__()

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
          x: [N, H, W, C], pixels in [-1, 1].
          train: whether BatchNorm uses the batch, and updates ``batch_stats``.
          theta: replaces the attribute; a scalar, or a scalar or one value per output
            channel for each layer, as a dict. Arrays may be traced.
          lam: replaces the attribute, likewise.

        Returns:
          [N, map_size, map_size], 0 for background and spoof, 1 for the nearest.

        Raises:
          InputError: a layer without theta or lambda, or with a wrong number of them.
        """
        theta = self.theta if theta is None else theta
        lam = self.lam if lam is None else lam
        levels: list[Array] = []

        def conv(x: Array, features: int, **settings: Any) -> Array:
            operator = OPERATORS.get(self.convolution)
            if operator is not None:
                level = len(levels)
                settings["operator"] = functools.partial(operator, level=level)
            block = ConvBlock(features, **settings)
            own = thetas.of_layer("theta", theta, block.name)
            return block(x, theta=own, train=train)

        def scaled(x: Array, features: int) -> Array:
            return conv(x, int(features * self.width))

        def pool(x: Array, level: int) -> Array:
            if self.pool == "max":
                return ops.max_pool(x)
            layer = CentralPool(name=f"pool_{level}")
            return layer(x, lam=thetas.of_layer("lam", lam, layer.name))

        x = scaled(x, 64)
        for level, channels in enumerate(BLOCKS):
            for features in (channels, self.middle, channels):
                x = scaled(x, features)
            x = pool(x, level)
            levels.append(ops.resize(x, self.map_size))
        x = scaled(scaled(jnp.concatenate(levels, -1), 128), 64)
        return conv(x, 1, bn=False, kernel_init=map_init)[..., 0]


#: The rows of Table 1.
VARIANTS: dict[str, dict[str, Any]] = {
    "depthnet": {"theta": 0.0, "pool": "max"},
    "cdn_cdc": {"pool": "max"},
    "cdn_cdp": {"theta": 0.0, "pool": "cdp"},
    "cdn": {"pool": "cdp"},
}


class Auxiliary(CDN):
    """Depth branch of Auxiliary (Liu et al., CVPR 2018): `DepthNet` with the loss MSE.

    Its other branch, for the pulse, is not part; papers call this "Auxiliary (depth only)".
    The convolutions are followed by BatchNorm and ReLU, as in `DepthNet`.
    """

    theta: Any = 0.0
    pool: str = "max"

    target = "depth"
    loss = staticmethod(losses.pixel_mse)


def DepthNet(*, width: float = 1.0, map_size: int = 32) -> CDN:
    """DepthNet: `CDN` with vanilla convolutions and max pooling."""
    return CDN(**VARIANTS["depthnet"], width=width, map_size=map_size)
