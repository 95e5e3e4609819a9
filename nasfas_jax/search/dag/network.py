"""The network of a genotype of cells."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nasfas_jax.search import branches
from nasfas_jax.search.dag import layers, skeleton, structure
from nasfas_jax.search.genotype import Genotype, Link


class DerivedCell(nn.Module):
    """A cell of an architecture.

    Attributes:
      links: its edges.
      stride: 1, or 2 for a reduction cell.
      theta: share of central differences in 'cdc'.
      lam: share of central differences in 'cdp'.
    """

    links: tuple[Link, ...]
    stride: int
    theta: Any = 0.7
    lam: Any = 0.7

    @nn.compact
    def __call__(self, s0: Array, s1: Array, *, train: bool) -> Array:
        """Two inputs [N, H, W, C] to the concatenated nodes [N, h, w, 4 C]."""
        features: list[Any] = [s0, s1, *[0.0] * structure.NODES]
        # In the order of their ends: what an edge starts from is complete.
        for link in sorted(self.links, key=lambda link: link.end):
            edge = layers.Chosen(
                link.operation,
                self.stride if link.start < structure.INPUTS else 1,
                self.theta,
                self.lam,
                name=f"edge_{link.start}_{link.end}",
            )
            features[link.end] += edge(features[link.start], train=train)
        return jnp.concatenate(features[structure.INPUTS :], -1)


class DagNet(nn.Module):
    """The network of an architecture, trained from scratch.

    Attributes:
      genotype: the architecture; its space has stem, channels, head, theta and lambda.
      stages: number of stages that a branch runs; None for the whole network.
    """

    last_layer: ClassVar[str] = "head"
    genotype: Genotype
    stages: int | None = None

    @property
    def input(self) -> str | None:
        """Input of the batches to train on, if it has branches."""
        return getattr(self.genotype.space, "input", None)

    probabilities = True

    @property
    def map_size(self) -> int:
        """Side of the predicted map, in pixels."""
        return self.genotype.space.map_size

    @property
    def target(self) -> str:
        """Target of the batches to train on."""
        return self.genotype.space.target

    def loss(self, predicted: Array, target: Array) -> Array:
        """Loss of maps [B, map_size, map_size], a scalar."""
        return self.genotype.space.loss(predicted, target)

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Predicts a map of probabilities of live.

        Args:
          x: [N, H, W, C], pixels in [-1, 1]; those of all branches on channels.
          train: whether BatchNorm uses the batch, and updates ``batch_stats``.

        Returns:
          [N, map_size, map_size].
        """
        space: Any = self.genotype.space
        cells: dict[str, Any] = dict(
            zip(structure.KINDS, self.genotype.cells, strict=True)
        )

        def run(kind: str, start: int, firsts: list[Array], second: Array) -> list:
            stride, outputs = 2 if kind == "reduction" else 1, []
            weights = space.own_theta, space.own_lam
            for i, first in enumerate(firsts, start):
                if outputs:
                    conv = layers.Conv(first.shape[-1], name=f"cell_{i}_input_1")
                    second = conv(outputs[-1], train=train)
                cell = DerivedCell(cells[kind], stride, *weights, name=f"cell_{i}")
                outputs.append(cell(first, second, train=train))
            return outputs

        stages = skeleton.stages(space, run, affine=True, train=train)
        return branches.fused(self, stages, x, train=train)
