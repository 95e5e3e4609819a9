"""Exact simplifications of a program: folded affine steps, and maxima."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nasfas_jax.export.residual import Operand, Program, Step, Value, used


class Folded(NamedTuple):
    """A simplified program.

    Attributes:
      program: the program; a convolution may have a third operand, its bias [O].
      convolutions: number of convolutions.
      affine: number of sums and products that became part of a convolution.
    """

    program: Program
    convolutions: int
    affine: int


def fold(program: Program) -> Folded:
    """Folds scales and shifts of channels into the convolution that precedes them.

    BatchNorm in prediction, a difference, a product and a sum with constants of each
    channel, disappears. Kernels are multiplied in float64 and rounded once.
    """
    program = _maxima(program)
    users = Counter(x for step in program.steps for x in step.operands if _open(x))
    users.update(x for x in program.outputs if _open(x))
    steps: list[Step] = []
    producers: dict[Value, int] = {}
    renamed: dict[Value, Value] = {}
    scales: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    count = 0

    def current(x: Operand) -> Operand:
        return renamed.get(x, x) if isinstance(x, Value) else x

    for step in program.steps:
        step = step._replace(operands=tuple(map(current, step.operands)))
        change = _affine(step)
        if change is not None:
            value, scale, shift = change
            at = producers.get(value)
            if at is not None and _foldable(steps[at]) and users[value] == 1:
                before = scales.get(at, (np.ones(()), np.zeros(())))
                scales[at] = (before[0] * scale, before[1] * scale + shift)
                renamed[step.outputs[0]] = value
                users[value] = users[step.outputs[0]]
                count += 1
                continue
        producers.update(dict.fromkeys(step.outputs, len(steps)))
        steps.append(step)
    for at, (scale, shift) in scales.items():
        steps[at] = _scaled(steps[at], scale, shift)
    outputs = tuple(map(current, program.outputs))
    convolutions = sum(step.name == CONVOLUTION for step in steps)
    return Folded(Program(program.input, steps, outputs), convolutions, count)


CONVOLUTION = "conv_general_dilated"


def _foldable(step: Step) -> bool:
    return step.name == CONVOLUTION and isinstance(step.operands[1], np.ndarray)


def _open(x: Operand) -> bool:
    return isinstance(x, Value)


def _affine(step: Step) -> tuple[Value, np.ndarray, np.ndarray] | None:
    """Operand, scale [C] and shift [C] of an affine step, or None for another step."""
    if step.name not in ("add", "sub", "mul", "div"):
        return None
    left, right = step.operands
    if isinstance(left, Value) == isinstance(right, Value):
        return None
    value, constant = (left, right) if isinstance(left, Value) else (right, left)
    assert isinstance(value, Value) and isinstance(constant, np.ndarray)
    if (channels := per_channel(constant, value)) is None:
        return None
    one, zero = np.ones(()), np.zeros(())
    if step.name == "add":
        return value, one, channels
    if step.name == "mul":
        return value, channels, zero
    if value is right:  # constant - x becomes -x + constant; constant / x is not affine
        return (value, -one, channels) if step.name == "sub" else None
    return (
        (value, one, -channels) if step.name == "sub" else (value, 1 / channels, zero)
    )


def per_channel(constant: np.ndarray, value: Value) -> np.ndarray | None:
    """Float64 scalar or [C] of a constant that varies over channels only, else None."""
    narrow = narrowed(constant).astype(np.float64)
    if narrow.size == 1:
        return narrow.reshape(())
    if narrow.ndim == value.ndim and narrow.shape[-1] == narrow.size:
        return narrow.reshape(-1)
    return None


def narrowed(constant: np.ndarray) -> np.ndarray:
    """Constant whose repeated axes are reduced to length 1."""
    repeats = [slice(0, 1) if s == 0 else slice(None) for s in constant.strides]
    return constant[tuple(repeats)]


def _scaled(step: Step, scale: np.ndarray, shift: np.ndarray) -> Step:
    """Convolution with its output channels scaled and shifted."""
    x, kernel = step.operands
    assert isinstance(kernel, np.ndarray)
    features = kernel.shape[-1]
    bias = np.broadcast_to(shift, (features,)).astype(kernel.dtype)
    scaled = (kernel.astype(np.float64) * scale).astype(kernel.dtype)
    return step._replace(operands=(x, scaled, bias))


def _maxima(program: Program) -> Program:
    """Replaces selections of the larger of two values, as in `ops.max_pool`, by maxima."""
    producers: Mapping[Any, Step] = {x: s for s in program.steps for x in s.outputs}

    def step_of(x: Operand, name: str) -> Step | None:
        found = producers.get(x) if _open(x) else None
        return found if found is not None and found.name == name else None

    def simplified(step: Step) -> Step:
        if step.name != "select_n" or len(step.operands) != 3:
            return step
        chosen, smaller, larger = step.operands
        if (either := step_of(chosen, "or")) is None:
            return step
        compared, own = (
            step_of(either.operands[0], "ge"),
            step_of(either.operands[1], "ne"),
        )
        if compared is None or own is None:
            return step
        same = all(
            a is b
            for a, b in zip(
                (*compared.operands, *own.operands),
                (larger, smaller, larger, larger),
                strict=True,
            )
        )
        return (
            step._replace(name="max", operands=(larger, smaller), params={})
            if same
            else step
        )

    steps = [simplified(step) for step in program.steps]
    return program._replace(steps=used(steps, program.outputs))
