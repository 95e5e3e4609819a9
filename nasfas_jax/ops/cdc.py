"""Central difference convolution as a transform of the kernel (NAS-FAS eq. 3)."""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike


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
    lowering: str = "conv",
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
      lowering: 'conv', or 'matmul': shifted copies of x side by side and one matrix
        product; stride, dilation and groups must be 1. For XLA on CPU, which brings
        convolutions into the form its fast kernels want only at the top level of a
        program: inside ``scan`` or ``cond`` their derivatives are 15 times slower.

    Raises:
      ValueError: as `fold_cdc`; an unknown lowering, or one that cannot do this.
    """
    if lowering == "matmul":
        if (stride, dilation, groups) != (1, 1, 1):
            raise ValueError(
                "lowering='matmul' needs stride, dilation and groups of 1, got "
                f"{stride}, {dilation} and {groups}; use lowering='conv'"
            )
        return _as_matmul(x, fold_cdc(kernel, theta))
    if lowering != "conv":
        raise ValueError(f"lowering must be 'conv' or 'matmul', got {lowering!r}")
    pads = [dilation * _half(k, "kernel window") for k in kernel.shape[:2]]
    return lax.conv_general_dilated(
        x,
        fold_cdc(kernel, theta),
        window_strides=(stride, stride),
        # Never 'SAME': at stride 2 it shifts the window's centre away from x(p0).
        padding=[(p, p) for p in pads],
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _as_matmul(x: Array, kernel: Array) -> Array:
    """The plain convolution of stride 1 with zeros outside, as one matrix product."""
    height, width, _, features = kernel.shape
    for axis, window in ((1, height), (2, width)):
        half, size = window // 2, x.shape[axis]
        pad = [(half, half) if a == axis else (0, 0) for a in range(x.ndim)]
        padded = jnp.pad(x, pad)
        shifts = [
            lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(window)
        ]
        x = jnp.concatenate(shifts, -1)
    # Channels now run over (column, row, channel of x).
    return x @ kernel.swapaxes(0, 1).reshape(-1, features)
