"""Local binary convolution (LBConv; Juefei-Xu et al., CVPR 2017)."""

import jax
import numpy as np
from jax import Array

from nasfas_jax.ops.convolution import convolve


def binary_kernel(
    shape: tuple[int, int, int, int], density: float = 0.5, seed: int = 0
) -> np.ndarray:
    """A fixed kernel of zeros and ones of either sign.

    ``floor(density * size)`` taps are drawn with replacement, as in the authors' code, so
    that a share of ``1 - exp(-density)`` of the taps is not zero.

    Args:
      shape: [KH, KW, I, O].
      density: number of draws over the size of the kernel, from 0 to 1.
      seed: seed of the draws.
    """
    rng = np.random.default_rng(seed)
    kernel = np.zeros(shape, np.float32)
    taps = rng.integers(0, kernel.size, int(density * kernel.size))
    kernel.ravel()[taps] = rng.choice([-1.0, 1.0], taps.size)
    return kernel


def lbconv(x: Array, fixed: Array, kernel: Array) -> Array:
    """Local binary convolution: a fixed convolution, ReLU, and a learned 1 x 1 convolution.

    Args:
      x: [N, H, W, I].
      fixed: [KH, KW, I, M] of x's dtype, odd KH and KW, as of `binary_kernel`.
      kernel: [1, 1, M, O].

    Returns:
      [N, H, W, O].
    """
    return convolve(jax.nn.relu(convolve(x, fixed)), kernel)
