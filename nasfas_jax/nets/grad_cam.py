"""Class activation maps of any layer of any network (Grad-CAM, ICCV 2017)."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nasfas_jax import limits
from nasfas_jax.nets.scores import Scorer, score

#: Function (params, batch_stats, images) to maps, computed by Flax modules.
Predict = Callable[[Any, Any, Array | np.ndarray], Array]
#: Sign of the score by the class of a map.
TOWARD = {"live": 1.0, "spoof": -1.0}


def grad_cam(
    predict: Predict,
    params: Any,
    batch_stats: Any,
    images: Array | np.ndarray,
    *,
    score: Scorer = score,
    layers: Sequence[str] | None = None,
    toward: str = "live",
) -> dict[str, Array]:
    """Class activation maps of layers, for the class live or spoof.

    The channels of a layer, each weighted by the mean derivative of the score over its
    pixels, are summed, and negative sums set to zero.

    Args:
      predict: function to maps [N, h, w].
      params: its parameters.
      batch_stats: its running averages.
      images: [N, ..., S, S, C].
      score: function from maps to scores.
      layers: names of layers, see `feature_shapes`; None for `last_layers`.
      toward: 'live' or 'spoof'.

    Returns:
      Maps [N, h, w] by layer, in the order of computation; the mean over the frames
      where a layer has features of each frame.

    Raises:
      InputError: another name.
    """
    limits.require(toward=(toward, limits.OneOf(TOWARD)))
    shapes = feature_shapes(predict, params, batch_stats, images)
    if layers is None:
        layers = last_layers(shapes)
    limits.require(layers=(layers, limits.Several(limits.OneOf(shapes))))
    dtype = jax.tree.leaves(params)[0].dtype
    zeros = {name: jnp.zeros(shapes[name], dtype) for name in layers}

    def total(
        added: dict[str, Array], params: Any, batch_stats: Any, images: Any
    ) -> tuple[Array, dict[str, Array]]:
        maps, features = _run(predict, params, batch_stats, images, added)
        return TOWARD[toward] * score(maps).sum(), {k: features[k] for k in added}

    differentiate = jax.jit(jax.grad(total, has_aux=True))
    d_score, features = differentiate(zeros, params, batch_stats, images)
    return {k: _weighted(features[k], d_score[k], len(images)) for k in layers}


def last_layers(shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """Names of the last layer at each depth of a network.

    A depth is a run of consecutive layers of one resolution: a network that returns to a
    resolution, as a pyramid does, has several depths of it. Layers within blocks, and those
    of one channel or one pixel, are left out.

    Args:
      shapes: `feature_shapes` of the network.
    """
    wide = [k for k, shape in shapes.items() if "/" not in k and min(shape[-3:]) > 1]
    runs = itertools.groupby(wide, key=lambda name: tuple(shapes[name][-3:-1]))
    return [list(run)[-1] for _, run in runs]


def feature_shapes(
    predict: Predict, params: Any, batch_stats: Any, images: Array | np.ndarray
) -> dict[str, tuple[int, ...]]:
    """Shapes of the layers' features by the layers' names, in the order of computation.

    Layers are the Flax modules whose output, or the first of whose outputs, is an array
    [..., h, w, C]. Their names are those of the modules, from the network down; a repeated
    one has a number.

    Args:
      predict: as in `grad_cam`.
      params: as in `grad_cam`.
      batch_stats: as in `grad_cam`.
      images: as in `grad_cam`.
    """
    names: list[str] = []  # in order; JAX sorts the keys of what it returns

    def traced(image: Array) -> dict[str, Array]:
        _, features = _run(predict, params, batch_stats, image, {})
        names.extend(features)
        return features

    features = jax.eval_shape(traced, images)
    return {name: features[name].shape for name in names}


def _weighted(features: Array, d_score: Array, count: int) -> Array:
    """Grad-CAM of features [N * frames, h, w, C] or [N, frames, h, w, C]."""
    maps = nn.relu((d_score.mean((-3, -2), keepdims=True) * features).sum(-1))
    return maps.reshape(count, -1, *maps.shape[-2:]).mean(1)


def _run(
    predict: Predict,
    params: Any,
    batch_stats: Any,
    images: Array | np.ndarray,
    added: dict[str, Array],
) -> tuple[Array, dict[str, Array]]:
    """Maps, and the features of all layers; ``added`` is added to some layers' features.

    The derivative in what is added, at zero, is that in the features.
    """
    features: dict[str, Array] = {}

    def keep(call, args, kwargs, context):
        output = call(*args, **kwargs)
        first, *rest = output if isinstance(output, tuple) else (output,)
        if context.method_name != "__call__" or getattr(first, "ndim", 0) < 4:
            return output
        module = context.module
        name = base = "/".join(module.path) or type(module).__name__
        number = 1
        while name in features:
            number += 1
            name = f"{base} {number}"
        features[name] = first = first + added[name] if name in added else first
        return (first, *rest) if rest else first

    with nn.intercept_methods(keep):
        maps = predict(params, batch_stats, images)
    return maps, features
