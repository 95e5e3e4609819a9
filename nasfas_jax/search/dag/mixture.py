"""The mixture of all candidates on the edges of a cell, as functions of arrays."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nasfas_jax import ops
from nasfas_jax.layers import at_least_float32
from nasfas_jax.search.dag import kernels, layers

#: Of `layers.batch_norm`.
EPSILON = 1e-5


def normalize(x: Array, running: Any) -> tuple[Array, tuple[Array, Array]]:
    """BatchNorm without scale and shift.

    Args:
      x: [N, H, W, C].
      running: mean and variance [C] to use; None for those of the batch.

    Returns:
      [N, H, W, C], and the mean and variance that were used.
    """
    wide, axes = x.astype(at_least_float32(x)), (0, 1, 2)
    mean = wide.mean(axes) if running is None else running[0]
    centered = wide - mean.reshape(1, 1, 1, -1)
    variance = jnp.square(centered).mean(axes) if running is None else running[1]
    scale = jax.lax.rsqrt(variance + EPSILON)
    return (centered * scale.reshape(1, 1, 1, -1)).astype(x.dtype), (mean, variance)


def mix_source(
    space: Any, layout: kernels.Layout, x: Array, own: dict[str, Any], running: Any
) -> tuple[Array, Any]:
    """All edges out of one feature.

    Args:
      space: the search space; selects theta and lambda.
      layout: its candidates.
      x: [N, H, W, C].
      own: ``weights`` [edges, operations] of the candidates in the order of ``layout``,
        ``shares`` [edges] of the bypassed channels, ``params`` of `kernels.init` for one
        cell and feature.
      running: means and variances of both stages, or None for those of the batch.

    Returns:
      The weighted sums of the candidates, [edges, N, ceil(H / stride), ceil(W / stride),
      C] with shuffled channels, and the means and variances that were used.
    """
    edges, width = own["weights"].shape[0], x.shape[-1] // layout.partial
    searched, bypass = x[..., :width], x[..., width:]
    first, second = jax.tree.map(
        lambda kernel: kernel.astype(x.dtype),
        kernels.assemble(space, layout, own["params"], width),
    )
    before, after = (None, None) if running is None else running
    positive, convolved = jax.nn.relu(searched), {}
    for side, names in kernels.by_side(layout).items():
        found = ops.convolve(positive, first[side], stride=layout.stride)
        convolved |= zip(names, jnp.split(found, len(names), -1), strict=True)
    lam = kernels.lam_of(space, own["params"])
    pools = [layers.pooled(n, searched, layout.stride, lam) for n in layout.pools]
    inner = [convolved[name] for name in (*layout.single, *layout.separable)]
    y, seen = normalize(jnp.concatenate([*pools, *inner], -1), before)
    # The last ones are those of two stages.
    end = y.shape[-1] - len(second) * edges * width
    stages = jnp.split(jax.nn.relu(y[..., end:]), len(second), -1)
    stages = [ops.convolve(*pair) for pair in zip(stages, second, strict=True)]
    z, also_seen = normalize(jnp.concatenate(stages, -1), after)
    outputs = [*([searched] if layout.skips else []), y[..., :end], z]
    mixing = _mixing(own["weights"].astype(x.dtype), len(layout.shared), width)
    mixed = jnp.concatenate(outputs, -1) @ mixing
    mixed = mixed.reshape(*mixed.shape[:3], edges, width)
    if layout.stride == 2:
        bypass = ops.halve(_even(bypass)) if bypass.size else bypass[:, ::2, ::2]
    shares = own["shares"].astype(x.dtype).reshape(1, 1, 1, -1, 1)
    joined = jnp.concatenate([mixed, shares * bypass[:, :, :, None]], -1)
    joined = ops.shuffle(joined, layout.partial).transpose(3, 0, 1, 2, 4)
    return joined, (seen, also_seen)


def mix_sources(
    space: Any,
    layout: kernels.Layout,
    features: Array,
    inputs: Array | None,
    own: dict[str, Any],
    running: Any,
) -> tuple[Array, Any]:
    """All edges out of consecutive features: one ``scan``, compiled once.

    Args:
      space: the search space.
      layout: its candidates.
      features: [F, N, h, w, C]; the outputs of the edges are added to the last ones.
      inputs: features that the edges start from, [sources, N, H, W, C]; None for the first
        of ``features``.
      own: as in `mix_source`, with a leading axis of sources.
      running: likewise.

    Returns:
      The new features, and the means and variances with a leading axis of sources.
    """
    sources, edges = own["shares"].shape

    # Recomputed in the backward pass: less memory.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def add(features, step):
        x, own, running = step
        x = features[x] if inputs is None else x
        new, seen = mix_source(space, layout, x, own, running)
        return features.at[-edges:].add(new), seen

    x = jnp.arange(sources) if inputs is None else inputs
    return jax.lax.scan(add, features, (x, own, running))


def _mixing(weights: Array, shared: int, width: int) -> Array:
    """The mixture as a matrix, [outputs, edges * width].

    Args:
      weights: [edges, operations].
      shared: number of operations whose output is the same on all edges; these are first.
      width: channels of an operation.
    """
    edges = weights.shape[0]
    channel, edge = (np.eye(size, dtype=weights.dtype) for size in (width, edges))
    parts = (
        jnp.einsum("to,cd->octd", weights[:, :shared], channel),
        jnp.einsum("to,tu,cd->otcud", weights[:, shared:], edge, channel),
    )
    return jnp.concatenate([part.reshape(-1, edges * width) for part in parts])


def _even(x: Array) -> Array:
    """[N, H, W, C] with even sides: the last row and column are repeated."""
    return jnp.pad(
        x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)), "edge"
    )
