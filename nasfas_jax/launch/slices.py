"""TPU slices as Google Cloud and Kubernetes name them."""

import math
from typing import NamedTuple

from nasfas_jax.runtime import topologies

#: By generation: prefix and cores a chip of the accelerator type, version of the machines'
#: software, label of Kubernetes, chips of the largest single machine.
#: Source: docs.cloud.google.com/tpu/docs and /kubernetes-engine/docs/concepts/plan-tpus.
_GENERATIONS = {
    "v5e": ("v5litepod", 1, "v2-alpha-tpuv5-lite", "tpu-v5-lite-podslice", 8),
    "v5p": ("v5p", 2, "v2-alpha-tpuv5", "tpu-v5p-slice", 4),
    "v6e": ("v6e", 1, "v2-alpha-tpuv6e", "tpu-v6e-slice", 8),
}
#: Chips of each machine of a slice of several.
CHIPS_OF_HOST = 4
#: Names of all slices.
NAMES = topologies.names()


class Slice(NamedTuple):
    """A TPU slice.

    Attributes:
      type: accelerator type of Google Cloud, as 'v5litepod-16'.
      software: software version of its machines.
      label: label of Kubernetes for its generation.
      shape: shape in chips, as '4x4'.
      hosts: number of machines.
      chips: chips of each machine.
    """

    type: str
    software: str
    label: str
    shape: str
    hosts: int
    chips: int


def of(topology: str) -> Slice:
    """The slice of a topology.

    >>> of("v5p:2x4x4").type, of("v5p:2x4x4").hosts, of("v5e:2x4").hosts
    ('v5p-64', 8, 1)
    """
    generation, _, shape = topology.partition(":")
    prefix, cores, software, label, single = _GENERATIONS[generation]
    chips = math.prod(map(int, shape.split("x")))
    hosts = 1 if chips <= single else chips // CHIPS_OF_HOST
    return Slice(
        f"{prefix}-{chips * cores}", software, label, shape, hosts, chips // hosts
    )
