"""Bilinear resizing and adaptive averages, as two small matrix products each."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax


def _weights(length: int, size: int) -> np.ndarray:
    """[size, length]: row i mixes the two samples around output pixel i's center."""
    place = (np.arange(size) + 0.5) * length / size - 0.5
    place = np.clip(place, 0, length - 1)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(length)))


def resize(x: Array, size: int | tuple[int, ...]) -> Array:
    """Bilinear resizing: half-pixel centers, edges repeated, no antialiasing.

    Equal to PyTorch's ``Upsample(mode='bilinear', align_corners=False)`` and
    ``jax.image.resize(..., 'bilinear', antialias=False)``.

    Args:
      x: [N, H, W, C].
      size: the new height and width; one number for a square.

    Returns:
      [N, height, width, C].
    """
    return _mixed(x, size, _weights)


def adaptive_average(x: Array, size: int | tuple[int, ...]) -> Array:
    """Means of the pixels that every output pixel covers, in whole pixels.

    Output pixel i of ``size`` covers the input pixels from ``floor(i n / size)`` to
    ``ceil((i + 1) n / size) - 1`` of n: PyTorch's adaptive average pooling, for any sides.

    Args:
      x: [N, H, W, C].
      size: the new height and width; one number for a square.

    Returns:
      [N, height, width, C].
    """
    return _mixed(x, size, _shares)


def _shares(length: int, size: int) -> np.ndarray:
    """[size, length]: row i averages the samples that output pixel i covers."""
    i = np.arange(size)[:, None]
    first, last = i * length // size, -(-(i + 1) * length // size)
    pixels = np.arange(length)
    covered = (first <= pixels) & (pixels < last)
    return covered / covered.sum(1, keepdims=True)


def _mixed(
    x: Array,
    size: int | tuple[int, ...],
    weights_of: Callable[[int, int], np.ndarray],
) -> Array:
    """x [N, H, W, C] with both sides mixed by matrices ``weights_of(length, size)``."""
    height, width = (size, size) if isinstance(size, int) else size
    with jax.named_scope("resize"):
        for axis, new in ((1, height), (2, width)):
            if x.shape[axis] == new:
                continue
            weights = jnp.asarray(weights_of(x.shape[axis], new), x.dtype)
            dimensions = (((1,), (axis,)), ((), ()))
            mixed = lax.dot_general(
                weights, x, dimensions, precision=lax.Precision.HIGHEST
            )
            x = jnp.moveaxis(mixed, 0, axis)
    return x
