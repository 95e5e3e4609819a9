"""Base class of the search spaces of cells."""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nasfas_jax import limits, losses
from nasfas_jax import theta as thetas
from nasfas_jax.errors import InputError
from nasfas_jax.graphs import Graph, Operation
from nasfas_jax.search import branches, cell_space, cost
from nasfas_jax.search.dag import (
    candidates,
    drawing,
    network,
    operations,
    skeleton,
    structure,
    supernet,
)
from nasfas_jax.search.genotype import Genotype, Link


class _Counts(limits.Kind):
    """Channels as a number, or as a list of one number per layer."""

    def __contains__(self, value: Any) -> bool:
        values = value if isinstance(value, list | tuple) else [value]
        return bool(values) and all(count in limits.COUNT for count in values)


#: Values of the field of a config.
STEM_CHANNELS = _Counts(object, f"{limits.COUNT}, or a list of them")


#: What a network predicts: a map, or one probability per image (cross entropy).
HEADS = ("map", "scalar")


class DagSpace(cell_space.CellSpace):
    """A space of normal and reduction cells with 14 edges each (DARTS).

    Alphas are ``{cell: {'alpha': [14, operations], 'beta': [14]}}``: the candidates of an
    edge are mixed by ``softmax(alpha)``, the edges into a node by ``softmax(beta)`` over
    them (PC-DARTS's edge normalization). A genotype keeps two edges into every node.

    A subclass is a frozen dataclass with the fields ``head``, ``stem_channels``,
    ``channels``, ``partial``, ``edge_weights``, ``map_size``, ``theta``, ``lam`` and
    ``branches``. The ``map_size`` of the head 'scalar' is 1.

    Attributes:
      stem_strides: strides of the stem's convolutions.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    stem_strides: ClassVar[tuple[int, ...]]
    head: str
    stem_channels: tuple[int, ...]
    channels: int
    partial: int
    edge_weights: bool
    map_size: int
    theta: Any
    lam: Any
    chooses_edges: ClassVar[bool] = True
    #: Target of the batches to search and train on.
    target: ClassVar[str] = "binary"

    @property
    def stem(self) -> tuple[tuple[int, int], ...]:
        """Channels and stride of each convolution of the stem."""
        return tuple(zip(self.stem_channels, self.stem_strides, strict=True))

    @property
    def layout(self) -> tuple[tuple[str, int], ...]:
        """Kind and channels of each of the nine cells."""
        cells, channels = [], self.channels
        for kind in structure.LAYOUT:
            channels *= 2 if kind == "reduction" else 1
            cells.append((kind, channels))
        return tuple(cells)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages of a network."""
        return skeleton.stage_names(self)

    @property
    def stages_of(self) -> dict[str, list[int]]:
        """Index of the stage of every cell of a kind."""
        found: dict[str, list[int]] = {kind: [] for kind in self.cells}
        for stage, (kind, _, indices) in enumerate(skeleton.groups(self), 1):
            found[kind] += [stage] * len(indices)
        return found

    @property
    @abc.abstractmethod
    def operations(self) -> tuple[str, ...]:
        """Names of the candidates."""

    def require(self) -> None:
        """Checks the fields; for ``__post_init__``.

        Raises:
          InputError: a value out of range, channels that K does not divide, or theta or
            lambda where no candidate uses it.
        """
        limits.require(head=(self.head, limits.OneOf(HEADS)))
        object.__setattr__(self, "branches", branches.parse(self.branches))
        if self.head == "scalar":
            object.__setattr__(self, "map_size", 1)
        given, length = self.stem_channels, len(self.stem_strides)
        if not isinstance(given, list | tuple) or len(given) != length:
            raise InputError(
                f"expected {length} values, each {limits.COUNT}, got {given!r}.",
                field="stem_channels",
            )
        # JSON has a list.
        object.__setattr__(self, "stem_channels", tuple(given))
        limits.require(
            **{f"stem_channels[{i}]": (c, limits.COUNT) for i, c in enumerate(given)},
            channels=(self.channels, limits.COUNT),
            partial=(self.partial, limits.COUNT),
            edge_weights=(self.edge_weights, limits.FLAG),
            map_size=(self.map_size, limits.COUNT),
        )
        names = limits.Several(limits.OneOf(operations.LEGEND))
        limits.require(operations=(self.operations, names))
        if not self.choices:
            raise InputError(
                f"expected one beside 'none', got {self.operations}.",
                field="operations",
            )
        for i, (kind, channels) in enumerate(self.layout):
            if channels % self.partial:
                raise InputError(
                    f"expected a multiple of partial, {self.partial}, since one"
                    f" in {self.partial} channels goes through the candidates of an edge,"
                    f" got {channels} on the edge 0 -> 2 of cell {i} ({kind}).",
                    field="channels",
                )
        for name, user in (("theta", "cdc"), ("lam", "cdp")):
            if (given := getattr(self, name)) is None:
                continue
            if user not in self.operations:
                raise InputError(
                    f"expected None, since it belongs to {user!r}, which is no"
                    f" operation of this space ({', '.join(self.operations)}), got"
                    f" {given!r}.",
                    field=name,
                )
            weight = thetas.parse(name, given)
            if isinstance(weight, Mapping):
                raise InputError(
                    "expected a number or nets.Learned for a space of cells, got"
                    " values by layer.",
                    field=name,
                )
            object.__setattr__(self, name, weight)

    @property
    def own_theta(self) -> Any:
        """theta of 'cdc'."""
        return 0.7 if self.theta is None else self.theta

    @property
    def own_lam(self) -> Any:
        """Lambda of 'cdp'."""
        return 0.7 if self.lam is None else self.lam

    @property
    def cells(self) -> dict[str, int]:
        """Fourteen edges in each kind of cell."""
        return dict.fromkeys(structure.KINDS, len(structure.EDGES))

    @property
    def legend(self) -> tuple[Operation, ...]:
        """Labels and colors of the candidates."""
        return tuple(operations.LEGEND[name] for name in self.operations)

    def init_alphas(self, key: Array, dtype: Any = jnp.float32) -> Any:
        """Normal with deviation 1e-3 (as PC-DARTS)."""

        def draw(key: Array, *shape: int) -> Array:
            return 1e-3 * jax.random.normal(key, shape, dtype)

        edges, alphas = len(structure.EDGES), {}
        for kind, k in zip(structure.KINDS, jax.random.split(key, 2), strict=True):
            one, other = jax.random.split(k)
            alphas[kind] = {"alpha": draw(one, edges, len(self.operations))}
            if self.edge_weights:
                alphas[kind]["beta"] = draw(other, edges)
        return self.with_fusion(alphas, key, dtype)

    def probabilities(self, alphas: Any) -> dict[str, Array]:
        """``softmax(alpha)`` of each cell, [14, operations]."""
        return {kind: jax.nn.softmax(alphas[kind]["alpha"]) for kind in self.cells}

    def shares(self, alphas: Mapping[str, Array]) -> Array:
        """Weights [14] of the edges of a cell: ``softmax(beta)`` over those into a node.

        1 where the space has no edge weights.
        """
        if not self.edge_weights:
            return jnp.ones_like(alphas["alpha"][:, 0])
        beta = alphas["beta"]
        return jnp.concatenate([jax.nn.softmax(beta[g]) for g in structure.GROUPS])

    def weights(self, alphas: Mapping[str, Array]) -> Array:
        """Weights [14, operations] of the candidates of a cell in the nodes' sums."""
        return jax.nn.softmax(alphas["alpha"]) * self.shares(alphas)[:, None]

    def derive(self, alphas: Any) -> Genotype:
        """The two strongest edges into every node (NAS-FAS sec. 4.1).

        The strength of an edge is the largest weight, ``softmax(alpha) softmax(beta)``, of
        its operations other than none; this operation is kept. Ties go to the earlier edge
        and operation.

        Args:
          alphas: alphas of both cells.
        """
        scores = {kind: self.weights(alphas[kind]) for kind in structure.KINDS}
        return self.strongest({**alphas, **scores})

    def one_hot(self, genotype: Genotype) -> Any:
        """Alphas of an architecture alone: the other edges have 'none'.

        Their shares are 0. Without edge weights they are 1, so that the channels that
        pass by the candidates remain on these edges.

        Raises:
          InputError: an architecture with other cells, operations or fusion points.
        """
        self.require_own(genotype)
        alphas = {}
        for kind, links in zip(structure.KINDS, genotype.cells, strict=True):
            chosen = {self.edge_of(link): link.operation for link in links}
            names = [chosen.get(edge, "none") for edge in range(len(structure.EDGES))]
            rows = [self._certain(self.operations, name) for name in names]
            alphas[kind] = {"alpha": np.stack(rows)}
            if self.edge_weights:
                kept = [name != "none" for name in names]
                alphas[kind]["beta"] = np.where(kept, 1e3, 0.0).astype(np.float32)
        return self.with_certain_fusion(alphas, genotype)

    def edge_of(self, link: Link) -> int:
        """Number of an edge of a genotype among the 14."""
        return structure.EDGES.index(link[:2])

    def strongest(self, scores: Mapping[str, Any]) -> Genotype:
        """The two edges into every node with the best scores of an operation.

        Args:
          scores: ``{cell: [14, operations]}``.
        """
        names = self.operations
        kept = [i for i, name in enumerate(names) if name != "none"]
        cells = []
        for kind in structure.KINDS:
            weights = np.asarray(scores[kind])[:, kept]
            links = []
            for group in structure.GROUPS:
                strength = weights[group].max(-1)
                strongest = np.argsort(-strength, kind="stable")[: structure.KEPT]
                for edge in sorted(int(i) + group.start for i in strongest):
                    operation = names[kept[int(weights[edge].argmax())]]
                    links.append(Link(*structure.EDGES[edge], operation))
            cells.append(tuple(links))
        fusion = self.strongest_fusion(scores)
        return Genotype(self.for_retraining(), tuple(cells), fusion)

    def require_edges(self, name: str, cell: tuple[Link, ...]) -> None:
        """Requires two different edges into every node of a cell.

        Raises:
          InputError: an edge that does not exist or occurs twice, or a node with another
            number of edges.
        """
        pairs = [link[:2] for link in cell]
        for pair in pairs:
            if pair not in structure.EDGES or pairs.count(pair) > 1:
                raise InputError(
                    f'the cell "{name}" has an edge from {pair[0]!r} to {pair[1]!r}; '
                    "expected different edges from a feature, 0 to 4, to a later node, "
                    "2 to 5."
                )
        for node in range(structure.INPUTS, structure.INPUTS + structure.NODES):
            count = sum(end == node for _, end in pairs)
            if count != structure.KEPT:
                raise InputError(
                    f'the cell "{name}" has {count} edge{"s" * (count != 1)} into node'
                    f" {node}; expected {structure.KEPT}."
                )

    def sample(self, seed: int) -> Genotype:
        """A uniformly random architecture: two edges into every node, an operation each."""
        rng = np.random.default_rng(seed)
        cells = []
        for _ in structure.KINDS:
            links = []
            for node in range(structure.INPUTS, structure.INPUTS + structure.NODES):
                starts = rng.choice(node, structure.KEPT, replace=False)
                for start in sorted(starts.tolist()):
                    links.append(Link(start, node, str(rng.choice(self.choices))))
            cells.append(tuple(links))
        fusion = self.sample_fusion(rng)
        return Genotype(self.for_retraining(), tuple(cells), fusion)

    def supernet(self) -> supernet.Supernet:
        """The supernet."""
        return supernet.Supernet(self)

    def network(self, genotype: Genotype) -> network.DagNet:
        """The network of an architecture."""
        return network.DagNet(genotype)

    def loss(self, predicted: Array, target: Array) -> Array:
        """`losses.pixel_binary` of maps [B, map_size, map_size]."""
        return losses.pixel_binary(predicted, target)

    def edge_macs(self) -> dict[str, np.ndarray]:
        """``{cell: [14, operations]}``: multiply-adds of the candidates, over all cells.

        In the network for retraining, per pixel of the stem's output.
        """
        retrained = self.for_retraining()
        macs = {
            kind: np.zeros((len(structure.EDGES), len(self.operations)))
            for kind in structure.KINDS
        }
        area = 1.0
        for kind, channels in retrained.layout:
            area /= 4 if kind == "reduction" else 1
            for edge, (start, _) in enumerate(structure.EDGES):
                reduces = kind == "reduction" and start < structure.INPUTS
                macs[kind][edge] += area * operations.macs_of_edge(
                    self.operations, channels, 2 if reduces else 1
                )
        return macs

    def candidates(self, image_size: int) -> cost.Candidates:
        """Modules of the candidates in all cells, at their shapes."""
        return candidates.of_cells(self.for_retraining(), image_size)

    def occurrences(self, alphas: Any) -> dict[str, Array]:
        """Expected number of each candidate in an architecture, [14, operations].

        Candidates are drawn by ``softmax(alpha)``, and two edges into every node in
        proportion to ``softmax(beta)``.
        """
        found = {}
        for kind in structure.KINDS:
            shares = self.shares(alphas[kind])
            if not self.edge_weights:
                shares = shares / jnp.asarray(structure.INCOMING, shares.dtype)
            p = jax.nn.softmax(alphas[kind]["alpha"])
            found[kind] = structure.KEPT * shares[:, None] * p
        return found

    def largest(self, table: cost.Table) -> float:
        """The largest cost of an architecture: its two dearest edges into every node."""
        return float(
            sum(
                np.sort(table[kind].max(-1)[group])[-structure.KEPT :].sum()
                for kind in structure.KINDS
                for group in structure.GROUPS
            )
        )

    def graph(self, genotype: Genotype) -> Graph:
        """Both cells of an architecture."""
        cells = drawing.graph(dict(zip(self.cells, genotype.cells, strict=True)))
        return branches.with_panel(cells, genotype, self.stage_names)
