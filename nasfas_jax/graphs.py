"""Descriptions of operations and of graphs, from which pictures are drawn."""

import dataclasses
from collections.abc import Mapping

from nasfas_jax import limits
from nasfas_jax.errors import InputError

#: Color groups, each with the number of its shades.
GROUPS = {
    "none": 1,
    "skip": 1,
    "convolution": 3,
    "wide": 5,
    "pooling": 3,
    "attention": 1,
    "plain": 1,
}


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation, as pictures show it.

    Attributes:
      name: name in genotypes.
      label: text in pictures; the name if empty.
      group: color group, a key of `GROUPS`.
      shade: number of the shade in the group, from 0.

    Raises:
      InputError: an unknown group or shade.
    """

    name: str
    label: str = ""
    group: str = "plain"
    shade: int = 0

    def __post_init__(self):
        limits.require(group=(self.group, limits.OneOf(GROUPS)))
        shades = limits.Range(0, GROUPS[self.group] - 1, whole=True)
        limits.require(shade=(self.shade, shades))

    @property
    def text(self) -> str:
        """The label, or the name where there is none."""
        return self.label or self.name


@dataclasses.dataclass(frozen=True)
class Node:
    """A box of a graph.

    Attributes:
      x: column of its center; may be fractional.
      y: row of its center, from the top down; may be fractional.
      operation: text and color of the box.
      span: number of columns that it covers.
    """

    x: float
    y: float
    operation: Operation
    span: float = 1


@dataclasses.dataclass(frozen=True)
class Edge:
    """An arrow between two nodes.

    Attributes:
      start: name of the first node.
      end: name of the second node.
      operation: text and color of a box on the arrow; None for a bare arrow.
      lane: where an arrow to the right turns, from 0 at its end to 1 a gap of two columns
        before it. Arrows in lanes of their own do not run into each other.
    """

    start: str
    end: str
    operation: Operation | None = None
    lane: float = 0.5


@dataclasses.dataclass(frozen=True)
class Panel:
    """A frame around some nodes.

    Attributes:
      title: text above the frame.
      nodes: names of the nodes inside.
    """

    title: str
    nodes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Graph:
    """A directed graph with positions.

    Attributes:
      nodes: nodes by name.
      edges: arrows between them.
      text: description in words, for readers who cannot see the picture.
      panels: frames around nodes.

    Raises:
      InputError: no nodes, or an edge or a panel names a node that does not exist.
    """

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    text: str
    panels: tuple[Panel, ...] = ()

    def __post_init__(self):
        if not self.nodes:
            raise InputError("nodes: expected one or more, got none.")
        ends = {name for edge in self.edges for name in (edge.start, edge.end)}
        framed = {name for panel in self.panels for name in panel.nodes}
        if unknown := sorted((ends | framed) - set(self.nodes)):
            raise InputError(
                f"edges and panels: expected names of nodes ({', '.join(self.nodes)}), "
                f"got {', '.join(unknown)}."
            )
