"""Pictures of meta-learning: RFMeta's figures 5 and 6, and the objective of its eq. 10."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from nasfas_jax.errors import InputError
from nasfas_jax.report.figures import WIDE, count_axis
from nasfas_jax.report.picture import (
    INK,
    MUTED,
    SERIES,
    STYLE,
    Format,
    Picture,
    finish,
    line_style,
)

#: Headings of metrics, with the better direction.
METRICS = {"hter": "HTER (lower is better)", "auc": "AUC (higher is better)"}


class Curves(NamedTuple):
    """One panel of `mode_curves`: ``points`` are (mode, x, y), of any order."""

    title: str
    x_name: str
    points: Sequence[tuple[str, float, float]]
    x_scale: str = "linear"
    y_scale: str = "linear"


class AttentionRow(NamedTuple):
    """One example of `attention_maps`.

    ``face`` is [S, S, 3], uint8 or floats in [0, 1]; each of ``maps`` [h, w] is the attention
    of a method in real numbers of any scale.
    """

    caption: str
    face: np.ndarray
    maps: Sequence[np.ndarray]


@matplotlib.rc_context(STYLE)
def components_bars(
    results: Mapping[str, Mapping[str, ArrayLike]], format: Format = "svg"
) -> Picture:
    """Results with and without components, as RFMeta figure 5: a panel for each metric.

    ``results[method][metric]`` are values from 0 to 1, one for each seed. A bar is their
    mean, its line the sample standard deviation (none for one seed), and each dot a seed.
    Bars begin at 0, so that their lengths compare.

    Raises:
      InputError: no method, methods with other metrics than the first, or no finite value.
    """
    methods = list(results)
    metrics = list(results[methods[0]]) if methods else []
    for method, values in results.items():
        if list(values) != metrics or not all(_finite(values[m]) for m in metrics):
            raise InputError(
                f"results[{method!r}]: expected one finite value or more for each of "
                f"{metrics}, got { ({m: np.shape(v) for m, v in values.items()}) }. Leave "
                "out methods or seeds that were not evaluated."
            )
    if not metrics:
        raise InputError(
            "expected at least one method with a metric, got none. Evaluate a "
            "network first.",
            field="results",
        )
    figure = Figure((WIDE, 0.9 + 0.42 * len(methods)), layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        for place, method in enumerate(methods):
            _bar(axes, place, 100 * np.atleast_1d(np.asarray(results[method][metric])))
        axes.set_title(METRICS.get(metric, metric.replace("_", " ")))
        axes.set_xlim(0)
        axes.grid(False, axis="y")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}%")
    panels[0].set_yticks(range(len(methods)), methods, color=INK)
    panels[0].invert_yaxis()
    seeds = max(np.size(v) for values in results.values() for v in values.values())
    note = (
        f"mean and standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    )
    panels[-1].set_xlabel(note, loc="right")
    return finish(figure, format, f"{' and '.join(metrics)} of {', '.join(methods)}")


def _bar(axes: Axes, place: int, values: np.ndarray) -> None:
    mean = values.mean()
    color = SERIES[place % len(SERIES)]
    axes.barh(place, mean, 0.62, color=color, alpha=0.85)
    reach = values.max()
    if len(values) > 1:
        deviation = values.std(ddof=1)
        axes.errorbar(mean, place, xerr=deviation, color=INK, capsize=3, linewidth=1.1)
        axes.plot(
            values, np.full(len(values), place), "o", markersize=3.6, color="white",
            markeredgecolor=INK, markeredgewidth=0.8, zorder=4,
        )  # fmt: skip
        reach = max(reach, mean + deviation)
    axes.annotate(
        f"{mean:.1f}", (reach, place), (5, 0), textcoords="offset points", va="center",
        size=8.5, annotation_clip=False,
    )  # fmt: skip


@matplotlib.rc_context(STYLE)
def grouped_bars(
    rates: Mapping[str, Sequence[Sequence[float]]],
    groups: Sequence[str],
    title: str,
    format: Format = "svg",
) -> Picture:
    """A rate of every method on each of several tests, as NAS-FAS figure 13.

    Args:
      rates: values [groups, seeds] from 0 to 1, by method; bars are means over seeds.
      groups: names of the tests.
      title: name of the rate.
      format: 'svg' or 'png'.

    Raises:
      InputError: no method, or one without values for each of the groups.
    """
    if not rates or any(len(values) != len(groups) for values in rates.values()):
        raise InputError(
            f"expected one method or more with values for each of {', '.join(groups)},"
            f" got { ({name: len(values) for name, values in rates.items()}) }.",
            field="rates",
        )
    figure = Figure((WIDE, 3.4), layout="constrained")
    axes, width = figure.add_subplot(), 0.84 / len(rates)
    x = np.arange(len(groups))
    for i, (name, values) in enumerate(rates.items()):
        means = [100 * np.mean(seeds) for seeds in values]
        place = x + (i - (len(rates) - 1) / 2) * width
        alpha = 1 - 0.45 * (i // len(SERIES) % 2)  # the colors repeat, paler
        color = SERIES[i % len(SERIES)]
        axes.bar(place, means, 0.9 * width, label=name, color=color, alpha=alpha)
    axes.set_xticks(x, groups, color=INK)
    axes.set_ylabel(f"{title}, %")
    axes.grid(False, axis="x")
    figure.legend(loc="outside right upper")
    alt = f"{title} of {', '.join(rates)} on {', '.join(groups)}"
    return finish(figure, format, alt)


def _finite(values: ArrayLike) -> bool:
    array = np.asarray(values, np.float64)
    return array.size > 0 and array.ndim <= 1 and bool(np.isfinite(array).all())


@matplotlib.rc_context(STYLE)
def learning_directions(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    window: int = 1,
    format: Format = "svg",
) -> Picture:
    """Cosine between meta-train and meta-test gradients over training, by method.

    ``curves[method] = (steps, cosines)``, both [T]. RFMeta eq. 10 says that the second
    order term maximizes the product of the two gradients: above 0 a step that serves the
    meta-train domains also serves the meta-test domain. With ``window`` > 1 each thick line
    is the mean over that many points, drawn at their middle, over the values in pale.

    Raises:
      InputError: columns of unequal length, or a window that does not fit them.
    """
    figure = Figure((WIDE, 3.1), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(0, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    for index, (name, (steps, cosines)) in enumerate(curves.items()):
        x, y = np.asarray(steps, np.float64), np.asarray(cosines, np.float64)
        if x.shape != y.shape or x.ndim != 1 or not 1 <= window <= len(x):
            raise InputError(
                f"curves[{name!r}]: expected steps and cosines of one length, at least "
                f"window = {window}, got {x.shape} and {y.shape}. Give one cosine for "
                "each step, and a window from 1 to their number."
            )
        style = line_style(index)
        if window > 1:
            axes.plot(x, y, linewidth=0.7, alpha=0.25, **style)
        kernel = np.full(window, 1 / window)
        smooth = [np.convolve(values, kernel, "valid") for values in (x, y)]
        axes.plot(*smooth, linewidth=2, label=name, zorder=3, **style)
    count_axis(axes, "step")
    axes.set_ylabel("cosine")
    axes.set_title("meta-train gradient against meta-test gradient (1 = one direction)")
    axes.margins(x=0)
    figure.legend(loc="outside right upper")
    return finish(
        figure, format, f"Cosine of the gradients over training, {', '.join(curves)}"
    )


@matplotlib.rc_context(STYLE)
def mode_curves(panels: Sequence[Curves], format: Format = "svg") -> Picture:
    """Cost and error of differentiation modes: two panels per row.

    A mode has one color and one marker in all panels. Linear axes of y that hold no
    negative value begin at 0, so that heights compare.

    Raises:
      InputError: no panel, or one without a finite point.
    """
    for panel in panels:
        if not any(np.isfinite(y) for _, _, y in panel.points):
            raise InputError(
                f"panel {panel.title!r}: expected at least one finite point, got "
                f"{list(panel.points)}. Leave the panel out, or measure at lower rates."
            )
    if not panels:
        raise InputError(
            "expected at least one, got none. Measure a mode first.", field="panels"
        )
    modes = list(dict.fromkeys(mode for panel in panels for mode, _, _ in panel.points))
    rows = -(-len(panels) // 2)
    figure = Figure((WIDE, 0.5 + 2.7 * rows), layout="constrained")
    places = figure.subplots(rows, 2, squeeze=False).ravel()
    for axes, panel in zip(places, panels, strict=False):
        _draw_modes(axes, panel, modes)
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    handles = {
        label: handle
        for axes in places
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        [handles[mode] for mode in modes], modes, loc="outside upper left", ncols=5
    )
    titles = ", ".join(panel.title for panel in panels)
    return finish(figure, format, f"{titles}, by {', '.join(modes)}")


def _draw_modes(axes: Axes, panel: Curves, modes: Sequence[str]) -> None:
    for mode in dict.fromkeys(mode for mode, _, _ in panel.points):
        points = sorted((x, y) for name, x, y in panel.points if name == mode)
        place = modes.index(mode)
        axes.plot(
            *np.array(points, np.float64).T, color=SERIES[place % len(SERIES)],
            marker="os^Dv"[place % 5], markersize=4.5, alpha=0.85, label=mode,
        )  # fmt: skip
    axes.set_xscale(panel.x_scale)
    axes.set_yscale(panel.y_scale)
    finite = [y for _, _, y in panel.points if np.isfinite(y)]
    if panel.y_scale == "linear" and min(finite) >= 0:
        axes.set_ylim(0, 1.08 * max(finite) or 1)
    axes.set_xlabel(panel.x_name)
    if panel.x_scale == "linear" and all(
        float(x).is_integer() for _, x, _ in panel.points
    ):
        count_axis(axes, panel.x_name)
    axes.set_title(panel.title)


@matplotlib.rc_context(STYLE)
def attention_maps(
    rows: Sequence[AttentionRow], methods: Sequence[str], format: Format = "png"
) -> Picture:
    """A face and the attention of each method, as RFMeta figure 6.

    Each map is scaled from its smallest to its largest value (a constant one is dark) and
    drawn over the gray face: colors are comparable within a map, not between maps.

    Raises:
      InputError: a row without one map for each method.
    """
    for row in rows:
        if len(row.maps) != len(methods):
            raise InputError(
                f"row {row.caption!r}: expected {len(methods)} maps, one for each of "
                f"{', '.join(methods)}, got {len(row.maps)}. Give one map a method."
            )
    side, left, top = 1.45, 1.45, 0.3
    width, height = left + side * (1 + len(methods)), top + side * len(rows)
    figure = Figure((width, height))
    grid = figure.subplots(
        len(rows), 1 + len(methods), squeeze=False,
        gridspec_kw={
            "left": left / width, "right": 1, "bottom": 0, "top": 1 - top / height,
            "wspace": 0.04, "hspace": 0.04,
        },
    )  # fmt: skip
    for panels, row in zip(grid, rows, strict=True):
        face = row.face / 255 if row.face.dtype == np.uint8 else np.clip(row.face, 0, 1)
        panels[0].imshow(face, interpolation="antialiased")
        for axes, values in zip(panels[1:], row.maps, strict=True):
            _overlay(axes, face, np.asarray(values, np.float64))
        for axes in panels:
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(False)
        panels[0].text(
            -0.06, 0.5, row.caption, transform=panels[0].transAxes, ha="right",
            va="center", size=8.5, linespacing=1.4,
        )  # fmt: skip
    for axes, title in zip(grid[0], ("face", *methods), strict=True):
        axes.set_title(title, loc="center", size=8.5, weight="normal", color=MUTED)
    return finish(figure, format, f"Faces with the attention of {', '.join(methods)}")


def _overlay(axes: Axes, face: np.ndarray, values: np.ndarray) -> None:
    """The map in colors over the face in gray, both on the face's extent."""
    stretched = values - values.min()
    stretched /= max(stretched.max(), np.finfo(np.float64).tiny)
    extent = (0, face.shape[1], face.shape[0], 0)
    axes.imshow(face.mean(-1), cmap="gray", vmin=0, vmax=1, extent=extent)
    axes.imshow(
        stretched, cmap="inferno", vmin=0, vmax=1, alpha=0.65, extent=extent,
        interpolation="bilinear",
    )  # fmt: skip
