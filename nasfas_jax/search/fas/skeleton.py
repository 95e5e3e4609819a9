"""What every network of the FAS space shares: stem, pooling, attention, head."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nasfas_jax import ops
from nasfas_jax.layers import ConvBlock, SpatialAttention, map_init
from nasfas_jax.search.fas import options


def assemble(
    space: options.FASOptions,
    cell: Callable[[str, Array], Array],
    x: Array,
    *,
    theta: ArrayLike,
    lam: ArrayLike,
    train: bool,
) -> Array:
    """A network around its cells (NAS-FAS figure 6); call it inside ``nn.compact``.

    Stem: 3 -> stem channels -> channels. After each cell a pooling by 2. Attention,
    where the space has it, is seen by the head only: the next cell takes the pooled
    features as they are (as in the authors' CDCN++). Head: the three levels, resized to
    the map and joined, -> head channels -> the map, its last ReLU without BatchNorm.

    Args:
      space: its channels, pooling, attention and map.
      cell: ``(name, x) -> x``, [N, H, W, channels] to the same.
      x: images [N, H, W, 3].
      theta: of every convolution.
      lam: of CDP.
      train: whether BatchNorm takes the batch's statistics.

    Returns:
      Maps [N, map_size, map_size], not negative.
    """

    def conv(features: int, x: Array, name: str, **settings) -> Array:
        block = ConvBlock(features, name=name, **settings)
        return block(x, theta=theta, train=train)

    x = conv(space.stem_channels, x, "stem_0")
    x = conv(space.channels, x, "stem_1")
    levels = []
    for name in options.CELLS:
        x = cell(name, x)
        x = level = ops.cdp(x, lam) if space.pool == "cdp" else ops.max_pool(x)
        if space.attention:
            window = options.ATTENTION_WINDOWS[name]
            level = SpatialAttention(window, name=f"{name}_attention")(x)
        levels.append(ops.resize(level, space.map_size))
    x = conv(space.head_channels, jnp.concatenate(levels, -1), "head_0")
    return conv(1, x, "head_1", bn=False, kernel_init=map_init)[..., 0]
