"""Conversion of JAX functions to StableHLO programs for several platforms."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import export

#: Platforms that a program runs on.
PLATFORMS = ("cpu", "cuda", "tpu")


def from_function(
    function: Callable[..., Any], shape: Sequence[int], dtype: Any = np.float32
) -> bytes:
    """Serializes a function of arrays [n, *shape], for any n.

    `jax.export.deserialize` reads it, with any version of JAX within its guarantee of
    compatibility; the package flatbuffers is needed on both sides.

    Args:
      function: of one array; its parameters become constants.
      shape: sides of the input without the batch.
      dtype: of the input.
    """
    (batch,) = export.symbolic_shape("n")
    spec = jax.ShapeDtypeStruct((batch, *shape), dtype)
    program = export.export(jax.jit(lambda x: function(x)), platforms=PLATFORMS)(spec)
    return bytes(program.serialize())


def run(program: bytes) -> Callable[[np.ndarray], Any]:
    """Returns the function of a serialized program, compiled for this machine."""
    return jax.jit(export.deserialize(bytearray(program)).call)
