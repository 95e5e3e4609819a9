"""Pictures of ablations: error rates against theta or lambda (NAS-FAS figure 9)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from nasfas_jax.errors import InputError
from nasfas_jax.report.picture import STYLE, Format, Picture, finish, line_style

#: Metrics and their titles.
METRICS = {"acer": "ACER", "hter": "HTER", "auc": "AUC"}


class Panel(NamedTuple):
    """One panel of `bands`.

    Attributes:
      x_name: name of the x axis.
      y_name: name of the y axis.
      x: [n].
      curves: rates [seeds, n], from 0 to 1, by the name of the curve.
    """

    x_name: str
    y_name: str
    x: ArrayLike
    curves: Mapping[str, ArrayLike]


@matplotlib.rc_context(STYLE)
def bands(panels: Sequence[Panel], format: Format = "svg") -> Picture:
    """Means over seeds as curves, with bands of one sample standard deviation.

    Each seed is a dot; a single seed has no band.

    Raises:
      InputError: no panel, or rates whose length differs from that of x.
    """
    if not panels:
        raise InputError("expected one or more, got none.", field="panels")
    figure = Figure((0.4 + 4.6 * len(panels), 3.7), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(grid, panels, strict=True):
        x = np.asarray(panel.x, np.float64)
        for index, (name, rates) in enumerate(panel.curves.items()):
            values = 100 * np.asarray(rates, np.float64)
            if values.ndim != 2 or values.shape[1:] != x.shape:
                raise InputError(
                    f"curves[{name!r}]: expected rates [seeds, {x.size}], got the shape"
                    f" {values.shape}."
                )
            style, mean = line_style(index), values.mean(0)
            color = style["color"]
            axes.plot(x, mean, marker="o", label=name, markersize=4, zorder=3, **style)
            if len(values) > 1:
                deviation = values.std(0, ddof=1)
                low, high = mean - deviation, mean + deviation
                axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
                for seed in values:
                    axes.plot(x, seed, ".", color=color, markersize=3, alpha=0.5)
        seeds = {len(np.asarray(rates)) for rates in panel.curves.values()}
        note = f"mean of {max(seeds)} seeds" if max(seeds) > 1 else "one seed"
        axes.set_xlabel(f"{panel.x_name} ({note})")
        axes.set_ylabel(f"{panel.y_name}, %")
        axes.legend(loc="best")
    axes_names = [f"{p.y_name} against {p.x_name}" for p in panels]
    return finish(figure, format, f"Curves of {', '.join(axes_names)}")
