"""Array operators: no parameters, no state; images NHWC, kernels HWIO."""

from nasfas_jax.ops.biquad import (
    biquad,
    biquad_stream,
    pole_radius,
    raw_feedback,
    stable_feedback,
)
from nasfas_jax.ops.cdc import cdc, fold_cdc
from nasfas_jax.ops.convolution import convolve, depthwise
from nasfas_jax.ops.magnification import bandpass, magnify
from nasfas_jax.ops.pooling import average_pool, average_to, cdp, halve, max_pool
from nasfas_jax.ops.rank_pooling import rank_pool, rank_weights, static_dynamic
from nasfas_jax.ops.resize import adaptive_average, resize

__all__ = [
    "adaptive_average",
    "average_pool",
    "average_to",
    "bandpass",
    "biquad",
    "biquad_stream",
    "cdc",
    "cdp",
    "convolve",
    "depthwise",
    "fold_cdc",
    "halve",
    "magnify",
    "max_pool",
    "pole_radius",
    "rank_pool",
    "rank_weights",
    "raw_feedback",
    "resize",
    "stable_feedback",
    "static_dynamic",
]
