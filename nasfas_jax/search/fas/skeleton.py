"""Stem, pooling, attention and head, shared by the networks of the FAS space."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from nasfas_jax import ops
from nasfas_jax import theta as thetas
from nasfas_jax.layers import CentralPool, ConvBlock, SpatialAttention, map_init
from nasfas_jax.search.fas import options

State = tuple[Array, tuple[Array, ...]]


def stages(
    space: options.FASOptions,
    cell: Callable[[str, Array], Array],
    *,
    theta: Any,
    lam: Any,
    train: bool,
    joined: bool = False,
) -> dict[str, Callable[[Any], Any]]:
    """A network around its cells (NAS-FAS figure 6); call the stages in ``nn.compact``.

    Stem: 3 -> stem channels -> channels. Each cell is followed by a pooling by 2. Attention,
    where the space has it, is applied to the input of the head only: the next cell takes
    the pooled features (as in the authors' CDCN++). Head: the three levels, resized to the
    map and concatenated, -> head channels -> the map, whose ReLU has no BatchNorm before it.

    Args:
      space: selects channels, pooling, attention and map size.
      cell: ``(name, x) -> x``, [N, H, W, channels] to the same shape.
      theta: share of central differences in the convolutions outside of the cells.
      lam: share of central differences in the pooling of 'cdp'.
      train: whether BatchNorm uses the batch's statistics.
      joined: as in `layers.ConvBlock`, for narrow networks.

    Returns:
      Functions by the names of the stages, in order. The stem takes images [N, H, W, 3];
      the others take what the one before returns: the features of the next cell, and the
      levels so far, resized to the map. The last one returns maps
      [N, map_size, map_size], not negative.

    Raises:
      InputError: a layer without theta or lambda, or with a wrong number of them.
    """

    def conv(features: int, x: Array, name: str, **settings) -> Array:
        block = ConvBlock(features, name=name, joined=joined, **settings)
        return block(x, theta=thetas.of_layer("theta", theta, name), train=train)

    def pool(x: Array, name: str) -> Array:
        if space.pool == "max":
            return ops.max_pool(x)
        layer = CentralPool(name=name)
        return layer(x, lam=thetas.of_layer("lam", lam, name))

    def stem(x: Array) -> State:
        x = conv(space.stem_channels, x, "stem_0")
        return conv(space.channels, x, "stem_1"), ()

    def with_level(name: str, state: State) -> State:
        x, levels = state
        x = level = pool(cell(name, x), f"{name}_pool")
        if space.attention:
            window = options.ATTENTION_WINDOWS[name]
            level = SpatialAttention(window, name=f"{name}_attention")(x)
        return x, (*levels, ops.resize(level, space.map_size))

    def score(state: State) -> Array:
        x = conv(space.head_channels, jnp.concatenate(state[1], -1), "head_0")
        return conv(1, x, "head_1", bn=False, kernel_init=map_init)[..., 0]

    cells = {name: functools.partial(with_level, name) for name in options.CELLS}
    return {"stem": stem, **cells, "score": score}
