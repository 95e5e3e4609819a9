"""The graph of a cell: two inputs, four nodes, an edge from every earlier feature."""

import numpy as np

#: Features that a cell takes: the outputs of the two cells before.
INPUTS = 2
#: Intermediate nodes; the cell's output is their concatenation.
NODES = 4
#: Incoming edges per node in an architecture, M (NAS-FAS sec. 4.1).
KEPT = 2
#: Edges (from, to), by node; features 0 and 1 are the inputs, 2 to 5 the nodes.
EDGES = tuple(
    (source, node) for node in range(INPUTS, INPUTS + NODES) for source in range(node)
)
#: Edges into every node, as slices of `EDGES`: 2, 3, 4 and 5 of them.
GROUPS = tuple(
    slice(sum(range(INPUTS, node)), sum(range(INPUTS, node + 1)))
    for node in range(INPUTS, INPUTS + NODES)
)
#: Number of edges into the node of every edge.
INCOMING = np.array([node for _, node in EDGES])
#: Kinds of cells. The edges of a reduction cell from its inputs have stride 2.
KINDS = ("normal", "reduction")
#: Kinds of the cells of a network, in order.
LAYOUT = 3 * ("normal", "normal", "reduction")


def edge_index() -> np.ndarray:
    """[5, 4]: index in `EDGES` of the edge from a feature to a node; 14 for none."""
    index = np.full((INPUTS + NODES - 1, NODES), len(EDGES))
    for i, (source, node) in enumerate(EDGES):
        index[source, node - INPUTS] = i
    return index


def scans(stride: int) -> dict[str, tuple[int, np.ndarray]]:
    """Features of a cell whose edges are computed by one program, in order.

    Args:
      stride: 1, or 2 for a reduction cell, whose edges from the inputs have stride 2.

    Returns:
      By name, the stride and the edges [features, nodes] into the last nodes, as indices
      in `EDGES`; 14 for none.
    """
    index = edge_index()
    if stride == 1:
        return {"features": (1, index)}
    return {"inputs": (2, index[:INPUTS]), "nodes": (1, index[INPUTS:, 1:])}
