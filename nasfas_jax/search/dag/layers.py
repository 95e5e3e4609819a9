"""Layers of the networks and supernets of cells."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nasfas_jax import ops
from nasfas_jax import theta as thetas
from nasfas_jax.layers import at_least_float32, batch_norm, kept, kernel_init
from nasfas_jax.search.dag import operations


class Conv(nn.Module):
    """ReLU, convolution, BatchNorm (DARTS's ReLUConvBN), without bias.

    Attributes:
      features: output channels.
      kernel_size: side of the kernel, odd.
      stride: pixels between adjacent outputs.
      relu: whether the ReLU comes first.
      affine: whether BatchNorm learns a scale and a shift.
      bn: whether there is BatchNorm; a bias in its place otherwise.
    """

    features: int
    kernel_size: int = 1
    stride: int = 1
    relu: bool = True
    affine: bool = True
    bn: bool = True

    @nn.compact
    def __call__(self, x: Array, *, train: bool, theta: Any = 0.0) -> Array:
        """[N, H, W, C] to [N, ceil(H / stride), ceil(W / stride), features]."""
        wide = at_least_float32(x)
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", kernel_init, shape, wide)
        theta = thetas.value(self, "theta", theta, self.features, wide)
        x = nn.relu(x) if self.relu else x
        x = ops.cdc(x, kernel.astype(x.dtype), theta, stride=self.stride)
        if self.bn:
            return normalized(x, train, affine=self.affine)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), wide)
        return x + bias.astype(x.dtype).reshape(1, 1, 1, -1)


class FactorizedReduce(nn.Module):
    """Halves the sides, without a window: ReLU, two 1 x 1 convolutions, BatchNorm.

    One convolution sees every second pixel from the first, the other every second pixel
    from the second, and each gives half of the channels. Odd sides are rounded up; pixels
    outside the image are zeros.

    Attributes:
      features: output channels.
      affine: whether BatchNorm learns a scale and a shift.
    """

    features: int
    affine: bool = True

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[N, H, W, C] to [N, ceil(H / 2), ceil(W / 2), features]."""
        wide = at_least_float32(x)
        shape = (1, 1, x.shape[-1], self.features)
        kernel = self.param("kernel", kernel_init, shape, wide).astype(x.dtype)
        x, first = nn.relu(x), self.features // 2
        odd = [(0, side % 2) for side in x.shape[1:3]]
        second = jnp.pad(x[:, 1::2, 1::2], ((0, 0), *odd, (0, 0)))
        halves = (
            ops.convolve(x[:, ::2, ::2], kernel[..., :first]),
            ops.convolve(second, kernel[..., first:]),
        )
        return normalized(kept(jnp.concatenate(halves, -1)), train, affine=self.affine)


def at_two_pixels(kernel: Array, size: int) -> Array:
    """A 1 x 1 kernel in a window: one half of its features sees the next diagonal pixel.

    Args:
      kernel: [1, 1, I, O].
      size: side of the window, 3 or more.

    Returns:
      [size, size, I, O]: the first half of O at the center, the others one pixel further
      down and to the right.
    """
    center, first = size // 2, kernel.shape[-1] // 2
    window = jnp.zeros((size, size, *kernel.shape[2:]), kernel.dtype)
    window = window.at[center, center, :, :first].set(kernel[0, 0, :, :first])
    return window.at[center + 1, center + 1, :, first:].set(kernel[0, 0, :, first:])


class Separable(nn.Module):
    """ReLU, depthwise convolution, 1 x 1 convolution, BatchNorm.

    Attributes:
      features: output channels.
      kernel_size: side of the depthwise kernel, odd.
      stride: pixels between adjacent outputs.
      dilation: pixels between adjacent taps of the depthwise kernel.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    dilation: int = 1

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[N, H, W, C] to [N, ceil(H / stride), ceil(W / stride), features]."""
        wide, channels = at_least_float32(x), x.shape[-1]
        window = (self.kernel_size, self.kernel_size, 1, channels)
        # One input channel belongs to each output: the fan-in is the window.
        depthwise = self.param("depthwise", kernel_init, window, wide)
        pointwise = (1, 1, channels, self.features)
        kernel = self.param("kernel", kernel_init, pointwise, wide)
        windows = {"stride": self.stride, "dilation": self.dilation}
        x = kept(ops.depthwise(nn.relu(x), depthwise.astype(x.dtype), **windows))
        return normalized(kept(ops.convolve(x, kernel.astype(x.dtype))), train)


def normalized(x: Array, train: bool, *, affine: bool = True) -> Array:
    """BatchNorm of x; call it inside ``nn.compact``."""
    wide = at_least_float32(x)
    return batch_norm(wide, train, affine=affine)(x.astype(wide)).astype(x.dtype)


def pooled(name: str, x: Array, stride: int, lam: Any) -> Array:
    """The candidate ``name`` of `operations.POOLS`."""
    pools: dict[str, Callable[[], Array]] = {
        "avg_pool": lambda: ops.average_pool(x, stride=stride),
        "max_pool": lambda: ops.max_pool(x, stride=stride),
        "cdp": lambda: ops.cdp(x, lam, stride=stride),
    }
    return pools[name]()


class Chosen(nn.Module):
    """One operation of a derived network, trained from scratch.

    Attributes:
      operation: name of the candidate.
      stride: pixels between adjacent outputs.
      theta: share of central differences in 'cdc'.
      lam: share of central differences in 'cdp'.
    """

    operation: str
    stride: int
    theta: Any = 0.7
    lam: Any = 0.7

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[N, H, W, C] to [N, ceil(H / stride), ceil(W / stride), C]."""
        features, stride = x.shape[-1], self.stride
        if self.operation in operations.POOLS:
            lam = thetas.value(self, "lam", self.lam, features, at_least_float32(x))
            return pooled(self.operation, x, stride, lam)
        if self.operation == "cdc":
            return Conv(features, 3, stride)(x, train=train, theta=self.theta)
        if self.operation in operations.DILATED:
            taps = operations.DILATED[self.operation]
            return Separable(features, taps, stride, dilation=2)(x, train=train)
        if self.operation == "skip":
            if stride == 1:
                return x
            return FactorizedReduce(features)(x, train=train)
        size = operations.SEPARABLE[self.operation]
        x = Separable(features, size, stride)(x, train=train)
        return Separable(features, size)(x, train=train)
