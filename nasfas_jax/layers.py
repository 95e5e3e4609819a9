"""Flax Linen layers shared by the search spaces and the networks."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.ad_checkpoint import checkpoint_name

from nasfas_jax import limits, ops
from nasfas_jax import theta as thetas

#: Width multipliers of the networks: the narrowest scaled layer has 64 channels at width
#: 1, and at least one at any of these.
WIDTHS = limits.Range(1 / 64)

#: He normal initialization, which keeps the variance of ReLU outputs through depth. The
#: papers' code uses PyTorch's uniform default (a sixth of this variance); with BatchNorm
#: the difference has an effect in the last layer only, which is not normalized.
kernel_init = nn.initializers.he_normal()

#: Name of what `kept` marks.
_KEPT = "convolution"
#: Policy of `jax.checkpoint` that stores what is `kept`, and computes all else again.
KEEP_CONVOLUTIONS = jax.checkpoint_policies.save_only_these_names(_KEPT)


def kept(x: Array) -> Array:
    """Output of a convolution, marked to be stored by `KEEP_CONVOLUTIONS`."""
    return checkpoint_name(x, _KEPT)


def map_init(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    """Initial kernels of the layer that predicts a map, with a ReLU and no BatchNorm.

    Uniform from 0 to 0.5 / fan_in, so that the initial map is positive for most pixels, and
    small, as depth maps are on average: near a quarter of (1 - theta) times the mean of the
    features. With signed kernels the ReLU can be zero for every pixel of every image from
    the start, and remain so; from large values, the first steps can make it zero for good.
    """
    fan_in = math.prod(shape[:-1])
    return jax.random.uniform(key, shape, dtype, 0.0, 0.5 / fan_in)


def at_least_float32(x: Array) -> jnp.dtype:
    """Dtype of the parameters for inputs ``x``."""
    return jnp.dtype(jnp.float32) if x.dtype.itemsize < 4 else x.dtype


def _block_diagonal(groups: tuple[int, ...], features: int, dtype) -> np.ndarray:
    """[1, 1, sum of groups, features], 1 where input and output are of one group."""
    inputs = np.repeat(np.arange(len(groups)), groups)
    outputs = np.repeat(np.arange(len(groups)), features // len(groups))
    return (inputs[:, None] == outputs)[None, None].astype(dtype)


def batch_norm(
    dtype: jnp.dtype,
    train: bool,
    *,
    affine: bool = True,
    momentum: float = 0.1,
    name: str | None = None,
) -> nn.BatchNorm:
    """BatchNorm whose eps is 1e-5, called inside ``nn.compact`` on arrays of ``dtype``.

    Args:
      dtype: type of parameters and arithmetic.
      train: whether the batch's statistics are used.
      affine: whether it learns a scale and a shift.
      momentum: weight of the new batch in the running averages.
      name: name of the module.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=1 - momentum,
        epsilon=1e-5,
        use_scale=affine,
        use_bias=affine,
        # E[x^2] - E[x]^2 cancels in float32 where the mean is large.
        use_fast_variance=False,
        # x is wide already; Flax's own promotion is refused in strict mode.
        force_float32_reductions=False,
        param_dtype=dtype,
        name=name,
    )


class ConvBlock(nn.Module):
    """Central difference convolution, BatchNorm, ReLU (CDCN's building block).

    Square odd kernels, stride 1.  BatchNorm's eps is 1e-5, its collection
    ``batch_stats``.
    Parameters and the arithmetic of BatchNorm are at least float32 for any dtype of x.

    Attributes:
      features: output channels.
      kernel_size: side of the kernel, odd.
      bn: whether BatchNorm follows the convolution.
      affine: whether BatchNorm learns a scale and a shift.
      relu: whether a ReLU comes last.
      bias: whether the convolution has a bias.
      bn_momentum: weight of the new batch in BatchNorm's running averages.
      kernel_init: initializer of the kernel; `map_init` for a layer that predicts a map.
      groups: widths of input channel groups, each convolved separately to an equal share
        of the output. It is computed as one dense convolution with zeros in its kernel,
        which is faster than one convolution per group for the narrow groups of a supernet.
      joined: whether few output channels of adjacent pixels are computed together, see
        `ops.convolve`.
      operator: class of a module that takes the place of the convolution, of (features,
        kernel_size, kernel_init), called with x and theta; None for the convolution. It is
        not for ``groups``.
    """

    features: int
    kernel_size: int = 3
    bn: bool = True
    affine: bool = True
    relu: bool = True
    bias: bool = False
    bn_momentum: float = 0.1  # PyTorch's convention; in Flax's it is 0.9
    kernel_init: Callable[..., Array] = kernel_init
    groups: tuple[int, ...] = ()
    joined: bool = False
    operator: Callable[..., nn.Module] | None = None

    @nn.compact
    def __call__(self, x: Array, *, theta: Any, train: bool) -> Array:
        """Returns [N, H, W, features].

        Args:
          x: [N, H, W, C].
          theta: a number, [features], or `theta.Learned`; 0 is a plain convolution. Arrays
            may be traced.
          train: whether BatchNorm uses the batch's statistics.

        Raises:
          InputError: theta of another shape.
        """
        wide = at_least_float32(x)
        if self.operator is None:
            shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
            kernel = self.param("kernel", self.kernel_init, shape, wide)
            if self.groups:
                kernel = kernel * _block_diagonal(self.groups, self.features, wide)
            theta = thetas.value(self, "theta", theta, self.features, wide)
            x = ops.cdc(x, kernel.astype(x.dtype), theta, joined=self.joined)
        else:
            theta = thetas.value(self, "theta", theta, self.features, wide)
            settings = (self.features, self.kernel_size, self.kernel_init)
            x = self.operator(*settings, name="operator")(x, theta)
        x = kept(x)
        if self.bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), wide)
            x = x + bias.astype(x.dtype).reshape(1, 1, 1, -1)
        if self.bn:
            norm = batch_norm(
                wide, train, affine=self.affine, momentum=self.bn_momentum
            )
            x = norm(x.astype(wide)).astype(x.dtype)
        return nn.relu(x) if self.relu else x


class CentralPool(nn.Module):
    """Central difference pooling, 3 x 3 at stride 2, whose lambda may be learned."""

    @nn.compact
    def __call__(self, x: Array, *, lam: Any) -> Array:
        """Returns [N, ceil(H / 2), ceil(W / 2), C].

        Args:
          x: [N, H, W, C].
          lam: a number, [C], or `theta.Learned`; 0 is average pooling. Arrays may be traced.

        Raises:
          InputError: lam of another shape.
        """
        channels = x.shape[-1]
        return ops.cdp(x, thetas.value(self, "lam", lam, channels, at_least_float32(x)))


class SpatialAttention(nn.Module):
    """Spatial attention from the mean and maximum over channels (NAS-FAS sec. 4.3).

    ``sigmoid(conv([mean_c(x), max_c(x)])) * x``: one plain convolution without bias,
    mean before maximum, as in the authors' CDCN++.

    Attributes:
      window: side of the convolution; 7, 5, 3 at the low, mid and high level.
    """

    window: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[N, H, W, C] to the same shape."""
        wide = at_least_float32(x)
        shape = (self.window, self.window, 2, 1)
        kernel = self.param("kernel", kernel_init, shape, wide)
        pooled = [x.mean(-1, keepdims=True), x.max(-1, keepdims=True)]
        logits = ops.cdc(
            jnp.concatenate(pooled, -1),
            kernel.astype(x.dtype),
            theta=0.0,
        )
        return nn.sigmoid(logits) * x
