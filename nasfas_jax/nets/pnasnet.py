"""PNASNet-5-Mobile (Liu et al., ECCV 2018)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nasfas_jax import ops
from nasfas_jax.nets.classifier import Classifier, ConvNorm, identity
from nasfas_jax.search.dag import layers

#: The published cell: five nodes, each the sum of two operations (name, input). Inputs 0
#: and 1 are the outputs of the cells before, the last of them 1; 2 to 6 are the nodes.
CELL = (
    (("sep_conv_5", 0), ("max_pool", 0)),
    (("sep_conv_7", 1), ("max_pool", 1)),
    (("sep_conv_5", 1), ("sep_conv_3", 1)),
    (("sep_conv_3", 4), ("max_pool", 1)),
    (("sep_conv_3", 0), ("skip", 1)),
)


class Cell(nn.Module):
    """The cell of PNASNet-5; a reduction is the same cell with stride 2 at its inputs.

    Attributes:
      channels: channels of every node.
      stride: 1 or 2.
      first: whether the first input is left as it is, in the first cell of all.
    """

    channels: int
    stride: int
    first: bool = False

    @nn.compact
    def __call__(self, s0: Array, s1: Array, *, train: bool) -> Array:
        """Inputs [N, H, W, C] and [N, h, w, D] to the concatenated nodes."""
        if not self.first:
            same = s0.shape[1:3] == s1.shape[1:3]
            layer = layers.Conv if same else layers.FactorizedReduce
            s0 = layer(self.channels, name="input_0")(s0, train=train)
        s1 = layers.Conv(self.channels, name="input_1")(s1, train=train)
        features = [s0, s1]

        def operation(name: str, source: int) -> Array:
            x = features[source]
            stride = self.stride if source < 2 else 1
            if name == "max_pool":
                return self._fitted(ops.max_pool(x, stride=stride), train)
            if name == "skip":
                conv = layers.Conv(self.channels, stride=stride)
                return x if stride == 1 else conv(x, train=train)
            size = int(name.removeprefix("sep_conv_"))
            x = layers.Separable(self.channels, size, stride)(x, train=train)
            return layers.Separable(self.channels, size)(x, train=train)

        for one, other in CELL:
            features.append(operation(*one) + operation(*other))
        return jnp.concatenate(features[2:], -1)

    def _fitted(self, x: Array, train: bool) -> Array:
        """x with the channels of the nodes, by a 1 x 1 convolution where it has others."""
        if x.shape[-1] == self.channels:
            return x
        return ConvNorm(self.channels, 1, activation=identity)(x, train=train)


class PNASNet(Classifier):
    """PNASNet-5: a convolution of stride 2, two small cells of stride 2, and the cells.

    The small cells have a quarter and half of the channels. The cells at one and two
    thirds have stride 2 and double the channels. By default it is PNASNet-5-Mobile
    (N = 3, F = 54): 5,064,487 parameters at 1,000 classes and 588 M multiply-adds at
    224 x 224 pixels, the 5.1 M and 588 M of its paper (Table 5). PNASNet-5-Large (96, 216
    and 12) has 86,057,668.

    Attributes:
      stem: channels of the first convolution.
      nodes: channels of the nodes of the first cell, F.
      cells: number of cells, 3 N.
      width, map_size, classes: as in `Classifier`.
    """

    stem: int = 32
    nodes: int = 54
    cells: int = 9

    def features(self, x: Array, train: bool) -> Array:
        """Images to features of 1/32 of the sides, rounded up."""
        conv = ConvNorm(self.scaled(self.stem), 3, 2, activation=identity, name="stem")
        channels = self.scaled(self.nodes, 4 if self.width < 1 else 1)
        cells = [(channels // 4, 2), (channels // 2, 2)]
        for i in range(self.cells):
            stride = 2 if i in (self.cells // 3, 2 * self.cells // 3) else 1
            channels *= stride
            cells.append((channels, stride))
        s0 = s1 = conv(x, train=train)
        for i, (features, stride) in enumerate(cells):
            cell = Cell(features, stride, first=i == 0, name=f"cell_{i}")
            s0, s1 = s1, cell(s0, s1, train=train)
        return nn.relu(s1)
