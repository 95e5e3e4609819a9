"""Operations and architectures of the FAS space, as pictures show them."""

import itertools
from collections.abc import Mapping, Sequence

from nasfas_jax.graphs import Edge, Graph, Node, Operation, Panel
from nasfas_jax.search.fas import options

#: Ratios in the order of the shades.
SHADES = ("1.2", "1.4", "1.6", "1.8", "2.0")
POOLS = {"cdp": "CDP ÷2", "max": "max pooling ÷2"}


def operation(name: str) -> Operation:
    """Label and color of a candidate; pairs of convolutions get darker with their width.

    >>> operation("cdc_2_1.6").text, operation("cdc").text, operation("skip").text
    ('CDC ×2, r 1.6', 'CDC', 'skip')
    """
    if name in ("none", "skip"):
        return Operation(name, group=name)
    stem, _, ratio = name.rpartition("_2_")
    label = {"cdc": "CDC", "conv": "Conv"}[stem or name]
    if not stem:
        return Operation(name, label, "convolution")
    shade = SHADES.index(ratio)
    return Operation(name, f"{label} ×2, r {ratio}", "wide", shade)


def graph(space: options.FASOptions, cells: Mapping[str, Sequence[str]]) -> Graph:
    """The chain cells between stem and head (NAS-FAS figure 6)."""
    nodes = {
        "image": Node(0, 0, Operation("image"), 0.6),
        "stem": Node(0, 1, Operation("stem"), 0.6),
    }
    edges, panels = [Edge("image", "stem")], []
    last = "stem"
    for column, (cell, names) in enumerate(cells.items(), 1):
        chain = {f"{cell}_{i}": operation(name) for i, name in enumerate(names)}
        panels.append(Panel(f"{cell} cell", tuple(chain)))
        pool = f"{cell}_pool"
        chain[pool] = Operation(pool, POOLS[space.pool], "pooling")
        edges.append(Edge(last, f"{cell}_0"))
        if space.attention:
            level = f"{cell}_attention"
            chain[level] = Operation(level, "attention", "attention")
        nodes |= {
            key: Node(column, 1 + row, op)
            for row, (key, op) in enumerate(chain.items())
        }
        keys = [*chain, "joined"]
        edges += [Edge(a, b) for a, b in itertools.pairwise(keys)]
        last = pool
    middle, row = (1 + len(cells)) / 2, 1 + max(node.y for node in nodes.values())
    joined, head = "resize and concatenate", "head: map, score = its mean"
    nodes["joined"] = Node(middle, row, Operation(joined), len(cells))
    nodes["head"] = Node(middle, row + 1, Operation(head), 1.6)
    edges.append(Edge("joined", "head"))
    words = "; ".join(f"{name}: {', '.join(cell)}" for name, cell in cells.items())
    return Graph(nodes, tuple(edges), f"Searched cells. {words}", tuple(panels))
