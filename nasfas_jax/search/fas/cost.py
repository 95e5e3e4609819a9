"""Multiply-adds of the candidates of the FAS space."""

import numpy as np

from nasfas_jax.search.fas import options


def edge_macs(space: options.FASOptions) -> dict[str, np.ndarray]:
    """``{cell: [operations]}``: multiply-adds per pixel of the image, of each candidate.

    ``space`` has the channels of the network. Every pooling leaves a quarter of the
    pixels. The layers around the cells cost the same in every architecture.

    >>> edge_macs(options.FASOptions(channels=16))["mid"][:4]
    array([   0.,    0.,  576., 1368.])
    """
    channels = space.channels
    hidden = [options.hidden_width(op, channels) for op in space.operations[3:]]
    pair = [2 * 9 * channels * width for width in hidden]
    macs = np.array([0, 0, 9 * channels**2, *pair], np.float64)
    return {cell: macs / 4**level for level, cell in enumerate(options.CELLS)}
