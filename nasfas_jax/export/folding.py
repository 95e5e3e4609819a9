"""Scales and shifts of channels as parts of the convolutions that precede them."""

import itertools
from collections import Counter
from typing import NamedTuple

import numpy as np

from nasfas_jax.export.residual import Operand, Program, Step, Value
from nasfas_jax.export.rewriting import CONVOLUTION


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
    channel, disappears, also behind a concatenation of convolutions. Kernels are
    multiplied in float64 and rounded once.
    """
    folding = _Folding(program)
    for step in program.steps:
        folding.add(step)
    return folding.result()


class _Folding:
    """Program whose affine steps are folded one after the other."""

    def __init__(self, program: Program):
        self.program = program
        self.steps: list[Step] = []
        self.count = 0
        self.users = Counter(
            x for step in program.steps for x in step.operands if _open(x)
        )
        self.users.update(x for x in program.outputs if _open(x))
        self.producers: dict[Value, int] = {}
        self.renamed: dict[Value, Value] = {}
        self.scales: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def add(self, step: Step) -> None:
        """Appends a step, or folds it."""
        step = step._replace(operands=tuple(map(self.current, step.operands)))
        if (change := _affine(step)) is not None:
            value, *factors = change
            if parts := self.parts(value):
                self.scale(parts, *factors)
                self.renamed[step.outputs[0]] = value
                self.users[value] = self.users[step.outputs[0]]
                self.count += 1
                return
        self.producers.update(dict.fromkeys(step.outputs, len(self.steps)))
        self.steps.append(step)

    def current(self, x: Operand) -> Operand:
        """The value that stands for another one."""
        return self.renamed.get(x, x) if isinstance(x, Value) else x

    def parts(self, value: Operand) -> list[int]:
        """The convolutions whose channels, in their order, are those of a value.

        Empty if there are other steps, or other users of one of them.
        """
        at = self.producers.get(value) if isinstance(value, Value) else None
        if at is None or self.users[value] != 1:
            return []
        step = self.steps[at]
        if _foldable(step):
            return [at]
        if step.name != "concatenate" or step.params["dimension"] != value.ndim - 1:
            return []
        found = [self.parts(x) for x in step.operands]
        return list(itertools.chain(*found)) if all(found) else []

    def scale(self, parts: list[int], scale: np.ndarray, shift: np.ndarray) -> None:
        """Scales and shifts the channels of convolutions."""
        widths = [self.steps[at].outputs[0].shape[-1] for at in parts]
        factors = (np.broadcast_to(x, (sum(widths),)) for x in (scale, shift))
        split = (np.split(x, np.cumsum(widths)[:-1]) for x in factors)
        for at, one, other in zip(parts, *split, strict=True):
            before = self.scales.get(at, (np.ones(()), np.zeros(())))
            self.scales[at] = (before[0] * one, before[1] * one + other)

    def result(self) -> Folded:
        """The program, with the factors in its kernels."""
        for at, (scale, shift) in self.scales.items():
            self.steps[at] = _scaled(self.steps[at], scale, shift)
        outputs = tuple(map(self.current, self.program.outputs))
        convolutions = sum(step.name == CONVOLUTION for step in self.steps)
        program = Program(self.program.input, self.steps, outputs)
        return Folded(program, convolutions, self.count)


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
