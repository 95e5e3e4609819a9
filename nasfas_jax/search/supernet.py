"""The supernet: every candidate of every edge at once, mixed by softmax(alphas).

Fast forms. All first convolutions of an edge read the same tensor, so they are one
convolution. The four edges of a cell have equal shapes, so they are one ``scan``: the
compiler sees each cell once, in every order of derivative.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nasfas_jax import layers, ops
from nasfas_jax.search import spaces

Alphas = dict[str, Array]


def conv_block(features: int, **options) -> layers.ConvBlock:
    """A `layers.ConvBlock` in the form that is fast inside loops and branches.

    Meta-gradients put the supernet there, where XLA's CPU backend has no fast
    derivatives of convolutions (see `ops.cdc`).
    """
    return layers.ConvBlock(features, lowering=_lowering(), **options)


def _lowering() -> str:
    return "matmul" if jax.default_backend() == "cpu" else "conv"


def init_alphas(space: spaces.FASSpace, key: Array, dtype=jnp.float32) -> Alphas:
    """``{cell: [edges, operations]}``, normal with deviation 1e-3 (as PC-DARTS)."""
    shape = (spaces.EDGES, len(space.operations))
    keys = jax.random.split(key, len(spaces.CELLS))
    return {
        cell: 1e-3 * jax.random.normal(k, shape, dtype)
        for cell, k in zip(spaces.CELLS, keys, strict=True)
    }


class MixedEdge(nn.Module):
    """One edge: the candidates' outputs weighted by softmax(alpha) (NAS-FAS eq. 9).

    Partial channels (PC-DARTS): the first 1/K of the channels go through the
    candidates, the others pass by; a channel shuffle mixes the two.
    """

    space: spaces.FASSpace

    @nn.compact
    def __call__(self, x: Array, alpha: Array, theta: ArrayLike, train: bool):
        """[N, H, W, C] and [operations] to ([N, H, W, C], None), as ``scan`` wants."""
        width = x.shape[-1] // self.space.partial
        chosen, bypass = x[..., :width], x[..., width:]
        mixed = self._candidates(chosen, jax.nn.softmax(alpha), theta, train)
        joined = jnp.concatenate([mixed, bypass], -1)
        return _shuffle(joined, self.space.partial), None

    def _candidates(self, x, weights, theta, train):
        width = x.shape[-1]
        hidden = [spaces.hidden_width(op, width) for op in self.space.operations[3:]]
        ends = np_cumsum([width, *hidden])
        first = conv_block(ends[-1], affine=False, name="first")
        single, *wide = jnp.split(
            first(x, theta=theta, train=train), ends[:-1], axis=-1
        )
        second = [
            conv_block(width, affine=False, name=f"second_{i}")(
                h, theta=theta, train=train
            )
            for i, h in enumerate(wide)
        ]
        # weights[0] is of 'none': its output is zero.
        outputs = jnp.stack([x, single, *second], axis=-1)
        return outputs @ weights[1:].astype(x.dtype)


def np_cumsum(widths: list[int]) -> list[int]:
    """Running sums as plain integers."""
    return [sum(widths[: i + 1]) for i in range(len(widths))]


def _shuffle(x: Array, groups: int) -> Array:
    """Interleaves ``groups`` blocks of channels."""
    *pixels, channels = x.shape
    x = x.reshape(*pixels, groups, channels // groups)
    return jnp.swapaxes(x, -1, -2).reshape(*pixels, channels)


class Supernet(nn.Module):
    """Predicts a map from an image, by all architectures of ``space`` at once."""

    space: spaces.FASSpace

    @nn.compact
    def __call__(
        self,
        x: Array,
        alphas: Alphas,
        *,
        train: bool,
        theta: ArrayLike | None = None,
        lam: ArrayLike = 0.7,
    ) -> Array:
        """Images [N, H, W, 3] to maps [N, map_size, map_size].

        Args:
          x: images.
          alphas: as `init_alphas` makes them.
          train: whether BatchNorm takes the batch's statistics.
          theta: of every convolution; the space's own if None. May be traced.
          lam: of CDP, where the space pools by it. May be traced.
        """
        space = self.space
        theta = space.theta if theta is None else theta
        cells = nn.scan(
            nn.remat(MixedEdge, static_argnums=(4,)),
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True},
            in_axes=(0, nn.broadcast, nn.broadcast),
            length=spaces.EDGES,
        )
        x = Stem(space, name="stem")(x, theta=theta, train=train)
        levels = []
        for cell in spaces.CELLS:
            x, _ = cells(space, name=cell)(x, alphas[cell], theta, train)
            x, level = Reduce(space, cell, name=f"{cell}_pool")(x, lam=lam)
            levels.append(level)
        return Head(space, name="head")(levels, theta=theta, train=train)


class Stem(nn.Module):
    """Two convolutions: 3 -> stem channels -> channels of the cells."""

    space: spaces.FASSpace

    @nn.compact
    def __call__(self, x: Array, *, theta: ArrayLike, train: bool) -> Array:
        """[N, H, W, 3] to [N, H, W, C]."""
        for features in (self.space.stem_channels, self.space.channels):
            x = conv_block(features)(x, theta=theta, train=train)
        return x


class Reduce(nn.Module):
    """Pooling by 2 and attention; only the concatenation sees the attended features."""

    space: spaces.FASSpace
    cell: str

    @nn.compact
    def __call__(self, x: Array, *, lam: ArrayLike) -> tuple[Array, Array]:
        """[N, H, W, C] to the next cell's input and the head's, [N, H/2, W/2, C]."""
        x = ops.cdp(x, lam) if self.space.pool == "cdp" else ops.max_pool(x)
        if not self.space.attention:
            return x, x
        window = spaces.ATTENTION_WINDOWS[self.cell]
        return x, layers.SpatialAttention(window, _lowering(), name="attention")(x)


class Head(nn.Module):
    """Levels resized to the map's size and joined; two convolutions to the map."""

    space: spaces.FASSpace

    @nn.compact
    def __call__(self, levels: list[Array], *, theta: ArrayLike, train: bool) -> Array:
        """Three of [N, h, w, C] to [N, map_size, map_size]."""
        levels = [ops.resize(level, self.space.map_size) for level in levels]
        x = jnp.concatenate(levels, -1)
        x = conv_block(self.space.head_channels)(x, theta=theta, train=train)
        x = conv_block(1, bn=False, kernel_init=layers.map_init)(x, theta=theta, train=train)
        return x[..., 0]
