"""Compilation of programs that are executed once."""

from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer


def run_once(function: Callable[..., Any], *args: Any) -> Any:
    """Compiles a function, with little optimization on a CPU, and calls it.

    For programs that are executed once, such as the initialization of a network or of a
    search: optimizing them takes longer than it saves. Initial weights may differ from those
    of an optimized program by rounding (in float32 about 2e-7 of the largest weight). The
    output is placed as `jax.jit` places it, the persistent compilation cache is used, and
    another call with the same function and shapes is not compiled again. With arguments that
    are traced it is a part of the traced program, to which its compiler's options apply.

    Args:
      function: any function of arrays that `jax.jit` accepts.
      *args: its arguments.

    >>> run_once(jax.numpy.add, 1, 2).item()
    3
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(args)):
        return function(*args)
    cpu = jax.default_backend() == "cpu"
    options: Any = {"xla_backend_optimization_level": 0} if cpu else None
    return jax.jit(function, compiler_options=options)(*args)
