"""Pictures of cells."""

from collections.abc import Sequence

from nasfas_jax.graphs import Edge, Graph, Node, Operation, Panel
from nasfas_jax.search.dag import operations, structure
from nasfas_jax.search.genotype import Link

INPUT_LABELS = ("input k-2", "input k-1")


def graph(cells: dict[str, Sequence[Link]]) -> Graph:
    """The cells of an architecture, one below the other (NAS-FAS figure 12).

    Each node is a row: its two operations, then their sum.
    """
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    panels, words, top = [], [], 0.0
    for kind, links in cells.items():
        keys = _add_cell(kind, links, top, nodes, edges)
        panels.append(Panel(f"{kind} cell", keys))
        top = max(nodes[key].y for key in keys) + 2.2
        words.append(f"{kind}: " + ", ".join(str(link) for link in links))
    text = f"Searched cells. {'; '.join(words)}"
    return Graph(nodes, tuple(edges), text, tuple(panels))


def _add_cell(kind, links, top, nodes, edges) -> tuple[str, ...]:
    """Adds the boxes and arrows of a cell; the names of its boxes."""
    keys = []
    for i, label in enumerate(INPUT_LABELS):
        keys.append(f"{kind}_{i}")
        nodes[keys[-1]] = Node(0, top + 1 + 4 * i, Operation(label))
    ends = range(structure.INPUTS, structure.INPUTS + structure.NODES)
    for node in ends:
        name, x, y = f"{kind}_{node}", 2.0 * (node - 1), top + 2 * (node - 2)
        keys.append(name)
        nodes[name] = Node(x, y, Operation(f"node {node - 1}"), 0.6)
        incoming = [link for link in links if link.end == node]
        for i, link in enumerate(incoming):
            box = f"{name}_{i}"
            keys.append(box)
            row = y - 0.5 + i
            nodes[box] = Node(x - 1, row, operations.LEGEND[link.operation])
            edges += [Edge(f"{kind}_{link.start}", box), Edge(box, name)]
    out = f"{kind}_output"
    keys.append(out)
    nodes[out] = Node(2.0 * structure.NODES + 1, top + 3.0, Operation("concatenate"))
    edges += [Edge(f"{kind}_{node}", out) for node in ends]
    return tuple(keys)
