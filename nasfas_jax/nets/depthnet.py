"""DepthNet and the central difference networks CDN (NAS-FAS sec. 3.3, Table 1)."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nasfas_jax import limits, ops
from nasfas_jax.layers import WIDTHS, ConvBlock, map_init

#: Channels of the three convolutions of each block, each followed by pooling.
BLOCKS = ((128, 196, 128), (128, 196, 128), (128, 196, 128))
POOLS: dict[str, Callable[..., Array]] = {
    "cdp": ops.cdp,
    "max": lambda x, lam: ops.max_pool(x),
}


class CDN(nn.Module):
    """Central difference network: an image to its predicted depth map.

    conv 64; three blocks of conv 128, 196, 128 and pooling; the blocks' outputs resized
    to the map and concatenated; conv 128, 64 and 1.  Every convolution is 3 x 3 CDC
    with BatchNorm and ReLU, the last without BatchNorm, as in the authors' code: the
    map is not negative, and its mean is the score of liveness (`score`).

    Attributes:
      theta: central difference weight of every convolution; 0 is vanilla.
      lam: central difference weight of the pooling.
      pool: 'cdp' or 'max', 3 x 3 at stride 2.
      width: multiplier of the channels, 1/64 or more; 2,245,016 parameters at 1.
      map_size: side of the predicted map, in pixels.

    Raises:
      InputError: an unknown ``pool``, or a ``width`` or ``map_size`` out of range.
    """

    theta: float = 0.7
    lam: float = 0.7
    pool: str = "cdp"
    width: float = 1.0
    map_size: int = 32

    def __post_init__(self):
        limits.require(
            pool=(self.pool, limits.OneOf(POOLS)),
            width=(self.width, WIDTHS),
            map_size=(self.map_size, limits.COUNT),
        )
        super().__post_init__()

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
          x: [N, H, W, C], pixels in [-1, 1].
          train: whether BatchNorm uses the batch, and updates ``batch_stats``.
          theta: instead of the attribute; a scalar that may be traced.
          lam: instead of the attribute; a scalar that may be traced.

        Returns:
          [N, map_size, map_size], 0 for background and spoof, 1 for the nearest.
        """
        theta = self.theta if theta is None else theta
        lam = self.lam if lam is None else lam

        def conv(x: Array, features: int) -> Array:
            block = ConvBlock(int(features * self.width))
            return block(x, theta=theta, train=train)

        x = conv(x, 64)
        levels = []
        for block in BLOCKS:
            for features in block:
                x = conv(x, features)
            x = POOLS[self.pool](x, lam)
            levels.append(ops.resize(x, self.map_size))
        x = conv(conv(jnp.concatenate(levels, -1), 128), 64)
        last = ConvBlock(1, bn=False, kernel_init=map_init)
        return last(x, theta=theta, train=train)[..., 0]


#: The rows of Table 1.
VARIANTS = {
    "depthnet": {"theta": 0.0, "pool": "max"},
    "cdn_cdc": {"pool": "max"},
    "cdn_cdp": {"theta": 0.0, "pool": "cdp"},
    "cdn": {"pool": "cdp"},
}


def DepthNet(*, width: float = 1.0, map_size: int = 32) -> CDN:
    """DepthNet: `CDN` with vanilla convolutions and max pooling."""
    return CDN(**VARIANTS["depthnet"], width=width, map_size=map_size)


def score(maps: Array | np.ndarray) -> Array | np.ndarray:
    """Scores [N], higher is live: the mean of each predicted map [N, H, W]."""
    return maps.mean((-2, -1))
