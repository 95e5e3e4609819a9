"""The supernet: every candidate of every edge at once, mixed by softmax(alphas).

Fast forms. All first convolutions of an edge read the same tensor, so they are one
convolution; the second ones are one with a block-diagonal kernel; the mixture is one
matrix product. The four edges of a cell have equal shapes, so they are one ``scan``:
the compiler sees each cell once, in every order of derivative.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nasfas_jax.layers import ConvBlock
from nasfas_jax.search.fas import options, skeleton

Alphas = dict[str, Array]


class MixedEdge(nn.Module):
    """One edge: the candidates' outputs weighted by softmax(alpha) (NAS-FAS eq. 9).

    Partial channels (PC-DARTS): the first 1/K of the channels go through the
    candidates, the others pass by; a channel shuffle mixes the two.
    """

    space: options.FASOptions

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
        hidden = [options.hidden_width(op, width) for op in self.space.operations[3:]]
        conv = functools.partial(ConvBlock, affine=False)
        first = conv(width + sum(hidden), name="first")(x, theta=theta, train=train)
        single, wide = first[..., :width], first[..., width:]
        second = conv(width * len(hidden), groups=tuple(hidden), name="second")
        narrowed = second(wide, theta=theta, train=train)
        outputs = jnp.concatenate([x, single, narrowed], -1)
        # weights[0] is of 'none', whose output is zero.
        mixing = jnp.kron(weights[1:, None], jnp.eye(width, dtype=weights.dtype))
        return outputs @ mixing.astype(x.dtype)


def _shuffle(x: Array, groups: int) -> Array:
    """Interleaves ``groups`` blocks of channels."""
    *pixels, channels = x.shape
    x = x.reshape(*pixels, groups, channels // groups)
    return jnp.swapaxes(x, -1, -2).reshape(*pixels, channels)


class Supernet(nn.Module):
    """Predicts a map from an image, by all architectures of ``space`` at once."""

    space: options.FASOptions

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
          alphas: ``{cell: [edges, operations]}``.
          train: whether BatchNorm takes the batch's statistics.
          theta: of every convolution; the space's own if None. May be traced.
          lam: of CDP, where the space pools by it. May be traced.
        """
        theta = self.space.theta if theta is None else theta
        cells = nn.scan(
            # Recomputed in the backward pass: as fast, at a fifth of the memory.
            nn.remat(MixedEdge, static_argnums=(4,)),
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True},
            # Flax's stub says int; its documentation, any tree of axes.
            in_axes=(0, nn.broadcast, nn.broadcast),  # pyright: ignore[reportArgumentType]
            length=options.EDGES,
        )

        def cell(name: str, x: Array) -> Array:
            return cells(self.space, name=name)(x, alphas[name], theta, train)[0]

        return skeleton.assemble(self.space, cell, x, theta=theta, lam=lam, train=train)
