"""Table and picture of the architectures between the most probable and the cheapest."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from nasfas_jax import tables
from nasfas_jax.report.picture import Picture
from nasfas_jax.report.searches import trade_off_curve
from nasfas_jax.search.trade_off import Point


@dataclasses.dataclass(frozen=True, repr=False)
class TradeOff:
    """Architectures of one search, from the most probable to the cheapest.

    Attributes:
      points: the architectures, see `search.trade_off.points`.
      cost: name of the cost.
    """

    points: Sequence[Point]
    cost: str

    def table(self) -> list[list[str]]:
        """Header and rows: weight of the cost, relative cost, mean log probability."""
        rows = [
            [f"{p.weight:.3g}", f"{100 * p.cost:.1f}", f"{p.log_probability:.3f}"]
            for p in self.points
        ]
        return [["weight", f"{self.cost}, % of the largest", "log probability"], *rows]

    def picture(self) -> Picture:
        """Mean log probability over the relative cost."""
        costs = [point.cost for point in self.points]
        return trade_off_curve(
            costs, [p.log_probability for p in self.points], self.cost
        )

    def __repr__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> Any:
        """HTML for notebooks."""
        return tables.as_html(self.table())
