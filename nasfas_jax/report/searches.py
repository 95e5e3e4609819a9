"""Pictures of several searches: their agreement, and random architectures beside them."""

import itertools
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from nasfas_jax.report.picture import (
    MUTED,
    SERIES,
    STYLE,
    Format,
    Picture,
    finish,
    point_style,
)


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
    for index, (name, pair) in enumerate(rates.items()):
        percent = [100 * np.asarray(one) for one in pair]
        y, x = (one.mean() for one in percent)
        bars = [
            [[m - one.min()], [one.max() - m]] if one.size > 1 else None
            for m, one in zip((y, x), percent, strict=True)
        ]
        style = {**point_style(index), "linestyle": "none"}
        axes.errorbar(x, y, bars[0], bars[1], label=name, **style)
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


@matplotlib.rc_context(STYLE)
def signal_bars(
    signal: Mapping[str, Sequence[float]], limit: float, format: Format = "svg"
) -> Picture:
    """Signal-to-noise ratio of the gradient of every edge, beside a limit.

    Args:
      signal: ratios by array of the alphas.
      limit: ratio below which a gradient is noise.
      format: of the picture.
    """
    count = sum(map(len, signal.values()))
    figure = Figure((max(4.4, 1.6 + 0.28 * count), 2.8), layout="constrained")
    axes, start = figure.add_subplot(), 0
    ticks: list[str] = []
    for color, (name, values) in zip(
        itertools.cycle(SERIES), signal.items(), strict=False
    ):
        places = range(start, start + len(values))
        axes.bar(places, values, color=color, label=name)
        ticks += [str(edge + 1) for edge in range(len(values))]
        start += len(values)
    axes.axhline(limit, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.set_xticks(range(count), ticks)
    axes.set(xlabel="edge", ylabel="signal to noise")
    axes.grid(False, axis="x")
    figure.legend(loc="outside right upper")
    return finish(figure, format, "Signal-to-noise ratio of the gradient of every edge")


@matplotlib.rc_context(STYLE)
def ranking_points(
    supernet: Sequence[float],
    alone: Sequence[float],
    tau: float,
    p_value: float,
    format: Format = "svg",
) -> Picture:
    """Scores after training alone over those in the supernet.

    Args:
      supernet: score of each architecture in the supernet.
      alone: its score after training alone.
      tau: Kendall's tau.
      p_value: its p-value.
      format: of the picture.
    """
    figure = Figure((4.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(supernet, alone, "o", color=SERIES[0])
    axes.set_title(f"Kendall's tau {tau:.2f}, p {p_value:.2g}")
    axes.set(xlabel="in the supernet: minus loss", ylabel="trained alone: score")
    text = f"Ranking of {len(supernet)} architectures by the supernet and by training"
    return finish(figure, format, text)
