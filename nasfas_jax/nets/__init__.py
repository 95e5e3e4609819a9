"""Networks that map images, or the frames of clips, to maps [N, h, w] of liveness."""

from nasfas_jax.nets.budget import with_macs
from nasfas_jax.nets.build import (
    MODULES,
    NAMES,
    build,
    describe,
    description_of,
    from_description,
    layer_channels,
    weights_of,
    with_weights,
)
from nasfas_jax.nets.cost import macs, macs_of, parameters
from nasfas_jax.nets.depthnet import CDN, VARIANTS, DepthNet
from nasfas_jax.nets.eulernet import (
    FCAM,
    EulerNet,
    require_finite,
    stream,
    unstable_filters,
)
from nasfas_jax.nets.grad_cam import feature_shapes, grad_cam, last_layers
from nasfas_jax.nets.scores import SCORES, Scorer, score
from nasfas_jax.nets.searched import CDCNpp, SearchedNet
from nasfas_jax.theta import Learned, learned_values

__all__ = [
    "CDN",
    "FCAM",
    "MODULES",
    "NAMES",
    "SCORES",
    "VARIANTS",
    "CDCNpp",
    "DepthNet",
    "EulerNet",
    "Learned",
    "Scorer",
    "SearchedNet",
    "build",
    "describe",
    "description_of",
    "feature_shapes",
    "from_description",
    "grad_cam",
    "last_layers",
    "layer_channels",
    "learned_values",
    "macs",
    "macs_of",
    "parameters",
    "require_finite",
    "score",
    "stream",
    "unstable_filters",
    "weights_of",
    "with_macs",
    "with_weights",
]
