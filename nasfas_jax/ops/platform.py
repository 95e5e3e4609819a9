"""Selection of CPU-specific or portable forms of operators, and precision of products."""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax

_portable = contextvars.ContextVar("portable", default=False)


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """Context in which operators are traced in their portable form.

    On CPU they otherwise have forms that are faster there: other convolutions, and
    primitives of their own (`ops.convolution`); windows are slices (`ops.pooling`). Values
    differ by rounding.
    """
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)


def for_cpu() -> bool:
    """Whether operators are traced for this machine's CPU."""
    return jax.default_backend() == "cpu" and not _portable.get()


def is_portable() -> bool:
    """Whether operators are traced for other runtimes, which need no derivatives."""
    return _portable.get()


def full_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose products of float32 are computed in float32 on every device.

    GPUs and TPUs by default round the operands of convolutions and matrix products, to 11
    and 8 bits. Of values that changes the third digit; of derivatives by alphas, which are
    small differences of large ones, a quarter and more (docs/meta_gradients.md). A
    precision that the user has chosen, by `jax.default_matmul_precision` or by the option
    of JAX of that name, is kept.

    Args:
      function: a function to be traced.
    """

    @functools.wraps(function)
    def computed(*args: Any, **options: Any) -> Any:
        chosen = jax.config.values["jax_default_matmul_precision"] is not None
        # CPUs always compute in float32, and other settings would slow their dispatch.
        if chosen or for_cpu():
            return function(*args, **options)
        with jax.default_matmul_precision("highest"):
            return function(*args, **options)

    return computed
