"""Shuffling of channels (ShuffleNet, PC-DARTS)."""

import jax.numpy as jnp
from jax import Array


def shuffle(x: Array, groups: int) -> Array:
    """Interleaves ``groups`` equal blocks of channels.

    Channel ``g * (C / groups) + i`` becomes channel ``i * groups + g``.

    Args:
      x: [..., C], C a multiple of ``groups``.
      groups: number of blocks.

    Returns:
      An array of the shape of x.
    """
    *pixels, channels = x.shape
    x = x.reshape(*pixels, groups, channels // groups)
    return jnp.swapaxes(x, -1, -2).reshape(*pixels, channels)
