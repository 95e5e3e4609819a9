"""Pictures of graphs, such as the cells of a genotype."""

import dataclasses
from collections.abc import Mapping

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from nasfas_jax.graphs import Edge, Graph, Node, Operation
from nasfas_jax.report.picture import (
    INK,
    MUTED,
    STYLE,
    Format,
    Picture,
    finish,
    operation_color,
)

# Sizes in inches; one data unit is an inch.
WIDTH, HEIGHT, COLUMN, ROW, MARGIN = 1.6, 0.34, 2.35, 0.58, 0.3
#: From the center of a panel's first row to the top of its title.
TITLE = 0.7


@dataclasses.dataclass(frozen=True)
class Box:
    """A node's rectangle, in inches."""

    x: float
    y: float
    width: float

    @property
    def left(self) -> float:
        """Left side."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """Right side."""
        return self.x + self.width / 2


@matplotlib.rc_context(STYLE)
def draw_graph(graph: Graph, *, format: Format = "svg") -> Picture:
    """Draws a graph at the positions of its nodes.

    An arrow to a lower node is vertical where one of the two is above the other, and
    passes on the right of nodes in between; an arrow to a node on the right leaves and
    enters at the sides.

    Args:
      graph: as `search.space.SearchSpace.graph` makes it of a genotype.
      format: of the picture.
    """
    boxes = {name: box(node) for name, node in graph.nodes.items()}
    routes = [route(boxes, edge) for edge in graph.edges]
    corners = [point for points in routes for point in points]
    spread = [WIDTH / 2 * (edge.operation is not None) for edge in graph.edges]
    labels = [(_middle(r)[0], s) for r, s in zip(routes, spread, strict=True)]
    xs = [x for b in boxes.values() for x in (b.left, b.right)]
    xs += [x for x, _ in corners] + [
        x + sign * s for x, s in labels for sign in (-1, 1)
    ]
    ys = [b.y for b in boxes.values()]
    low, high = min(xs) - MARGIN, max(xs) + MARGIN
    top, bottom = min(ys) - HEIGHT / 2 - MARGIN, max(ys) + HEIGHT / 2 + MARGIN
    titles = [min(boxes[n].y for n in panel.nodes) - TITLE for panel in graph.panels]
    top = min([top, *titles])
    figure = Figure((high - low, bottom - top))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(low, high), ylim=(bottom, top))
    axes.axis("off")
    for panel in graph.panels:
        _frame(axes, [boxes[name] for name in panel.nodes], panel.title)
    for edge, points in zip(graph.edges, routes, strict=True):
        _arrow(axes, points)
        if edge.operation is not None:
            _draw_box(axes, Box(*_middle(points), WIDTH), edge.operation)
    for name, node in graph.nodes.items():
        _draw_box(axes, boxes[name], node.operation)
    return finish(figure, format, graph.text)


Route = list[tuple[float, float]]


def box(node: Node) -> Box:
    """The rectangle of a node."""
    width = WIDTH * min(node.span, 1) + COLUMN * max(node.span - 1, 0)
    return Box(node.x * COLUMN, node.y * ROW, width)


def route(boxes: Mapping[str, Box], edge: Edge) -> Route:
    """Corner points of an arrow, in inches."""
    start, end = boxes[edge.start], boxes[edge.end]
    narrow, wide = sorted((start, end), key=lambda box: box.width)
    above = wide.left <= narrow.x <= wide.right and start.y < end.y
    if not above and start.right < end.left:
        if start.y == end.y:
            return [(start.right, start.y), (end.left, end.y)]
        bend = end.left - edge.lane * (COLUMN - WIDTH)
        return [
            (start.right, start.y),
            (bend, start.y),
            (bend, end.y),
            (end.left, end.y),
        ]
    if above and any(
        start.y < box.y < end.y and box.left <= narrow.x <= box.right
        for box in boxes.values()
    ):
        aside = 0.2 * (end.y - start.y) / ROW + WIDTH / 2 * (edge.operation is not None)
        side = max(start.right, end.right) + aside
        return [
            (start.right, start.y),
            (side, start.y),
            (side, end.y),
            (end.right, end.y),
        ]
    half = HEIGHT / 2 if start.y < end.y else -HEIGHT / 2
    x = (narrow.x, narrow.x) if above else (start.x, end.x)
    return [(x[0], start.y + half), (x[1], end.y - half)]


def _middle(points: Route) -> tuple[float, float]:
    """Center of an arrow's middle segment."""
    index = len(points) // 2
    (x, y), (u, v) = points[index - 1], points[index]
    return (x + u) / 2, (y + v) / 2


def _arrow(axes: Axes, points: Route) -> None:
    axes.plot(
        *zip(*points[:-1], strict=True), color=MUTED, linewidth=1.2, zorder=1,
        solid_joinstyle="round",
    )  # fmt: skip
    style = {"arrowstyle": "-|>", "color": MUTED, "linewidth": 1.2}
    props = style | {"mutation_scale": 9, "shrinkA": 0, "shrinkB": 1}
    axes.annotate("", points[-1], points[-2], arrowprops=props, zorder=1)


def _draw_box(axes: Axes, box: Box, operation: Operation) -> None:
    color = operation_color(operation)
    red, green, blue = to_rgb(color)
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.58
    axes.add_patch(
        FancyBboxPatch(
            (box.left, box.y - HEIGHT / 2), box.width, HEIGHT, facecolor=color,
            edgecolor="none", boxstyle="round,pad=0,rounding_size=0.07", zorder=2,
        )
    )  # fmt: skip
    axes.text(
        box.x, box.y, operation.text, color="white" if dark else INK, ha="center",
        va="center", size=9.5, zorder=3,
        weight="normal" if operation.group == "plain" else "bold",
    )  # fmt: skip


def _frame(axes: Axes, boxes: list[Box], title: str) -> None:
    """A light panel behind boxes."""
    left, right = min(box.left for box in boxes), max(box.right for box in boxes)
    top, bottom = min(box.y for box in boxes), max(box.y for box in boxes)
    size = (right - left + 0.28, bottom - top + HEIGHT + 0.24)
    corner = (left - 0.14, top - HEIGHT / 2 - 0.12)
    axes.add_patch(
        FancyBboxPatch(
            corner, *size, facecolor="#f5f7fa", edgecolor="#d5dbe3", linewidth=0.8,
            boxstyle="round,pad=0,rounding_size=0.1", zorder=0,
        )
    )  # fmt: skip
    x, y = (left + right) / 2, corner[1] - 0.12
    axes.text(x, y, title, ha="center", va="bottom", color=MUTED, size=10)
