"""Image classifiers as networks of maps: their classifier, at every pixel or once."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from jax import Array

from nasfas_jax import limits, losses, ops
from nasfas_jax.layers import WIDTHS, at_least_float32, batch_norm, kept, kernel_init

Activation = Callable[[Array], Array]


def scaled(channels: int, width: float, multiple: int = 1) -> int:
    """Channels times ``width``, rounded down to a multiple of a number, at least that.

    >>> scaled(64, 0.25), scaled(58, 0.1, 2), scaled(16, 1 / 64)
    (16, 4, 1)
    """
    return max(multiple, int(channels * width) // multiple * multiple)


def identity(x: Array) -> Array:
    """x itself, for layers without an activation."""
    return x


class ConvNorm(nn.Module):
    """Convolution, BatchNorm, activation; windows as in `ops.convolve`.

    Attributes:
      features: output channels; of a depthwise convolution, its input channels.
      size: side of the kernel, odd.
      stride: pixels between adjacent outputs.
      depthwise: whether each channel has a kernel of its own.
      bn: whether there is BatchNorm; a bias in its place otherwise.
      activation: last function.
    """

    features: int
    size: int = 3
    stride: int = 1
    depthwise: bool = False
    bn: bool = True
    activation: Activation = nn.relu

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[N, H, W, C] to [N, ceil(H / stride), ceil(W / stride), features]."""
        wide = at_least_float32(x)
        inputs = 1 if self.depthwise else x.shape[-1]
        shape = (self.size, self.size, inputs, self.features)
        kernel = self.param("kernel", kernel_init, shape, wide).astype(x.dtype)
        convolve = ops.depthwise if self.depthwise else ops.convolve
        x = kept(convolve(x, kernel, stride=self.stride))
        if self.bn:
            x = batch_norm(wide, train)(x.astype(wide)).astype(x.dtype)
        else:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), wide)
            x = x + bias.astype(x.dtype).reshape(1, 1, 1, -1)
        return self.activation(x)


class Classifier(nn.Module):
    """Base class of the image classifiers of the comparison set.

    The map holds probabilities of class 1, live. A map of one pixel is the classifier as
    published: the features are averaged over all pixels. For larger maps the same
    classifier is applied at every pixel of the features, and its logits are resized. The
    parameters do not depend on the size of the map.

    The weights are random at the start, He normal in convolutions; the papers' networks
    start from ImageNet's.

    Attributes:
      width: multiplier of the channels, 1/64 or more.
      map_size: side of the predicted map, in pixels.
      classes: number of outputs of the classifier, 2 or more; 1,000 as published.

    Raises:
      InputError: a value out of range.
    """

    width: float = 1.0
    map_size: int = 1
    classes: int = 2

    #: Default target of the batches, and loss, of training.
    target = "binary"
    loss = staticmethod(losses.pixel_binary)
    #: Whether maps are probabilities, at most 1, as `losses.pixel_binary` takes them.
    probabilities = True

    def __post_init__(self):
        limits.require(
            width=(self.width, WIDTHS),
            map_size=(self.map_size, limits.COUNT),
            classes=(self.classes, limits.TWO_OR_MORE),
        )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Predicts a map of probabilities of live.

        Args:
          x: [N, H, W, C], pixels in [-1, 1].
          train: whether BatchNorm uses the batch, and updates ``batch_stats``.

        Returns:
          [N, map_size, map_size].
        """
        x = self.features(x, train)
        if self.map_size == 1:
            x = self.pooled(x)
        x = self.hidden(x, train)
        wide = at_least_float32(x)
        logits = nn.Dense(self.classes, param_dtype=wide, name="classifier")(
            x.astype(wide)
        )
        logits = ops.resize(logits, self.map_size)
        return jax.nn.softmax(logits)[..., 1]

    def features(self, x: Array, train: bool) -> Array:
        """The last features [N, h, w, D] of images [N, H, W, C]; defined by subclasses."""
        raise NotImplementedError

    def pooled(self, x: Array) -> Array:
        """Features [N, h, w, D] of the one pixel of a classifier, [N, 1, 1, D]."""
        return x.mean((1, 2), keepdims=True)

    def hidden(self, x: Array, train: bool) -> Array:
        """Layers between features and classifier, at every pixel; none."""
        del train
        return x

    def scaled(self, channels: int, multiple: int = 1) -> int:
        """The number of channels at this width, see `scaled`."""
        return scaled(channels, self.width, multiple)


def residual(x: Array, change: Array, train: bool, stride: int) -> Array:
    """x plus its change; x through a 1 x 1 convolution where shapes differ."""
    if x.shape != change.shape:
        shortcut: Any = ConvNorm(
            change.shape[-1], 1, stride, activation=identity, name="shortcut"
        )
        x = shortcut(x, train=train)
    return x + change
