"""What an architecture's cells cost, as a differentiable function of the alphas."""

import jax
import jax.numpy as jnp
import numpy as np

from nasfas_jax.search import spaces


def edge_macs(space: spaces.FASSpace) -> dict[str, np.ndarray]:
    """``{cell: [operations]}``: multiply-adds a pixel of the image, of each candidate.

    Of the network for retraining: its channels, and a quarter of the pixels after every
    pooling. What surrounds the cells costs the same in every architecture.

    >>> edge_macs(spaces.get("nas_fas", channels=8))["mid"][:4]
    array([   0.,    0.,  576., 1368.])
    """
    channels = space.for_retraining().channels
    hidden = [spaces.hidden_width(op, channels) for op in space.operations[3:]]
    pair = [2 * 9 * channels * width for width in hidden]
    macs = np.array([0, 0, 9 * channels**2, *pair], np.float64)
    return {cell: macs / 4**level for level, cell in enumerate(spaces.CELLS)}


def relative_macs(space: spaces.FASSpace, alphas: dict) -> jax.Array:
    """Expected multiply-adds of the cells under ``softmax(alphas)``, over the largest.

    0 for cells that only skip, 1 for the widest operation on every edge. Added to the
    loss of the alphas, weighted, it makes the search prefer cheap architectures.
    """
    macs = edge_macs(space)
    most = sum(spaces.EDGES * cell.max() for cell in macs.values())
    expected = [
        (
            jax.nn.softmax(alphas[cell]) @ jnp.asarray(macs[cell], alphas[cell].dtype)
        ).sum()
        for cell in spaces.CELLS
    ]
    return sum(expected, jnp.zeros_like(expected[0])) / most
