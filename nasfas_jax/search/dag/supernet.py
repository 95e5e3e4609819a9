"""The supernet of cells: every candidate of every edge at once.

Fast forms. An operation without parameters is computed once per feature, not once per
edge. The first convolutions of all edges out of a feature and of all candidates of one
size are one convolution with the kernels side by side; a separable convolution is one with
the product of its two kernels, a dilated one with zeros between its taps; second stages are
one convolution with a block-diagonal kernel; the mixture is one matrix product.

Few programs. The features of a cell have equal edges if those that do not exist have
weight zero, and consecutive cells of a kind have equal shapes: each is a ``scan``, whose
body XLA compiles once.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nasfas_jax import ops
from nasfas_jax.layers import at_least_float32, kernel_init
from nasfas_jax.search import branches
from nasfas_jax.search.dag import kernels, mixture, skeleton, structure

#: Weight of the batch in the running averages, as `layers.batch_norm`.
MOMENTUM = 0.1


class MixedCells(nn.Module):
    """Consecutive cells of one shape with every candidate (NAS-FAS eq. 8 and 9).

    Attributes:
      space: the search space.
      stride: 1, or 2 for reduction cells.
      count: number of cells.
    """

    space: Any
    stride: int
    count: int = 1

    @nn.compact
    def __call__(
        self, first: Array, second: Array, weights: Array, shares: Array, train: bool
    ) -> Array:
        """The concatenated nodes of every cell, [count, N, h, w, 4 C].

        Args:
          first: [count, N, H, W, C], the first input of every cell.
          second: [N, H, W, C], the second input of the first cell; that of the others is
            the output before, through a 1 x 1 convolution.
          weights: [14, operations], weights of the candidates times those of the edges.
          shares: [14], weights of the edges.
          train: whether BatchNorm uses the batch's statistics.
        """
        channels, dtype = second.shape[-1], at_least_float32(second)
        layouts, shared, own = {}, {}, {}
        for name, (stride, edges) in structure.scans(self.stride).items():
            layouts[name] = layout = kernels.Layout.of(self.space, stride)
            order = np.array([self.space.operations.index(n) for n in layout.names])
            lead = (self.count, *edges.shape)
            width = channels // self.space.partial
            init = kernels.init, self.space, layout, lead, width, dtype
            own[name] = {"params": self.param(name, *init)}
            shared[name] = {
                "weights": jnp.pad(weights[:, order], ((0, 1), (0, 0)))[edges],
                "shares": jnp.pad(shares, (0, 1))[edges],
            }
        between = None
        if self.count > 1:
            shape = (1, 1, structure.NODES * channels, channels)
            between = self.param("between", kernel_init, shape, dtype)
        averages = self._averages(layouts, channels, dtype)
        running = None if train else averages.value

        def cell(second, step):
            first, own, running = step
            out, seen = self._cell(layouts, first, second, shared, own, running)
            if between is not None:
                y = ops.convolve(nn.relu(out), between.astype(out.dtype))
                known = None if running is None else running["between"]
                second, seen["between"] = mixture.normalize(y, known)
            return second, (out, seen)

        _, (outputs, seen) = jax.lax.scan(cell, second, (first, own, running))
        if train and not self.is_initializing():
            averages.value = jax.tree.map(
                lambda old, new: (1 - MOMENTUM) * old + MOMENTUM * new,
                averages.value,
                seen,
            )
        return outputs

    def _cell(
        self,
        layouts: dict[str, kernels.Layout],
        s0: Array,
        s1: Array,
        shared: dict,
        own: dict,
        running: Any,
    ) -> tuple[Array, dict]:
        """One cell: [N, h, w, 4 C], and means and variances by scan."""
        sides = [-(-side // self.stride) for side in s0.shape[1:3]]
        nodes = (structure.NODES, s0.shape[0], *sides, s0.shape[-1])
        inputs, features, seen = jnp.stack([s0, s1]), jnp.zeros(nodes, s0.dtype), {}
        if self.stride == 1:
            inputs, features = None, jnp.concatenate([inputs, features])
        for name, layout in layouts.items():
            features, seen[name] = mixture.mix_sources(
                self.space,
                layout,
                features,
                inputs,
                shared[name] | own[name],
                None if running is None else running[name],
            )
            inputs = None
        out = features[-structure.NODES :].transpose(1, 2, 3, 0, 4)
        return out.reshape(*out.shape[:3], -1), seen

    def _averages(
        self, layouts: dict[str, kernels.Layout], channels: int, dtype: Any
    ) -> nn.Variable:
        """Running means and variances, by scan and stage."""

        def start(*shape: int) -> tuple[Array, Array]:
            shape = (self.count, *shape)
            return jnp.zeros(shape, dtype), jnp.ones(shape, dtype)

        def init() -> dict[str, Any]:
            averages: dict[str, Any] = {}
            for name, (_, edges) in structure.scans(self.stride).items():
                sources, targets = edges.shape
                width = channels // self.space.partial
                sizes = layouts[name].normalized(targets, width)
                averages[name] = tuple(start(sources, size) for size in sizes)
            if self.count > 1:
                averages["between"] = start(channels)
            return averages

        return self.variable("batch_stats", "averages", init)


class Supernet(nn.Module):
    """Predicts a map from an image, by all architectures of ``space`` at once.

    Attributes:
      space: the search space.
      stage: name of the only stage that a stream of branches runs; None for all.
    """

    space: Any
    stage: str | None = None

    @nn.compact
    def __call__(self, x: Any, alphas: Any, *, train: bool) -> Any:
        """Images [N, H, W, C] to maps [N, map_size, map_size].

        Args:
          x: images, those of all branches on channels; what a single stage takes otherwise.
          alphas: ``{cell: {'alpha': [14, operations], 'beta': [14]}}``, and 'fusion' with
            branches.
          train: whether BatchNorm uses the batch's statistics.
        """
        mixtures = {
            kind: (self.space.weights(alphas[kind]), self.space.shares(alphas[kind]))
            for kind in structure.KINDS
        }

        def cells(kind: str, start: int, firsts: list[Array], second: Array) -> Array:
            stride = 2 if kind == "reduction" else 1
            module = MixedCells(self.space, stride, len(firsts), name=f"cells_{start}")
            return module(jnp.stack(firsts), second, *mixtures[kind], train)

        if self.stage is None and self.space.fusions:
            return branches.mixed(self, x, alphas, train=train)
        stages = skeleton.stages(self.space, cells, affine=False, train=train)
        return stages[self.stage](x) if self.stage else branches.chain(stages, x)
