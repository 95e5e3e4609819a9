"""Curves of error rates under corruptions, and reliability diagrams."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from nasfas_jax.report.figures import WIDE
from nasfas_jax.report.picture import (
    LIVE,
    MUTED,
    SERIES,
    SPOOF,
    STYLE,
    Format,
    Picture,
    finish,
    line_style,
)


class Panel(NamedTuple):
    """The curves of one corruption; all arrays [levels].

    Attributes:
      title: name of the corruption.
      axis: its parameter and unit.
      levels: values of the parameter.
      clean: value that leaves frames unchanged.
      hter: HTER at the model's threshold, 0 to 1.
      auc: AUC, 0 to 1.
      live: mean score of live videos.
      spoof: mean score of attacks.
    """

    title: str
    axis: str
    levels: np.ndarray
    clean: float
    hter: np.ndarray
    auc: np.ndarray
    live: np.ndarray
    spoof: np.ndarray


@matplotlib.rc_context(STYLE)
def curves(
    panels: Sequence[Panel], threshold: float, format: Format = "svg"
) -> Picture:
    """Rates above and mean scores below, a column for each corruption.

    The dotted vertical line is the value that leaves frames unchanged.
    """
    figure = Figure((max(4.0, WIDE * len(panels) / 6), 4.4), layout="constrained")
    grid = figure.subplots(2, len(panels), sharey="row", sharex="col", squeeze=False)
    for (rates, scores), panel in zip(grid.T, panels, strict=True):
        order = np.argsort(panel.levels)
        x = panel.levels[order]
        rates.plot(
            x, 100 * panel.hter[order], "o-", ms=3, color=SERIES[1], label="HTER"
        )
        rates.plot(
            x, 100 - 100 * panel.auc[order], "s--", ms=3, color=SERIES[2],
            label="1 - AUC",
        )  # fmt: skip
        scores.plot(x, panel.live[order], "o-", ms=3, color=LIVE, label="live")
        scores.plot(x, panel.spoof[order], "s-", ms=3, color=SPOOF, label="attacks")
        scores.axhline(threshold, color=MUTED, linewidth=0.8, label="threshold")
        for axes in (rates, scores):
            axes.axvline(panel.clean, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
        rates.set_title(panel.title.replace("_", " "))
        scores.set_xlabel(panel.axis)
    grid[0, 0].set(ylim=(0, None), ylabel="%")
    grid[1, 0].set_ylabel("mean score")
    for row in grid:
        row[0].legend(loc="best", fontsize=7)
    names = ", ".join(panel.title for panel in panels)
    return finish(figure, format, f"Error rates and scores under {names}")


@matplotlib.rc_context(STYLE)
def reliability(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    format: Format = "svg",
) -> Picture:
    """Reliability diagrams by name, each (probability, frequency, count) of the bins.

    The area of a point is proportional to the number of samples in its bin.
    """
    figure = Figure((4.9, 4.7), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    for index, (name, (probability, frequency, count)) in enumerate(curves.items()):
        full = count > 0
        axes.plot(probability[full], frequency[full], label=name, **line_style(index))
        area = 12 + 200 * count[full] / count.sum()
        axes.scatter(
            probability[full],
            frequency[full],
            s=area,
            color=line_style(index)["color"],
            zorder=3,
            clip_on=False,
        )  # a point on the border is whole
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", anchor="W")
    axes.set(xlabel="probability of live", ylabel="share of live videos")
    axes.legend(loc="upper left")
    return finish(figure, format, f"Reliability diagrams of {', '.join(curves)}")
