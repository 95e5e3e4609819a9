"""Figures of class activation maps, magnified motion, and maps of several models."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nasfas_jax.report.picture import LIVE, MUTED, SPOOF, STYLE, Format, Picture, finish

#: Side of a panel, and width of the captions on the left, in inches.
SIDE, LEFT = 1.3, 1.15
#: Number of frames shown of a motion.
FRAMES = 6


class Row(NamedTuple):
    """Content of one row of `layers`: a clip.

    Attributes:
      caption: text on the left.
      face: current frame [S, S, 3], uint8.
      cams: Grad-CAM maps [h, w] by layer.
      map: predicted map [h, w], values from 0 to 1.
      target: target map [h, w]; None where there is none.
    """

    caption: str
    face: np.ndarray
    cams: Mapping[str, np.ndarray]
    map: np.ndarray
    target: np.ndarray | None = None


class Compared(NamedTuple):
    """Content of one row of `compared`: a clip and its maps by model.

    Attributes:
      caption: text on the left.
      face: current frame [S, S, 3], uint8.
      targets: target maps [h, w] by heading, values from 0 to 1.
      maps: predicted maps [h, w] by model.
      accepted: whether the verdict is live, by model.
      live: whether the clip is live.
    """

    caption: str
    face: np.ndarray
    targets: Mapping[str, np.ndarray]
    maps: Mapping[str, np.ndarray]
    accepted: Mapping[str, bool]
    live: bool


@matplotlib.rc_context(STYLE)
def layers(rows: Sequence[Row], format: Format = "png") -> Picture:
    """Face, target if any, Grad-CAM map of each layer and predicted map, in rows.

    A Grad-CAM map is drawn over the face in gray, in colors from zero to its largest
    value, which is printed below it, with the layer where the rows have different ones.

    Args:
      rows: clips, or one clip by several models, all with targets or none.
      format: 'png' or 'svg'.
    """
    names = max((list(row.cams) for row in rows), key=len)
    shared = all(list(row.cams) == names for row in rows)
    first = ["face"] if rows[0].target is None else ["face", "target"]
    heads = names if shared else [""] * len(names)
    titles = [*first, *heads, "predicted map"]
    gap = 0.16 if shared else 0.28
    figure, grid = _grid(len(rows), len(titles), title=0.32, gap=gap)
    for panels, row in zip(grid, rows, strict=True):
        panels[0].imshow(row.face, interpolation="antialiased")
        if row.target is not None:
            _map(panels[1], row.target)
        cams = itertools.zip_longest(panels[len(first) : -1], row.cams.items())
        for axes, cam in cams:
            if cam is None:  # fewer layers than in other rows
                axes.set_visible(False)
                continue
            overlay(axes, row.face, cam[1])
            if not shared:
                axes.set_xlabel(f"{cam[0][:24]}\n{axes.get_xlabel()}")
        _map(panels[-1], row.map)
        _caption(panels[0], row.caption)
    _titles(grid[0], [title[:24] for title in titles])
    return finish(
        figure, format, f"Faces with class activation maps of {', '.join(names)}"
    )


def overlay(axes: Axes, face: np.ndarray, values: np.ndarray) -> None:
    """Draws a map, in colors from zero to its largest value, over the face in gray."""
    largest = float(values.max())
    extent = (0, face.shape[1], face.shape[0], 0)
    axes.imshow(face.mean(-1), cmap="gray", vmin=0, vmax=255, extent=extent)
    axes.imshow(
        values / max(largest, np.finfo(np.float64).tiny), cmap="inferno", vmin=0, vmax=1,
        alpha=0.65, extent=extent, interpolation="bilinear",
    )  # fmt: skip
    side = " x ".join(map(str, values.shape))
    axes.set_xlabel(f"{side}, to {largest:.1e}", size=6.5, labelpad=1.5)


@matplotlib.rc_context(STYLE)
def motion(
    frames: np.ndarray, magnified: np.ndarray, rate: float, format: Format = "png"
) -> Picture:
    """Frames, their magnified versions below, and the middle column of pixels over time.

    Args:
      frames: RGB face crops, uint8 [T, S, S, 3].
      magnified: the same crops with magnified motion.
      rate: frames per second.
      format: 'png' or 'svg'.
    """
    shown = np.unique(np.linspace(0, len(frames) - 1, FRAMES).round().astype(int))
    seconds = len(frames) / rate
    width, height = LEFT + SIDE * (len(shown) + 3), 0.3 + 2 * SIDE + 0.5
    figure = Figure((width, height))
    grid = figure.subplots(
        2, len(shown) + 1, squeeze=False,
        gridspec_kw={
            "left": LEFT / width, "right": 0.995, "top": 1 - 0.3 / height,
            "bottom": 0.5 / height, "wspace": 0.05, "hspace": 0.05,
            "width_ratios": [*[1] * len(shown), 3],
        },
    )  # fmt: skip
    for panels, clip, caption in zip(
        grid, (frames, magnified), ("video", "magnified"), strict=True
    ):
        for axes, index in zip(panels[:-1], shown, strict=True):
            axes.imshow(clip[index], interpolation="antialiased")
        column = clip[:, :, clip.shape[2] // 2].swapaxes(0, 1)
        panels[-1].imshow(
            column, aspect="auto", extent=(0, seconds, 1, 0), interpolation="nearest"
        )
        for axes in panels:
            _bare(axes)
        _caption(panels[0], caption)
    grid[1, -1].set(xlabel="seconds", xticks=np.arange(0, seconds, 1))
    _titles(grid[0], [*(f"{index / rate:.2f} s" for index in shown), "middle column"])
    return finish(
        figure, format, "A face, its magnified motion, and a column over time"
    )


@matplotlib.rc_context(STYLE)
def compared(rows: Sequence[Compared], format: Format = "png") -> Picture:
    """Face, target maps, and the map of each model, one row for each clip (figure 14).

    The verdict is printed below each map, in the color of live or spoof, with a cross
    where it is wrong.
    """
    targets, names = list(rows[0].targets), list(rows[0].maps)
    titles = ["face", *targets, *names]
    figure, grid = _grid(len(rows), len(titles), title=0.32, gap=0.2)
    for panels, row in zip(grid, rows, strict=True):
        panels[0].imshow(row.face, interpolation="antialiased")
        for axes, name in zip(panels[1:], targets, strict=False):
            _map(axes, row.targets[name])
        for axes, name in zip(panels[-len(names) :], names, strict=True):
            _map(axes, row.maps[name])
            accepted = row.accepted[name]
            wrong = "" if accepted == row.live else "  ×"
            axes.set_xlabel(
                f"{'live' if accepted else 'spoof'}{wrong}", size=7.5, labelpad=1.5,
                color=LIVE if accepted else SPOOF, weight="bold",
            )  # fmt: skip
        _caption(panels[0], row.caption)
    _titles(grid[0], titles)
    return finish(figure, format, f"Faces with the maps of {', '.join(names)}")


def _grid(
    rows: int, columns: int, title: float, gap: float
) -> tuple[Figure, np.ndarray]:
    """A figure and its axes [rows, columns] without ticks, ``gap`` inches between rows."""
    width, height = LEFT + SIDE * columns, title + (SIDE + gap) * rows
    figure = Figure((width, height))
    grid = np.empty((rows, columns), object)
    for row in range(rows):
        for column in range(columns):
            bottom = 1 - (title + SIDE + (SIDE + gap) * row) / height
            left = (LEFT + SIDE * column) / width
            box = (left, bottom, 0.97 * SIDE / width, SIDE / height)
            grid[row, column] = axes = figure.add_axes(box)
            _bare(axes)
    return figure, grid


def _map(axes: Axes, values: np.ndarray) -> None:
    axes.imshow(values, cmap="cividis", vmin=0, vmax=1, interpolation="nearest")


def _bare(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _caption(axes: Axes, text: str) -> None:
    axes.text(
        -0.06, 0.5, text, transform=axes.transAxes, ha="right", va="center", size=8,
        linespacing=1.4, parse_math=False,
    )  # fmt: skip


def _titles(panels: Sequence[Axes], titles: Sequence[str]) -> None:
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, loc="center", size=8, weight="normal", color=MUTED)
