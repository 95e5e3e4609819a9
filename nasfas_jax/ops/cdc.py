"""Central difference convolution as a transform of the kernel (NAS-FAS eq. 3)."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike

_MANY_PIXELS = 2**14


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
    folded = fold_cdc(kernel, theta)
    if groups == 1 and _taps_pay(x):
        return _conv_by_taps(x, folded, stride, dilation)
    return _conv(x, folded, stride, dilation, groups)


def _conv(x: Array, kernel: Array, stride: int, dilation: int, groups: int) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        # Never 'SAME': at stride 2 it shifts the window's centre away from x(p0).
        padding=[(dilation * (k // 2),) * 2 for k in kernel.shape[:2]],
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _taps_pay(x: Array) -> bool:
    """Whether the kernel's derivative is faster as matrix products: CPU, many pixels."""
    pixels = math.prod(x.shape[:-1])
    return jax.default_backend() == "cpu" and pixels >= _MANY_PIXELS


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _conv_by_taps(x: Array, kernel: Array, stride: int, dilation: int) -> Array:
    """`_conv` whose derivative by the kernel is one matrix product a tap.

    XLA's own, a convolution with a window as large as the image, runs on CPU at a third
    of the speed of the other two convolutions of a training step.  The rule is plain JAX
    code, so both modes and derivatives of any order go through it.
    """
    return _conv(x, kernel, stride, dilation, 1)


@functools.partial(_conv_by_taps.defjvp, symbolic_zeros=True)
def _conv_by_taps_jvp(stride, dilation, primals, tangents):
    x, kernel = primals
    dx, dkernel = tangents
    terms = []
    if not isinstance(dx, SymbolicZero):
        terms.append(_conv_by_taps(dx, kernel, stride, dilation))
    if not isinstance(dkernel, SymbolicZero):
        terms += _taps(x, dkernel, stride, dilation)
    return _conv_by_taps(x, kernel, stride, dilation), sum(terms)


def _taps(x: Array, kernel: Array, stride: int, dilation: int) -> list[Array]:
    """The terms of a convolution, one for each place in its window."""
    _, height, width, _ = x.shape
    kh, kw = kernel.shape[:2]
    rows, columns = (dilation * (k // 2) for k in (kh, kw))
    padded = jnp.pad(x, ((0, 0), (rows, rows), (columns, columns), (0, 0)))
    terms = []
    for u, v in np.ndindex(kh, kw):
        top, left = u * dilation, v * dilation
        view = padded[:, top : top + height : stride, left : left + width : stride]
        terms.append(view @ kernel[u, v])
    return terms


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
