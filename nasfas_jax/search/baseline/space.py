"""The NAS-FAS baseline space as a `search.space.SearchSpace`."""

import dataclasses
from typing import Any, ClassVar

from nasfas_jax import limits
from nasfas_jax.search import spaces
from nasfas_jax.search.dag.space import DagSpace

#: Candidates by kind of operation space (NAS-FAS figure 5); 'pc_darts' has those of
#: PC-DARTS.
OPERATIONS = {
    "vanilla": (
        *("none", "skip", "sep_conv_3", "sep_conv_5", "avg_pool", "max_pool"),
        "dil_conv_3",
    ),
    "pc_darts": (
        *("none", "skip", "sep_conv_3", "sep_conv_5", "avg_pool", "max_pool"),
        *("dil_conv_3", "dil_conv_5"),
    ),
    "cd": ("none", "skip", "sep_conv_3", "sep_conv_5", "cdp", "max_pool", "cdc"),
}


@spaces.register
@dataclasses.dataclass(frozen=True)
class BaselineSpace(DagSpace):
    """The baseline search space of NAS-FAS (sec. 4.2, figure 5).

    A stem of three convolutions, which quarters the sides, nine cells (two normal and a
    reduction cell, three times; a reduction doubles the channels), and a convolution to
    two channels: 256 x 256 images give 8 x 8 maps. Each of the 14 edges of a cell has one
    of seven operations.

    Attributes:
      operation_space: 'vanilla', or 'cd', with central difference convolution and pooling
        in place of the dilated convolution and average pooling; 'pc_darts' is 'vanilla'
        with another dilated convolution, of 5 x 5 taps.
      head: 'map', or 'scalar' for one probability per image, whose ``map_size`` is 1.
      stem_channels: channels of the stem's three convolutions.
      channels: channels of a node in the first cells; doubled for retraining
        (NAS-FAS sec. 6.1).
      partial: K, one in K channels goes through the candidates (PC-DARTS).
      edge_weights: whether the edges into a node are weighted by softmax(beta).
      map_size: side of the predicted map; logits of other sides are resized.
      theta: share of central differences in 'cdc', 0.7 if None: a number or
        `theta.Learned`.
      lam: share of central differences in 'cdp', 0.7 if None; likewise.
      branches: inputs that are searched together with the point of their fusion, see
        `search.branches`; None for one input.

    Raises:
      InputError: a value out of range, channels that K does not divide, or theta or lambda
        where no candidate uses it.
    """

    name: ClassVar[str] = "nas_baseline"
    stem_strides: ClassVar[tuple[int, ...]] = (1, 2, 2)
    operation_space: str = "cd"
    head: str = "map"
    stem_channels: tuple[int, ...] = (16, 32, 64)
    channels: int = 16
    partial: int = 4
    edge_weights: bool = True
    map_size: int = 8
    theta: Any = None
    lam: Any = None
    branches: Any = None

    def __post_init__(self):
        limits.require(operation_space=(self.operation_space, limits.OneOf(OPERATIONS)))
        self.require()

    @property
    def title(self) -> str:
        """The name and the paper's name of the trial, without its input's S or SD."""
        kinds = {"cd": "CD", "vanilla": "Van", "pc_darts": "PC-DARTS"}
        kind = kinds[self.operation_space]
        return f"{self.name}, {kind}-{'CE' if self.head == 'scalar' else 'DP'}"

    @property
    def operations(self) -> tuple[str, ...]:
        """Names of the candidates, seven or for PC-DARTS eight."""
        return OPERATIONS[self.operation_space]

    def for_retraining(self) -> "BaselineSpace":
        """The same space with doubled channels."""
        return dataclasses.replace(
            self,
            stem_channels=tuple(2 * c for c in self.stem_channels),
            channels=2 * self.channels,
        )
