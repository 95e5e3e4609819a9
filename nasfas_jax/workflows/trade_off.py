"""Table, file and picture of the architectures between the most probable and the cheapest."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from nasfas_jax import files, tables
from nasfas_jax.report.picture import Format, Picture
from nasfas_jax.report.searches import trade_off_curve
from nasfas_jax.search import genotype
from nasfas_jax.search.trade_off import Point
from nasfas_jax.workflows import records

#: File in the folder of a search.
FILE = "trade_off.json"


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

    def picture(self, *, format: Format = "svg") -> Picture:
        """Mean log probability over the relative cost."""
        costs = [point.cost for point in self.points]
        logs = [point.log_probability for point in self.points]
        return trade_off_curve(costs, logs, self.cost, format)

    def save(self, path: str | pathlib.Path) -> None:
        """Writes a JSON file with the architectures as genotypes."""
        points = [
            {**point._asdict(), "genotype": point.genotype.as_dict()}
            for point in self.points
        ]
        files.write_json(path, {"cost": self.cost, "points": points})

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "TradeOff":
        """Reads a file that `save` wrote.

        Raises:
          InputError: no such file, or other content.
        """
        about = "the trade-off of a search, as `nasfas search` writes it"
        with files.reading(path, about, records.SEARCH_AGAIN):
            content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
            points = [
                Point(**{**one, "genotype": genotype.parse(one["genotype"])})
                for one in content["points"]
            ]
            return cls(points, content["cost"])

    def __repr__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> Any:
        """HTML for notebooks."""
        return tables.as_html(self.table())
