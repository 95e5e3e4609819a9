"""Pictures of cells."""

from collections.abc import Sequence

from nasfas_jax.graphs import Edge, Graph, Node, Operation, Panel
from nasfas_jax.search.dag import operations, structure
from nasfas_jax.search.genotype import Link

INPUT_LABELS = ("input k-2", "input k-1")
#: Columns from a node to the next one.
STEP = 1.3
#: Lanes of the arrows to the upper and the lower operation of a node: none crosses both.
LANES = (0.25, 0.55)


def graph(cells: dict[str, Sequence[Link]]) -> Graph:
    """The cells of an architecture, one below the other (NAS-FAS figure 12).

    Inputs and nodes are a staircase, so that all arrows lead down: a node has its two
    operations on its left, in the order of the features that they take.
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
        nodes[keys[-1]] = Node(0, top + i, Operation(label), 0.6)
    for node in range(structure.NODES):
        end = node + structure.INPUTS
        name, x, y = f"{kind}_{end}", STEP * node, top + 2 * node + 2.5
        keys.append(name)
        nodes[name] = Node(x + 1.4, y, Operation(f"node {node + 1}"), 0.45)
        incoming = sorted(link for link in links if link.end == end)
        for i, link in enumerate(incoming):
            box = f"{name}_{i}"
            keys.append(box)
            operation = operations.LEGEND[link.operation]
            nodes[box] = Node(x + 0.8, y - 0.5 + i, operation, 0.85)
            source = f"{kind}_{link.start}"
            edges += [Edge(source, box, lane=LANES[i]), Edge(box, name, lane=0.25)]
    out = f"{kind}_output"
    keys.append(out)
    x, y = STEP * structure.NODES + 0.7, top + structure.NODES + 1.5
    nodes[out] = Node(x, y, Operation("concatenate"), 0.8)
    ends = range(structure.INPUTS, structure.INPUTS + structure.NODES)
    edges += [Edge(f"{kind}_{node}", out, lane=0.25) for node in ends]
    return tuple(keys)
