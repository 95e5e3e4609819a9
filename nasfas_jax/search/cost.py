"""Expected cost of an architecture's cells, as a differentiable function of the alphas."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np


def relative(
    macs: Mapping[str, np.ndarray], probabilities: Mapping[str, jax.Array]
) -> jax.Array:
    """Expected multiply-adds of the cells over the largest, a scalar.

    0 for cells that only skip, 1 for the most expensive operation on every edge. With a
    weight, added to the loss of the alphas, it makes the search prefer cheap
    architectures.

    Args:
      macs: for every cell, the multiply-adds of its candidates, [operations]; one of
        them is above 0.
      probabilities: for every cell, the weights of its candidates, [edges, operations].
    """
    most = float(sum(len(p) * macs[cell].max() for cell, p in probabilities.items()))
    expected = [
        (p @ jnp.asarray(macs[cell], p.dtype)).sum()
        for cell, p in probabilities.items()
    ]
    return sum(expected, jnp.zeros_like(expected[0])) / most
