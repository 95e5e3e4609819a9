"""Gabor convolution (GaborConv; Luan et al., TIP 2018)."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from nasfas_jax.ops.convolution import convolve


def gabor_bank(size: int, scale: int = 1, orientations: int = 4) -> np.ndarray:
    """Real Gabor filters of one scale, each from 0 to 1.

    ``(k / s)^2 exp(-(k r / s)^2 / 2) (cos(k r cos(a - b)) - exp(-s^2 / 2))`` at the distance
    r and angle a from the center, for ``k = pi / 2 / sqrt(2)^(scale - 1)``, ``s = pi`` and
    the orientation ``b = pi u / orientations``; then scaled to [0, 1].

    Args:
      size: side of the window, odd.
      scale: from 1, the finest.
      orientations: number of filters, M.

    Returns:
      [size, size, M].
    """
    half, sigma = size // 2, np.pi
    rows, columns = np.mgrid[-half : half + 1, -half : half + 1]
    frequency = np.pi / 2 / np.sqrt(2) ** (scale - 1)
    envelope = np.exp(-((frequency / sigma) ** 2) * (rows**2 + columns**2) / 2)
    bank = []
    for u in range(orientations):
        angle = np.pi * u / orientations
        phase = frequency * (columns * np.cos(angle) + rows * np.sin(angle))
        real = envelope * (np.cos(phase) - np.exp(-(sigma**2) / 2))
        real *= (frequency / sigma) ** 2
        bank.append((real - real.min()) / (real.max() - real.min()))
    return np.stack(bank, -1).astype(np.float32)


def gaborconv(x: Array, kernel: Array, bank: Array, features: int) -> Array:
    """Gabor convolution: every learned kernel in each orientation of a bank.

    Output channel ``i M + u`` is the convolution with ``kernel[..., i] * bank[..., u]``.

    Args:
      x: [N, H, W, I].
      kernel: [K, K, I, ceil(features / M)], K odd.
      bank: [K, K, M] of x's dtype, as of `gabor_bank`.
      features: number of output channels; of the last kernel, the orientations that fit.

    Returns:
      [N, H, W, features].
    """
    turned = jnp.einsum("hwio,hwu->hwiou", kernel, bank)
    return convolve(x, turned.reshape(*kernel.shape[:3], -1)[..., :features])
