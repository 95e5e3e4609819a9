"""Exported ONNX graphs run by PyTorch, node by node, as a peer of any network."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx
import torch  # pyright: ignore[reportMissingImports]
from onnx import helper, numpy_helper
from torch import Tensor  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

Attributes = dict[str, Any]


def _axes(given: tuple[Tensor, ...]) -> list[int] | None:
    return given[0].tolist() if given else None


def _conv(a: Attributes, x: Tensor, kernel: Tensor, *bias: Tensor) -> Tensor:
    top, left, bottom, right = a["pads"]
    if (top, left) != (bottom, right):
        x, top, left = functional.pad(x, (left, right, top, bottom)), 0, 0
    geometry = {"stride": a["strides"], "dilation": a["dilations"]}
    return functional.conv2d(
        x, kernel, *bias, padding=(top, left), groups=a["group"], **geometry
    )


def _pad(a: Attributes, x: Tensor, pads: Tensor, *value: Tensor) -> Tensor:
    sides = pads.tolist()
    half = len(sides) // 2
    pairs = list(zip(sides[:half], sides[half:], strict=True))[::-1]
    flat = [side for pair in pairs for side in pair]
    return functional.pad(x, flat, value=float(value[0]) if value else 0.0)


def _slice(a: Attributes, x: Tensor, *given: Tensor) -> Tensor:
    starts, ends, axes, steps = (list(one.tolist()) for one in given)
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


def _pooled(
    pool: Callable[..., Tensor], fill: float, a: Attributes, x: Tensor
) -> Tensor:
    """A pooling of windows of pixels, with padding that may differ on opposite sides."""
    top, left, bottom, right = a["pads"]
    x = functional.pad(x, (left, right, top, bottom), value=fill)
    return pool(x, tuple(a["kernel_shape"]), tuple(a["strides"]))


def _sum(a: Attributes, x: Tensor, *axes: Tensor) -> Tensor:
    return x.sum(_axes(axes), keepdim=bool(a.get("keepdims", 1)))


def _max(a: Attributes, x: Tensor, *axes: Tensor) -> Tensor:
    return x.amax(_axes(axes), keepdim=bool(a.get("keepdims", 1)))


def _unsqueeze(a: Attributes, x: Tensor, axes: Tensor) -> Tensor:
    for axis in sorted(axes.tolist()):
        x = x.unsqueeze(axis)
    return x


#: Nodes of exported networks: functions of the attributes and the inputs.
NODES: dict[str, Callable[..., Tensor]] = {
    "Add": lambda a, x, y: x + y,
    # Padding counts (count_include_pad).
    "AveragePool": partial(_pooled, functional.avg_pool2d, 0.0),
    "Concat": lambda a, *x: torch.cat(x, a["axis"]),
    "Conv": _conv,
    "Div": lambda a, x, y: x / y,
    "Einsum": lambda a, *x: torch.einsum(a["equation"].decode(), *x),
    "Expand": lambda a, x, shape: x.expand(
        torch.broadcast_shapes(x.shape, shape.tolist())
    ),
    "Identity": lambda a, x: x,
    "MatMul": lambda a, x, y: x @ y,
    "Max": lambda a, x, y: torch.maximum(x, y),
    "MaxPool": partial(_pooled, functional.max_pool2d, -math.inf),
    "Mul": lambda a, x, y: x * y,
    "Pad": _pad,
    "ReduceMax": _max,
    "ReduceSum": _sum,
    "Relu": lambda a, x: torch.relu(x),
    "Shape": lambda a, x: torch.tensor(x.shape[a.get("start") : a.get("end")]),
    "Sigmoid": lambda a, x: torch.sigmoid(x),
    "Slice": _slice,
    "Squeeze": lambda a, x, *axes: x.squeeze(_axes(axes)) if axes else x.squeeze(),
    "Sub": lambda a, x, y: x - y,
    "Transpose": lambda a, x: x.permute(a["perm"]),
    "Unsqueeze": _unsqueeze,
}


class TorchGraph:
    """The nodes of an ONNX graph as PyTorch functions."""

    def __init__(self, model: onnx.ModelProto):
        graph = model.graph
        self._constants = {
            one.name: torch.from_numpy(numpy_helper.to_array(one).copy())
            for one in graph.initializer
        }
        self._input, self._output = graph.input[0].name, graph.output[0].name
        self._steps = []
        for node in graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            self._steps.append(
                (NODES[node.op_type], attributes, list(node.input), node.output[0])
            )

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The first output for an input."""
        values = {**self._constants, self._input: torch.from_numpy(x)}
        with torch.no_grad():
            for function, attributes, inputs, output in self._steps:
                given = [values[name] for name in inputs if name]
                values[output] = function(attributes, *given)
        return values[self._output].numpy()
