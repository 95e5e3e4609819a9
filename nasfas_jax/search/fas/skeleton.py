"""Stem, pooling, attention and head, shared by the networks of the FAS space."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from nasfas_jax import ops
from nasfas_jax import theta as thetas
from nasfas_jax.layers import CentralPool, ConvBlock, SpatialAttention, map_init
from nasfas_jax.search.fas import options


def assemble(
    space: options.FASOptions,
    cell: Callable[[str, Array], Array],
    x: Array,
    *,
    theta: Any,
    lam: Any,
    train: bool,
) -> Array:
    """A network around its cells (NAS-FAS figure 6); call it inside ``nn.compact``.

    Stem: 3 -> stem channels -> channels. Each cell is followed by a pooling by 2. Attention,
    where the space has it, is applied to the input of the head only: the next cell takes
    the pooled features (as in the authors' CDCN++). Head: the three levels, resized to the
    map and concatenated, -> head channels -> the map, whose ReLU has no BatchNorm before it.

    Args:
      space: selects channels, pooling, attention and map size.
      cell: ``(name, x) -> x``, [N, H, W, channels] to the same shape.
      x: images [N, H, W, 3].
      theta: share of central differences in the convolutions outside of the cells.
      lam: share of central differences in the pooling of 'cdp'.
      train: whether BatchNorm uses the batch's statistics.

    Returns:
      Maps [N, map_size, map_size], not negative.

    Raises:
      InputError: a layer without theta or lambda, or with a wrong number of them.
    """

    def conv(features: int, x: Array, name: str, **settings) -> Array:
        block = ConvBlock(features, name=name, **settings)
        return block(x, theta=thetas.of_layer("theta", theta, name), train=train)

    def pool(x: Array, name: str) -> Array:
        if space.pool == "max":
            return ops.max_pool(x)
        layer = CentralPool(name=name)
        return layer(x, lam=thetas.of_layer("lam", lam, name))

    x = conv(space.stem_channels, x, "stem_0")
    x = conv(space.channels, x, "stem_1")
    levels = []
    for name in options.CELLS:
        x = cell(name, x)
        x = level = pool(x, f"{name}_pool")
        if space.attention:
            window = options.ATTENTION_WINDOWS[name]
            level = SpatialAttention(window, name=f"{name}_attention")(x)
        levels.append(ops.resize(level, space.map_size))
    x = conv(space.head_channels, jnp.concatenate(levels, -1), "head_0")
    return conv(1, x, "head_1", bn=False, kernel_init=map_init)[..., 0]
