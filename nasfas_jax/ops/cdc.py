"""Central difference convolution as a transform of the kernel (NAS-FAS eq. 3)."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nasfas_jax.ops.convolution import convolve


def _half(window: int, what: str) -> int:
    """Number of pixels from the center of an odd window to its edge."""
    if window % 2 != 1:
        raise ValueError(f"{what}: expected an odd number of pixels, got {window}.")
    return window // 2


def fold_cdc(kernel: Array, theta: ArrayLike) -> Array:
    """Returns the kernel whose plain convolution is the central difference convolution.

    ``sum_n w_n x_n - theta x_0 sum_n w_n`` is one convolution: the center tap is reduced by
    ``theta`` times the sum of the kernel over its window. Pixels outside the image are zeros
    on both sides of the equation.

    Args:
      kernel: [KH, KW, I, O], odd KH and KW.
      theta: 0 (plain convolution) to 1 (differences only); a scalar, or [O], one value per
        output channel. May be traced. Values outside [0, 1] extrapolate.

    Returns:
      [KH, KW, I, O].

    Raises:
      ValueError: an even KH or KW, or theta neither a scalar nor [O].
    """
    height, width, _, features = kernel.shape
    theta = jnp.asarray(theta, kernel.dtype)
    if theta.shape not in ((), (features,)):
        raise ValueError(
            f"theta: expected a scalar or [{features}], one value per output channel of"
            f" the kernel {kernel.shape}, got the shape {theta.shape}."
        )
    center = np.zeros((height, width, 1, 1), kernel.dtype)
    center[_half(height, "kernel height"), _half(width, "kernel width")] = 1
    total = kernel.sum((0, 1), keepdims=True)
    return kernel - center * (theta.reshape(1, 1, 1, -1) * total)


def cdc(
    x: Array,
    kernel: Array,
    theta: ArrayLike = 0.7,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    joined: bool = False,
) -> Array:
    """Central difference convolution (NAS-FAS eq. 3), as one convolution.

    ``y(p0) = sum_n w_n (theta (x(p0 + p_n) - x(p0)) + (1 - theta) x(p0 + p_n))`` with
    zeros outside the image. Windows are centered on every ``stride``-th pixel, from the
    first.

    Args:
      x: [N, H, W, I * groups].
      kernel: [KH, KW, I, O] of x's dtype, odd KH and KW.
      theta: as in `fold_cdc`; a scalar, or [O], one value per output channel.
      stride: pixels between adjacent outputs.
      dilation: pixels between adjacent taps.
      groups: number of channel groups, convolved separately.
      joined: as in `convolve`.

    Returns:
      [N, ceil(H / stride), ceil(W / stride), O].

    Raises:
      ValueError: as `fold_cdc`.
    """
    return convolve(
        x,
        fold_cdc(kernel, theta),
        stride=stride,
        dilation=dilation,
        groups=groups,
        joined=joined,
    )
