"""Central difference convolution as a transform of the kernel (NAS-FAS eq. 3)."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nasfas_jax.ops.convolution import convolve


def _half(window: int, what: str) -> int:
    """How far an odd window reaches to each side of its centre."""
    if window % 2 != 1:
        raise ValueError(f"{what} must be odd to have a centre, got {window}")
    return window // 2


def fold_cdc(kernel: Array, theta: ArrayLike) -> Array:
    """The kernel whose plain convolution is the central difference convolution.

    ``theta`` times the sum of the kernel over its window is taken from the centre tap:
    ``sum_n w_n x_n - theta x_0 sum_n w_n`` is one convolution.  Padded neighbours count
    as zeros on both sides of the equation.

    Args:
      kernel: [KH, KW, I, O], odd KH and KW.
      theta: 0 (vanilla) to 1 (differences only); a scalar, or [O], one per output
        channel.  May be traced.

    Returns:
      [KH, KW, I, O].

    Raises:
      ValueError: a window without a centre, or theta neither a scalar nor [O].
    """
    height, width, _, features = kernel.shape
    theta = jnp.asarray(theta, kernel.dtype)
    if theta.shape not in ((), (features,)):
        raise ValueError(
            f"theta must be a scalar or [{features}], one per output channel of the "
            f"kernel {kernel.shape}, got the shape {theta.shape}"
        )
    centre = np.zeros((height, width, 1, 1), kernel.dtype)
    centre[_half(height, "kernel height"), _half(width, "kernel width")] = 1
    total = kernel.sum((0, 1), keepdims=True)
    return kernel - centre * (theta.reshape(1, 1, 1, -1) * total)


def cdc(
    x: Array,
    kernel: Array,
    theta: ArrayLike = 0.7,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """Central difference convolution (NAS-FAS eq. 3), as one convolution.

    ``y(p0) = sum_n w_n (theta (x(p0 + p_n) - x(p0)) + (1 - theta) x(p0 + p_n))`` with
    zeros outside the image.  The window is centred on every ``stride``-th pixel,
    from the first: the output is [N, ceil(H / stride), ceil(W / stride), O].

    Args:
      x: [N, H, W, I * groups].
      kernel: [KH, KW, I, O] of x's dtype, odd KH and KW.
      theta: scalar or [O]; 0 is the vanilla convolution.  May be traced.
      stride: pixels between neighbouring outputs.
      dilation: pixels between neighbouring taps.
      groups: channel groups that are convolved apart.

    Raises:
      ValueError: as `fold_cdc`.
    """
    return convolve(
        x, fold_cdc(kernel, theta), stride=stride, dilation=dilation, groups=groups
    )
