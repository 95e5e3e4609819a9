"""Networks that map an image [N, H, W, C] to a map [N, h, w] of liveness."""

from nasfas_jax.nets.build import (
    NAMES,
    build,
    describe,
    description_of,
    from_description,
    layer_channels,
    with_weights,
)
from nasfas_jax.nets.cost import macs, macs_of, parameters
from nasfas_jax.nets.depthnet import CDN, VARIANTS, DepthNet, score
from nasfas_jax.nets.searched import CDCNpp, SearchedNet
from nasfas_jax.theta import Learned, learned_values

__all__ = [
    "CDN",
    "NAMES",
    "VARIANTS",
    "CDCNpp",
    "DepthNet",
    "Learned",
    "SearchedNet",
    "build",
    "describe",
    "description_of",
    "from_description",
    "layer_channels",
    "learned_values",
    "macs",
    "macs_of",
    "parameters",
    "score",
    "with_weights",
]
