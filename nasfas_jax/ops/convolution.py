"""Convolution whose derivatives are fast on CPU in loops and branches too.

XLA's CPU backend has fast kernels for convolutions in one layout (NHWC x HWIO), and
converts other layouts to it only at the top level of a program. JAX's derivatives have
other layouts: inside ``scan`` and ``cond``, as in meta-gradients, they are 15 times slower.
On CPU, therefore, the convolution of stride 1 is a primitive defined here, a sum of
convolutions ``x_i * k_i``: it is linear in each x and each k, and all of its transposes are
such sums in that layout, so that derivatives of any order, in both modes, consist of it. The
derivative of ``x * k`` along ``(x', k')``, ``x' * k + x * k'``, is one convolution of twice
as many channels, which is faster than two where there are few.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from nasfas_jax.ops import platform

#: Number of pixels from which on (with 32 channels or more) the derivative by the kernel is
#: faster as matrix products than as a convolution with the image as its window.
MANY_PIXELS = 2**15
#: Number of pixels per block, small enough for the cache.
BLOCK_PIXELS = 2**12

#: Number of features that XLA's CPU kernels compute at once.
LANES = 16
#: Number of images below which derivatives by a kernel are computed on strips of images.
CORRELATED = 8

#: Largest number of output channels of `joined_pixels`, all pixels together.
JOINED_CHANNELS = 32
#: Least numbers of channels, on both sides, and of pixels for which `_with_column` is faster.
COLUMN_CHANNELS, COLUMN_PIXELS = 24, 2**13

Padding = tuple[tuple[int, int], tuple[int, int]]


def convolve(
    x: Array,
    kernel: Array,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    joined: bool = False,
) -> Array:
    """Convolution of [N, H, W, I * groups] with [KH, KW, I, O], odd KH and KW.

    Zeros outside the image; windows centered on every ``stride``-th pixel, from the
    first. (Never 'SAME' padding: at stride 2 it shifts the center of the window.)

    Args:
      x: images.
      kernel: weights.
      stride: pixels between adjacent outputs.
      dilation: pixels between adjacent taps.
      groups: number of channel groups, convolved separately.
      joined: whether few output channels of adjacent pixels are computed together, see
        `joined_pixels`; on CPU, at stride and dilation 1, it is faster and rounds
        differently.
    """
    pads = [dilation * (k // 2) for k in kernel.shape[:2]]
    padding = ((pads[0], pads[0]), (pads[1], pads[1]))
    if groups == 1 and platform.for_cpu():
        if (stride, dilation) == (1, 1):
            return convolution_p.bind(x, kernel, padding=padding, joined=joined)
        if (stride, dilation) == (2, 1):
            return strided_convolution(x, kernel)
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=padding,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


@jax.jit
def strided_convolution(x: Array, kernel: Array) -> Array:
    """The convolution of stride 2 as one of stride 1, over blocks of 2 x 2 pixels.

    The pixels of a block become channels, and the kernel, with zeros around it, is cut
    into blocks in the same way. A 3 x 3 kernel becomes one of 2 x 2 blocks.
    """
    height, width, channels, features = kernel.shape
    pads, rows = [], []
    for size in (height, width):
        half = size // 2
        low = (half + 1) // 2  # blocks before that of the center
        blocks = low + half // 2 + 1
        pads.append((low, blocks - 1 - low))
        rows.append((half % 2, 2 * blocks - size - half % 2))
    kernel = jnp.pad(kernel, (*rows, (0, 0), (0, 0)))
    x = jnp.pad(x, ((0, 0), *((0, side % 2) for side in x.shape[1:3]), (0, 0)))
    blocks = (kernel.shape[0] // 2, kernel.shape[1] // 2)
    kernel = kernel.reshape(blocks[0], 2, blocks[1], 2, channels, features)
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5).reshape(*blocks, -1, features)
    sides = (x.shape[1] // 2, x.shape[2] // 2)
    x = x.reshape(-1, sides[0], 2, sides[1], 2, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, *sides, 4 * channels)
    return convolution_p.bind(x, kernel, padding=tuple(pads), joined=False)


def depthwise(x: Array, kernel: Array, *, stride: int = 1, dilation: int = 1) -> Array:
    """A convolution of each channel with a kernel of its own.

    On CPU it is a sum of shifted products: XLA's grouped convolution is 30 times slower.

    Args:
      x: [N, H, W, C].
      kernel: [KH, KW, 1, C], odd KH and KW.
      stride: pixels between adjacent outputs.
      dilation: pixels between adjacent taps.

    Returns:
      [N, ceil(H / stride), ceil(W / stride), C].
    """
    if not platform.for_cpu():
        groups = x.shape[-1]
        return convolve(x, kernel, stride=stride, dilation=dilation, groups=groups)
    return shifted_products(x, kernel, stride=stride, dilation=dilation)


@functools.partial(jax.jit, static_argnames=("stride", "dilation"))
def shifted_products(x: Array, kernel: Array, *, stride: int, dilation: int) -> Array:
    """`depthwise` as a sum over the taps of the kernel."""
    window = kernel.shape[:2]
    pads = [dilation * (k // 2) for k in window]
    padded = jnp.pad(x, ((0, 0), *((p, p) for p in pads), (0, 0)))
    out: Array | float = 0.0
    for row, column in np.ndindex(*window):
        i, j = row * dilation, column * dilation
        tap = padded[:, i : i + x.shape[1] : stride, j : j + x.shape[2] : stride]
        out = out + tap * kernel[row, column].reshape(1, 1, 1, -1)
    return jnp.asarray(out)


def convolve_to_one(x: Array, kernel: Array) -> Array:
    """`convolve` to one channel; on CPU, one matrix product and a sum of shifted planes.

    The product of all pixels with all taps of the kernel gives a plane for each tap. On
    CPU this takes a quarter of the time of XLA's convolution, which is made for many
    output channels. Sums are computed in float32 or wider there.

    Args:
      x: [N, H, W, C].
      kernel: [KH, KW, C, 1] of x's dtype, odd KH and KW.

    Returns:
      [N, H, W, 1].

    Raises:
      ValueError: a kernel of another shape.
    """
    height, width, channels, features = kernel.shape
    if features != 1 or channels != x.shape[-1] or not height % 2 or not width % 2:
        raise ValueError(
            f"kernel: expected [KH, KW, {x.shape[-1]}, 1] with odd KH and KW, got"
            f" {kernel.shape}."
        )
    if not platform.for_cpu():
        return convolve(x, kernel)
    wide = x.dtype if x.dtype.itemsize >= 4 else jnp.dtype(jnp.float32)
    planes = lax.dot_general(
        kernel.reshape(-1, channels),
        x,
        (((1,), (3,)), ((), ())),
        preferred_element_type=wide,
    )
    pads = (height // 2, width // 2)
    planes = jnp.pad(planes, ((0, 0), (0, 0), *((p, p) for p in pads)))
    rows, columns = x.shape[1:3]
    total = jnp.zeros(x.shape[:-1], wide)
    for plane, (i, j) in zip(planes, np.ndindex(height, width), strict=True):
        total += plane[:, i : i + rows, j : j + columns]
    return total[..., None].astype(x.dtype)


def joined_pixels(width: int, features: int) -> int:
    """Number of adjacent pixels whose outputs are computed together, 1, 2 or 4.

    XLA's CPU kernels are slow for few output channels. A kernel that holds n shifted copies
    of itself, at stride n, has n times as many, at 1.3 (n = 2) or 2 times (n = 4) as many
    products for 3 x 3 pixels.

    Args:
      width: width of the output in pixels.
      features: number of output channels.
    """
    most = JOINED_CHANNELS // features
    return next((n for n in (4, 2) if n <= most and not width % n), 1)


#: ``(*xs, *kernels) -> sum of convolutions`` of stride 1, with explicit padding. Its
#: derivatives have several terms, which are computed as one convolution of more channels.
convolution_p = Primitive("nasfas_convolution")


def _pairs(operands: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Each x with its kernel."""
    count = len(operands) // 2
    return list(zip(operands[:count], operands[count:], strict=True))


def _bind(pairs: Sequence[tuple[Any, Any]], **settings: Any) -> Array:
    """The sum of the convolutions of pairs."""
    xs, kernels = zip(*pairs, strict=True)
    return convolution_p.bind(*xs, *kernels, **settings)


def _xla(*operands: Array, padding: Padding, joined: bool) -> Array:
    pairs = _pairs(operands)
    x = jnp.concatenate([x for x, _ in pairs], -1)
    kernel = jnp.concatenate([kernel for _, kernel in pairs], 2)
    window, _, features = kernel.shape[1:]
    width = x.shape[2] + sum(padding[1]) - window + 1
    count = joined_pixels(width, features) if joined else 1
    if count > 1:
        kernel = _shifted_copies(kernel, count)
    elif _with_column(x, kernel, width):
        padding = padding[0], (padding[1][0], padding[1][1] + 1)
    y = lax.conv_general_dilated(
        x, kernel, (1, count), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y.reshape(*y.shape[:2], -1, features)[:, :, :width]


def _with_column(x: Array, kernel: Array, width: int) -> bool:
    """Whether a convolution is faster with one more column, which is cut off.

    XLA has two libraries for convolutions of float32 on CPU, and no choice between them for
    one convolution: YNNPACK computes those whose output is not larger than their input, and
    Eigen the others, in about half of the time where there are many channels and pixels.
    """
    return (
        x.dtype == jnp.float32
        and width == x.shape[2]
        and min(kernel.shape[2:]) >= COLUMN_CHANNELS
        and math.prod(x.shape[:3]) >= COLUMN_PIXELS
    )


def _shifted_copies(kernel: Array, count: int) -> Array:
    """[KH, KW + count - 1, I, count * O], copy i shifted by i pixels.

    Rows that are one longer than the copies, cut out of one line of repeated kernels, are
    shifted by one more pixel each.
    """
    height, window, channels, features = kernel.shape
    kernel = jnp.pad(kernel, ((0, 0), (0, count), (0, 0), (0, 0)))
    line = jnp.tile(kernel, (1, count, 1, 1))[:, : count * (window + count - 1)]
    copies = line.reshape(height, count, -1, channels, features)
    return copies.transpose(0, 2, 3, 1, 4).reshape(
        height, -1, channels, count * features
    )


def _shape(*operands, padding: Padding, joined: bool):
    form = functools.partial(_xla, padding=padding, joined=joined)
    out = jax.eval_shape(form, *operands)
    return ShapedArray(out.shape, out.dtype)


def _derivative(primals, tangents, **settings: Any):
    """The value and its derivative along tangents, two sums of convolutions."""
    value = convolution_p.bind(*primals, **settings)
    terms = []
    for (x, kernel), (dx, d_kernel) in zip(
        _pairs(primals), _pairs(tangents), strict=True
    ):
        terms += [] if type(dx) is ad.Zero else [(dx, kernel)]
        terms += [] if type(d_kernel) is ad.Zero else [(x, d_kernel)]
    return value, _bind(terms, **settings)


def _transpose(ct, *operands, **settings: Any) -> list[Array | None]:
    """Cotangents of the operands that the sum is linear in; None for the others."""
    if type(ct) is ad.Zero:
        return [None for _ in operands]
    linear = ad.is_undefined_primal
    pairs = _pairs(operands)
    return [
        *(_to_x(ct, k, **settings) if linear(x) else None for x, k in pairs),
        *(_to_kernel(ct, x, k, **settings) if linear(k) else None for x, k in pairs),
    ]


def _flipped_padding(window: tuple[int, ...], padding: Padding) -> Padding:
    """Padding of a convolution's output, for the transposed convolution."""
    height, width = (
        (k - 1 - low, k - 1 - high)
        for k, (low, high) in zip(window, padding, strict=True)
    )
    return height, width


def _to_x(ct: Array, kernel: Array, *, padding: Padding, joined: bool) -> Array:
    """Convolution with the flipped kernel and its channels exchanged."""
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    padding = _flipped_padding(kernel.shape[:2], padding)
    return _bind([(ct, flipped)], padding=padding, joined=joined)


def _to_kernel(ct: Array, x: Array, kernel, *, padding: Padding, joined: bool) -> Array:
    """Sums over pixels of ``x * ct``, for every offset between them.

    Images become channels, and the window is the image. Of the channels of x and those of
    ct, those become the features that XLA's kernels make better use of.
    """
    del joined
    window, channels, features = kernel.aval.shape[:2], x.shape[-1], ct.shape[-1]
    if math.prod(ct.shape[:-1]) >= MANY_PIXELS and channels >= 32:
        return _taps(ct, x, window, padding)
    if _use_of_lanes(channels) > _use_of_lanes(features):
        padding = _flipped_padding(window, padding)
        flipped = _correlation(ct, x, padding)
        return flipped[:, ::-1, ::-1].transpose(1, 2, 3, 0)
    return _correlation(x, ct, padding).transpose(1, 2, 0, 3)


def _use_of_lanes(features: int) -> tuple[float, int]:
    """Share of the lanes that features fill, and their number, to be compared."""
    return features / (-(-features // LANES) * LANES), features


def _correlation(x: Array, y: Array, padding: Padding) -> Array:
    """``sum_p x[p + shift] y[p]`` of all channels, [channels of x, shifts, channels of y].

    Few images are cut into strips of rows, so that there are `CORRELATED` of them.
    """
    height = y.shape[1]
    strips = max(1, CORRELATED // len(x))
    while height % strips:
        strips -= 1
    if strips > 1:
        x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
        rows, seen = height // strips, x.shape[1] - height + height // strips
        parts = [x[:, i : i + seen] for i in range(0, height, rows)]
        x = jnp.stack(parts, 1).reshape(-1, seen, *x.shape[2:])
        y = y.reshape(-1, rows, *y.shape[2:])
        padding = ((0, 0), (0, 0))
    pair = x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3)
    return _bind([pair], padding=padding, joined=False)


def _taps(ct: Array, x: Array, window: tuple[int, int], padding: Padding) -> Array:
    """[KH, KW, I, O]: a matrix product for each of KH * KW shifts, by blocks of rows."""
    _, height, width, features = ct.shape
    channels = x.shape[-1]
    rows = max(1, BLOCK_PIXELS // width)
    rows = next(r for r in range(min(rows, height), 0, -1) if height % r == 0)
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    seen = rows + window[0] - 1
    blocks = jnp.stack([padded[:, r : r + seen] for r in range(0, height, rows)], 1)

    def add(total: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
        block, columns = pair
        taps = [
            block[u : u + rows, v : v + width].reshape(-1, channels).T @ columns
            for u, v in np.ndindex(*window)
        ]
        return total + jnp.stack(taps), None

    zero = jnp.zeros((math.prod(window), channels, features), ct.dtype)
    blocks = blocks.reshape(-1, *blocks.shape[2:])
    total, _ = lax.scan(add, zero, (blocks, ct.reshape(-1, rows * width, features)))
    return total.reshape(*window, channels, features)


def _batch(arrays, axes, **settings: Any):
    return jax.vmap(functools.partial(_xla, **settings), in_axes=axes)(*arrays), 0


convolution_p.def_impl(jax.jit(_xla, static_argnames=("padding", "joined")))
convolution_p.def_abstract_eval(_shape)
ad.primitive_jvps[convolution_p] = _derivative
ad.primitive_transposes[convolution_p] = _transpose
batching.primitive_batchers[convolution_p] = _batch
mlir.register_lowering(convolution_p, mlir.lower_fun(_xla, multiple_results=False))
