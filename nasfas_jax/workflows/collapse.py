"""Signs of a search that collapsed: warnings, and the early end of a search."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nasfas_jax import limits, runtime
from nasfas_jax.errors import InputError
from nasfas_jax.graphs import Operation
from nasfas_jax.report import figures

#: Values of ``skip_limit``.
SKIP_LIMIT = limits.OrNone(limits.Range(0, 1))
#: Mean entropy of a cell's choice, over the largest, from which it is undecided.
UNDECIDED = 0.95
#: Share of edges with skip above which a search has collapsed.
SKIPS = 0.5
#: Signal-to-noise ratio below which a gradient is noise; about 1 without any signal.
NOISE = 2.0
#: Loss of the derived network over that of the mixture, above which the gap is large.
GAP = 2.0


class Choice(NamedTuple):
    """Entropy and share of skips under alphas, by cell.

    Attributes:
      entropy: mean entropy over the edges of each cell; 1 is undecided.
      skips: share of edges of each cell whose strongest operation other than none is skip.
      edges: number of edges of each cell.
    """

    entropy: dict[str, float]
    skips: dict[str, float]
    edges: dict[str, int]

    @classmethod
    def of(
        cls, cells: Mapping[str, np.ndarray], operations: Sequence[Operation]
    ) -> "Choice":
        """The choice under probabilities ``{cell: [edges, operations]}``.

        Args:
          cells: probabilities of each cell.
          operations: the candidates, in the same order.
        """
        return cls(
            {name: float(figures.entropy(p)) for name, p in cells.items()},
            {
                name: float(figures.skip_ratio(p, operations))
                for name, p in cells.items()
            },
            {name: len(p) for name, p in cells.items()},
        )

    @classmethod
    def of_alphas(cls, space: Any, alphas: Any) -> "Choice":
        """The choice of alphas of a space."""
        cells = space.probabilities(alphas)
        cells = {name: np.asarray(p) for name, p in cells.items()}
        return cls.of(cells, space.legend)

    @property
    def skip_share(self) -> float:
        """Share of skips on the edges of all cells."""
        skips = [self.skips[name] * count for name, count in self.edges.items()]
        return sum(skips) / sum(self.edges.values())


def warnings(
    choice: Choice,
    *,
    signal: Mapping[str, Sequence[float]] | None = None,
    mixture: float = np.nan,
    derived: float = np.nan,
) -> list[str]:
    """Sentences on the signs of a collapse: value, limit, and the settings that help.

    Args:
      choice: entropies and shares of skips.
      signal: signal-to-noise ratio of the gradient of each edge, by array of the alphas;
        None if not measured.
      mixture: loss of the supernet at its alphas; NaN if not measured.
      derived: its loss at the one-hot alphas of the derived architecture.
    """
    found = []
    undecided = {k: v for k, v in choice.entropy.items() if v >= UNDECIDED}
    if undecided:
        values = ", ".join(f"{cell} {value:.3f}" for cell, value in undecided.items())
        found.append(
            f"Undecided: the entropy of the choice is {values} of the largest (limit"
            f" {UNDECIDED:g}). Take more steps, raise alpha_learning_rate, or lower"
            " alpha_weight_decay: it holds alphas at 0 if it exceeds their gradients."
        )
    if choice.skip_share > SKIPS:
        found.append(
            f"Skips: skip is the strongest operation on {100 * choice.skip_share:.0f} % of"
            f" the edges (limit {100 * SKIPS:.0f} %). Train the weights longer before the"
            " alphas move (alphas_from), lower cost_weight, or end the search before"
            " (skip_limit)."
        )
    edges = np.concatenate([*map(np.ravel, (signal or {}).values()), np.zeros(0)])
    noisy = int((edges < NOISE).sum())
    if 2 * noisy > edges.size:
        found.append(
            f"Noise: the gradient of the alphas is below {NOISE:g} times its standard error"
            f" on {noisy} of {edges.size} edges. Raise batch_size or episodes, or lower"
            " alpha_learning_rate."
        )
    if derived > GAP * mixture:
        found.append(
            f"Gap: the loss of the derived network in the supernet is {derived:.4g}, that of"
            f" the mixture {mixture:.4g} (limit {GAP:g} times as much). The mixture is no"
            " estimate of the network: take more steps or raise alpha_learning_rate, so that"
            " entropies fall, or lower partial."
        )
    return found


def early_end(
    space: Any, skip_limit: float | None, alphas_from: int
) -> Callable[[Any], str]:
    """A function from the state of a search to the reason to end there, '' for none.

    Args:
      space: the search space.
      skip_limit: share of edges with skip above which to end; None for never.
      alphas_from: number of steps before the first update of the alphas.

    Raises:
      InputError: a limit in a space without skip.
    """
    if skip_limit is None:
        return lambda state: ""
    if "skip" not in space.operations:
        raise InputError(
            f"expected None, since the space {space.title} has no operation 'skip' (it has"
            f" {', '.join(space.operations)}), got {skip_limit}.",
            field="skip_limit",
        )

    def reason(state: Any) -> str:
        if int(state.step) <= alphas_from:
            return ""  # the initial alphas are random
        share = Choice.of_alphas(space, runtime.fetch(state.alphas)).skip_share
        if share <= skip_limit:
            return ""
        return (
            f"The search ended after step {int(state.step)}: skip is the strongest operation"
            f" on {100 * share:.0f} % of the edges, more than skip_limit,"
            f" {100 * skip_limit:.0f} %."
        )

    return reason
