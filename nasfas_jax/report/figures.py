"""Curves and picture grids of the report."""

import bisect
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple, Protocol

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from nasfas_jax.graphs import Operation
from nasfas_jax.report.picture import (
    INK,
    LIVE,
    MUTED,
    SERIES,
    SPOOF,
    STYLE,
    Format,
    Picture,
    finish,
    line_style,
    operation_color,
)

#: Inches of a picture as wide as the page.
WIDE = 10.6
#: Size of the captions of contact sheets, points.
CAPTION = 7.5
#: Panels of `alphas_over_time` in a row.
EDGES_OF_ROW = 7
#: Rates that a DET curve's axes name; they end at the first and the last.
DET_TICKS = np.array([0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999])


class Scored(Protocol):
    """Columns of a score table that a histogram uses, of equal length."""

    @property
    def score(self) -> np.ndarray:
        """[n], higher means live."""
        ...

    @property
    def attack_type(self) -> np.ndarray:
        """[n] names, "live" for live."""
        ...


class FaceRow(NamedTuple):
    """One example of the ``faces`` grid.

    ``static``, ``dynamic`` and ``image`` are [S, S, 3], ``target`` and ``predicted``
    [s, s] maps; uint8, or floats in [0, 1] (beyond is clipped).
    """

    caption: str
    static: np.ndarray
    dynamic: np.ndarray
    image: np.ndarray
    target: np.ndarray
    predicted: np.ndarray


@matplotlib.rc_context(STYLE)
def roc(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    points: Mapping[str, tuple[float, float]] | None = None,
    format: Format = "svg",
) -> Picture:
    """ROC curves by name, each ``(far, tpr)``.

    ``points`` marks each network at its threshold from development data.
    """
    figure, axes = _square(len(curves))
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    _draw_curves(axes, curves, points or {})
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", anchor="W")
    axes.set_xlabel("attacks accepted (FAR), %")
    axes.set_ylabel("live accepted (TPR), %")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda rate, _: f"{100 * rate:.0f}")
    _legend(axes, len(curves), "lower right")
    return finish(figure, format, f"ROC curves of {', '.join(curves)}")


@matplotlib.rc_context(STYLE)
def det(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    points: Mapping[str, tuple[float, float]] | None = None,
    format: Format = "svg",
) -> Picture:
    """DET curves by name, each ``(far, frr)``, on probit axes from 0.1 % to 99.9 %.

    Rates beyond the axes, 0 and 1 among them, are drawn at their ends. ``points`` as in
    ``roc``, but ``(far, frr)``.
    """
    figure, axes = _square(len(curves))
    ends = probit(DET_TICKS[[0, -1]])
    axes.plot(ends, -ends, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    _draw_curves(
        axes,
        {name: (probit(far), probit(frr)) for name, (far, frr) in curves.items()},
        {name: tuple(probit(point)) for name, point in (points or {}).items()},
    )
    labels = [f"{100 * rate:g}" for rate in DET_TICKS]
    axes.set_xticks(probit(DET_TICKS), labels)
    axes.set_yticks(probit(DET_TICKS), labels)
    axes.set(xlim=ends, ylim=ends, aspect="equal", anchor="W")
    axes.set_xlabel("attacks accepted (FAR), %")
    axes.set_ylabel("live rejected (FRR), %")
    _legend(axes, len(curves), "upper right")
    return finish(figure, format, f"DET curves of {', '.join(curves)}")


def probit(rates: ArrayLike) -> np.ndarray:
    """Quantiles of the normal distribution, rates held within the ends of ``DET_TICKS``.

    >>> probit([0.5, 0.9772498680518208]).round(6).tolist()
    [0.0, 2.0]
    """
    within = np.clip(rates, DET_TICKS[0], DET_TICKS[-1])
    return np.array([NormalDist().inv_cdf(rate) for rate in within.tolist()])


def _square(curves: int) -> tuple[Figure, Axes]:
    """Figure and square axes for curves, wider if the legend stands beside them."""
    beside = 1.7 if curves > len(SERIES) else 0.0
    figure = Figure((4.9 + beside, 4.7), layout="constrained")
    return figure, figure.add_subplot()


def _legend(
    axes: Axes, curves: int, corner: Literal["lower right", "upper right"]
) -> None:
    """Legend in the corner without curves, or outside for many curves."""
    if curves > len(SERIES):
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
    else:
        axes.legend(loc=corner)


def _draw_curves(axes: Axes, curves: Mapping, points: Mapping) -> None:
    """Curves by name in the series' colors, then dashed, and their operating points."""
    for index, (name, (x, y)) in enumerate(curves.items()):
        style = line_style(index)
        axes.plot(x, y, label=name, clip_on=False, zorder=3, **style)
        if name in points:
            axes.plot(
                *points[name], "o", color="white", markeredgecolor=style["color"],
                zorder=4, markersize=7, markeredgewidth=1.8, clip_on=False,
            )  # fmt: skip
    if points:
        axes.plot(
            [], [], "o", color="white", markeredgecolor=MUTED, label="at the threshold"
        )


@matplotlib.rc_context(STYLE)
def score_histograms(
    table: Scored, threshold: float, *, title: str = "", format: Format = "svg"
) -> Picture:
    """Scores of live samples against those of each attack type, and the threshold."""
    live = table.score[table.attack_type == "live"]
    types = [str(name) for name in np.unique(table.attack_type) if name != "live"]
    values = np.append(table.score, threshold)
    # Room on both sides: the scores of an untrained network may be equal.
    room = max(1e-6, 0.01 * np.ptp(values))
    edges = np.linspace(values.min() - room, values.max() + room, 33)
    figure = Figure((4.9, 0.9 + 1.15 * len(types)), layout="constrained")
    panels = figure.subplots(len(types), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(panels, types, strict=True):
        spoof = table.score[table.attack_type == name]
        for scores, color in ((live, LIVE), (spoof, SPOOF)):
            weights = np.full(len(scores), 1 / max(len(scores), 1))
            axes.hist(scores, edges, weights=weights, color=color, alpha=0.6)
        axes.axvline(threshold, color=INK, linewidth=1, linestyle=(0, (4, 2)))
        accepted = np.mean(spoof >= threshold)
        text = f"{name} (n = {len(spoof)}): {accepted:.1%} accepted"
        axes.set_title(text, parse_math=False)  # a folder's name may hold $
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    panels[-1].set_xlabel("score (higher means live)")
    handles = [
        Patch(color=LIVE, alpha=0.6, label=f"live (n = {len(live)})"),
        Patch(color=SPOOF, alpha=0.6, label="attack"),
        Line2D(
            [], [], color=INK, linewidth=1, linestyle=(0, (4, 2)), label="threshold"
        ),
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, handlelength=1.5
    )
    if title:
        figure.suptitle(title, x=0.01, ha="left", weight="bold", size=11)
    return finish(
        figure, format, f"{title} scores of live and {', '.join(types)}".strip()
    )


@matplotlib.rc_context(STYLE)
def faces(rows: Sequence[FaceRow], format: Format = "png") -> Picture:
    """A row for each example: input, target and prediction of the network."""
    titles = (
        "current frame",
        "dynamic image",
        "network input",
        "target map",
        "predicted",
    )
    side = 1.22
    figure = Figure((1.45 + side * 5, 0.3 + side * len(rows)))
    grid = figure.subplots(
        len(rows), 5, squeeze=False,
        gridspec_kw={
            "left": 1.45 / (1.45 + side * 5), "right": 1, "bottom": 0, "wspace": 0.04,
            "top": 1 - 0.3 / (0.3 + side * len(rows)), "hspace": 0.04,
        },
    )  # fmt: skip
    for panels, row in zip(grid, rows, strict=True):
        for axes, array in zip(panels, row[1:], strict=True):
            _show(axes, array)
        panels[0].text(
            -0.06, 0.5, row.caption, transform=panels[0].transAxes, ha="right",
            va="center", size=8.5, linespacing=1.4, parse_math=False,
        )  # fmt: skip
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, loc="center", size=8.5, weight="normal", color=MUTED)
    return finish(figure, format, "Faces with their inputs, targets and predicted maps")


@matplotlib.rc_context(STYLE)
def contact_sheet(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    columns: int = 8,
    format: Format = "png",
) -> Picture:
    """Small pictures in a grid: [h, w, 3] or [h, w], uint8 or floats in [0, 1].

    A picture is at most a sixth of `WIDE` wide; fewer columns make a narrower sheet. Lines
    of captions that are wider than a picture are shortened to their end.
    """
    lines = math.ceil(len(images) / columns)
    text = 0.17 * (1 + max(caption.count("\n") for caption in captions))
    side = WIDE / max(columns, 6)
    height = lines * (side + text)
    figure = Figure((columns * side, height))
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        line, column = divmod(index, columns)
        bottom = 1 - (line * (side + text) + side) / height
        box = (column / columns, bottom, 0.96 / columns, 0.96 * side / height)
        axes = figure.add_axes(box)
        _show(axes, image)
        fitted = [_fitted(line, 0.9 * 72 * side) for line in caption.split("\n")]
        style = {"labelpad": 2, "linespacing": 1.25, "parse_math": False}
        axes.set_xlabel("\n".join(fitted), size=CAPTION, **style)
    return finish(figure, format, f"Contact sheet of {len(images)} pictures")


def _fitted(line: str, width: float) -> str:
    """A line of a caption, or "..." and its end, at most `width` points wide."""
    font = get_font(findfont(FontProperties()))
    font.set_size(CAPTION, 7200)  # in hundredths of points, which hinting hardly rounds

    def fits(text: str) -> bool:
        font.set_text(text)
        return font.get_width_height()[0] / 6400 <= width  # 64 units a pixel

    if fits(line):
        return line
    dropped = range(len(line))
    start = bisect.bisect_left(dropped, True, key=lambda n: fits(f"...{line[n:]}"))
    return f"...{line[start:]}"


def count_axis(axes: Axes, name: str) -> None:
    """Labels an x axis of steps or other counts; all its ticks are whole numbers."""
    axes.set_xlabel(name)
    axes.xaxis.set_major_locator(
        MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
    )


def _show(axes: Axes, array: np.ndarray) -> None:
    """An image, or a map in colors that are distinguishable for all readers."""
    values = array / 255 if array.dtype == np.uint8 else array
    axes.imshow(
        np.clip(values, 0, 1), cmap="cividis", vmin=0, vmax=1,
        interpolation="nearest" if max(array.shape[:2]) <= 64 else "antialiased",
    )  # fmt: skip
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


@matplotlib.rc_context(STYLE)
def alphas_over_time(
    steps: ArrayLike,
    probabilities: np.ndarray,
    operations: Sequence[Operation],
    title: str,
    format: Format = "svg",
) -> Picture:
    """Softmax weights of the candidates on each edge of a cell: [T, edges, operations].

    The operation that a genotype keeps at the end (the best other than none) is drawn
    thick; the dotted line is the initial weight of all candidates, 1 / operations.
    """
    edges, count = probabilities.shape[1:]
    columns = min(edges, EDGES_OF_ROW)
    rows = -(-edges // columns)
    figure = Figure((WIDE, 0.8 + 2.1 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    panels = grid.ravel()[:edges]
    for unused in grid.ravel()[edges:]:
        unused.set_visible(False)
    between = ": " if rows == 1 else "\n"
    eligible = np.array([op.name != "none" for op in operations])
    for edge, axes in enumerate(panels):
        winner = int(np.argmax(np.where(eligible, probabilities[-1, edge], -1)))
        for index, operation in enumerate(operations):
            axes.plot(
                steps, probabilities[:, edge, index], color=operation_color(operation),
                linewidth=3 if index == winner else 1.2, zorder=2 + (index == winner),
            )  # fmt: skip
        axes.axhline(1 / count, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_title(f"operation {edge + 1}{between}{operations[winner].text}")
        count_axis(axes, "step")
        axes.margins(x=0)
    for axes in grid[:, 0]:
        axes.set_ylabel("softmax of alpha")
    handles = [
        Line2D([], [], color=operation_color(op), linewidth=3) for op in operations
    ]
    figure.legend(
        handles, [op.text for op in operations],
        loc="outside lower center", ncols=len(operations), handlelength=1.2,
    )  # fmt: skip
    figure.suptitle(title, x=0.01, ha="left", weight="bold", size=11)
    return finish(figure, format, f"Weights of the candidate operations, {title}")


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Mean entropy over the edges, as a share of its maximum: [..., E, O] -> [...]."""
    p = np.maximum(probabilities, np.finfo(np.float64).tiny)
    return (-(p * np.log(p)).sum(-1) / np.log(p.shape[-1])).mean(-1)


def skip_ratio(
    probabilities: np.ndarray, operations: Sequence[Operation]
) -> np.ndarray:
    """Share of edges whose best operation but none is skip: [..., E, O] -> [...]."""
    eligible = [i for i, op in enumerate(operations) if op.name != "none"]
    best = np.argmax(probabilities[..., eligible], axis=-1)
    skips = np.array([operations[i].name == "skip" for i in eligible])
    return skips[best].mean(-1)


@matplotlib.rc_context(STYLE)
def search_health(
    steps: ArrayLike,
    cells: Mapping[str, np.ndarray],
    operations: Sequence[Operation],
    format: Format = "svg",
) -> Picture:
    """Entropy and skip ratio of each cell's alphas over time ([T, edges, operations]).

    A skip ratio that rises to 1 indicates a collapsed search; an entropy that stays at 1
    indicates an undecided one.
    """
    figure = Figure((WIDE, 2.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    for index, (name, values) in enumerate(cells.items()):
        left.plot(steps, entropy(values), label=name, **line_style(index))
        skips = skip_ratio(values, operations)
        right.step(steps, skips, where="post", **line_style(index))
    left.set_title("entropy of the choice (1 = undecided)")
    right.set_title("skip ratio (1 = collapsed)")
    right.set_ylim(-0.03, 1.03)
    for axes in (left, right):
        count_axis(axes, "step")
        axes.margins(x=0)
    figure.legend(loc="outside right upper")
    return finish(figure, format, "Entropy and skip ratio over the search")


@matplotlib.rc_context(STYLE)
def training_curves(
    runs: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]],
    format: Format = "svg",
) -> Picture:
    """Curves ``runs[network][metric] = (steps, values)``, one panel for each metric."""
    metrics = list(dict.fromkeys(name for run in runs.values() for name in run))
    columns = min(len(metrics), 3)
    lines = math.ceil(len(metrics) / columns)
    figure = Figure((WIDE, 0.4 + 2.5 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for index, (network, run) in enumerate(runs.items()):
        for name, (steps, values) in run.items():
            axes = panels[metrics.index(name)]
            axes.plot(steps, values, linewidth=1.3, **line_style(index))
            axes.set_title(name.replace("_", " "))
            count_axis(axes, "step")
            axes.margins(x=0)
        panels[0].plot([], [], label=network, **line_style(index))
    for axes in panels[len(metrics) :]:
        axes.set_visible(False)
    figure.legend(loc="outside lower center", ncols=min(len(runs), 6))
    return finish(figure, format, f"Training curves of {', '.join(runs)}")
