"""Selection of CPU-specific or portable forms of operators."""

import contextlib
import contextvars
from collections.abc import Iterator

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
