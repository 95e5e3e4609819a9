"""ONNX graph builder that supports channels-first and channels-last images."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nasfas_jax.errors import InputError
from nasfas_jax.export.folding import narrowed
from nasfas_jax.export.residual import BATCH, Operand, Value, is_batch

#: Version of the operator set, which ONNX Runtime has had since 1.14.
OPSET = 18
#: Version of the file format that belongs to it.
IR_VERSION = 8

#: Axes of [N, C, H, W] in [N, H, W, C], and the way back.
FIRST = (0, 3, 1, 2)
LAST = (0, 2, 3, 1)


class Graph:
    """ONNX graph under construction: nodes, constants, and names of values.

    ONNX has channels first. Values of four axes have a name for either order, made when it
    is asked for: a network of convolutions is transposed at its ends only.

    Args:
      input: name of the input, whose first side is the batch.
    """

    def __init__(self, input: str):
        self.input = input
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple, onnx.TensorProto] = {}
        self._names: dict[tuple[Value, bool], str] = {}
        self._narrow: dict[Value, Value] = {}
        self._count = 0

    def define(self, value: Value, name: str, first: bool = False) -> None:
        """Assigns a name to a value; ``first`` for channels as the second axis."""
        self._names[value, first] = name

    def define_narrow(self, value: Value, narrow: Value) -> None:
        """Declares a value as a broadcast of another one along axes of length 1."""
        self._narrow[value] = narrow

    def is_first(self, operand: Operand) -> bool:
        """Whether an operand is available with its channels as the second axis."""
        if not isinstance(operand, Value):
            return False
        operand = self._narrow.get(operand, operand)
        return (operand, True) in self._names

    def node(self, operation: str, *inputs: str, **settings: Any) -> str:
        """Appends a node and returns the name of its output."""
        return self.outputs_of(operation, inputs, 1, **settings)[0]

    def outputs_of(
        self, operation: str, inputs: Sequence[str], count: int, **settings: Any
    ) -> list[str]:
        """Appends a node and returns the names of its outputs."""
        names = [self.fresh(operation) for _ in range(count)]
        self.nodes.append(
            helper.make_node(operation, inputs, names, name=names[0], **settings)
        )
        return names

    def constant(self, array: Any, dtype: Any = None) -> str:
        """Returns the name of a constant; equal constants are stored once."""
        found = np.array(array, dtype, order="C")
        key = (found.dtype.str, found.shape, found.tobytes())
        if key not in self.constants:
            name = self.fresh("constant")
            self.constants[key] = numpy_helper.from_array(found, name)
        return self.constants[key].name

    def read(
        self, operand: Operand, first: bool = False, *, narrow: bool = False
    ) -> str:
        """Returns the name of an operand in the requested layout.

        Args:
          operand: value or constant.
          first: whether its channels shall be the second axis (of four).
          narrow: whether axes along which it repeats may have the side 1.

        Raises:
          InputError: a constant that is another one for every element of the batch.
        """
        if isinstance(operand, np.ndarray):
            repeats = not narrow and any(map(is_batch, operand.shape))
            array = narrowed(operand) if narrow or repeats else operand
            if any(map(is_batch, array.shape)):
                raise InputError(
                    "expected constants that are the same for every element of the batch,"
                    " got some that depend on its place.",
                    field="network",
                )
            name = self.constant(array.transpose(FIRST) if first else array)
            if not repeats:
                return name
            sides = operand.transpose(FIRST).shape if first else operand.shape
            return self.node("Expand", name, self._sides(sides))
        if operand in self._narrow:
            if narrow:
                return self.read(self._narrow[operand], first, narrow=True)
            if (operand, False) not in self._names:
                self._names[operand, False] = self._repeated(operand)
        if (operand, first) not in self._names:
            other = self._names[operand, not first]
            axes = FIRST if first else LAST
            self._names[operand, first] = self.node("Transpose", other, perm=axes)
        return self._names[operand, first]

    @contextlib.contextmanager
    def body(self) -> Iterator[list[onnx.NodeProto]]:
        """Collects the nodes of a nested graph, with names of limited scope."""
        outside = self.nodes, dict(self._names), dict(self._narrow)
        self.nodes = []
        try:
            yield self.nodes
        finally:
            self.nodes, self._names, self._narrow = outside

    def _repeated(self, value: Value) -> str:
        narrow = self.read(self._narrow[value])
        return self.node("Expand", narrow, self._sides(value.shape))

    def _sides(self, sides: Sequence[int]) -> str:
        """Returns the name of a shape tensor with the batch size of the input."""
        if not any(map(is_batch, sides)):
            return self.constant(sides, np.int64)
        size = self.node("Shape", self.input, start=0, end=1)
        parts = [
            self.node("Mul", size, self.constant([side // BATCH], np.int64))
            if is_batch(side)
            else self.constant([side], np.int64)
            for side in sides
        ]
        return self.node("Concat", *parts, axis=0)

    def fresh(self, operation: str) -> str:
        """Returns an unused name."""
        self._count += 1
        return f"{operation}_{self._count}"

    def info(self, name: str, value: Operand) -> onnx.ValueInfoProto:
        """Type and shape of an input or output."""
        sides = ["n" if is_batch(side) else side for side in value.shape]
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype))
        return helper.make_tensor_value_info(name, kind, sides)

    def model(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
    ) -> onnx.ModelProto:
        """Builds and validates the ONNX model."""
        graph = helper.make_graph(
            self.nodes, "nasfas_jax", inputs, outputs, [*self.constants.values()]
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="nasfas_jax",
        )
        onnx.checker.check_model(model, full_check=True)
        return model
