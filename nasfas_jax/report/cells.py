"""The drawn picture of a genotype: chain cells between stem and head."""

from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from nasfas_jax.errors import InputError
from nasfas_jax.report.picture import (
    INK,
    MUTED,
    STYLE,
    Format,
    Picture,
    finish,
    operation_colour,
    operation_label,
)

# Sizes in inches; one data unit is an inch.
BOX, GAP, COLUMN, TOP = (1.6, 0.34), 0.24, 2.35, 0.64
PLAIN, POOL, ATTENTION = "#e4e8ee", "#CBE4DC", "#EAD5E2"
POOLS = {"cdp": "CDP ÷2", "max": "max pooling ÷2", None: "pooling ÷2"}


@matplotlib.rc_context(STYLE)
def draw_genotype(
    genotype: Mapping[str, Any],
    *,
    format: Format = "svg",
) -> Picture:
    """Draw the chain cells of a genotype and how they are joined.

    Args:
      genotype: as in its JSON file: ``{"cells": {"low": ["cdc", "skip", ...], ...}}``,
        each cell's operations in order; its ``space`` says the pooling and attention.
      format: of the picture.

    Raises:
      InputError: there are no cells, or they differ in length.
    """
    cells = genotype.get("cells", {})
    lengths = {name: len(operations) for name, operations in cells.items()}
    if not lengths or len(set(lengths.values())) != 1:
        raise InputError(
            "genotype: cells: expected cells of one length, each a list of operations, "
            f"got lengths {lengths}. Pass the content of a genotype file."
        )
    space = genotype.get("space", {})
    pool, attention = space.get("pool"), bool(space.get("attention"))
    rows = max(lengths.values()) + 1 + attention
    size = (1.5 + COLUMN * len(cells) + 0.1, TOP + (rows + 1) * (BOX[1] + GAP) + 0.45)
    figure = Figure(size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
    axes.axis("off")
    _draw(axes, cells, POOLS[pool], attention)
    words = "; ".join(f"{name}: {', '.join(cells[name])}" for name in cells)
    return finish(figure, format, f"Searched cells. {words}")


def _draw(
    axes: Axes, cells: Mapping[str, list[str]], pool: str, attention: bool
) -> None:
    pitch = BOX[1] + GAP
    stem, first = 0.7, TOP + BOX[1] / 2
    _box(axes, stem, first - pitch, "image", PLAIN, width=0.9)
    _box(axes, stem, first, "stem", PLAIN, width=0.9)
    _arrow(axes, (stem, first - pitch), (stem, first), BOX[1])
    source = (stem + 0.45, first)
    rows = len(next(iter(cells.values()))) + 1 + attention
    joined = TOP + rows * pitch + BOX[1] / 2
    for index, (name, operations) in enumerate(cells.items()):
        x = 1.5 + COLUMN * (index + 0.5)
        _frame(axes, x, len(operations), f"{name} cell")
        _elbow(axes, source, (x - BOX[0] / 2, first), x - COLUMN / 2)
        for row, operation in enumerate(operations):
            _operation(axes, x, first + row * pitch, operation)
        row = len(operations)
        _box(axes, x, first + row * pitch, pool, POOL)
        if attention:
            _box(axes, x, first + (row + 1) * pitch, "attention", ATTENTION)
        for above in range(row + attention):
            y = first + above * pitch
            _arrow(axes, (x, y), (x, y + pitch), BOX[1])
        _arrow(axes, (x, joined - pitch), (x, joined), BOX[1])
        source = (x + BOX[0] / 2, first + row * pitch)
    left, right = 1.5 + 0.18, 1.5 + COLUMN * len(cells) - 0.18
    middle = (left + right) / 2
    _box(axes, middle, joined, "resize and concatenate", PLAIN, width=right - left)
    _arrow(axes, (middle, joined), (middle, joined + pitch), BOX[1])
    _box(axes, middle, joined + pitch, "head: map, score = its mean", PLAIN, width=2.6)


def _operation(axes: Axes, x: float, y: float, operation: str) -> None:
    colour = operation_colour(operation)
    red, green, blue = to_rgb(colour)
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.58
    text = "white" if dark else INK
    _box(axes, x, y, operation_label(operation), colour, text=text, weight="bold")


def _box(
    axes: Axes,
    x: float,
    y: float,
    label: str,
    colour: str,
    *,
    width: float = BOX[0],
    text: str = INK,
    weight: str = "normal",
) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - BOX[1] / 2), width, BOX[1], facecolor=colour,
            edgecolor="none", boxstyle="round,pad=0,rounding_size=0.07", zorder=2,
        )
    )  # fmt: skip
    style = {"ha": "center", "va": "center", "size": 9.5, "zorder": 3}
    axes.text(x, y, label, color=text, weight=weight, **style)


def _frame(axes: Axes, x: float, count: int, title: str) -> None:
    """A light panel behind the operations of a cell."""
    height = count * (BOX[1] + GAP) - GAP + 0.24
    axes.add_patch(
        FancyBboxPatch(
            (x - BOX[0] / 2 - 0.14, TOP - 0.12), BOX[0] + 0.28, height,
            facecolor="#f5f7fa", edgecolor="#d5dbe3", linewidth=0.8,
            boxstyle="round,pad=0,rounding_size=0.1", zorder=0,
        )
    )  # fmt: skip
    axes.text(x, TOP - 0.24, title, ha="center", va="bottom", color=MUTED, size=10)


ARROW = {"arrowstyle": "-|>", "color": MUTED, "linewidth": 1.2, "mutation_scale": 9}


def _arrow(axes: Axes, start: tuple, end: tuple, height: float) -> None:
    """Down from one box's lower edge to the next one's upper edge."""
    tail, head = (start[0], start[1] + height / 2), (end[0], end[1] - height / 2)
    axes.annotate(
        "", head, tail, arrowprops=ARROW | {"shrinkA": 1, "shrinkB": 1}, zorder=1
    )


def _elbow(axes: Axes, start: tuple, end: tuple, x: float) -> None:
    """From a box's right side over a vertical line at x to another's left side."""
    axes.plot(
        [start[0], x, x], [start[1], start[1], end[1]], color=MUTED, linewidth=1.2,
        zorder=1, solid_joinstyle="round",
    )  # fmt: skip
    props = ARROW | {"shrinkA": 0, "shrinkB": 1}
    axes.annotate("", end, (x, end[1]), arrowprops=props, zorder=1)
