"""The supernet of cells: every candidate of every edge at once.

Fast forms. An operation without parameters is computed once per feature, not once per
edge. The first convolutions of all edges out of a feature are one convolution with the
kernels side by side; a separable convolution is one with the product of its two kernels,
a dilated or small kernel one with zeros around its taps; second stages are one
convolution with a block-diagonal kernel. The shuffle and the bypass of partial channels
are linear, so a node needs one of each. The two inputs have equal edges, and so have the
nodes if edges without an end have weight zero: each kind of edges is one ``scan``.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from nasfas_jax import ops
from nasfas_jax import theta as thetas
from nasfas_jax.layers import at_least_float32
from nasfas_jax.search.dag import layers, operations, skeleton, structure

#: He's normal for kernels of several edges on a leading axis.
_init = nn.initializers.he_normal(batch_axis=0)


class MixedSource(nn.Module):
    """All edges out of one feature.

    Attributes:
      space: the search space.
      targets: number of edges.
      stride: 1, or 2 for the edges from the inputs of a reduction cell.
    """

    space: Any
    targets: int
    stride: int

    @nn.compact
    def __call__(self, x: Array, weights: Array, shares: Array, train: bool) -> Array:
        """The weighted sum of the candidates on each edge, before the channel shuffle.

        Args:
          x: [N, H, W, C].
          weights: [targets, operations], weights of the candidates.
          shares: [targets], weights of the bypassed channels.
          train: whether BatchNorm uses the batch's statistics.

        Returns:
          [targets, N, ceil(H / stride), ceil(W / stride), C].
        """
        names = self.space.operations
        width = x.shape[-1] // self.space.partial
        searched, bypass = x[..., :width], x[..., width:]
        plain = [self._without_parameters(searched, train)]
        convolved = self._convolutions(searched, train)
        order = (*self._plain_names, *self._convolution_names)
        outputs = jnp.concatenate(
            [jnp.broadcast_to(p, (self.targets, *p.shape)) for p in plain if p.size]
            + [convolved],
            -2,
        )
        kept = weights[:, jnp.array([names.index(name) for name in order])]
        mixed = jnp.einsum("tnhwoc,to->tnhwc", outputs, kept.astype(x.dtype))
        if self.stride == 2:
            bypass = ops.halve(_even(bypass)) if bypass.size else bypass[:, ::2, ::2]
        shares = shares.astype(x.dtype).reshape(-1, 1, 1, 1, 1)
        return jnp.concatenate([mixed, shares * bypass[None]], -1)

    @property
    def _plain_names(self) -> tuple[str, ...]:
        skip = ("skip",) if self.stride == 1 else ()
        pools = [n for n in self.space.operations if n in operations.POOLS]
        return (*[n for n in skip if n in self.space.operations], *pools)

    @property
    def _convolution_names(self) -> tuple[str, ...]:
        excluded = ("none", *self._plain_names)
        return tuple(n for n in self.space.operations if n not in excluded)

    def _without_parameters(self, x: Array, train: bool) -> Array:
        """[N, h, w, operations, c]: skip, and poolings with BatchNorm."""
        lam = self.space.own_lam
        parts = [x[..., None, :]] if "skip" in self._plain_names else []
        pools = [n for n in self._plain_names if n in operations.POOLS]
        if "cdp" in pools:
            wide = at_least_float32(x)
            lam = thetas.value(self, "lam", lam, x.shape[-1], wide)
        if pools:
            pooled = [layers.pooled(name, x, self.stride, lam) for name in pools]
            joined = layers.normalized(jnp.concatenate(pooled, -1), train, affine=False)
            parts.append(joined.reshape(*joined.shape[:-1], len(pools), x.shape[-1]))
        return jnp.concatenate(parts, -2)

    def _convolutions(self, x: Array, train: bool) -> Array:
        """[targets, N, h, w, operations, c]: candidates with parameters."""
        names, width = self._convolution_names, x.shape[-1]
        kernels = [
            self._first_kernel(name, width, at_least_float32(x)) for name in names
        ]
        size = max(kernel.shape[1] for kernel in kernels)
        kernel = jnp.stack([_padded(kernel, size) for kernel in kernels], -2)
        # [targets, k, k, c, operations, c] to [k, k, c, targets * operations * c].
        kernel = kernel.transpose(1, 2, 3, 0, 4, 5).reshape(size, size, width, -1)
        y = ops.convolve(nn.relu(x), kernel.astype(x.dtype), stride=self.stride)
        y = layers.normalized(y, train, affine=False)
        y = y.reshape(*y.shape[:3], self.targets, len(names), width)
        y = y.transpose(3, 0, 1, 2, 4, 5)
        outputs = []
        for i, name in enumerate(names):
            out = y[..., i, :]
            if name in operations.SEPARABLE:
                out = self._second_stage(name, out, train)
            outputs.append(out)
        return jnp.stack(outputs, -2)

    def _first_kernel(self, name: str, width: int, wide: Any) -> Array:
        """[targets, k, k, c, c], the convolution of the first stage."""
        if name == "skip":
            shape = (self.targets, 1, 1, width, width)
            kernel = self.param("skip", _init, shape, wide)
            return jax.vmap(lambda k: layers.at_two_pixels(k, 3))(kernel)
        if name == "cdc":
            shape = (self.targets, 3, 3, width, width)
            kernel = self.param("cdc", _init, shape, wide)
            count = self.targets * width
            theta = thetas.value(self, "theta", self.space.own_theta, count, wide)
            theta = jnp.broadcast_to(jnp.asarray(theta, wide), (count,))
            return jax.vmap(ops.fold_cdc)(kernel, theta.reshape(self.targets, width))
        return self._separable(f"{name}_first", name, width, wide)

    def _separable(self, label: str, name: str, width: int, wide: Any) -> Array:
        """[targets, k, k, c, c]: the product of a depthwise and a 1 x 1 kernel."""
        size = operations.SEPARABLE.get(name, 3)
        window = (self.targets, size, size, 1, width)
        depthwise = self.param(f"{label}_depthwise", _init, window, wide)
        shape = (self.targets, 1, 1, width, width)
        kernel = depthwise[:, :, :, 0, :, None] * self.param(label, _init, shape, wide)
        if name == "dil_conv_3":
            wide_kernel = jnp.zeros((self.targets, 5, 5, width, width), kernel.dtype)
            return wide_kernel.at[:, ::2, ::2].set(kernel)
        return kernel

    def _second_stage(self, name: str, x: Array, train: bool) -> Array:
        """[targets, N, h, w, c] to the same shape."""
        targets, width = x.shape[0], x.shape[-1]
        kernel = self._separable(f"{name}_second", name, width, at_least_float32(x))
        blocks = jnp.einsum(
            "tijcd,tu->ijtcud", kernel, jnp.eye(targets, dtype=kernel.dtype)
        )
        blocks = blocks.reshape(*kernel.shape[1:3], targets * width, -1).astype(x.dtype)
        joined = nn.relu(x).transpose(1, 2, 3, 0, 4)
        joined = joined.reshape(*joined.shape[:3], -1)
        y = layers.normalized(ops.convolve(joined, blocks), train, affine=False)
        return y.reshape(*y.shape[:3], targets, width).transpose(3, 0, 1, 2, 4)


def _padded(kernel: Array, size: int) -> Array:
    """[targets, k, k, c, c] with zeros around it, to the side ``size``."""
    ring = (size - kernel.shape[1]) // 2
    return jnp.pad(kernel, ((0, 0), (ring, ring), (ring, ring), (0, 0), (0, 0)))


def _even(x: Array) -> Array:
    """[N, H, W, C] with even sides: the last row and column are repeated."""
    return jnp.pad(
        x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)), "edge"
    )


def shuffle(x: Array, groups: int) -> Array:
    """Interleaves ``groups`` blocks of channels (PC-DARTS)."""
    *pixels, channels = x.shape
    x = x.reshape(*pixels, groups, channels // groups)
    return jnp.swapaxes(x, -1, -2).reshape(*pixels, channels)


class MixedCell(nn.Module):
    """A cell with every candidate of its 14 edges (NAS-FAS eq. 8 and 9).

    Attributes:
      space: the search space.
      stride: 1, or 2 for a reduction cell.
    """

    space: Any
    stride: int

    @nn.compact
    def __call__(
        self, s0: Array, s1: Array, weights: Array, shares: Array, train: bool
    ) -> Array:
        """Two inputs [N, H, W, C] to the concatenated nodes [N, h, w, 4 C].

        Args:
          s0: output of the cell before the last one.
          s1: output of the last cell.
          weights: [14, operations], weights of the candidates times those of the edges.
          shares: [14], weights of the edges.
          train: whether BatchNorm uses the batch's statistics.
        """
        index = structure.edge_index()
        weights = jnp.pad(weights, ((0, 1), (0, 0)))[index]  # [5, 4, operations]
        shares = jnp.pad(shares, (0, 1))[index]
        sources = nn.remat(MixedSource, static_argnums=(4,))
        scanned = {
            "variable_axes": {"params": 0, "batch_stats": 0},
            "split_rngs": {"params": True},
        }

        def from_input(source, nodes, now):
            x, weights, shares = now
            new = source(x, weights, shares, train)
            return (new if nodes is None else nodes + new), None

        def from_node(source, nodes, now):
            weights, shares = now
            x = shuffle(nodes[0], self.space.partial)
            later = nodes[1:] + source(x, weights, shares, train)
            return jnp.concatenate([later, jnp.zeros_like(nodes[:1])]), x

        inputs = sources(self.space, structure.NODES, self.stride, name="inputs")
        # Four nodes of the new sides, zero.
        sides = [-(-side // self.stride) for side in s0.shape[1:3]]
        nodes = jnp.zeros(
            (structure.NODES, s0.shape[0], *sides, s0.shape[-1]), s0.dtype
        )
        nodes, _ = nn.scan(from_input, length=structure.INPUTS, **scanned)(
            inputs,
            nodes,
            (
                jnp.stack([s0, s1]),
                weights[: structure.INPUTS],
                shares[: structure.INPUTS],
            ),
        )
        later = [
            (source, [min(source - 1 + k, structure.NODES) for k in range(3)])
            for source in range(
                structure.INPUTS, structure.INPUTS + structure.NODES - 1
            )
        ]
        weights = jnp.pad(weights, ((0, 0), (0, 1), (0, 0)))
        shares = jnp.pad(shares, ((0, 0), (0, 1)))
        rows = jnp.array([[source] * 3 for source, _ in later])
        columns = jnp.array([ends for _, ends in later])
        between = sources(self.space, structure.NODES - 1, 1, name="nodes")
        nodes, features = nn.scan(from_node, length=structure.NODES - 1, **scanned)(
            between, nodes, (weights[rows, columns], shares[rows, columns])
        )
        last = shuffle(nodes[0], self.space.partial)
        return jnp.concatenate([*features, last], -1)


class Supernet(nn.Module):
    """Predicts a map from an image, by all architectures of ``space`` at once."""

    space: Any

    @nn.compact
    def __call__(self, x: Array, alphas: Any, *, train: bool) -> Array:
        """Images [N, H, W, C] to maps [N, map_size, map_size].

        Args:
          x: images.
          alphas: ``{cell: {'alpha': [14, operations], 'beta': [14]}}``.
          train: whether BatchNorm uses the batch's statistics.
        """
        mixture = {
            kind: (self.space.weights(alphas[kind]), self.space.shares(alphas[kind]))
            for kind in structure.KINDS
        }

        def cell(kind: str, name: str, s0: Array, s1: Array) -> Array:
            weights, shares = mixture[kind]
            stride = 2 if kind == "reduction" else 1
            return MixedCell(self.space, stride, name=name)(
                s0, s1, weights, shares, train
            )

        return skeleton.assemble(self.space, cell, x, affine=False, train=train)
