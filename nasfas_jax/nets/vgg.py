"""VGG16 (Simonyan and Zisserman, ICLR 2015)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nasfas_jax import ops
from nasfas_jax.layers import at_least_float32, kept, kernel_init
from nasfas_jax.nets.classifier import Classifier, ConvNorm

#: Channels of the 3 x 3 convolutions of each block; a 2 x 2 maximum follows.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
#: Channels of the two layers before the classifier.
HIDDEN = 4096
#: Side of the first fully connected layer's input.
SIDE = 7


class VGG16(Classifier):
    """Thirteen convolutions and three fully connected layers, without BatchNorm.

    138,357,544 parameters at 1,000 classes. The first fully connected layer is a
    convolution of 7 x 7 pixels: features are averaged to 7 x 7, which it covers at once,
    or for maps of several pixels it is applied around every one. There is no dropout.
    """

    def features(self, x: Array, train: bool) -> Array:
        """Images to features of 1/32 of the sides, rounded down; one pixel or more."""
        for channels in BLOCKS:
            for features in channels:
                x = ConvNorm(self.scaled(features), bn=False)(x, train=train)
            even = [max(2, side // 2 * 2) for side in x.shape[1:3]]
            grown = [(0, max(0, 2 - side)) for side in x.shape[1:3]]
            # A single pixel stays.
            x = jnp.pad(x, ((0, 0), *grown, (0, 0)), mode="edge")
            x = ops.halve(x[:, : even[0], : even[1]])
        return x

    def pooled(self, x: Array) -> Array:
        """Features averaged to 7 x 7, as PyTorch's adaptive pooling."""
        return ops.adaptive_average(x, SIDE)

    def hidden(self, x: Array, train: bool) -> Array:
        """Two fully connected layers with ReLU."""
        wide = at_least_float32(x)
        shape = (SIDE, SIDE, x.shape[-1], self.scaled(HIDDEN))
        kernel = self.param("hidden_kernel", kernel_init, shape, wide)
        bias = self.param("hidden_bias", nn.initializers.zeros, shape[-1:], wide)
        if self.map_size == 1:
            kernel = kernel.reshape(1, 1, -1, shape[-1])
            x = x.reshape(len(x), 1, 1, -1)
        x = kept(ops.convolve(x, kernel.astype(x.dtype)))
        x = nn.relu(x + bias.astype(x.dtype).reshape(1, 1, 1, -1))
        return ConvNorm(shape[-1], 1, bn=False, name="hidden_2")(x, train=train)
