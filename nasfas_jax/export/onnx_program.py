"""Conversion of JAX functions to ONNX models."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper

from nasfas_jax.export import folding, onnx_rules, residual, rewriting
from nasfas_jax.export.onnx_graph import Graph


class Exported(NamedTuple):
    """ONNX model with the number of its convolutions and folded steps.

    Attributes:
      model: the model.
      convolutions: number of its convolutions.
      folded: number of sums and products that became part of a convolution.
    """

    model: onnx.ModelProto
    convolutions: int
    folded: int


def from_function(
    function: Callable[..., Any],
    shape: Sequence[int],
    outputs: Sequence[str],
    *,
    dtype: Any = np.float32,
    input: str = "input",
    fold: bool = True,
) -> Exported:
    """Converts a function of arrays [n, *shape], for any n, to an ONNX model.

    Steps that depend on no input are computed here, and BatchNorm becomes part of the
    convolutions before it (`folding.fold`).

    Args:
      function: of one array, with one result for each of ``outputs`` in a tuple.
      shape: sides of the input without the batch.
      outputs: names of the results.
      dtype: of the input.
      input: its name.
      fold: whether BatchNorm is folded; only measurements leave it apart.

    Raises:
      InputError: a function with steps that have no rule in `onnx_rules`.
    """
    program = rewriting.simplified(residual.trace(function, shape, dtype))
    folded = folding.fold(program)
    if not fold:
        count = sum(s.name == rewriting.CONVOLUTION for s in program.steps)
        folded = folding.Folded(program, count, 0)
    graph = Graph(input)
    graph.define(folded.program.input, input)
    for step in folded.program.steps:
        onnx_rules.emit(graph, step)
    results = []
    for name, value in zip(outputs, folded.program.outputs, strict=True):
        graph.nodes.append(helper.make_node("Identity", [graph.read(value)], [name]))
        results.append(graph.info(name, value))
    model = graph.model([graph.info(input, folded.program.input)], results)
    return Exported(model, folded.convolutions, folded.affine)
