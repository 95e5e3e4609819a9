"""Modules of the candidates of cells, from which their costs are counted."""

from typing import Any

from nasfas_jax.search import cost
from nasfas_jax.search.dag import layers, structure


def of_cells(space: Any, image_size: int) -> cost.Candidates:
    """The candidates of both kinds of cells: of each operation, those of all cells.

    Args:
      space: the space of the network.
      image_size: side of the images.
    """
    side = image_size
    for stride in space.stem_strides:
        side = -(-side // stride)
    found: dict[str, Any] = {
        kind: [[[] for _ in space.operations] for _ in structure.EDGES]
        for kind in structure.KINDS
    }
    for kind, channels in space.layout:
        halved = -(-side // 2) if kind == "reduction" else side
        for edge, (start, _) in enumerate(structure.EDGES):
            from_input = start < structure.INPUTS
            stride = 2 if kind == "reduction" and from_input else 1
            shape = (1, *(2 * (side if from_input else halved,)), channels)
            for number, name in enumerate(space.operations):
                if name == "none" or (name == "skip" and stride == 1):
                    continue
                module = layers.Chosen(name, stride, space.own_theta, space.own_lam)
                found[kind][edge][number].append(cost.Candidate(module, shape))
        side = halved
    return found
