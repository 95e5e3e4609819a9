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
    #: Inputs of the branches; None for one input.
    branches: Any = None

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages of a network, of a space that takes branches."""
        return ()

    @property
    def stages_of(self) -> Mapping[str, list[int]]:
        """Index of the stage of every cell of a kind, of a space that takes branches."""
        return {}

    @property
    def fusions(self) -> tuple[str, ...]:
        """Names of the fusion points, the stages; none with fewer than two branches."""
        return self.stage_names if self.branches and len(self.branches) > 1 else ()

    @property
    def input(self) -> str | None:
        """Input of the batches to search and train on, if the space has branches."""
        return "+".join(self.branches) if self.branches else None

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

        The costs 'parameters' and 'latency' are counted and measured on them.

        Args:
          image_size: side of the images.

        Raises:
          InputError: the space does not declare them.
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
        alphas = {
            cell: 1e-3 * jax.random.normal(k, (edges, len(self.operations)), dtype)
            for (cell, edges), k in zip(self.cells.items(), keys, strict=True)
        }
        return self.with_fusion(alphas, key, dtype)

    def with_fusion(self, alphas: dict[str, Any], key: Array, dtype: Any) -> Any:
        """Initial alphas, including those of the fusion point of branches."""
        if not self.fusions:
            return alphas
        own = jax.random.fold_in(key, len(self.cells))
        drawn = 1e-3 * jax.random.normal(own, (len(self.fusions),), dtype)
        return {**alphas, "fusion": drawn}

    def strongest_fusion(self, scores: Mapping[str, Any]) -> str | None:
        """The fusion point with the best score; None without branches."""
        return self.fusions[int(np.argmax(scores["fusion"]))] if self.fusions else None

    def copies(self, weights: Any) -> dict[str, Any]:
        """Copies of each kind of cell, relative to a copy in every branch; at most 1.

        Before the fusion point every branch has its own cells. The mean over the cells of a
        kind is returned.

        Args:
          weights: weights [stages] of the fusion points.
        """
        count, found = len(self.branches), {}
        for cell, stages in self.stages_of.items():
            numbers = [1 + (count - 1) * weights[stage:].sum() for stage in stages]
            found[cell] = sum(numbers) / (len(numbers) * count)
        return found

    def sample_fusion(self, rng: np.random.Generator) -> str | None:
        """A uniformly random fusion point; None without branches."""
        return str(rng.choice(self.fusions)) if self.fusions else None

    def probabilities(self, alphas: Mapping[str, Array]) -> dict[str, Array]:
        """``softmax(alphas)`` of each cell, [edges, operations]."""
        return {cell: jax.nn.softmax(alphas[cell]) for cell in self.cells}

    def derive(self, alphas: Mapping[str, Any]) -> Genotype:
        """The strongest operation other than none on every edge (NAS-FAS sec. 4.1).

        Args:
          alphas: ``{cell: [edges, operations]}``, and 'fusion' with branches. Ties go to
            the earlier operation.
        """
        return self.strongest(alphas)

    def strongest(self, scores: Mapping[str, Any]) -> Genotype:
        """The architecture with the best scores, ``{cell: [edges, operations]}``."""
        names = np.array(self.operations)
        kept = np.flatnonzero(np.isin(names, self.choices))
        cells = tuple(
            tuple(str(names[kept[i]]) for i in np.argmax(scores[cell][:, kept], -1))
            for cell in self.cells
        )
        return Genotype(self.for_retraining(), cells, self.strongest_fusion(scores))

    def sample(self, seed: int) -> Genotype:
        """A uniformly random architecture, the baseline of a search."""
        rng = np.random.default_rng(seed)
        names = iter(rng.choice(self.choices, sum(self.cells.values())))
        cells = tuple(
            tuple(str(next(names)) for _ in range(edges))
            for edges in self.cells.values()
        )
        return Genotype(self.for_retraining(), cells, self.sample_fusion(rng))

    def one_hot(self, genotype: Genotype) -> Any:
        """Alphas that give an architecture the probability 1; channels may differ.

        Raises:
          InputError: an architecture with other cells, operations or fusion points.
        """
        self.require_own(genotype)
        alphas = {
            cell: np.stack([self._certain(self.operations, name) for name in edges])
            for cell, edges in zip(self.cells, genotype.cells, strict=True)
        }
        return self.with_certain_fusion(alphas, genotype)

    def require_own(self, genotype: Genotype) -> None:
        """Requires the name, cells, operations and fusion points of this space.

        Raises:
          InputError: an architecture of another space.
        """

        def shape(space: Any) -> Any:
            return space.name, dict(space.cells), space.operations, space.fusions

        if shape(genotype.space) != shape(self):
            raise InputError(
                f"expected an architecture of the space {self.title} ({shape(self)}), got"
                f" one of {genotype.space.title} ({shape(genotype.space)})."
            )

    def with_certain_fusion(self, alphas: dict[str, Any], genotype: Genotype) -> Any:
        """One-hot alphas with those of the fusion point, if there are branches."""
        if not self.fusions:
            return alphas
        return {**alphas, "fusion": self._certain(self.fusions, genotype.fusion)}

    @staticmethod
    def _certain(names: tuple[str, ...], chosen: str | None) -> np.ndarray:
        """Alphas whose softmax is 1 at the chosen name and 0 at the others."""
        return np.where([name == chosen for name in names], 1e3, 0.0).astype(np.float32)

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
