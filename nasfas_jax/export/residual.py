"""Residual programs: the steps of a function that depend on its input, and constants.

A function is traced by JAX; every step whose operands are known is computed at once. What
remains is a list of steps of a few primitives, without nested programs: the kernels of
central difference convolution and the factors of BatchNorm are constants in it.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from nasfas_jax.errors import InputError

#: Primitives that hold a program, and the parameter that has it.
_NESTED = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr"}
_NESTED |= {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
_NESTED |= {"remat2": "jaxpr", "checkpoint": "jaxpr"}
#: Primitives whose value is that of their operand.
_IDENTITIES = {"name", "stop_gradient", "copy", "copy_p", "optimization_barrier"}
#: Size of the batch that stands for any: a prime that no other side is a multiple of, so
#: that its multiples are sides of the batch, too.
BATCH = 997
#: Longest loop that is written out.
LONGEST_SCAN = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """Array that depends on the input.

    Attributes:
      shape: sides; multiples of `BATCH` stand for those of the batch.
      dtype: NumPy dtype.
    """

    shape: tuple[Any, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)


#: A value, or a constant, whose repeated axes have the stride 0.
Operand = Value | np.ndarray


class Step(NamedTuple):
    """Application of one primitive.

    Attributes:
      name: name of the primitive in `jax.lax`.
      operands: values and constants.
      params: parameters of the primitive.
      outputs: values that it computes.
    """

    name: str
    operands: tuple[Operand, ...]
    params: dict[str, Any]
    outputs: tuple[Value, ...]


class Program(NamedTuple):
    """A function of one array as a list of steps.

    Attributes:
      input: the array.
      steps: in the order in which they are computed.
      outputs: results, each a value or a constant.
    """

    input: Value
    steps: list[Step]
    outputs: tuple[Operand, ...]


def trace(
    function: Callable[..., Any], shape: Sequence[int], dtype: Any = np.float32
) -> Program:
    """Traces a function of arrays [n, *shape], for any n.

    Args:
      function: of one array, with results in a tuple; its parameters are constants.
      shape: sides of the input without the batch.
      dtype: of the input.

    Raises:
      InputError: a function with a loop whose length is not known, or too long.
    """
    spec = jax.ShapeDtypeStruct((BATCH, *shape), dtype)
    closed = jax.make_jaxpr(lambda x: function(x))(spec)
    input = Value(spec.shape, np.dtype(dtype))
    steps: list[Step] = []
    outputs = _evaluate(closed.jaxpr, closed.consts, [input], steps)
    return Program(input, used(steps, outputs), tuple(outputs))


def _evaluate(
    jaxpr: Any, consts: Sequence[Any], args: Sequence[Operand], steps: list[Step]
) -> list[Operand]:
    """Evaluates a program; appends the steps that depend on the input."""
    known: dict[Any, Operand] = {}

    def read(atom: Any) -> Operand:
        return np.asarray(atom.val) if isinstance(atom, core.Literal) else known[atom]

    known.update(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
    known.update(zip(jaxpr.invars, args, strict=True))
    for equation in jaxpr.eqns:
        results = _results(equation, [read(v) for v in equation.invars], steps)
        known.update(zip(equation.outvars, results, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _results(
    equation: Any, operands: list[Operand], steps: list[Step]
) -> list[Operand]:
    name, params = equation.primitive.name, equation.params
    if name in _NESTED:
        inner = params[_NESTED[name]]
        consts = getattr(inner, "consts", ())
        return _evaluate(getattr(inner, "jaxpr", inner), consts, operands, steps)
    if name in _IDENTITIES:
        return operands
    if name == "scan":
        return list(_scan(params, operands, steps))
    if name in WRITTEN_OUT and isinstance(operands[0], Value):
        written = functools.partial(WRITTEN_OUT[name], **params)
        return [_inline(written, operands, steps)]
    if name == "cond" and isinstance(operands[0], np.ndarray):
        # Of a choice by platform the first is for one without gathers.
        index = 0 if params.get("branches_platforms") else int(operands[0])
        branch = params["branches"][index]
        return _evaluate(branch.jaxpr, branch.consts, operands[1:], steps)
    if name == "while" and any(isinstance(x, Value) for x in operands):
        return _while(equation, operands, steps)
    if name == "concatenate":  # in JAX, some operands may have no elements
        operands = [x for x in operands if math.prod(x.shape)]
        if len(operands) == 1:
            return operands
    constants = [x for x in operands if isinstance(x, np.ndarray)]
    if len(constants) == len(operands):
        return _constants(equation, constants)
    avals = [v.aval for v in equation.outvars]
    if not any(math.prod(a.shape) for a in avals):
        return [np.zeros(a.shape, a.dtype) for a in avals]
    outputs = tuple(Value(a.shape, np.dtype(a.dtype)) for a in avals)
    steps.append(Step(name, tuple(operands), dict(params), outputs))
    return list(outputs)


def _constants(equation: Any, operands: list[np.ndarray]) -> list[Operand]:
    """Evaluates a primitive of constants; keeps repetition along the batch."""
    primitive, params = equation.primitive, equation.params
    shapes = [v.aval.shape for v in equation.outvars]
    if primitive.name == "broadcast_in_dim":
        sides = [1] * len(shapes[0])
        at = zip(params["broadcast_dimensions"], operands[0].shape, strict=True)
        for axis, side in at:
            sides[axis] = side
        return [np.broadcast_to(operands[0].reshape(sides), shapes[0])]
    alike = all(x.shape in ((), shapes[0]) for x in operands)
    if alike and shapes[0] and is_batch(shapes[0][0]):  # one clip of them is enough
        operands = [x[:1] if x.ndim else x for x in operands]
    found = primitive.bind(*map(jnp.asarray, operands), **params)
    several = found if primitive.multiple_results else [found]
    pairs = zip(several, shapes, strict=True)
    return [np.broadcast_to(np.asarray(x), shape) for x, shape in pairs]


def is_batch(side: int) -> bool:
    """Whether a side is that of the batch, or a multiple of it."""
    return side > 0 and side % BATCH == 0


def _scan(
    params: dict[str, Any], operands: list[Operand], steps: list[Step]
) -> Iterator[Operand]:
    """Unrolls a loop of known length."""
    length, body = params["length"], params["jaxpr"]
    if not isinstance(length, int) or length > LONGEST_SCAN:
        raise InputError(
            f"expected loops of {LONGEST_SCAN} steps at most, got one of {length}.",
            field="network",
        )
    fixed = params["num_consts"]
    count = fixed + params["num_carry"]
    carry, ys = operands[fixed:count], []
    order = range(length)
    for i in reversed(order) if params["reverse"] else order:
        xs = [_at(x, i, steps) for x in operands[count:]]
        given = [*operands[:fixed], *carry, *xs]
        found = _evaluate(body.jaxpr, body.consts, given, steps)
        carry = found[: params["num_carry"]]
        ys.append(found[params["num_carry"] :])
    yield from carry
    for column in zip(*(reversed(ys) if params["reverse"] else ys), strict=True):
        yield _stacked(column, steps)


def _at(x: Operand, index: int, steps: list[Step]) -> Operand:
    """``x[index]``."""
    if isinstance(x, np.ndarray):
        return x[index]
    one = Value((1, *x.shape[1:]), x.dtype)
    limits = (index + 1, *x.shape[1:])
    start = (index, *[0] * (x.ndim - 1))
    params = {"start_indices": start, "limit_indices": limits, "strides": None}
    steps.append(Step("slice", (x,), params, (one,)))
    found = Value(x.shape[1:], x.dtype)
    steps.append(Step("squeeze", (one,), {"dimensions": (0,)}, (found,)))
    return found


class Loop(NamedTuple):
    """Condition or body of a ``while`` step, which may refer to outer values.

    Attributes:
      carry: values at the start of an iteration.
      steps: what it computes of them.
      outputs: the condition, or the values at the end.
    """

    carry: tuple[Value, ...]
    steps: list[Step]
    outputs: tuple[Operand, ...]


def _while(equation: Any, operands: list[Operand], steps: list[Step]) -> list[Operand]:
    """Converts a loop of unknown length to one step.

    Under `jax.vmap` every element of the batch has its own condition: the loop ends with
    the last of them, and the others keep their values.
    """
    params = equation.params
    first, second = params["cond_nconsts"], params["body_nconsts"]
    conditions, bodies = operands[:first], operands[first : first + second]
    carried = operands[first + second :]
    condition, body = params["cond_jaxpr"], params["body_jaxpr"]

    def proceed(carry: Sequence[Operand], found: list[Step]) -> Operand:
        given = [*conditions, *carry]
        (going,) = _evaluate(condition.jaxpr, condition.consts, given, found)
        return going

    def update(carry: Sequence[Operand], found: list[Step]) -> list[Operand]:
        results = _evaluate(body.jaxpr, body.consts, [*bodies, *carry], found)
        if not (going := proceed(carry, found)).ndim:
            return results
        pairs = zip(results, carry, strict=True)
        return [_inline(_kept, [going, *pair], found) for pair in pairs]

    def loop(function: Callable[..., Any]) -> Loop:
        carry = tuple(Value(x.shape, np.dtype(x.dtype)) for x in carried)
        found: list[Step] = []
        return Loop(carry, found, tuple(function(carry, found)))

    programs = {
        "condition": loop(
            lambda c, found: [_inline(jnp.any, [proceed(c, found)], found)]
        ),
        "body": loop(update),
    }
    inside = [x for one in programs.values() for s in one.steps for x in s.operands]
    # Values from outside are operands too, so that their steps are kept.
    outside = dict.fromkeys(x for x in inside if isinstance(x, Value))
    outputs = tuple(
        Value(v.aval.shape, np.dtype(v.aval.dtype)) for v in equation.outvars
    )
    steps.append(Step("while", (*carried, *outside), programs, outputs))
    return list(outputs)


def _kept(going: Any, new: Any, old: Any) -> Any:
    """Selects the new value where the condition holds."""
    return jnp.where(
        going.reshape(going.shape + (1,) * (new.ndim - going.ndim)), new, old
    )


def _inline(
    function: Callable[..., Any], operands: Sequence[Operand], steps: list[Step]
) -> Operand:
    """Evaluates a function with one result; appends its steps."""
    specs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in operands]
    inner = jax.make_jaxpr(function)(*specs)
    (found,) = _evaluate(inner.jaxpr, inner.consts, operands, steps)
    return found


def _stacked(column: Sequence[Operand], steps: list[Step]) -> Operand:
    known = [x for x in column if isinstance(x, np.ndarray)]
    if len(known) == len(column):
        return np.stack(known)
    found = Value((len(column), *column[0].shape), np.dtype(column[0].dtype))
    steps.append(Step("stack", tuple(column), {"axis": 0}, (found,)))
    return found


def used(steps: Sequence[Step], outputs: Sequence[Operand]) -> list[Step]:
    """Steps that the outputs depend on."""
    needed, kept = {x for x in outputs if isinstance(x, Value)}, []
    for step in reversed(steps):
        if any(x in needed for x in step.outputs):
            needed.update(x for x in step.operands if isinstance(x, Value))
            kept.append(step)
    return kept[::-1]


def _cholesky(a: Any, **_: Any) -> Any:
    """Lower Cholesky factor [..., P, P], column by column."""
    columns, size = [], a.shape[-1]
    for j in range(size):
        column = a[..., j] * jax.lax.rsqrt(a[..., j : j + 1, j])
        column = jnp.where(np.arange(size) >= j, column, 0)
        columns.append(column)
        a = a - column[..., :, None] * column[..., None, :]
    return jnp.stack(columns, -1)


def _triangular_solve(
    a: Any, b: Any, *, left_side: bool, lower: bool, transpose_a: bool, **others: Any
) -> Any:
    """Solves ``A X = B`` row by row."""
    if not left_side or others["conjugate_a"] or others["unit_diagonal"]:
        raise InputError(
            f"expected systems A X = B, got others: {others}.", field="network"
        )
    a = jnp.swapaxes(a, -1, -2) if transpose_a else a
    size = a.shape[-1]
    rows: list[Any] = [None] * size
    for i in range(size) if lower != transpose_a else reversed(range(size)):
        rows[i] = b[..., i : i + 1, :] / a[..., i : i + 1, i : i + 1]
        b = b - a[..., :, i : i + 1] * rows[i]
    return jnp.concatenate(rows, -2)


#: Primitives that are written out in others.
WRITTEN_OUT = {"cholesky": _cholesky, "triangular_solve": _triangular_solve}
