"""RFMeta's feature extractor, meta learner and depth estimator (supplement, Table 2)."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nasfas_jax import limits, ops
from nasfas_jax.layers import WIDTHS, ConvBlock, at_least_float32

#: Channels of the three convolutions of each of the extractor's blocks.
BLOCK = (128, 196, 128)


#: Weights of the new batch in BatchNorm's running averages; at 0 they would stay as made.
MOMENTA = limits.Range(0, 1, above=True)


def _layers(width: float, bn_momentum: float, train: bool) -> Callable[..., Array]:
    """``conv(x, features)``: 3 x 3 with bias, BatchNorm and ReLU, as the authors' code.

    Raises:
      InputError: ``width`` or ``bn_momentum`` out of range.
    """
    limits.require(width=(width, WIDTHS), bn_momentum=(bn_momentum, MOMENTA))

    def conv(x: Array, features: int) -> Array:
        block = ConvBlock(
            features if features == 1 else int(features * width),
            bias=True,
            bn_momentum=bn_momentum,
            kernel_init=nn.initializers.xavier_normal(),
        )
        return block(x, theta=0.0, train=train)

    return conv


class FeatureExtractor(nn.Module):
    """F: 1,731,108 parameters at 6 input channels (RGB and HSV).

    conv 64, then three blocks of conv 128, 196, 128 and a 2 x 2 maximum.

    Attributes:
      width: multiplies the channels.
      bn_momentum: weight of the new batch in BatchNorm's running averages.
    """

    width: float = 1.0
    bn_momentum: float = 0.1

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        """Images [N, H, W, C], sides multiples of 8, to features.

        Returns:
          ([N, H/8, W/8, 128] of the last block, for M; [N, H/8, W/8, 384], all three
          blocks' averaged to that size, for D).
        """
        conv = _layers(self.width, self.bn_momentum, train)
        x = conv(x, 64)
        levels = []
        for _ in range(3):
            for features in BLOCK:
                x = conv(x, features)
            x = ops.halve(x)
            levels.append(x)
        side = x.shape[1:3]
        joined = [ops.average_to(level, side) for level in levels]
        return x, jnp.concatenate(joined, -1)


class DepthEstimator(nn.Module):
    """D: 517,251 parameters; conv 128, 64 and 1, BatchNorm and ReLU after each.

    Attributes: as `FeatureExtractor`.
    """

    width: float = 1.0
    bn_momentum: float = 0.1

    @nn.compact
    def __call__(self, joined: Array, *, train: bool) -> Array:
        """[N, h, w, 384] to maps [N, h, w], not negative."""
        conv = _layers(self.width, self.bn_momentum, train)
        return functools.reduce(conv, (128, 64, 1), joined)[..., 0]


class MetaLearner(nn.Module):
    """M: 1,625,217 parameters; conv 128, 256, 512, global average, one logit.

    Attributes: as `FeatureExtractor`. The authors' code has ``bn_momentum`` 1 here: the
    averages are those of the last batch.
    """

    width: float = 1.0
    bn_momentum: float = 0.1

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Features [N, h, w, 128] to logits [N], above 0 for live."""
        conv = _layers(self.width, self.bn_momentum, train)
        x = ops.halve(conv(x, 128))
        x = ops.halve(conv(x, 256))
        x = conv(x, 512)
        xavier, wide = nn.initializers.xavier_normal(), at_least_float32(x)
        logit = nn.Dense(1, kernel_init=xavier, param_dtype=wide, name="logit")
        return logit(x.mean((1, 2)).astype(wide))[..., 0]
