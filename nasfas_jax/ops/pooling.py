"""Central difference pooling (NAS-FAS eq. 6) and max pooling.

Both are written as shifted strided slices, rows first and then columns, which can be
differentiated to any order in both modes. On CPU, XLA's window reductions and the scatters in
their derivatives are several times slower. Exported programs (`platform.portable`) have
window reductions, for which other runtimes have one fast step.
"""

import functools
import operator
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from nasfas_jax.ops import platform


def _shifts(x: Array, axis: int, window: int, stride: int, fill: float) -> list[Array]:
    """The ``window`` strided views of x along an axis, with equal padding on both sides."""
    half = window // 2
    pad = [(0, 0, 0)] * x.ndim
    pad[axis] = (half, half, 0)
    padded = lax.pad(x, jnp.asarray(fill, x.dtype), pad)
    stop = padded.shape[axis] - window + 1
    return [lax.slice_in_dim(padded, i, i + stop, stride, axis) for i in range(window)]


def _reduced(
    x: Array, start: float, operation: Callable[..., Array], window: int, stride: int
) -> Array:
    """Reduction of each window by one step, which has no derivatives of every order."""
    half = window // 2
    return lax.reduce_window(
        x,
        np.asarray(start, x.dtype),
        operation,
        (1, window, window, 1),
        (1, stride, stride, 1),
        ((0, 0), (half, half), (half, half), (0, 0)),
    )


def _check(window: int) -> None:
    if window % 2 != 1:
        raise ValueError(f"window: expected an odd number of pixels, got {window}.")


def _larger(a: Array, b: Array) -> Array:
    """The larger value; where equal, ``a`` has all of the derivative (a cheaper program)."""
    return jnp.where((a >= b) | (a != a), a, b)


def cdp(x: Array, lam: ArrayLike = 0.7, *, window: int = 3, stride: int = 2) -> Array:
    """Central difference pooling (NAS-FAS eq. 6): window mean minus ``lam`` times center.

    Pixels outside the image are zeros, and the mean always divides by ``window ** 2``, the
    size of R in eq. 5. Windows are centered on every ``stride``-th pixel, from the first.

    Args:
      x: [N, H, W, C].
      lam: 0 (average pooling) to 1 (differences only); a scalar, or [C], one value per
        channel. May be traced. Values outside [0, 1] extrapolate.
      window: side of the window in pixels, odd.
      stride: pixels between adjacent outputs.

    Returns:
      [N, ceil(H / stride), ceil(W / stride), C].

    Raises:
      ValueError: an even window, or lam neither a scalar nor [C].
    """
    _check(window)
    lam = jnp.asarray(lam, x.dtype)
    if lam.shape not in ((), x.shape[-1:]):
        raise ValueError(
            f"lam: expected a scalar or [{x.shape[-1]}], one value per channel of x, got"
            f" the shape {lam.shape}."
        )
    if platform.is_portable():
        total = _reduced(x, 0.0, lax.add, window, stride)
    else:
        rows = _shifts(x, 1, window, stride, 0.0)
        taps = [tap for row in rows for tap in _shifts(row, 2, window, stride, 0.0)]
        total = functools.reduce(operator.add, taps)
    center = x[:, ::stride, ::stride]
    return total / window**2 - lam.reshape(1, 1, 1, -1) * center


def average_pool(x: Array, *, window: int = 3, stride: int = 2) -> Array:
    """The mean of each window over its pixels inside the image (as in DARTS).

    Args:
      x: [N, H, W, C].
      window: side of the window in pixels, odd.
      stride: pixels between adjacent outputs.

    Returns:
      [N, ceil(H / stride), ceil(W / stride), C].

    Raises:
      ValueError: an even window.
    """
    _check(window)
    rows, columns = (_inside(side, window, stride) for side in x.shape[1:3])
    share = np.outer(rows, columns)[None, :, :, None] / window**2
    if platform.is_portable():
        mean = _reduced(x, 0.0, lax.add, window, stride) / window**2
        return mean * jnp.asarray(1 / share, x.dtype)
    total = cdp(x, 0.0, window=window, stride=stride)
    return total / jnp.asarray(share, x.dtype)


def _inside(side: int, window: int, stride: int) -> np.ndarray:
    """Number of pixels inside the image of each window along an axis."""
    centers, half = np.arange(0, side, stride), window // 2
    return np.minimum(centers + half, side - 1) - np.maximum(centers - half, 0) + 1


def max_pool(x: Array, *, window: int = 3, stride: int = 2) -> Array:
    """The largest value of each window, centered on every ``stride``-th pixel.

    Of equal values, the one in the first row and column has the derivative. (After a ReLU
    they are zeros, where it vanishes anyway.) A window with NaN gives NaN.

    Args:
      x: [N, H, W, C].
      window: side of the window in pixels, odd; padding is below every value.
      stride: pixels between adjacent outputs.

    Returns:
      [N, ceil(H / stride), ceil(W / stride), C].

    Raises:
      ValueError: an even window.
    """
    _check(window)
    if platform.is_portable():
        return _reduced(x, -np.inf, lax.max, window, stride)
    for axis in (1, 2):
        shifts = _shifts(x, axis, window, stride, -jnp.inf)
        x = functools.reduce(_larger, shifts)
    return x


def halve(x: Array) -> Array:
    """The largest value of every 2 x 2 block, [N, H, W, C] to [N, H/2, W/2, C].

    Equal values are treated as in `max_pool`.

    Raises:
      ValueError: an odd height or width.
    """
    if x.shape[1] % 2 or x.shape[2] % 2:
        raise ValueError(
            f"x: expected an even height and width, got the shape {x.shape}."
        )
    rows = _larger(x[:, ::2], x[:, 1::2])
    return _larger(rows[:, :, ::2], rows[:, :, 1::2])


def average_to(x: Array, size: tuple[int, ...]) -> Array:
    """Means of equal blocks, [N, H, W, C] to [N, *size, C].

    Equal to PyTorch's adaptive average pooling where the sides are multiples.

    Raises:
      ValueError: a side that is not a multiple of the new one.
    """
    count, height, width, channels = x.shape
    if height % size[0] or width % size[1]:
        raise ValueError(f"{size} does not divide the sides of the shape {x.shape}.")
    blocks = (count, size[0], height // size[0], size[1], width // size[1], channels)
    return x.reshape(blocks).mean((2, 4))
