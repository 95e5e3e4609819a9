"""Options and constants of the FAS search space."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nasfas_jax import limits
from nasfas_jax import theta as thetas
from nasfas_jax.errors import InputError
from nasfas_jax.search import branches

#: Edges of a chain cell: input -> B1 -> B2 -> B3 -> B4, each node fed by the last one.
EDGES = 4
#: The cells, from the input on; a pooling layer follows each.
CELLS = ("low", "mid", "high")
#: Side of the spatial attention's window after each cell's pooling (NAS-FAS sec. 6.1).
ATTENTION_WINDOWS = {"low": 7, "mid": 5, "high": 3}
#: Widths r of the candidates that widen the channels by r and narrow them again.
EXPANSIONS = (1.2, 1.4, 1.6, 1.8, 2.0)
CONVOLUTIONS = ("cdc", "conv")
POOLS = ("max", "cdp")


@dataclasses.dataclass(frozen=True)
class FASOptions:
    """Options of the FAS search space (NAS-FAS sec. 4.3, figure 6): three of ``8^4`` cells.

    A stem of two convolutions, three chain cells, each followed by a pooling layer with
    or without spatial attention, their concatenation, and a head that predicts a map.
    Every edge holds one of eight operations: none, skip, a 3 x 3 convolution, and five
    pairs of convolutions that widen the channels by r and narrow them again.

    With one edge into every node the softmax over incoming edges is 1: this space has
    no edge weights beta, and M = 1 keeps every edge.

    Attributes:
      convolution: 'cdc' or 'conv' (plain).
      pool: 'max' or 'cdp'.
      attention: whether spatial attention follows the pooling.
      stem_channels: channels after the first convolution of the stem.
      channels: channels of the cells; doubled for retraining (NAS-FAS sec. 6.1).
      head_channels: channels before the map.
      partial: K, one in K channels goes through the candidates (PC-DARTS).
      map_size: side of the predicted map.
      theta: share of central differences in the convolutions of 'cdc', 0.7 if None: a
        number or `theta.Learned`, or for the network of a genotype also values by layer.
      lam: share of central differences in the pooling of 'cdp', 0.7 if None; likewise.
      branches: inputs that are searched together with the point of their fusion, see
        `search.branches`; None for one input.

    Raises:
      InputError: a value out of range, theta or lam where nothing uses it, or values by
        layer with branches.
    """

    convolution: str = "cdc"
    pool: str = "cdp"
    attention: bool = True
    stem_channels: int = 32
    channels: int = 64
    head_channels: int = 64
    partial: int = 4
    map_size: int = 32
    theta: Any = None
    lam: Any = None
    branches: Any = None

    def __post_init__(self):
        limits.require(
            convolution=(self.convolution, limits.OneOf(CONVOLUTIONS)),
            pool=(self.pool, limits.OneOf(POOLS)),
            stem_channels=(self.stem_channels, limits.COUNT),
            channels=(self.channels, limits.COUNT),
            head_channels=(self.head_channels, limits.COUNT),
            partial=(self.partial, limits.COUNT),
            map_size=(self.map_size, limits.COUNT),
            attention=(self.attention, limits.FLAG),
        )
        if self.channels % self.partial:
            raise InputError(
                f"expected a multiple of partial, {self.partial}, since one in "
                f"{self.partial} channels goes through the candidates of an edge, got"
                f" {self.channels} on the first edge of the cell {CELLS[0]!r}.",
                field="channels",
            )
        object.__setattr__(self, "branches", branches.parse(self.branches))
        for name, option, user in (
            ("theta", self.convolution, "cdc"),
            ("lam", self.pool, "cdp"),
        ):
            if (given := getattr(self, name)) is not None:
                if option != user:
                    raise InputError(
                        f"expected None, since it belongs to {user!r} and this"
                        f" space has {option!r}, got {given!r}.",
                        field=name,
                    )
                weight = thetas.parse(name, given)
                if self.branches and isinstance(weight, Mapping):
                    raise InputError(
                        "expected a number or nets.Learned for a space with branches, got"
                        " values by layer.",
                        field=name,
                    )
                object.__setattr__(self, name, weight)

    @property
    def operations(self) -> tuple[str, ...]:
        """Names of the candidates of an edge, in the order of its alphas."""
        conv = self.convolution
        return ("none", "skip", conv, *(f"{conv}_2_{r}" for r in EXPANSIONS))

    @property
    def own_theta(self) -> Any:
        """theta of the convolutions: 0 where they are plain."""
        if self.convolution == "conv":
            return 0.0
        return 0.7 if self.theta is None else self.theta

    @property
    def own_lam(self) -> Any:
        """Lambda of the pooling."""
        return 0.7 if self.lam is None else self.lam

    @property
    def trial(self) -> str:
        """The paper's name of the trial, without its input's S or SD: 'CD-CDP-Att'."""
        parts = ["CD" if self.convolution == "cdc" else "Van"]
        parts.append("CDP" if self.pool == "cdp" else "Max")
        return "-".join([*parts, *(["Att"] if self.attention else [])])


def hidden_width(operation: str, channels: int) -> int:
    """Channels between the two convolutions of ``conv_2_r``: r times, truncated.

    >>> hidden_width("cdc_2_1.6", 128)
    204
    """
    ratio = operation.rsplit("_", 1)[1]
    # Exact in tenths: int(1.4 * 10) in floats would be 13.
    return channels * round(float(ratio) * 10) // 10
