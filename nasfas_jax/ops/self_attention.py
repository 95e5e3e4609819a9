"""Local self-attention, and its mixture with convolution (SelfConv, NAS-FAS sec. 6.3)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nasfas_jax.ops.convolution import convolve


def local_attention(x: Array, weights: Mapping[str, Array]) -> Array:
    """Self-attention within a window (Ramachandran et al., NeurIPS 2019), with one head.

    ``y(p) = sum_n softmax_n(q(p) . (k(p + n) + r_n)) v(p + n)`` over the K x K offsets n,
    with q, k and v 1 x 1 convolutions of x. ``r_n`` joins an embedding of the row of n and
    one of its column. Pixels outside the image are zeros.

    Args:
      x: [N, H, W, I].
      weights: ``query``, ``key``, ``value`` [1, 1, I, O]; ``rows`` [K, R] and ``columns``
        [K, O - R], K odd.

    Returns:
      [N, H, W, O].
    """
    rows, columns = weights["rows"], weights["columns"]
    size = len(rows)
    query, key, value = (
        convolve(x, weights[name]) for name in ("query", "key", "value")
    )
    pad = ((0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0))

    def taps(x: Array) -> Array:
        padded, (height, width) = jnp.pad(x, pad), x.shape[1:3]
        shifts = np.ndindex(size, size)
        return jnp.stack(
            [padded[:, i : i + height, j : j + width] for i, j in shifts], 3
        )

    relative = jnp.concatenate(
        [jnp.repeat(rows, size, 0), jnp.tile(columns, (size, 1))], -1
    )
    logits = jnp.einsum("nhwo,nhwto->nhwt", query, taps(key))
    logits = logits + jnp.einsum("nhwo,to->nhwt", query, relative)
    return jnp.einsum("nhwt,nhwto->nhwo", jax.nn.softmax(logits), taps(value))


def selfconv(
    x: Array, kernel: Array, weights: Mapping[str, Array], theta: ArrayLike = 0.2
) -> Array:
    """``theta`` times `local_attention` plus ``1 - theta`` times convolution.

    Args:
      x: [N, H, W, I].
      kernel: [K, K, I, O] of x's dtype, K odd.
      weights: as in `local_attention`.
      theta: a scalar, or [O]. May be traced.

    Returns:
      [N, H, W, O].
    """
    theta = jnp.asarray(theta, x.dtype).reshape(1, 1, 1, -1)
    return theta * local_attention(x, weights) + (1 - theta) * convolve(x, kernel)
