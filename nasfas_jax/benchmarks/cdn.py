"""CDN in JAX compared with two-convolution CDC in PyTorch.

Both sides are first checked to compute the same and then timed in turn.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nasfas_jax import nets
from nasfas_jax.benchmarks import timing
from nasfas_jax.compilation import run_once
from nasfas_jax.timing import medians

#: Side of the image in pixels, and batch size.
SIZES = ((256, 1), (64, 8))


@dataclasses.dataclass(frozen=True)
class Row:
    """Median seconds of both sides, and seconds to compile ours without cache."""

    benchmark: str
    case: str
    ours: float
    peer: float
    compile: float

    @property
    def ratio(self) -> float:
        """Our time divided by the peer's; below 1 is faster."""
        return self.ours / self.peer


def rows(repeats: int = 7, sizes: tuple[tuple[int, int], ...] = SIZES) -> Iterator[Row]:
    """Times CDN with CDC and max pooling on both sides.

    For each size: the forward pass in evaluation mode, and the gradient of a loss with
    respect to all parameters in training mode.

    Args:
      repeats: number of timed runs of each side.
      sizes: image side and batch size of each case.

    Raises:
      InputError: PyTorch is not installed.
      AssertionError: the two sides disagree.
    """
    timing.require_torch()
    for size, batch in sizes:
        yield from _rows_of_size(repeats, size, batch)


def _rows_of_size(repeats: int, size: int, batch: int) -> Iterator[Row]:
    from nasfas_jax.benchmarks.peers.cdn import TorchCDN

    case = f"{size} x {size}, batch {batch}"
    net = nets.CDN(pool="max")
    pixels = np.random.default_rng(0).normal(size=(batch, size, size, 3))
    x = jnp.asarray(pixels, jnp.float32)
    variables = run_once(lambda x: net.init(jax.random.key(0), x, train=False), x)
    peer = TorchCDN()
    peer.load(variables["params"])
    images = peer.images(pixels)

    def predict(variables: Any, x: Array) -> Any:
        return net.apply(variables, x, train=False)

    def loss(params: Any, stats: Any, x: Array) -> Array:
        variables = {"params": params, "batch_stats": stats}
        maps, _ = net.apply(variables, x, train=True, mutable=["batch_stats"])
        return jnp.square(maps).mean()

    forward = timing.compiled(predict, variables, x)
    timing.check(f"CDN at {case}", forward(variables, x), peer.predict(images), 1e-4)
    calls = [lambda: forward(variables, x), lambda: peer.predict(images)]
    ours, theirs = medians(calls, repeats)
    yield Row("CDN forward", case, ours, theirs, forward.seconds)

    state = variables["params"], variables["batch_stats"], x
    gradient = timing.compiled(jax.grad(loss), *state)
    kernels = gradient(*state)
    for i, kernel in enumerate(peer.gradients(images)):
        # In float32, rounding moves pixels across the kinks of ReLU and maximum on
        # both sides; in float64 the two agree to 1e-13.
        what = f"gradient of kernel {i} at {case}"
        timing.check(what, kernels[f"ConvBlock_{i}"]["kernel"], kernel, 0.1)
    calls = [lambda: gradient(*state), lambda: peer.gradients(images)]
    ours, theirs = medians(calls, repeats)
    yield Row("CDN forward + backward", case, ours, theirs, gradient.seconds)
