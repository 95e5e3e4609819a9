"""TPU topologies to compile for without a TPU, and published figures of chips."""

import contextlib
import dataclasses
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
from jax.experimental import topologies

from nasfas_jax import extras
from nasfas_jax.errors import InputError, did_you_mean

#: Slice shapes by generation, from the tables of the pages in `CHIPS`.
_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
SHAPES = {
    "v5e": _FLAT,
    "v5p": (
        *("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8"),
        *("8x8x16", "8x16x16", "16x16x16"),
    ),
    "v6e": _FLAT,
}
#: libtpu asks for these at its start and complains on a machine that is no TPU host.
_NO_HOST = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_MIN_LOG_LEVEL": "3",
    # Its lock is for processes that compute on the TPU.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@dataclasses.dataclass(frozen=True)
class Chip:
    """Published figures of an accelerator.

    Attributes:
      name: name of the generation.
      flops: peak operations per second of convolutions and matrix products, by the type
        of the arithmetic ('float32', 'tensorfloat32', 'bfloat16').
      memory: bytes of its memory.
      bandwidth: bytes per second of its memory.
      interconnect: bytes per second to other chips, both directions together; 0: unknown.
      source: where the figures are published.
    """

    name: str
    flops: Mapping[str, float]
    memory: float
    bandwidth: float
    interconnect: float
    source: str


def _tpu(
    name: str, peak: float, memory: float, bandwidth: float, interconnect: float
) -> Chip:
    """A TPU, which computes products of float32 as six of bfloat16, or as three."""
    flops = {"float32": peak / 6, "tensorfloat32": peak / 3, "bfloat16": peak}
    source = f"docs.cloud.google.com/tpu/docs/{name}"
    return Chip(name, flops, memory, bandwidth, interconnect, source)


def _gpu(
    name: str,
    peaks: Sequence[float],
    memory: float,
    bandwidth: float,
    interconnect: float,
) -> Chip:
    """A GPU of NVIDIA by its dense peaks in float32, TensorFloat-32 and bfloat16."""
    types: list[str] = ["float32", "tensorfloat32", "bfloat16"]
    flops = dict(zip(types, peaks, strict=True))
    source = f"nvidia.com/en-us/data-center/{name.lower()}"
    return Chip(name, flops, memory, bandwidth, interconnect, source)


_HOPPER = (67e12, 494e12, 989e12)
#: Chips by the `device_kind` of JAX. Capacities of TPUs are in GiB, whatever their pages
#: call them; the compiler keeps 0.25 GiB of v5e's 16.
CHIPS = {
    "TPU v5 lite": _tpu("v5e", 197e12, 16 * 2**30, 819e9, 400e9),
    "TPU v5": _tpu("v5p", 459e12, 95 * 2**30, 2765e9, 1200e9),
    "TPU v6 lite": _tpu("v6e", 918e12, 32 * 2**30, 1638e9, 800e9),
    "NVIDIA A100-SXM4-80GB": _gpu(
        "A100", (19.5e12, 156e12, 312e12), 80e9, 2039e9, 600e9
    ),
    "NVIDIA H100 80GB HBM3": _gpu("H100", _HOPPER, 80e9, 3350e9, 900e9),
    "NVIDIA H200": _gpu("H200", _HOPPER, 141e9, 4800e9, 900e9),
}


def names(generation: str = "") -> list[str]:
    """Names of known topologies, as 'v5e:2x4', of one generation or of all."""
    return [
        f"{kind}:{shape}"
        for kind, shapes in SHAPES.items()
        if generation in ("", kind)
        for shape in shapes
    ]


def chips_in(name: str) -> int:
    """The number of chips of a topology.

    >>> chips_in("v5p:2x4x4")
    32
    """
    return math.prod(map(int, name.partition(":")[2].split("x")))


def devices(name: str) -> list[Any]:
    """The devices of a TPU topology, for which programs compile but do not run.

    Args:
      name: generation and shape, as 'v5e:4x4'.

    Raises:
      InputError: libtpu is not installed, or there is no such topology.
    """
    # Topologies are compiled by libtpu: about 700 MB, which need no TPU.
    extras.require("tpu", "libtpu", field="topology")
    if name not in names():
        known = "; ".join(
            f"{kind}: {', '.join(shapes)}" for kind, shapes in SHAPES.items()
        )
        raise InputError(
            f"expected GENERATION:SHAPE with one of {known}, got {name!r}."
            f"{did_you_mean(name, names())}",
            field="topology",
        )
    options: dict[str, Any] = {}
    if chips_in(name) == 1:
        options["chips_per_host_bounds"] = (1, 1, 1)
    try:
        with _environment(_NO_HOST):
            return list(topologies.get_topology_desc(name, "tpu", **options).devices)
    except jax.errors.JaxRuntimeError as error:
        raise InputError(
            f"the installed libtpu cannot make {name!r} ({error!s:.200}). Use the libtpu"
            " that jax[tpu] asks for.",
            field="topology",
        ) from None


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables for a block, where they are not set already."""
    added = {k: v for k, v in variables.items() if k not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
