"""Central difference pooling (NAS-FAS eq. 6) and max pooling.

Both are written as shifted strided slices, rows first and then columns: XLA's window
reductions, and above all the scatters of their derivatives, are several times slower on
CPU, and these pass any order of forward and reverse differentiation.
"""

import functools
import operator

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike


def _shifts(x: Array, axis: int, window: int, stride: int, fill: float) -> list[Array]:
    """The ``window`` strided views of x along an axis, padded alike on both sides."""
    half = window // 2
    pad = [(0, 0, 0)] * x.ndim
    pad[axis] = (half, half, 0)
    padded = lax.pad(x, jnp.asarray(fill, x.dtype), pad)
    stop = padded.shape[axis] - window + 1
    return [lax.slice_in_dim(padded, i, i + stop, stride, axis) for i in range(window)]


def _check(window: int) -> None:
    if window % 2 != 1:
        raise ValueError(f"pooling window must be odd to have a centre, got {window}")


def _larger(a: Array, b: Array) -> Array:
    """As jnp.maximum, but ties give all of the derivative to a: a cheaper program."""
    return jnp.where((a >= b) | (a != a), a, b)


def cdp(x: Array, lam: ArrayLike = 0.7, *, window: int = 3, stride: int = 2) -> Array:
    """Central difference pooling: the window's mean less ``lam`` times its centre.

    NAS-FAS eq. 6; ``lam`` 0 is average pooling.  A padded neighbour counts as a zero
    and the mean always divides by ``window ** 2``, the size of R in eq. 5.  Windows are
    centred on every ``stride``-th pixel, from the first.

    Args:
      x: [N, H, W, C].
      lam: scalar or [C].  May be traced.
      window: odd side of the window, in pixels.
      stride: pixels between neighbouring outputs.

    Returns:
      [N, ceil(H / stride), ceil(W / stride), C].

    Raises:
      ValueError: an even window, or lam neither a scalar nor [C].
    """
    _check(window)
    lam = jnp.asarray(lam, x.dtype)
    if lam.shape not in ((), x.shape[-1:]):
        raise ValueError(
            f"lam must be a scalar or [{x.shape[-1]}], one per channel of x, "
            f"got the shape {lam.shape}"
        )
    rows = _shifts(x, 1, window, stride, 0.0)
    taps = [tap for row in rows for tap in _shifts(row, 2, window, stride, 0.0)]
    total = functools.reduce(operator.add, taps)
    centre = x[:, ::stride, ::stride]
    return total / window**2 - lam.reshape(1, 1, 1, -1) * centre


def max_pool(x: Array, *, window: int = 3, stride: int = 2) -> Array:
    """The largest value of each window, centred on every ``stride``-th pixel.

    Where values tie, the derivative goes to the first row's first column.  (Behind a
    ReLU ties are zeros, through which no derivative passes anyway.)  NaN wins.

    Args:
      x: [N, H, W, C].
      window: odd side of the window, in pixels; padding never wins.
      stride: pixels between neighbouring outputs.

    Returns:
      [N, ceil(H / stride), ceil(W / stride), C].

    Raises:
      ValueError: an even window.
    """
    _check(window)
    for axis in (1, 2):
        shifts = _shifts(x, axis, window, stride, -jnp.inf)
        x = functools.reduce(_larger, shifts)
    return x


def halve(x: Array) -> Array:
    """The largest value of every 2 x 2 block, [N, H, W, C] to [N, H/2, W/2, C].

    Ties as in `max_pool`.

    Raises:
      ValueError: an odd height or width.
    """
    if x.shape[1] % 2 or x.shape[2] % 2:
        raise ValueError(f"blocks of 2 x 2 need even sides, got the shape {x.shape}")
    rows = _larger(x[:, ::2], x[:, 1::2])
    return _larger(rows[:, :, ::2], rows[:, :, 1::2])


def average_to(x: Array, size: tuple[int, ...]) -> Array:
    """Means of equal blocks, [N, H, W, C] to [N, *size, C].

    PyTorch's adaptive average pooling where the sides are multiples.

    Raises:
      ValueError: a side that is no multiple of the new one.
    """
    count, height, width, channels = x.shape
    if height % size[0] or width % size[1]:
        raise ValueError(f"{size} does not divide the sides of the shape {x.shape}")
    blocks = (count, size[0], height // size[0], size[1], width // size[1], channels)
    return x.reshape(blocks).mean((2, 4))
