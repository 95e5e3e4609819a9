"""Conversion rules from JAX primitives to ONNX nodes."""

import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from nasfas_jax.errors import InputError
from nasfas_jax.export.onnx_graph import FIRST, LAST, Graph
from nasfas_jax.export.residual import Operand, Step, Value, is_batch
from nasfas_jax.export.rewriting import AVERAGE, CONVOLUTION, MIX

Rule = Callable[[Graph, Step], None]

#: Primitives that are one node of each element, in any order of the axes.
ELEMENTWISE = {
    **{"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow"},
    **{"min": "Min", "neg": "Neg", "exp": "Exp", "log": "Log"},
    **{"tanh": "Tanh", "logistic": "Sigmoid", "sqrt": "Sqrt", "abs": "Abs"},
    **{"sign": "Sign", "floor": "Floor", "ceil": "Ceil", "round": "Round"},
    **{"ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "lt": "Less"},
    **{"eq": "Equal", "and": "And", "or": "Or", "not": "Not", "erf": "Erf"},
    **{"sin": "Sin", "cos": "Cos"},
}
REDUCTIONS = {
    **{"reduce_sum": "ReduceSum", "reduce_max": "ReduceMax"},
    **{"reduce_min": "ReduceMin", "reduce_prod": "ReduceProd"},
}


def emit(graph: Graph, step: Step) -> None:
    """Appends the nodes of a step.

    Raises:
      InputError: a primitive, or a use of one, without a rule.
    """
    if step.name in ELEMENTWISE:
        return _elementwise(graph, step, ELEMENTWISE[step.name])
    if step.name in REDUCTIONS:
        return _reduction(graph, step)
    if step.name not in RULES:
        raise _unknown(step)
    return RULES[step.name](graph, step)


def _unknown(step: Step) -> InputError:
    return InputError(
        f"expected a network of {len(RULES) + len(ELEMENTWISE) + len(REDUCTIONS)} known"
        f" primitives, got {step.name!r} with {step.params}; export it as 'stablehlo'.",
        field="network",
    )


def _first(graph: Graph, *operands: Operand) -> bool:
    """Whether to compute a step with channels first, the layout of one of its images."""
    images = [x for x in operands if isinstance(x, Value)]
    return all(x.ndim == 4 for x in images) and any(map(graph.is_first, images))


def _read_all(graph: Graph, step: Step, first: bool) -> list[str]:
    """Names of the operands of an elementwise step, in one layout."""
    return [
        graph.read(x, first and x.ndim == 4, narrow=True) if x.ndim else graph.read(x)
        for x in step.operands
    ]


def _elementwise(graph: Graph, step: Step, operation: str) -> None:
    first = _first(graph, *step.operands)
    name = graph.node(operation, *_read_all(graph, step, first))
    graph.define(step.outputs[0], name, first)


def _maximum(graph: Graph, step: Step) -> None:
    """ReLU, which other runtimes compute with a convolution, or the larger value."""
    for i, other in enumerate(step.operands):
        zero = isinstance(other, np.ndarray) and not np.any(other)
        if zero and step.outputs[0].dtype == np.float32:
            (x,) = step.operands[:i] + step.operands[i + 1 :]
            first = _first(graph, x)
            name = graph.node("Relu", graph.read(x, first))
            return graph.define(step.outputs[0], name, first)
    return _elementwise(graph, step, "Max")


def _select(graph: Graph, step: Step) -> None:
    if len(step.operands) != 3:
        raise _unknown(step)
    first = _first(graph, *step.operands)
    chosen, no, yes = _read_all(graph, step, first)
    graph.define(step.outputs[0], graph.node("Where", chosen, yes, no), first)


def _different(graph: Graph, step: Step) -> None:
    first = _first(graph, *step.operands)
    same = graph.node("Equal", *_read_all(graph, step, first))
    graph.define(step.outputs[0], graph.node("Not", same), first)


def _rsqrt(graph: Graph, step: Step) -> None:
    first = _first(graph, *step.operands)
    root = graph.node("Sqrt", *_read_all(graph, step, first))
    graph.define(step.outputs[0], graph.node("Reciprocal", root), first)


def _power(graph: Graph, step: Step) -> None:
    first = _first(graph, *step.operands)
    (x,) = _read_all(graph, step, first)
    power = graph.constant(step.params["y"], step.outputs[0].dtype)
    graph.define(step.outputs[0], graph.node("Pow", x, power), first)


def _clamp(graph: Graph, step: Step) -> None:
    first = _first(graph, *step.operands)
    low, x, high = _read_all(graph, step, first)
    graph.define(step.outputs[0], graph.node("Clip", x, low, high), first)


def _cast(graph: Graph, step: Step) -> None:
    first = _first(graph, *step.operands)
    (x,) = _read_all(graph, step, first)
    kind = helper.np_dtype_to_tensor_dtype(step.outputs[0].dtype)
    graph.define(step.outputs[0], graph.node("Cast", x, to=kind), first)


def _axis(axis: int, first: bool) -> int:
    """Position of an axis of [N, H, W, C] in the chosen layout."""
    return FIRST.index(axis) if first else axis


def _reduction(graph: Graph, step: Step) -> None:
    (x,) = step.operands
    first = _first(graph, x)
    axes = [_axis(axis, first) for axis in step.params["axes"]]
    names = (graph.read(x, first), graph.constant(axes, np.int64))
    name = graph.node(REDUCTIONS[step.name], *names, keepdims=0)
    # Axes that remain are in the order of [N, H, W, C] unless channels and pixels do.
    kept = [i for i in range(x.ndim) if i not in step.params["axes"]]
    order = sorted(kept, key=lambda axis: _axis(axis, first))
    if order != kept:
        name = graph.node("Transpose", name, perm=[order.index(i) for i in kept])
    graph.define(step.outputs[0], name)


def _convolution(graph: Graph, step: Step) -> None:
    x, kernel, *bias = step.operands
    params = step.params
    numbers = params["dimension_numbers"]
    two = len(params["window_strides"]) == 2
    last = two and numbers.lhs_spec == FIRST and numbers.out_spec == FIRST
    if not last or set(params["lhs_dilation"]) != {1}:
        raise _unknown(step)
    if isinstance(kernel, np.ndarray):
        weights = graph.constant(kernel.transpose(numbers.rhs_spec))
    else:
        weights = graph.node("Transpose", graph.read(kernel), perm=numbers.rhs_spec)
    (top, bottom), (left, right) = params["padding"]
    name = graph.node(
        "Conv",
        graph.read(x, first=True),
        weights,
        *[graph.constant(b) for b in bias],
        strides=params["window_strides"],
        pads=(top, left, bottom, right),
        dilations=params["rhs_dilation"],
        group=params["feature_group_count"],
    )
    graph.define(step.outputs[0], name, first=True)


def _window(graph: Graph, step: Step) -> None:
    """Largest value, mean, or sum, of windows of pixels."""
    (x,) = step.operands
    params = step.params
    sides, strides, padding = (
        params[name] for name in ("window_dimensions", "window_strides", "padding")
    )
    plain = {*params["base_dilation"], *params["window_dilation"]} == {1}
    pixels = len(sides) == 4 and (sides[0], sides[3]) == (strides[0], strides[3])
    if not plain or not pixels or (sides[0], sides[3]) != (1, 1):
        raise _unknown(step)
    (top, bottom), (left, right) = padding[1:3]
    largest = step.name == "reduce_window_max"
    name = graph.node(
        "MaxPool" if largest else "AveragePool",
        graph.read(x, first=True),
        kernel_shape=sides[1:3],
        strides=strides[1:3],
        pads=(top, left, bottom, right),
        **({} if largest else {"count_include_pad": 1}),
    )
    if step.name == "reduce_window_sum":
        area = graph.constant(sides[1] * sides[2], np.float32)
        name = graph.node("Mul", name, area)
    graph.define(step.outputs[0], name, first=True)


def _mix(graph: Graph, step: Step) -> None:
    """Product of a matrix [out, in] and the rows or columns of an image."""
    x, matrix = step.operands
    assert isinstance(matrix, np.ndarray)
    name = graph.read(x, first=True)
    operands = (name, graph.constant(matrix.T))
    if step.params["axis"] == 1:
        operands = (graph.constant(matrix), name)
    graph.define(step.outputs[0], graph.node("MatMul", *operands), first=True)


def _pad(graph: Graph, step: Step) -> None:
    x, fill = step.operands
    config = step.params["padding_config"]
    if any(low < 0 or high < 0 or inner for low, high, inner in config):
        raise _unknown(step)
    first = _first(graph, x)
    if first:
        config = [config[axis] for axis in FIRST]
    pads = graph.constant([c[0] for c in config] + [c[1] for c in config], np.int64)
    name = graph.node("Pad", graph.read(x, first), pads, graph.read(fill))
    graph.define(step.outputs[0], name, first)


def _slice(graph: Graph, step: Step) -> None:
    (x,) = step.operands
    assert isinstance(x, Value)
    first = _first(graph, x)
    start, limit = step.params["start_indices"], step.params["limit_indices"]
    strides = step.params["strides"] or (1,) * x.ndim
    cut = [
        axis
        for axis, side in enumerate(x.shape)
        if (start[axis], limit[axis], strides[axis]) != (0, side, 1)
    ]
    name = graph.read(x, first)
    if cut:
        columns = (
            [start[axis] for axis in cut],
            [limit[axis] for axis in cut],
            [_axis(axis, first) for axis in cut],
            [strides[axis] for axis in cut],
        )
        given = [graph.constant(column, np.int64) for column in columns]
        name = graph.node("Slice", name, *given)
    graph.define(step.outputs[0], name, first)


def _concatenate(graph: Graph, step: Step) -> None:
    first = _first(graph, *step.operands)
    names = [graph.read(x, first) for x in step.operands]
    axis = _axis(step.params["dimension"], first)
    graph.define(step.outputs[0], graph.node("Concat", *names, axis=axis), first)


def _stack(graph: Graph, step: Step) -> None:
    axis = step.params["axis"]
    at = graph.constant([axis], np.int64)
    names = [graph.node("Unsqueeze", graph.read(x), at) for x in step.operands]
    graph.define(step.outputs[0], graph.node("Concat", *names, axis=axis))


def _split(graph: Graph, step: Step) -> None:
    (x,) = step.operands
    first = _first(graph, x)
    sizes = graph.constant(step.params["sizes"], np.int64)
    names = graph.outputs_of(
        "Split",
        (graph.read(x, first), sizes),
        len(step.outputs),
        axis=_axis(step.params["axis"], first),
    )
    for value, name in zip(step.outputs, names, strict=True):
        graph.define(value, name, first)


def _transpose(graph: Graph, step: Step) -> None:
    (x,) = step.operands
    order = tuple(step.params["permutation"])
    if x.ndim == 4 and order == FIRST and graph.is_first(x):
        graph.define(step.outputs[0], graph.read(x, first=True))
        return
    if x.ndim == 4 and order == LAST:
        graph.define(step.outputs[0], graph.read(x), first=True)
        return
    name = graph.node("Transpose", graph.read(x), perm=order)
    graph.define(step.outputs[0], name)


def _reshape(graph: Graph, step: Step) -> None:
    (x,) = step.operands
    sides = step.outputs[0].shape
    sizes = [-1 if is_batch(side) else side for side in sides]
    name = graph.node("Reshape", graph.read(x), graph.constant(sizes, np.int64))
    graph.define(step.outputs[0], name)


def _squeeze(graph: Graph, step: Step) -> None:
    (x,) = step.operands
    axes = graph.constant(step.params["dimensions"], np.int64)
    graph.define(step.outputs[0], graph.node("Squeeze", graph.read(x), axes))


def _broadcast(graph: Graph, step: Step) -> None:
    (x,) = step.operands
    assert isinstance(x, Value)
    (out,) = step.outputs
    at = step.params["broadcast_dimensions"]
    added = [axis for axis in range(out.ndim) if axis not in at]
    narrow = x
    if added:
        sides: list[Any] = [1] * out.ndim
        for axis, side in zip(at, x.shape, strict=True):
            sides[axis] = side
        narrow = Value(tuple(sides), x.dtype)
        axes = graph.constant(added, np.int64)
        graph.define(narrow, graph.node("Unsqueeze", graph.read(x), axes))
    graph.define_narrow(out, narrow)


def _product(graph: Graph, step: Step) -> None:
    left, right = step.operands
    (contracted, batched) = step.params["dimension_numbers"]
    (out,) = step.outputs
    alone = len(contracted[0]) == 1 and not batched[0]
    if alone and isinstance(right, np.ndarray) and right.ndim == 2:
        ((axis,), (inner,)) = contracted
        order = [i for i in range(left.ndim) if i != axis] + [axis]
        name = graph.read(left)
        if order != list(range(left.ndim)):
            name = graph.node("Transpose", name, perm=order)
        weights = graph.constant(right.T if inner else right)
        graph.define(out, graph.node("MatMul", name, weights))
        return
    letters = iter(string.ascii_lowercase)
    names = [[next(letters) for _ in range(x.ndim)] for x in (left, right)]
    for i, j in zip(
        (*contracted[0], *batched[0]), (*contracted[1], *batched[1]), strict=True
    ):
        names[1][j] = names[0][i]
    shared = [names[0][i] for i in batched[0]]
    used = {names[0][i] for i in contracted[0]} | set(shared)
    free = [c for one in names for c in one if c not in used]
    equation = f"{''.join(names[0])},{''.join(names[1])}->{''.join([*shared, *free])}"
    operands = (graph.read(left), graph.read(right))
    graph.define(out, graph.node("Einsum", *operands, equation=equation))


def _finite(graph: Graph, step: Step) -> None:
    first = _first(graph, *step.operands)
    (x,) = _read_all(graph, step, first)
    wrong = graph.node("Or", graph.node("IsNaN", x), graph.node("IsInf", x))
    graph.define(step.outputs[0], graph.node("Not", wrong), first)


def _truth(graph: Graph, step: Step) -> None:
    """Logical reduction, as the minimum or maximum of integers."""
    operation = "ReduceMax" if step.name == "reduce_or" else "ReduceMin"
    number = graph.node("Cast", graph.read(step.operands[0]), to=TensorProto.INT32)
    axes = graph.constant(step.params["axes"], np.int64)
    found = graph.node(operation, number, axes, keepdims=0)
    graph.define(step.outputs[0], graph.node("Cast", found, to=TensorProto.BOOL))


def _loop(graph: Graph, step: Step) -> None:
    """Converts ``while`` to a Loop with its condition before and at the end of the body."""
    condition, body = step.params["condition"], step.params["body"]
    count = len(body.carry)
    start = [graph.read(x) for x in step.operands[:count]]

    def proceed(names: Sequence[str]) -> str:
        for value, name in zip(condition.carry, names, strict=True):
            graph.define(value, name)
        for inner in condition.steps:
            emit(graph, inner)
        return graph.read(condition.outputs[0])

    first = proceed(start)
    with graph.body() as nodes:
        given = [graph.fresh("carry") for _ in body.carry]
        for value, name in zip(body.carry, given, strict=True):
            graph.define(value, name)
        for inner in body.steps:
            emit(graph, inner)
        results = [graph.node("Identity", graph.read(x)) for x in body.outputs]
        again = graph.node("Identity", proceed(results))
    iteration, before = graph.fresh("iteration"), graph.fresh("before")
    scalar = helper.make_tensor_value_info
    inputs = [
        scalar(iteration, TensorProto.INT64, ()),
        scalar(before, TensorProto.BOOL, ()),
        *map(graph.info, given, body.carry),
    ]
    outputs = [scalar(again, TensorProto.BOOL, ())]
    outputs += map(graph.info, results, body.carry)
    inside = helper.make_graph(nodes, graph.fresh("body"), inputs, outputs)
    names = graph.outputs_of("Loop", ("", first, *start), count, body=inside)
    for value, name in zip(step.outputs, names, strict=True):
        graph.define(value, name)


RULES: dict[str, Rule] = {
    AVERAGE: _window,
    CONVOLUTION: _convolution,
    MIX: _mix,
    "broadcast_in_dim": _broadcast,
    "clamp": _clamp,
    "concatenate": _concatenate,
    "convert_element_type": _cast,
    "dot_general": _product,
    "integer_pow": _power,
    "is_finite": _finite,
    "max": _maximum,
    "ne": _different,
    "pad": _pad,
    "reduce_and": _truth,
    "reduce_or": _truth,
    "reduce_window_max": _window,
    "reduce_window_sum": _window,
    "reshape": _reshape,
    "rsqrt": _rsqrt,
    "select_n": _select,
    "slice": _slice,
    "split": _split,
    "squeeze": _squeeze,
    "stack": _stack,
    "transpose": _transpose,
    "while": _loop,
}
