"""Exact simplifications of a program: a few steps that are one step of other runtimes."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from nasfas_jax.export.residual import Operand, Program, Step, Value, used

CONVOLUTION = "conv_general_dilated"
#: Means of windows, with the padding counted; no primitive of JAX.
AVERAGE = "window_average"
#: Product of a matrix [out, in] and an axis of images; no primitive of JAX.
MIX = "mix"

#: Step that computes a value.
Producers = Mapping[Value, Step]


def simplified(program: Program) -> Program:
    """Program with fewer steps and the same values."""
    steps: list[Step] = []
    producers: dict[Value, Step] = {}
    same: dict[Operand, Operand] = {}
    # Steps inside loops read values by themselves.
    inside = {
        x
        for s in program.steps
        if s.name == "while"
        for x in s.operands
        if isinstance(x, Value)
    }

    def current(x: Operand) -> Operand:
        return same.get(x, x) if isinstance(x, Value) else x

    for step in program.steps:
        step = step._replace(operands=tuple(map(current, step.operands)))
        value = _unchanged(step)
        if value is not None and step.outputs[0] not in inside:
            same[step.outputs[0]] = value
            continue
        if step.name in RULES:
            step = RULES[step.name](step, producers) or step
        producers.update(dict.fromkeys(step.outputs, step))
        steps.append(step)
    outputs = tuple(map(current, program.outputs))
    return Program(program.input, used(steps, outputs), outputs)


def _unchanged(step: Step) -> Value | None:
    """The operand of a step that does not change it."""
    if step.name == "pad":
        x, _ = step.operands
        still = not any(map(any, step.params["padding_config"]))
        return x if still and isinstance(x, Value) else None
    if step.name not in NEUTRAL:
        return None
    left, right = step.operands
    for x, other in ((left, right), (right, left)):
        if isinstance(x, Value) and isinstance(other, np.ndarray):
            first = x is left or step.name in ("add", "mul")
            return x if first and (other == NEUTRAL[step.name]).all() else None
    return None


#: Constants that do not change the other operand (in a difference or quotient, the first).
NEUTRAL = {"add": 0, "sub": 0, "mul": 1, "div": 1}


def _produced(x: Operand, name: str, producers: Producers) -> Step | None:
    """The step that computes an operand, if it has this name."""
    found = producers.get(x) if isinstance(x, Value) else None
    return found if found is not None and found.name == name else None


def _maximum(step: Step, producers: Producers) -> Step | None:
    """A selection of the larger of two values, as in `ops.max_pool`."""
    if len(step.operands) != 3:
        return None
    chosen, smaller, larger = step.operands
    if (either := _produced(chosen, "or", producers)) is None:
        return None
    compared = _produced(either.operands[0], "ge", producers)
    own = _produced(either.operands[1], "ne", producers)
    if compared is None or own is None:
        return None
    given = (*compared.operands, *own.operands)
    wanted = (larger, smaller, larger, larger)
    if any(a is not b for a, b in zip(given, wanted, strict=True)):
        return None
    return step._replace(name="max", operands=(larger, smaller), params={})


def _average(step: Step, producers: Producers) -> Step | None:
    """A sum of windows, divided by the size of the window."""
    total, divisor = step.operands
    window = _produced(total, "reduce_window_sum", producers)
    if window is None or not isinstance(divisor, np.ndarray):
        return None
    size = math.prod(window.params["window_dimensions"])
    same = (divisor == size).all()
    return window._replace(name=AVERAGE, outputs=step.outputs) if same else None


def _strided(step: Step, producers: Producers) -> Step | None:
    """A 1 x 1 convolution of every t-th pixel, from the first: its stride is t."""
    x, kernel = step.operands
    params = step.params
    cut = _produced(x, "slice", producers)
    plain = params["window_strides"] == (1, 1) and not np.any(params["padding"])
    if cut is None or not plain or kernel.shape[:2] != (1, 1):
        return None
    if params["dimension_numbers"].rhs_spec != (3, 2, 0, 1):
        return None
    (source,) = cut.operands
    strides = cut.params["strides"] or (1,) * source.ndim
    whole = [-(-side // t) for side, t in zip(source.shape, strides, strict=True)]
    if any(cut.params["start_indices"]) or (strides[0], strides[3]) != (1, 1):
        return None
    if tuple(whole) != x.shape:
        return None
    params = params | {"window_strides": strides[1:3]}
    return step._replace(operands=(source, kernel), params=params)


def _mixed(step: Step, producers: Producers) -> Step | None:
    """A product of a matrix and an axis of an image, as in `ops.resize`."""
    product = _produced(step.operands[0], "dot_general", producers)
    if product is None:
        return None
    matrix, x = product.operands
    (contracted, batched) = product.params["dimension_numbers"]
    if not isinstance(matrix, np.ndarray) or (matrix.ndim, x.ndim) != (2, 4):
        return None
    (side,), (axis,) = contracted
    back = tuple(np.insert([1, 2, 3], axis, 0))
    if batched[0] or axis not in (1, 2) or step.params["permutation"] != back:
        return None
    matrix = matrix if side else matrix.T
    return Step(MIX, (x, matrix), {"axis": axis}, step.outputs)


RULES: dict[str, Callable[[Step, Producers], Step | None]] = {
    "select_n": _maximum,
    "div": _average,
    CONVOLUTION: _strided,
    "transpose": _mixed,
}
