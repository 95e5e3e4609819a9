"""Interface of a search space."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import flax.linen as nn
import numpy as np
from jax import Array

from nasfas_jax.graphs import Graph, Operation

if TYPE_CHECKING:
    from nasfas_jax.search.genotype import Genotype


class SearchSpace(Protocol):
    """A set of architectures, with the modules that search and train them.

    A space is a frozen dataclass whose fields are its options. It is registered by name
    with `spaces.register`; methods, networks, genotype files and pictures use it through
    this interface alone. `cell_space.CellSpace` is a base class for the common case of
    one vector of alphas per edge.

    Attributes:
      name: name in genotype files, configs and `spaces.get`.
      chooses_edges: whether the edges of a cell are a part of the architecture. If so, a
        cell of a genotype lists `genotype.Link`, otherwise names of operations.
      target: target of the batches that `loss` is for, one of `data.loading.views.TARGETS`.
    """

    name: ClassVar[str]
    chooses_edges: ClassVar[bool]
    target: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def title(self) -> str:
        """Name for display, with the variant that the options select."""
        ...

    @property
    def map_size(self) -> int:
        """Side of the predicted map, in pixels."""
        ...

    @property
    def cells(self) -> Mapping[str, int]:
        """Number of edges of every cell, in the order of genotypes."""
        ...

    @property
    def operations(self) -> tuple[str, ...]:
        """Names of the candidates of an edge, in the order of its alphas.

        The output of one named 'none' is zero, that of one named 'skip' is its input.
        """
        ...

    @property
    def legend(self) -> tuple[Operation, ...]:
        """Labels and colors of `operations`, in the same order."""
        ...

    @property
    def choices(self) -> tuple[str, ...]:
        """Names of the operations that an edge of a genotype may have."""
        ...

    def init_alphas(self, key: Array, dtype: Any = ...) -> Any:
        """Initial alphas, a pytree."""
        ...

    def probabilities(self, alphas: Any) -> Mapping[str, Array]:
        """Weights [edges, operations] of the candidates in every cell."""
        ...

    def derive(self, alphas: Any) -> "Genotype":
        """The strongest architecture under ``alphas``."""
        ...

    def strongest(self, scores: Mapping[str, Any]) -> "Genotype":
        """The architecture with the best scores, ``{cell: [edges, operations]}``."""
        ...

    def sample(self, seed: int) -> "Genotype":
        """A random architecture."""
        ...

    def one_hot(self, genotype: "Genotype") -> Any:
        """Alphas that give an architecture the probability 1, like `init_alphas`.

        Raises:
          InputError: an architecture with other cells or operations.
        """
        ...

    def require_edges(self, name: str, cell: Any) -> None:
        """Requires the edges of a cell of a genotype to make a cell of the space.

        Raises:
          InputError: names the edge or node. Spaces that choose no edges need no such
            method.
        """
        ...

    def supernet(self) -> nn.Module:
        """A module whose ``space`` is this one.

        It is called with images [N, H, W, C], alphas and ``train``, and returns maps
        [N, map_size, map_size]. It has BatchNorm, in the collection ``batch_stats``.
        """
        ...

    def network(self, genotype: "Genotype") -> nn.Module:
        """The network of an architecture of this space.

        It is called with images [N, H, W, C] and ``train``, returns maps
        [N, map_size, map_size], has BatchNorm and the attributes ``map_size``
        and ``genotype``.
        """
        ...

    def loss(self, predicted: Array, target: Array) -> Array:
        """Loss of maps [B, map_size, map_size], a scalar."""
        ...

    def relative_macs(self, alphas: Any) -> Array:
        """Expected multiply-adds of the cells over the largest; differentiable."""
        ...

    def occurrences(self, alphas: Any) -> Mapping[str, Array]:
        """Expected number of each candidate in an architecture, [edges, operations]."""
        ...

    def edge_macs(self) -> Mapping[str, np.ndarray]:
        """Multiply-adds of each candidate, [operations] or [edges, operations]."""
        ...

    def candidates(self, image_size: int) -> Any:
        """Modules of the candidates in the network for retraining, at their shapes."""
        ...

    def largest(self, table: Mapping[str, np.ndarray]) -> float:
        """The largest cost of an architecture, by a table of costs."""
        ...

    def graph(self, genotype: "Genotype") -> Graph:
        """The graph of an architecture, for its picture."""
        ...
