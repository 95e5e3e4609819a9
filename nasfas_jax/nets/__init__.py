"""Networks that map an image [N, H, W, C] to a map [N, h, w] of liveness."""

from nasfas_jax.nets.cost import macs, parameters
from nasfas_jax.nets.depthnet import CDN, VARIANTS, DepthNet, score

__all__ = ["CDN", "VARIANTS", "DepthNet", "macs", "parameters", "score"]
