"""The Auto-FAS space as a `search.space.SearchSpace`."""

import dataclasses
from typing import Any, ClassVar

from nasfas_jax.search import spaces
from nasfas_jax.search.dag.space import DagSpace


@spaces.register
@dataclasses.dataclass(frozen=True)
class AutoFASSpace(DagSpace):
    """The search space of Auto-FAS (sec. 2.1.1, figure 2).

    A stem of two convolutions, nine cells (two normal and a reduction cell, three times; a
    reduction halves the sides, rounded up, and doubles the channels), and a convolution to
    two channels: 108 x 108 images give 14 x 14 maps. Each of the 14 edges of a cell has
    one of six operations.

    The text of the paper leaves stem, cells and channels to its figure 2. Here the order of
    the cells is that of the NAS-FAS baseline space, by the same authors: three halvings lead
    from 108 to 14. The channels are chosen for the 0.27 M parameters and 0.53 G multiply-adds
    of Table 4. They are the same in the search and in retraining.

    Attributes:
      head: 'map' for pixel-wise supervision, or 'scalar' for one probability per image,
        whose ``map_size`` is 1 (Table 3).
      stem_channels: channels of the stem's two convolutions.
      channels: channels of a node in the first cells.
      partial: K, one in K channels goes through the candidates (PC-DARTS).
      edge_weights: whether the edges into a node are weighted by softmax(beta).
      map_size: side of the predicted map; logits of other sides are resized.
      branches: inputs that are searched together with the point of their fusion, see
        `search.branches`; None for one input.

    Raises:
      InputError: a value out of range, or channels that K does not divide.
    """

    name: ClassVar[str] = "auto_fas"
    stem_strides: ClassVar[tuple[int, ...]] = (1, 1)
    head: str = "map"
    stem_channels: tuple[int, ...] = (32, 48)
    channels: int = 12
    partial: int = 4
    edge_weights: bool = True
    map_size: int = 14
    branches: Any = None
    theta: ClassVar[Any] = None
    lam: ClassVar[Any] = None

    def __post_init__(self):
        self.require()

    @property
    def operations(self) -> tuple[str, ...]:
        """Names of the six candidates."""
        return ("none", "max_pool", "avg_pool", "skip", "sep_conv_3", "sep_conv_5")
