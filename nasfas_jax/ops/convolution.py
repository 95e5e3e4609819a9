"""Plain convolution, with derivatives that are fast on CPU wherever they stand.

XLA's CPU backend has fast kernels for convolutions in one layout (NHWC x HWIO), and
brings others into it at the top level of a program only. The derivatives that JAX writes
are in other layouts: inside ``scan`` and ``cond``, where meta-gradients live, they run 15
times slower. So on CPU the convolution of stride 1 is a primitive of our own: bilinear,
and both of its transposes are written in that one layout. Derivatives of any order, in
both modes, are made of it again.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

#: From this many pixels on (and 32 channels) the derivative by the kernel is faster as
#: matrix products than as a convolution whose window is the image.
MANY_PIXELS = 2**15
#: Pixels of a block whose taps are read from the cache, not from memory.
BLOCK_PIXELS = 2**12

Padding = tuple[tuple[int, int], tuple[int, int]]


def convolve(
    x: Array, kernel: Array, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> Array:
    """The convolution of [N, H, W, I * groups] with [KH, KW, I, O], odd KH and KW.

    Zeros outside the image; windows centred on every ``stride``-th pixel, from the
    first. (Never 'SAME' padding: at stride 2 it shifts the window's centre.)
    """
    pads = [dilation * (k // 2) for k in kernel.shape[:2]]
    padding = ((pads[0], pads[0]), (pads[1], pads[1]))
    plain = (stride, dilation, groups) == (1, 1, 1)
    if plain and jax.default_backend() == "cpu":
        return convolution_p.bind(x, kernel, padding=padding)
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=padding,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


#: ``(x, kernel) -> y`` of stride 1, with explicit padding.
convolution_p = Primitive("nasfas_convolution")


def _xla(x: Array, kernel: Array, *, padding: Padding) -> Array:
    return lax.conv_general_dilated(
        x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _shape(x, kernel, *, padding: Padding):
    out = jax.eval_shape(functools.partial(_xla, padding=padding), x, kernel)
    return ShapedArray(out.shape, out.dtype)


def _transpose_to_x(ct: Array, x, kernel: Array, *, padding: Padding) -> Array:
    """Correlation becomes convolution: the window flipped, channels exchanged."""
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    height, width = (
        (k - 1 - low, k - 1 - high)
        for k, (low, high) in zip(kernel.shape[:2], padding, strict=True)
    )
    return convolution_p.bind(ct, flipped, padding=(height, width))


def _transpose_to_kernel(ct: Array, x: Array, kernel, *, padding: Padding) -> Array:
    """Sums over pixels of x times ct, for every shift of x against ct."""
    if math.prod(ct.shape[:-1]) >= MANY_PIXELS and x.shape[-1] >= 32:
        return _taps(ct, x, kernel.aval.shape[:2], padding)
    # Channels of x are the batch, images the channels, ct is the kernel.
    shifted = convolution_p.bind(
        x.transpose(3, 1, 2, 0), ct.transpose(1, 2, 0, 3), padding=padding
    )
    return shifted.transpose(1, 2, 0, 3)


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


def _batch(arrays, axes, *, padding: Padding):
    return jax.vmap(functools.partial(_xla, padding=padding), in_axes=axes)(*arrays), 0


convolution_p.def_impl(jax.jit(_xla, static_argnames="padding"))
convolution_p.def_abstract_eval(_shape)
ad.defbilinear(convolution_p, _transpose_to_x, _transpose_to_kernel)
batching.primitive_batchers[convolution_p] = _batch
mlir.register_lowering(convolution_p, mlir.lower_fun(_xla, multiple_results=False))
