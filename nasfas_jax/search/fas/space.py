"""The FAS search space as a `search.space.SearchSpace`."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from nasfas_jax.errors import InputError
from nasfas_jax.graphs import Graph, Operation
from nasfas_jax.search import branches, cell_space, spaces
from nasfas_jax.search import cost as costs
from nasfas_jax.search.fas import cost, drawing, network, options, supernet
from nasfas_jax.search.genotype import Genotype


@spaces.register
@dataclasses.dataclass(frozen=True)
class FASSpace(options.FASOptions, cell_space.CellSpace):
    """The FAS search space of NAS-FAS; its options are those of `FASOptions`.

    Genotypes have doubled channels (NAS-FAS sec. 6.1).
    """

    name: ClassVar[str] = "nas_fas"

    @property
    def title(self) -> str:
        """The name and the paper's name of the trial."""
        return f"{self.name}, {self.trial}"

    @property
    def cells(self) -> dict[str, int]:
        """Four edges in each of the three cells."""
        return dict.fromkeys(options.CELLS, options.EDGES)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages of a network."""
        return ("stem", *options.CELLS, "score")

    @property
    def stages_of(self) -> dict[str, list[int]]:
        """Index of the stage of every cell."""
        return {cell: [self.stage_names.index(cell)] for cell in self.cells}

    @property
    def legend(self) -> tuple[Operation, ...]:
        """Labels and colors of the candidates."""
        return tuple(drawing.operation(name) for name in self.operations)

    def for_retraining(self) -> "FASSpace":
        """The same space with doubled channels; a learned theta or lambda is initialized."""
        return dataclasses.replace(
            self,
            stem_channels=2 * self.stem_channels,
            channels=2 * self.channels,
            head_channels=2 * self.head_channels,
        )

    def supernet(self) -> supernet.Supernet:
        """The supernet.

        Raises:
          InputError: theta or lambda by layer.
        """
        for name in ("theta", "lam"):
            if isinstance(getattr(self, name), Mapping):
                raise InputError(
                    f"expected a number or nets.Learned for a search, since the"
                    " supernet and the network that it finds have other layers, got values"
                    " by layer. Give them to the found network: nets.with_weights(found.net,"
                    f" {name}=...).",
                    field=name,
                )
        return supernet.Supernet(self)

    def network(self, genotype: Genotype) -> network.FASNet:
        """The network of an architecture."""
        return network.FASNet(genotype)

    def edge_macs(self) -> dict[str, np.ndarray]:
        """Multiply-adds of the candidates in the network for retraining."""
        return cost.edge_macs(self.for_retraining())

    def candidates(self, image_size: int) -> costs.Candidates:
        """Modules of the candidates in the network for retraining, at their shapes."""
        return cost.candidates(self.for_retraining(), image_size)

    def graph(self, genotype: Genotype) -> Graph:
        """The chain cells of an architecture between stem and head."""
        cells = drawing.graph(self, dict(zip(self.cells, genotype.cells, strict=True)))
        return branches.with_panel(cells, genotype, self.stage_names)


#: CDCN++ (CVPR 2020) as an architecture of this space: 2,257,352 parameters. The first
#: convolution of its Block1, 64 -> 128, is the second of the stem here.
CDCN_PP = Genotype(
    FASSpace(pool="max", stem_channels=64, channels=128, head_channels=128, partial=1),
    (
        ("cdc_2_1.6", "skip", "skip", "skip"),
        ("cdc_2_1.2", "cdc_2_1.4", "skip", "skip"),
        ("cdc", "cdc_2_1.2", "skip", "skip"),
    ),
)
