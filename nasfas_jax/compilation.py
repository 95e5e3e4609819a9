"""Compilation of programs that are executed once, and the compilation cache."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.core import Tracer
from jax.experimental.compilation_cache import compilation_cache


def run_once(function: Callable[..., Any], *args: Any, shardings: Any = None) -> Any:
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
      shardings: shardings of its output; None: as `jax.jit` places it.

    >>> run_once(jax.numpy.add, 1, 2).item()
    3
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(args)):
        return function(*args)
    cpu = jax.default_backend() == "cpu"
    options: Any = {"xla_backend_optimization_level": 0} if cpu else None
    program = jax.jit(function, compiler_options=options, out_shardings=shardings)
    return program(*args)


@contextlib.contextmanager
def cache_in(folder: str) -> Iterator[None]:
    """The compilation cache in a folder; none for '': reading a program is not compiling."""
    new = {
        "jax_enable_compilation_cache": bool(folder),
        "jax_compilation_cache_dir": folder or None,
    }
    # JAX reads the settings once in a process, and again after a reset.
    before = {name: getattr(jax.config, name) for name in new}
    _configure(new)
    try:
        yield
    finally:
        _configure(before)


def _configure(settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
