"""Convolutions that NAS-FAS compares with CDC (figure 9c), as layers of a `ConvBlock`."""

import zlib
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nasfas_jax import ops
from nasfas_jax.layers import at_least_float32


class Operator(nn.Module):
    """Base class of the operators: arguments of `ConvBlock`.

    Attributes:
      features: output channels.
      kernel_size: side of the kernel, odd.
      kernel_init: initializer of the kernel.
      level: resolution of the layer, from 0.
    """

    features: int
    kernel_size: int
    kernel_init: Callable[..., Array]
    level: int = 0

    def kernel(self, x: Array, name: str, *shape: int) -> Array:
        """A kernel of the layer, in the dtype of x."""
        found = self.param(name, self.kernel_init, shape, at_least_float32(x))
        return found.astype(x.dtype)


class LBConv(Operator):
    """`ops.lbconv` with as many fixed as learned channels, half of the taps drawn.

    The fixed kernel is a constant that depends on the layer's name; it is no parameter.
    """

    @nn.compact
    def __call__(self, x: Array, theta: Any) -> Array:
        """[N, H, W, C] to [N, H, W, features]; theta has no use."""
        del theta
        size, seed = self.kernel_size, zlib.crc32("/".join(self.path).encode())
        fixed = ops.binary_kernel((size, size, x.shape[-1], self.features), seed=seed)
        kernel = self.kernel(x, "kernel", 1, 1, self.features, self.features)
        return ops.lbconv(x, jnp.asarray(fixed, x.dtype), kernel)


class GaborConv(Operator):
    """`ops.gaborconv` in four orientations, of a coarser scale at every level."""

    @nn.compact
    def __call__(self, x: Array, theta: Any) -> Array:
        """[N, H, W, C] to [N, H, W, features]; theta has no use."""
        del theta
        bank = ops.gabor_bank(self.kernel_size, self.level + 1)
        count = -(-self.features // bank.shape[-1])
        size = self.kernel_size
        kernel = self.kernel(x, "kernel", size, size, x.shape[-1], count)
        return ops.gaborconv(x, kernel, jnp.asarray(bank, x.dtype), self.features)


class SelfConv(Operator):
    """`ops.selfconv`; theta is the share of self-attention."""

    @nn.compact
    def __call__(self, x: Array, theta: Any) -> Array:
        """[N, H, W, C] to [N, H, W, features]."""
        size, channels, half = self.kernel_size, x.shape[-1], self.features // 2
        kernel = self.kernel(x, "kernel", size, size, channels, self.features)
        weights = {
            name: self.kernel(x, name, 1, 1, channels, self.features)
            for name in ("query", "key", "value")
        }
        wide, normal = at_least_float32(x), nn.initializers.normal(1.0)
        for name, count in (("rows", half), ("columns", self.features - half)):
            # One feature has no half; checkpoints hold no arrays of size 0.
            embedding = (
                self.param(name, normal, (size, count), wide)
                if count
                else jnp.zeros((size, 0), wide)
            )
            weights[name] = embedding.astype(x.dtype)
        return ops.selfconv(x, kernel, weights, theta)


#: Convolutions of a CDN beside 'cdc'.
OPERATORS = {"lbconv": LBConv, "gaborconv": GaborConv, "selfconv": SelfConv}
#: Those in which theta has no use.
WITHOUT_THETA = ("lbconv", "gaborconv")
