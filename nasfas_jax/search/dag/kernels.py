"""Parameters of a supernet's candidates, and the kernels that convolve with them."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nasfas_jax import ops
from nasfas_jax.search.dag import layers, operations
from nasfas_jax.theta import Learned

#: Deviation of a standard normal variable that is truncated at two deviations.
TRUNCATED = 0.87962566103423978


@dataclasses.dataclass(frozen=True)
class Layout:
    """Order of the candidates of an edge, at one stride.

    Attributes:
      pools: candidates that are pooling.
      skips: whether 'skip' is a candidate without parameters.
      single: candidates of one convolution.
      separable: candidates of two stages, see `operations.SEPARABLE`.
      stride: pixels between adjacent outputs.
      partial: K, one in K channels goes through the candidates.
    """

    pools: tuple[str, ...]
    skips: bool
    single: tuple[str, ...]
    separable: tuple[str, ...]
    stride: int
    partial: int

    @classmethod
    def of(cls, space: Any, stride: int) -> "Layout":
        """The candidates of a space."""
        names = [name for name in space.operations if name != "none"]
        skips = stride == 1 and "skip" in names
        pools = tuple(n for n in names if n in operations.POOLS)
        separable = tuple(n for n in names if n in operations.SEPARABLE)
        plain = (*pools, *separable, *(("skip",) if skips else ()))
        single = tuple(n for n in names if n not in plain)
        return cls(pools, skips, single, separable, stride, space.partial)

    @property
    def shared(self) -> tuple[str, ...]:
        """Candidates without parameters, equal on all edges out of a feature."""
        return (*(("skip",) if self.skips else ()), *self.pools)

    @property
    def names(self) -> tuple[str, ...]:
        """All candidates but 'none'."""
        return (*self.shared, *self.single, *self.separable)

    def normalized(self, targets: int, width: int) -> tuple[int, int]:
        """Channels of the first stages with the poolings, and of the second stages."""
        second = targets * len(self.separable)
        first = len(self.pools) + targets * len(self.single) + second
        return first * width, second * width


def shapes(layout: Layout, width: int) -> dict[str, tuple[int, ...]]:
    """Kernels of one edge by name; 'first' and 'second' are stages."""
    point, found = (1, 1, width, width), {}
    stages = [(n, "first", operations.DILATED.get(n, 3)) for n in layout.single]
    for name in layout.separable:
        size = operations.SEPARABLE[name]
        stages += [(name, "first", size), (name, "second", size)]
    for name, stage, size in stages:
        if name in ("skip", "cdc"):
            found[name] = point if name == "skip" else (3, 3, width, width)
        else:
            found[f"{name}_{stage}"] = point
            found[f"{name}_{stage}_depthwise"] = (size, size, 1, width)
    return found


def init(
    key: Array,
    space: Any,
    layout: Layout,
    lead: tuple[int, ...],
    width: int,
    dtype: Any,
) -> dict[str, Array]:
    """Initial parameters: He's truncated normal, drawn at once for all kernels.

    A program that draws each kernel by itself takes minutes to compile.

    Args:
      key: random key.
      space: the search space.
      layout: its candidates.
      lead: numbers of cells, of features, and of edges out of a feature.
      width: channels of a candidate.
      dtype: type of the parameters.

    Returns:
      ``kernels`` [*lead, size], all kernels of an edge in one array, for which an
      optimizer needs one program; ``theta`` and ``lam`` where they are learned.
    """
    kernels = shapes(layout, width).values()
    deviations = [math.sqrt(2 / math.prod(shape[:-1])) / TRUNCATED for shape in kernels]
    scale = np.repeat(deviations, [math.prod(shape) for shape in kernels])
    drawn = jax.random.truncated_normal(key, -2, 2, (*lead, scale.size), dtype)
    params = {"kernels": drawn * jnp.asarray(scale, dtype).reshape(1, 1, 1, -1)}
    channels = {"theta": lead[2] * width, "lam": width}
    for name, user in (("theta", "cdc"), ("lam", "cdp")):
        weight = getattr(space, f"own_{name}")
        if user in layout.names and isinstance(weight, Learned):
            size = (channels[name],) if weight.per == "channel" else ()
            params[name] = jnp.zeros((*lead[:2], *size), dtype)
    return params


def split(layout: Layout, kernels: Array, width: int) -> dict[str, Array]:
    """Kernels by name, [..., k, k, c, c] or [..., k, k, 1, c], from one array [..., size]."""
    found, start = {}, 0
    for name, shape in shapes(layout, width).items():
        end = start + math.prod(shape)
        found[name] = kernels[..., start:end].reshape(*kernels.shape[:-1], *shape)
        start = end
    return found


def assemble(
    space: Any, layout: Layout, params: dict, width: int
) -> tuple[dict[int, Array], list[Array]]:
    """The kernels of all edges out of a feature.

    Args:
      space: the search space; selects theta.
      layout: its candidates.
      params: as `init` returns, of one cell and feature.
      width: channels of a candidate.

    Returns:
      By side k, [k, k, c, candidates * edges * c] for the first convolutions of the
      candidates `by_side`; and [k, k, edges * c, edges * c] for the second one of each
      candidate of two stages.
    """
    params = params | split(layout, params["kernels"], width)
    first = {}
    for side, names in by_side(layout).items():
        found = jnp.stack([_first(space, name, params) for name in names])
        # From [candidates, edges, k, k, c, c].
        first[side] = found.transpose(2, 3, 4, 0, 1, 5).reshape(side, side, width, -1)
    second = []
    for name in layout.separable:
        kernel = _product(params, f"{name}_second")
        edges = kernel.shape[0]
        same = np.eye(edges, dtype=kernel.dtype)
        blocks = jnp.einsum("tijcd,tu->ijtcud", kernel, same)
        second.append(blocks.reshape(*blocks.shape[:2], edges * width, -1))
    return first, second


def by_side(layout: Layout) -> dict[int, tuple[str, ...]]:
    """Candidates with a convolution by the side of their first kernel, in pixels."""
    sides = {n: 2 * operations.DILATED.get(n, 2) - 1 for n in layout.single}
    sides |= {name: operations.SEPARABLE[name] for name in layout.separable}
    found: dict[int, tuple[str, ...]] = {}
    for name, side in sides.items():
        found[side] = (*found.get(side, ()), name)
    return found


def lam_of(space: Any, params: dict) -> Any:
    """Lambda of 'cdp' on the edges out of a feature."""
    lam = space.own_lam
    return lam.at(params["lam"]) if "lam" in params else lam


def _first(space: Any, name: str, params: dict) -> Array:
    """[edges, k, k, c, c], the convolution of the first stage."""
    if name == "skip":
        return jax.vmap(lambda kernel: layers.at_two_pixels(kernel, 3))(params[name])
    if name == "cdc":
        kernel, theta = params[name], space.own_theta
        if isinstance(theta, Learned):
            theta = theta.at(params["theta"])
        each = (kernel.shape[0], kernel.shape[-1])
        theta = jnp.asarray(theta, kernel.dtype).reshape(-1)
        theta = theta if theta.size > 1 else jnp.broadcast_to(theta, each)
        return jax.vmap(ops.fold_cdc)(kernel, theta.reshape(each))
    kernel = _product(params, f"{name}_first")
    if name in operations.DILATED:
        edges, taps, *_, width, _ = kernel.shape
        shape = (edges, 2 * taps - 1, 2 * taps - 1, width, width)
        dilated = jnp.zeros(shape, kernel.dtype)
        return dilated.at[:, ::2, ::2].set(kernel)
    return kernel


def _product(params: dict, name: str) -> Array:
    """[edges, k, k, c, c]: the product of a depthwise and a 1 x 1 kernel."""
    return params[f"{name}_depthwise"][:, :, :, 0, :, None] * params[name]
