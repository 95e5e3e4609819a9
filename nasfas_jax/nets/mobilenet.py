"""MobileNetV1 (2017), MobileNetV2 (CVPR 2018) and MobileNetV3-Large (ICCV 2019)."""

import flax.linen as nn
import jax
from jax import Array

from nasfas_jax.nets.classifier import (
    Activation,
    Classifier,
    ConvNorm,
    identity,
    scaled,
)

#: MobileNetV1: channels and stride of the separable convolutions.
V1 = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *5 * ((512, 1),),
    *((1024, 2), (1024, 1)),
)
#: MobileNetV2: expansion, channels, number and first stride of inverted residuals (Table 2).
V2 = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)
#: MobileNetV3-Large: kernel, expanded channels, channels, squeeze and excitation, h-swish,
#: stride (Table 1).
V3 = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)


def _squeezed(channels: int) -> int:
    """A quarter of the channels as a multiple of 8, the nearest above 90 % of it.

    >>> _squeezed(72), _squeezed(120)
    (24, 32)
    """
    nearest = max(8, (channels // 4 + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels / 4 else nearest


class SqueezeExcite(nn.Module):
    """Gates of the channels from their means: two 1 x 1 convolutions, ReLU, h-sigmoid.

    Attributes:
      channels: channels between the two convolutions.
    """

    channels: int

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[N, H, W, C] to the same shape."""
        gate = x.mean((1, 2), keepdims=True)
        gate = ConvNorm(self.channels, 1, bn=False)(gate, train=train)
        last = ConvNorm(x.shape[-1], 1, bn=False, activation=jax.nn.hard_sigmoid)
        return x * last(gate, train=train)


class InvertedResidual(nn.Module):
    """1 x 1 convolution that expands, depthwise convolution, 1 x 1 that projects.

    Attributes:
      expanded: channels between the 1 x 1 convolutions; the first of them is left out
        where it would not expand.
      channels: output channels.
      size: side of the depthwise kernel.
      stride: stride of the depthwise convolution.
      squeezed: channels of `SqueezeExcite` before the projection; 0 for none.
      activation: activation after the first two convolutions.
    """

    expanded: int
    channels: int
    size: int
    stride: int
    squeezed: int
    activation: Activation

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[N, H, W, C] to [N, ceil(H / stride), ceil(W / stride), channels]."""
        y, act = x, self.activation
        if self.expanded != x.shape[-1]:
            y = ConvNorm(self.expanded, 1, activation=act)(y, train=train)
        depthwise = ConvNorm(
            self.expanded, self.size, self.stride, True, activation=act
        )
        y = depthwise(y, train=train)
        if self.squeezed:
            y = SqueezeExcite(self.squeezed)(y, train=train)
        y = ConvNorm(self.channels, 1, activation=identity)(y, train=train)
        return x + y if x.shape == y.shape else y


class MobileNetV1(Classifier):
    """Thirteen separable convolutions: depthwise and 1 x 1, each with BatchNorm and ReLU.

    4,231,976 parameters at 1,000 classes.
    """

    def features(self, x: Array, train: bool) -> Array:
        """Images to features of 1/32 of the sides, rounded up."""
        x = ConvNorm(self.scaled(32), 3, 2)(x, train=train)
        for channels, stride in V1:
            depthwise = ConvNorm(x.shape[-1], 3, stride, depthwise=True)
            x = depthwise(x, train=train)
            x = ConvNorm(self.scaled(channels), 1)(x, train=train)
        return x


class MobileNetV2(Classifier):
    """Inverted residuals with ReLU6; 3,504,872 parameters at 1,000 classes."""

    def features(self, x: Array, train: bool) -> Array:
        """Images to features of 1/32 of the sides, rounded up."""
        relu6 = jax.nn.relu6
        x = ConvNorm(self.scaled(32), 3, 2, activation=relu6)(x, train=train)
        for expansion, channels, count, first in V2:
            for i in range(count):
                block = InvertedResidual(
                    expansion * x.shape[-1],
                    self.scaled(channels),
                    3,
                    1 if i else first,
                    0,
                    relu6,
                )
                x = block(x, train=train)
        return ConvNorm(self.scaled(1280), 1, activation=relu6)(x, train=train)


class MobileNetV3(Classifier):
    """MobileNetV3-Large: inverted residuals with squeeze and excitation, and h-swish.

    5,483,032 parameters at 1,000 classes. BatchNorm's eps and momentum are those of the
    other networks (1e-5, 0.1).
    """

    def features(self, x: Array, train: bool) -> Array:
        """Images to features of 1/32 of the sides, rounded up."""
        swish = jax.nn.hard_swish
        x = ConvNorm(self.scaled(16), 3, 2, activation=swish)(x, train=train)
        for size, expanded, channels, squeeze, swishes, stride in V3:
            squeezed = scaled(_squeezed(expanded), self.width) if squeeze else 0
            block = InvertedResidual(
                self.scaled(expanded),
                self.scaled(channels),
                size,
                stride,
                squeezed,
                swish if swishes else nn.relu,
            )
            x = block(x, train=train)
        return ConvNorm(self.scaled(960), 1, activation=swish)(x, train=train)

    def hidden(self, x: Array, train: bool) -> Array:
        """A fully connected layer with h-swish."""
        hidden = ConvNorm(
            self.scaled(1280), 1, bn=False, activation=jax.nn.hard_swish, name="hidden"
        )
        return hidden(x, train=train)
