"""Losses on maps [B, H, W]: pixel-wise, and on contrasts between neighboring pixels."""

import jax.numpy as jnp
from jax import Array

#: Offsets (down, right) from a pixel to its eight neighbors.
NEIGHBORS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]


def _difference(predicted: Array, target: Array) -> Array:
    if predicted.ndim != 3 or predicted.shape != target.shape:
        raise ValueError(
            "A loss on maps takes two arrays of one shape [B, H, W], got predicted "
            f"{predicted.shape} and target {target.shape}."
        )
    return predicted - target


def pixel_mse(predicted: Array, target: Array) -> Array:
    """Mean of the squared differences over batch and pixels, a scalar.

    Args:
      predicted: [B, H, W].
      target: [B, H, W].

    Raises:
      ValueError: the shapes differ or are not [B, H, W].
    """
    return jnp.square(_difference(predicted, target)).mean()


def contrastive_depth(predicted: Array, target: Array) -> Array:
    """Contrastive depth loss: mean squared error of the slopes in eight directions.

    Each map is filtered by eight 3 x 3 kernels (a neighbor minus the center, without
    padding); the loss, a scalar, is the mean of the squared differences over B, the 8
    directions and the (H - 2) x (W - 2) inner pixels. From FAS-SGTD (Wang et al. 2020,
    eq. 8), as used in NAS-FAS.

    Args:
      predicted: [B, H, W], H and W at least 3.
      target: [B, H, W].

    Raises:
      ValueError: the shapes differ, are not [B, H, W] or have no inner pixel.
    """
    # The filters are linear: the difference of the responses is that of the maps.
    error = _difference(predicted, target)
    _, height, width = error.shape
    if min(height, width) < 3:
        raise ValueError(
            f"Contrastive depth takes maps of 3 x 3 pixels or more, got {error.shape}."
        )
    center = error[:, 1:-1, 1:-1]
    total = jnp.zeros((), error.dtype)
    for i, j in NEIGHBORS:
        neighbor = error[:, 1 + i : height - 1 + i, 1 + j : width - 1 + j]
        total += jnp.square(neighbor - center).mean()
    return total / len(NEIGHBORS)


def depth_loss(predicted: Array, target: Array) -> Array:
    """`pixel_mse` plus `contrastive_depth`, both with weight 1 (NAS-FAS sec. 3.3).

    Args:
      predicted: [B, H, W].
      target: [B, H, W].

    Raises:
      ValueError: the shapes differ, are not [B, H, W] or have no inner pixel.
    """
    return pixel_mse(predicted, target) + contrastive_depth(predicted, target)


def pixel_binary(predicted: Array, target: Array) -> Array:
    """Binary cross entropy, mean over batch and pixels (Auto-FAS eq. 6), a scalar.

    Args:
      predicted: [B, H, W], probabilities. Those closer to 0 or 1 than the precision of
        their type count as that far from it.
      target: [B, H, W], from 0 to 1.

    Raises:
      ValueError: the shapes differ or are not [B, H, W].
    """
    _difference(predicted, target)
    least = jnp.finfo(predicted.dtype).eps
    live = jnp.log(jnp.maximum(predicted, least))
    spoof = jnp.log(jnp.maximum(1 - predicted, least))
    return -(target * live + (1 - target) * spoof).mean()


def deep_pixel(predicted: tuple[Array, Array], target: Array) -> Array:
    """Half `pixel_binary` of maps, half the cross entropy of images (DeepPixBiS), a scalar.

    Args:
      predicted: probabilities of pixels [B, H, W] and of images [B].
      target: [B, H, W], from 0 to 1; its mean is the target of the image.

    Raises:
      ValueError: the shapes differ or are not [B, H, W].
    """
    maps, images = predicted
    means = target.mean((1, 2), keepdims=True)
    return (pixel_binary(maps, target) + pixel_binary(images[:, None, None], means)) / 2


#: Losses of maps by name.
BY_NAME = {"depth": depth_loss, "l2": pixel_mse, "pixel_binary": pixel_binary}
#: Losses of maps of probabilities, which a network without `probabilities` does not predict.
OF_PROBABILITIES = ("pixel_binary",)
