"""Eulerian video magnification: small motions of a video, made visible."""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nasfas_jax.ops.biquad import biquad
from nasfas_jax.ops.resize import resize

#: Weights of red, green and blue in luminance (ITU-R BT.601).
LUMINANCE = (0.299, 0.587, 0.114)


def bandpass(low: float, high: float, rate: float) -> tuple[Array, Array]:
    """Coefficients of a Butterworth bandpass of first order for `biquad`.

    As ``scipy.signal.butter(1, (low, high), "bandpass", fs=rate)``: the bilinear transform
    of ``w s / (s^2 + w s + c^2)``, with the band ends ``tan(pi f / rate)``, their
    difference w and their geometric mean c. A constant signal gives zero.

    Args:
      low: lower end of the band, in hertz.
      high: upper end, in hertz, below ``rate / 2``.
      rate: frames per second.

    Returns:
      (b [3], a [2]).

    Raises:
      ValueError: not ``0 < low < high < rate / 2``.
    """
    if not 0 < low < high < rate / 2:
        raise ValueError(
            "expected (low, high) in hertz with 0 < low < high < half of the frame rate,"
            f" {rate / 2:g}, got ({low:g}, {high:g})."
        )
    ends = math.tan(math.pi * low / rate), math.tan(math.pi * high / rate)
    width, center = ends[1] - ends[0], ends[0] * ends[1]
    scale = 1 + width + center
    b = jnp.array([width / scale, 0.0, -width / scale])
    a = jnp.array([2 * (center - 1) / scale, (1 - width + center) / scale])
    return b, a


def magnify(
    frames: Array,
    b: Array,
    a: Array,
    factor: ArrayLike = 10.0,
    *,
    wavelength: float = 16.0,
) -> Array:
    """Magnifies the motions that a temporal filter lets through (Wu et al., 2012).

    A Laplacian pyramid of luminance is filtered over time, pixel by pixel; each level is
    amplified and added to all colors. To first order, a translation by d pixels becomes
    one by (1 + factor) d. The bound ``(1 + factor) d < wavelength / 8`` of that
    approximation limits the factor of a level of shorter waves to
    ``(1 + factor) * (its wavelength) / wavelength - 1``. The smallest level, of at most
    8 pixels, is not amplified.

    Args:
      frames: RGB clips [N, T, H, W, 3], of any range.
      b: feedforward coefficients of the filter [3], as in `biquad`; see `bandpass`.
      a: feedback coefficients [2].
      factor: amplification of the motions, not negative; may be traced.
      wavelength: shortest spatial wavelength, in pixels, whose level of the pyramid has
        the whole factor. As levels overlap, waves of this length have about half of it,
        and waves of four times this length nine tenths.

    Returns:
      Magnified clips [N, T, H, W, 3]; values may leave the range.

    Raises:
      ValueError: as `biquad`, or frames without three colors.
    """
    if frames.ndim != 5 or frames.shape[-1] != 3:
        raise ValueError(f"frames: expected [N, T, H, W, 3], got {list(frames.shape)}.")
    clips = frames.shape[:2]
    image = (frames @ jnp.asarray(LUMINANCE, frames.dtype))[..., None]
    image = image.reshape(-1, *image.shape[2:])
    changes = []
    while min(image.shape[1:3]) > 8:
        height, width = image.shape[1:3]
        shape = (len(image), height // 2, width // 2, 1)
        small = jax.image.resize(image, shape, "linear", antialias=True)
        detail = image - resize(small, (height, width))
        detail = detail.reshape(*clips, *detail.shape[1:])
        # Without its first frame: the filter starts at rest.
        filtered = biquad(detail - detail[:, :1], b, a)
        changes.append(filtered.reshape(-1, *filtered.shape[2:]))
        image = small
    change = jnp.zeros_like(image)
    for level, filtered in reversed(list(enumerate(changes))):
        # A level holds waves of 2^(level + 1) to 2^(level + 2) pixels.
        wave = 2.0 ** (level + 1.5)
        gain = jnp.clip((1 + factor) * wave / wavelength - 1, 0, factor)
        change = resize(change, filtered.shape[1:3]) + gain * filtered
    return frames + change.reshape(*clips, *change.shape[1:])
