"""Preparation of face crops in JAX, for exported programs.

Equal to `views.preprocess`, which prepares records and predictions with NumPy and OpenCV.
"""

import jax
import jax.numpy as jnp
from jax import Array

from nasfas_jax import ops
from nasfas_jax.data.loading.views import View
from nasfas_jax.data.preparation.recipe import Recipe


def frames_read(recipe: Recipe, view: View) -> int:
    """Number of frames read by a view: 1 for the current frame alone, else K."""
    only_last = {name for name, _ in view.images} == {"static"}
    return 1 if only_last else recipe.frames


def network_input(frames: Array, recipe: Recipe, view: View) -> Array:
    """Computes the network input, float32 [n, S, S, C], or [n, K, S, S, C] for frames.

    Args:
      frames: RGB face crops, uint8 [n, K, S, S, 3], the current frame last; K is
        `frames_read`.
      recipe: settings of the records.
      view: input, color space and range.
    """
    images: dict[str, Array] = {"static": frames[:, -1], "frames": frames}
    if {name for name, _ in view.images} - set(images):
        images |= jax.vmap(lambda clip: _pooled(clip, recipe))(frames)
    parts = []
    for name, color in view.images:
        signed = images[name].astype(jnp.float32) * (2 / 255) - 1
        parts.append(_recolored(signed, color))
    joined = jnp.concatenate(parts, -1)
    return joined if view.pixels == "signed" else (joined + 1) / 2


def _pooled(clip: Array, recipe: Recipe) -> dict[str, Array]:
    """Dynamic and static-dynamic image of a clip, as `extract.pool_clip`."""
    clip = clip.astype(jnp.float32)
    moved = clip[:-1] - clip[-1:]
    flat = moved.reshape(len(moved), -1)
    gram = jnp.matmul(flat, flat.T, precision=jax.lax.Precision.HIGHEST) / 255**2
    weights = ops.rank_weights(jnp.pad(gram, (0, 1)), recipe.method)[:-1]
    dynamic = (weights[:, None, None, None] * moved).sum(0)
    if recipe.peak:
        largest = jnp.abs(dynamic).max()
        dynamic *= 255 * recipe.peak / jnp.where(largest > 0, largest, 1)
    return {"dynamic": _stretched(dynamic), "image": _stretched(clip[-1] + dynamic)}


def _stretched(values: Array) -> Array:
    """Values scaled from their range to whole numbers from 0 to 255."""
    low, high = values.min(), values.max()
    apart = high > low
    scaled = jnp.round((values - low) * (255 / jnp.where(apart, high - low, 1)))
    return jnp.where(apart, scaled, 0)


def _recolored(image: Array, color: str) -> Array:
    """Converts an RGB image in [-1, 1] to a color space, as `views.recolored`."""
    if color == "rgb":
        return image
    unit = (image + 1) / 2
    red, green, blue = unit[..., :1], unit[..., 1:2], unit[..., 2:]
    if color == "ycbcr":
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        found = [luma, (blue - luma) * 0.564 + 0.5, (red - luma) * 0.713 + 0.5]
        return jnp.concatenate(found, -1) * 2 - 1
    value = unit.max(-1, keepdims=True)
    spread = value - unit.min(-1, keepdims=True)
    by = jnp.where(spread > 0, spread, 1)
    hue = jnp.where(
        value == red,
        (green - blue) / by,
        jnp.where(value == green, 2 + (blue - red) / by, 4 + (red - green) / by),
    )
    hue = jnp.where(hue < 0, hue + 6, hue) / 6
    saturation = spread / jnp.where(value > 0, value, 1)
    found = jnp.concatenate([hue, saturation, value], -1) * 2 - 1
    return jnp.concatenate([image, found], -1) if color == "rgb_hsv" else found
