"""Array operators: no parameters, no state; images NHWC, kernels HWIO."""

from nasfas_jax.ops.biquad import (
    biquad,
    biquad_stream,
    filter_method,
    pole_radius,
    raw_feedback,
    stable_feedback,
)
from nasfas_jax.ops.cdc import cdc, fold_cdc
from nasfas_jax.ops.convolution import convolve, convolve_to_one, depthwise
from nasfas_jax.ops.gabor import gabor_bank, gaborconv
from nasfas_jax.ops.local_binary import binary_kernel, lbconv
from nasfas_jax.ops.magnification import bandpass, magnify
from nasfas_jax.ops.pooling import average_pool, average_to, cdp, halve, max_pool
from nasfas_jax.ops.rank_pooling import rank_pool, rank_weights, static_dynamic
from nasfas_jax.ops.resize import adaptive_average, resize
from nasfas_jax.ops.self_attention import local_attention, selfconv
from nasfas_jax.ops.shuffle import shuffle

__all__ = [
    "adaptive_average",
    "average_pool",
    "average_to",
    "bandpass",
    "binary_kernel",
    "biquad",
    "biquad_stream",
    "cdc",
    "cdp",
    "convolve",
    "convolve_to_one",
    "depthwise",
    "filter_method",
    "fold_cdc",
    "gabor_bank",
    "gaborconv",
    "halve",
    "lbconv",
    "local_attention",
    "magnify",
    "max_pool",
    "pole_radius",
    "rank_pool",
    "rank_weights",
    "raw_feedback",
    "resize",
    "selfconv",
    "shuffle",
    "stable_feedback",
    "static_dynamic",
]
