"""The supernet: every candidate of every edge at once, mixed by softmax(alphas).

Fast forms. All first convolutions of an edge read the same tensor, so they are one
convolution; the second ones are one with a block-diagonal kernel; the mixture is one
matrix product. The four edges of a cell have equal shapes, so they are one ``scan``:
the compiler sees each cell once, in every order of derivative.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nasfas_jax import ops
from nasfas_jax.layers import KEEP_CONVOLUTIONS, ConvBlock
from nasfas_jax.search import branches
from nasfas_jax.search.fas import options, skeleton
from nasfas_jax.theta import Learned

Alphas = dict[str, Array]


#: What the backward pass does not compute again.


class MixedEdge(nn.Module):
    """One edge: the candidates' outputs weighted by softmax(alpha) (NAS-FAS eq. 9).

    Partial channels (PC-DARTS): the first 1/K of the channels go through the
    candidates, the others pass by; a channel shuffle mixes the two.
    """

    space: options.FASOptions

    @nn.compact
    def __call__(self, x: Array, alpha: Array, theta: ArrayLike | None, train: bool):
        """Returns ([N, H, W, C], None), the form of the body of a ``scan``.

        Args:
          x: [N, H, W, C].
          alpha: [operations].
          theta: a scalar; the space's own if None.
          train: whether BatchNorm uses the batch's statistics.
        """
        theta = self.space.own_theta if theta is None else theta
        width = x.shape[-1] // self.space.partial
        chosen, bypass = x[..., :width], x[..., width:]
        mixed = self._candidates(chosen, jax.nn.softmax(alpha), theta, train)
        joined = jnp.concatenate([mixed, bypass], -1)
        return ops.shuffle(joined, self.space.partial), None

    def _candidates(self, x, weights, theta, train):
        width = x.shape[-1]
        hidden = [options.hidden_width(op, width) for op in self.space.operations[3:]]
        conv = functools.partial(ConvBlock, affine=False, joined=True)
        first = conv(width + sum(hidden), name="first")(x, theta=theta, train=train)
        single, wide = first[..., :width], first[..., width:]
        second = conv(width * len(hidden), groups=tuple(hidden), name="second")
        narrowed = second(wide, theta=theta, train=train)
        outputs = jnp.concatenate([x, single, narrowed], -1)
        # weights[0] is of 'none', whose output is zero.
        mixing = jnp.kron(weights[1:, None], jnp.eye(width, dtype=weights.dtype))
        return outputs @ mixing.astype(x.dtype)


class Supernet(nn.Module):
    """Predicts a map from an image, by all architectures of ``space`` at once.

    Attributes:
      space: the search space.
      stage: name of the only stage that a stream of branches runs; None for all.
    """

    space: Any
    stage: str | None = None

    @nn.compact
    def __call__(
        self,
        x: Any,
        alphas: Alphas,
        *,
        train: bool,
        theta: ArrayLike | None = None,
        lam: ArrayLike | None = None,
    ) -> Any:
        """Images [N, H, W, 3] to maps [N, map_size, map_size].

        Args:
          x: images, [N, H, W, 3 B] for B branches; what a single stage takes otherwise.
          alphas: ``{cell: [edges, operations]}``, and of the fusion point with branches.
          train: whether BatchNorm uses the batch's statistics.
          theta: replaces the space's own; a scalar, which may be traced.
          lam: replaces the space's own; a scalar, which may be traced.
        """
        theta = self.space.own_theta if theta is None else theta
        lam = self.space.own_lam if lam is None else lam
        # A learned theta is no array to pass: each edge has its own parameters.
        of_edges = None if isinstance(theta, Learned) else theta
        cells = nn.scan(
            # Recomputed in the backward pass, but for its convolutions: as fast as storing
            # everything, with less memory.
            nn.remat(MixedEdge, static_argnums=(4,), policy=KEEP_CONVOLUTIONS),
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True},
            # Flax's stub says int; its documentation, any tree of axes.
            in_axes=(0, nn.broadcast, nn.broadcast),  # pyright: ignore[reportArgumentType]
            length=options.EDGES,
        )

        def cell(name: str, x: Array) -> Array:
            return cells(self.space, name=name)(x, alphas[name], of_edges, train)[0]

        call: dict[str, Any] = {"theta": theta, "lam": lam, "train": train}
        if self.stage is None and self.space.fusions:
            return branches.mixed(self, x, alphas, **call)
        stages = skeleton.stages(self.space, cell, joined=True, **call)
        return stages[self.stage](x) if self.stage else branches.chain(stages, x)
