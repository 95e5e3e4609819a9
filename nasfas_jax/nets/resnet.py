"""ResNet18 and ResNet50 (He et al., CVPR 2016)."""

import flax.linen as nn
from jax import Array

from nasfas_jax import limits, ops
from nasfas_jax.nets.classifier import Classifier, ConvNorm, identity, residual

#: Channels of the four stages; each after the first halves the sides.
STAGES = (64, 128, 256, 512)
#: Channels at the end of a bottleneck over those within it.
EXPANSION = 4


class Block(nn.Module):
    """Residual block: two 3 x 3 convolutions, or 1 x 1, 3 x 3 and 1 x 1 (bottleneck).

    Attributes:
      channels: channels within the block.
      stride: stride of the first 3 x 3 convolution.
      bottleneck: whether the block is a bottleneck, whose output has 4 times the channels.
    """

    channels: int
    stride: int
    bottleneck: bool

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[N, H, W, C] to [N, ceil(H / stride), ceil(W / stride), D]."""
        layers = [(self.channels, 3, self.stride), (self.channels, 3, 1)]
        if self.bottleneck:
            layers = [
                (self.channels, 1, 1),
                (self.channels, 3, self.stride),
                (EXPANSION * self.channels, 1, 1),
            ]
        change = x
        for i, (features, size, stride) in enumerate(layers, 1):
            activation = identity if i == len(layers) else nn.relu
            conv = ConvNorm(features, size, stride, activation=activation)
            change = conv(change, train=train)
        return nn.relu(residual(x, change, train, self.stride))


class ResNet(Classifier):
    """Residual network: 7 x 7 convolution, max pooling, four stages of blocks.

    At 1,000 classes ResNet18 has 11,689,512 parameters, ResNet50 25,557,032.

    Attributes:
      blocks: number of blocks of each stage.
      bottleneck: whether blocks are bottlenecks; their stride is that of the 3 x 3
        convolution, as in PyTorch's ResNet50.
      stem: side of the first kernel, 7 with stride 2 and pooling, or 3 without them, as
        for CIFAR-10.
      width, map_size, classes: as in `Classifier`.
    """

    blocks: tuple[int, ...] = (2, 2, 2, 2)
    bottleneck: bool = False
    stem: int = 7

    def __post_init__(self):
        limits.require(stem=(str(self.stem), limits.OneOf(("3", "7"))))
        super().__post_init__()

    def features(self, x: Array, train: bool) -> Array:
        """Images to features of 1/32 of the sides (1/8 with ``stem`` 3), rounded up."""
        small = self.stem == 3
        stem = ConvNorm(self.scaled(64), self.stem, 1 if small else 2, name="stem")
        x = stem(x, train=train)
        x = x if small else ops.max_pool(x)
        for stage, (channels, count) in enumerate(
            zip(STAGES, self.blocks, strict=True)
        ):
            for i in range(count):
                stride = 2 if stage and not i else 1
                block = Block(
                    self.scaled(channels),
                    stride,
                    self.bottleneck,
                    name=f"stage_{stage}_{i}",
                )
                x = block(x, train=train)
        return x
