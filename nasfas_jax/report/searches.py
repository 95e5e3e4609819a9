"""Pictures of several searches: their agreement, and random architectures beside them."""

import itertools
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from nasfas_jax.report.picture import MUTED, SERIES, STYLE, Format, Picture, finish


@matplotlib.rc_context(STYLE)
def agreement_matrix(
    matrix: np.ndarray, names: Sequence[str], format: Format = "svg"
) -> Picture:
    """Equal operations of every pair of searches, in %.

    Args:
      matrix: [n, n], fractions.
      names: seeds of the searches.
      format: of the picture.
    """
    side = 2.0 + 0.45 * len(names)
    figure = Figure((side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(100 * matrix, cmap="cividis", vmin=0, vmax=100)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="seed", ylabel="seed")
    axes.grid(False)
    for i, j in np.ndindex(*matrix.shape):
        color = "white" if matrix[i, j] < 0.6 else "black"
        text = f"{100 * matrix[i, j]:.0f}"
        axes.text(j, i, text, ha="center", va="center", color=color)
    figure.colorbar(image, label="equal operations, %")
    return finish(figure, format, f"Agreement of the searches {', '.join(names)}")


@matplotlib.rc_context(STYLE)
def searched_and_random(
    rates: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    metric: str = "HTER",
    format: Format = "svg",
) -> Picture:
    """Error rates of searched over those of random architectures (NAS-FAS figure 11).

    Below the diagonal the search is better than an average architecture.

    Args:
      rates: by label of a search, error rates of searched and of random architectures, as
        fractions. Bars are from the lowest to the highest.
      metric: name of the rates.
      format: of the picture.
    """
    figure = Figure((4.9, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for color, (name, pair) in zip(
        itertools.cycle(SERIES), rates.items(), strict=False
    ):
        percent = [100 * np.asarray(one) for one in pair]
        y, x = (one.mean() for one in percent)
        bars = [
            [[m - one.min()], [one.max() - m]]
            for m, one in zip((y, x), percent, strict=True)
        ]
        axes.errorbar(x, y, bars[0], bars[1], fmt="o", color=color, label=name)
    end = 1.05 * max(*axes.get_xlim(), *axes.get_ylim())
    axes.plot([0, end], [0, end], color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.set(xlim=(0, end), ylim=(0, end), aspect="equal")
    axes.set(
        xlabel=f"random architectures: {metric}, %", ylabel=f"searched: {metric}, %"
    )
    axes.legend(loc="upper left")
    return finish(
        figure, format, f"Searched and random architectures: {', '.join(rates)}"
    )


@matplotlib.rc_context(STYLE)
def trade_off_curve(
    costs: Sequence[float],
    log_probabilities: Sequence[float],
    name: str,
    format: Format = "svg",
) -> Picture:
    """Architectures of one search: mean log probability over the relative cost.

    Args:
      costs: costs over the largest.
      log_probabilities: mean log probability of each architecture.
      name: name of the cost.
      format: of the picture.
    """
    figure = Figure((4.9, 3.4), layout="constrained")
    axes = figure.add_subplot()
    percent = [100 * cost for cost in costs]
    axes.plot(percent, log_probabilities, marker="o", color=SERIES[0])
    axes.set(xlabel=f"{name}, % of the largest", ylabel="mean log probability")
    return finish(figure, format, f"Trade-off of {len(percent)} architectures: {name}")
