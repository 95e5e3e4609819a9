"""Multiply-adds and modules of the candidates of the FAS space."""

import flax.linen as nn
import numpy as np
from jax import Array

from nasfas_jax.layers import ConvBlock
from nasfas_jax.search import cost
from nasfas_jax.search.fas import options


def edge_macs(space: options.FASOptions) -> dict[str, np.ndarray]:
    """``{cell: [operations]}``: multiply-adds per pixel of the image, of each candidate.

    ``space`` has the channels of the network. Each pooling reduces the pixels to a quarter.
    The layers around the cells are left out: they cost the same in every architecture.

    >>> edge_macs(options.FASOptions(channels=16))["mid"][:4]
    array([   0.,    0.,  576., 1368.])
    """
    channels = space.channels
    hidden = [options.hidden_width(op, channels) for op in space.operations[3:]]
    pair = [2 * 9 * channels * width for width in hidden]
    macs = np.array([0, 0, 9 * channels**2, *pair], np.float64)
    return {cell: macs / 4**level for level, cell in enumerate(options.CELLS)}


class Convolutions(nn.Module):
    """The one or two convolutions of an edge.

    Attributes:
      space: the space of the network.
      operation: name of the candidate, neither 'none' nor 'skip'.
    """

    space: options.FASOptions
    operation: str

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[N, H, W, C] to the same shape."""
        widths = [self.space.channels]
        if self.operation != self.space.convolution:
            widths.insert(0, options.hidden_width(self.operation, self.space.channels))
        for width in widths:
            x = ConvBlock(width)(x, theta=self.space.own_theta, train=train)
        return x


def candidates(space: options.FASOptions, image_size: int) -> cost.Candidates:
    """The candidates of every cell; every pooling halves the side, rounded up.

    Args:
      space: the space of the network.
      image_size: side of the images.
    """
    found, side = {}, image_size
    for cell in options.CELLS:
        shape = (1, side, side, space.channels)
        edge: list[list[cost.Candidate]] = [[], []]
        for name in space.operations[2:]:
            edge.append([cost.Candidate(Convolutions(space, name), shape)])
        found[cell] = [edge] * options.EDGES
        side = -(-side // 2)
    return found
