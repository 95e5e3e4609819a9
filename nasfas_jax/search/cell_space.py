"""Base class of search spaces with one vector of alphas per edge of each cell."""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nasfas_jax import losses
from nasfas_jax.errors import InputError
from nasfas_jax.graphs import Operation
from nasfas_jax.search import cost
from nasfas_jax.search.genotype import Genotype


class CellSpace(abc.ABC):
    """Base class of spaces whose alphas are ``{cell: [edges, operations]}``.

    A subclass is a frozen dataclass with the other members of `space.SearchSpace`:
    ``name``, ``map_size``, ``cells``, ``legend``, ``supernet``, ``network`` and
    ``graph``; and with `edge_macs`.
    """

    name: ClassVar[str]
    chooses_edges: ClassVar[bool] = False
    target: ClassVar[str] = "depth"

    @property
    @abc.abstractmethod
    def cells(self) -> Mapping[str, int]:
        """Number of edges of every cell."""

    @property
    @abc.abstractmethod
    def legend(self) -> tuple[Operation, ...]:
        """Labels and colors of the candidates of an edge, in the order of its alphas."""

    @abc.abstractmethod
    def edge_macs(self) -> cost.Table:
        """``{cell: [operations]}``: multiply-adds per pixel of each candidate."""

    def candidates(self, image_size: int) -> cost.Candidates:
        """Modules of the candidates in the network for retraining, at their shapes.

        They are what the costs 'parameters' and 'latency' count and measure.

        Args:
          image_size: side of the images.

        Raises:
          InputError: this class does not declare them.
        """
        del image_size
        raise InputError(
            f"expected 'macs', since the search space {self.name!r} has no method"
            " `candidates`, which parameters and latency are counted from.",
            field="cost",
        )

    def require_edges(self, name: str, cell: Any) -> None:
        """Accepts any cell: the graph is fixed."""
        del name, cell

    @property
    def operations(self) -> tuple[str, ...]:
        """Names of the candidates."""
        return tuple(op.name for op in self.legend)

    @property
    def title(self) -> str:
        """Name for display."""
        return self.name

    @property
    def choices(self) -> tuple[str, ...]:
        """Names of all operations but 'none'."""
        return tuple(name for name in self.operations if name != "none")

    def for_retraining(self) -> Any:
        """The space of genotypes, whose network is trained from scratch: this one."""
        return self

    def init_alphas(self, key: Array, dtype: Any = jnp.float32) -> dict[str, Array]:
        """``{cell: [edges, operations]}``, normal with deviation 1e-3 (as PC-DARTS)."""
        keys = jax.random.split(key, len(self.cells))
        return {
            cell: 1e-3 * jax.random.normal(k, (edges, len(self.operations)), dtype)
            for (cell, edges), k in zip(self.cells.items(), keys, strict=True)
        }

    def probabilities(self, alphas: Mapping[str, Array]) -> dict[str, Array]:
        """``softmax(alphas)`` of each cell, [edges, operations]."""
        return {cell: jax.nn.softmax(alphas[cell]) for cell in self.cells}

    def derive(self, alphas: Mapping[str, Any]) -> Genotype:
        """The strongest operation other than none on every edge (NAS-FAS sec. 4.1).

        Args:
          alphas: ``{cell: [edges, operations]}``. Ties go to the earlier operation.
        """
        return self.strongest(alphas)

    def strongest(self, scores: Mapping[str, Any]) -> Genotype:
        """The architecture of the best scores, ``{cell: [edges, operations]}``."""
        names = np.array(self.operations)
        kept = np.flatnonzero(np.isin(names, self.choices))
        cells = tuple(
            tuple(str(names[kept[i]]) for i in np.argmax(scores[cell][:, kept], -1))
            for cell in self.cells
        )
        return Genotype(self.for_retraining(), cells)

    def sample(self, seed: int) -> Genotype:
        """A uniformly random architecture, the baseline of a search."""
        rng = np.random.default_rng(seed)
        names = iter(rng.choice(self.choices, sum(self.cells.values())))
        cells = tuple(
            tuple(str(next(names)) for _ in range(edges))
            for edges in self.cells.values()
        )
        return Genotype(self.for_retraining(), cells)

    def loss(self, predicted: Array, target: Array) -> Array:
        """`losses.depth_loss` of maps [B, map_size, map_size]."""
        return losses.depth_loss(predicted, target)

    def occurrences(self, alphas: Any) -> Mapping[str, Array]:
        """Expected number of each candidate in an architecture, [edges, operations]."""
        return self.probabilities(alphas)

    def largest(self, table: cost.Table) -> float:
        """The largest cost of an architecture, by a table of costs."""
        return float(sum(n * table[cell].max() for cell, n in self.cells.items()))

    def relative_macs(self, alphas: Any) -> Array:
        """Expected multiply-adds of the cells over the largest; differentiable."""
        return cost.relative(self, self.edge_macs(), alphas)
