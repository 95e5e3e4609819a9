"""Cost of a network: parameters, and multiply-adds counted in its program."""

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from nasfas_jax import limits
from nasfas_jax.ops.convolution import (
    convolution_p,
    shifted_products,
    strided_convolution,
)

#: Functions that compute a convolution ``(x, kernel) -> y`` by other operations. (Their
#: derivatives have these names too, and other numbers of arguments.)
CONVOLUTIONS = tuple(
    inspect.unwrap(function).__name__
    for function in (shifted_products, strided_convolution)
)


class _Shapes(limits.Kind):
    """Shapes of batches of images or clips."""

    def __contains__(self, value: Any) -> bool:
        ranked = isinstance(value, tuple | list) and len(value) in (4, 5)
        return ranked and all(side in limits.COUNT for side in value)


SHAPE = _Shapes(tuple, "a shape (N, H, W, C), or (N, K, H, W, C) of K frames")


def parameters(variables: Any) -> int:
    """The number of trained numbers: the size of ``variables['params']``."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def macs(module: nn.Module, input_shape: tuple[int, ...], **call: Any) -> int:
    """Multiply-adds of one forward pass: convolutions and matrix products.

    BatchNorm, activations, pooling and resizing are left out, as in the papers' tables.
    Nothing is computed: the program is traced and its equations are added up.

    Args:
      module: a network whose ``__call__`` takes an array.
      input_shape: [N, H, W, C], or [N, K, H, W, C] for frames; N = 1 for the cost of one
        image or clip.
      **call: keyword arguments of the call; without any, ``train=False``.

    Raises:
      InputError: another shape.
    """
    limits.require(input_shape=(input_shape, SHAPE))
    call = call or {"train": False}
    x = jax.ShapeDtypeStruct(input_shape, jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    variables = jax.eval_shape(lambda k, x: module.init(k, x, **call), key, x)
    return macs_of(lambda v, x: module.apply(v, x, **call), variables, x)


def macs_of(function: Callable[..., Any], *args: Any) -> int:
    """Multiply-adds of a call, counted as in `macs`; args may be shapes."""
    return macs_in(jax.make_jaxpr(function)(*args).jaxpr)


def macs_in(jaxpr: Jaxpr) -> int:
    """Multiply-adds of a traced program, counted as in `macs`, with all turns of scans."""
    total = 0
    for equation in jaxpr.eqns:
        if "resize" in str(equation.source_info.name_stack):
            continue
        if equation.params.get("name") in CONVOLUTIONS and len(equation.invars) == 2:
            total += _products(equation)
            continue
        repeats = equation.params["length"] if equation.primitive.name == "scan" else 1
        inner = sum(macs_in(program) for program in _programs(equation))
        total += repeats * inner + _equation(equation)
    return total


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _products(equation: JaxprEqn) -> int:
    """Multiply-adds of an equation ``(x, kernel) -> y`` whose kernel ends in features."""
    kernel, output = _shape(equation.invars[1]), _shape(equation.outvars[0])
    return math.prod(output) * math.prod(kernel[:-1])


def _equation(equation: JaxprEqn) -> int:
    name = equation.primitive.name
    if name not in ("conv_general_dilated", "dot_general", convolution_p.name):
        return 0
    arrays: list[Any] = [*equation.invars, *equation.outvars]
    left, right, output = (array.aval.shape for array in arrays)
    outputs = math.prod(output)
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return outputs * math.prod(left[i] for i in contracted)
    if name == convolution_p.name:
        return _products(equation)
    out_features = right[equation.params["dimension_numbers"].rhs_spec[0]]
    return outputs * math.prod(right) // out_features


def _programs(equation: JaxprEqn) -> Iterator[Jaxpr]:
    """The programs that an equation runs: of a jit, a scan, a custom derivative."""
    for value in jax.tree.leaves(
        list(equation.params.values()),
        is_leaf=lambda v: isinstance(v, ClosedJaxpr | Jaxpr),
    ):
        if isinstance(value, ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, Jaxpr):
            yield value
