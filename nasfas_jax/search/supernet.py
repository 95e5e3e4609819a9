"""The supernet: every candidate of every edge at once, mixed by softmax(alphas).

Fast forms. All first convolutions of an edge read the same tensor, so they are one
convolution. The four edges of a cell have equal shapes, so they are one ``scan``: the
compiler sees each cell once, in every order of derivative.
"""

import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nasfas_jax.layers import ConvBlock
from nasfas_jax.search import skeleton, spaces

Alphas = dict[str, Array]


def lowering() -> str:
    """The form of convolutions that is fast inside loops and branches.

    Meta-gradients put the supernet there, where XLA's CPU backend has no fast
    derivatives of convolutions (see `ops.cdc`).
    """
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
        ends = list(itertools.accumulate([width, *hidden]))
        conv = functools.partial(ConvBlock, affine=False, lowering=lowering())
        first = conv(ends[-1], name="first")
        single, *wide = jnp.split(
            first(x, theta=theta, train=train), ends[:-1], axis=-1
        )
        second = [
            conv(width, name=f"second_{i}")(h, theta=theta, train=train)
            for i, h in enumerate(wide)
        ]
        # weights[0] is of 'none': its output is zero.
        outputs = jnp.stack([x, single, *second], axis=-1)
        return outputs @ weights[1:].astype(x.dtype)


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
        theta = self.space.theta if theta is None else theta
        cells = nn.scan(
            # Recomputed in the backward pass: what an edge stores, 9 shifted copies of
            # its input above all, costs more memory and time than computing it again.
            nn.remat(MixedEdge, static_argnums=(4,)),
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True},
            in_axes=(0, nn.broadcast, nn.broadcast),
            length=spaces.EDGES,
        )

        def cell(name: str, x: Array) -> Array:
            return cells(self.space, name=name)(x, alphas[name], theta, train)[0]

        return skeleton.assemble(
            self.space, cell, x, theta=theta, lam=lam, train=train, lowering=lowering()
        )
