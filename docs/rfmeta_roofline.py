"""Roofline of RFMeta's step on a CPU, beside PyTorch: what bounds it.

    python docs/rfmeta_roofline.py [--repeats 9] [--case 1]

Peak and bandwidth are measured by a product of matrices and by a copy. The least time is
that of the step's convolutions at this peak, or of one reading and writing of their
arrays at this bandwidth, whichever is longer. Both sides' convolutions are then timed
alone, layer by layer, in their three products, and what remains of the step is the rest:
BatchNorm, ReLU, pooling, losses and Adam. The table in docs/rfmeta.md is what this printed.
"""

import argparse
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch  # pyright: ignore[reportMissingImports]

from nasfas_jax.benchmarks import metagrad, timing
from nasfas_jax.benchmarks.peers import metagrad as peers
from nasfas_jax.nets.rfmeta import BLOCK
from nasfas_jax.ops.convolution import convolve
from nasfas_jax.timing import medians

PRODUCTS = ("forward", "by input", "by kernel")
DOMAINS = 3  # each passes once through F and D, forward and backward


@dataclasses.dataclass(frozen=True)
class Layer:
    """A 3 x 3 convolution on square images.

    Attributes:
      images: number of images.
      side: pixels of a side.
      channels: of the input.
      features: of the output.
    """

    images: int
    side: int
    channels: int
    features: int

    @property
    def flops(self) -> int:
        """Operations of each of its three products."""
        return 18 * self.images * self.side**2 * self.channels * self.features

    @property
    def bytes(self) -> int:
        """Size of what each product reads and writes, in float32."""
        pixels = self.images * self.side**2
        return 4 * (pixels + 9) * (self.channels + self.features)

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Random images, kernel and cotangent of the output."""
        random, sides = np.random.default_rng(0), (self.side, self.side)
        shapes = (
            (self.images, *sides, self.channels),
            (3, 3, self.channels, self.features),
            (self.images, *sides, self.features),
        )
        x, kernel, ct = (random.standard_normal(s, np.float32) for s in shapes)
        return x, kernel, ct


def layers(case: metagrad.RFMetaCase) -> Iterator[Layer]:
    """Convolutions of F and of D; those of M, on 8 x 8 pixels and less, count as the rest."""
    side, before = case.size, case.channels
    widths = [(side, 64)]
    widths += [(side >> level, width) for level in range(3) for width in BLOCK]
    for size, width in widths:
        features = int(width * case.width)
        yield Layer(case.batch, size, before, features)
        before = features
    before = 3 * int(BLOCK[-1] * case.width)
    for width in (128, 64):
        features = int(width * case.width)
        yield Layer(case.batch, side >> 3, before, features)
        before = features


def ours(layer: Layer) -> list[Callable[[], Any]]:
    """The three products in JAX."""
    x, kernel, ct = map(jnp.asarray, layer.arrays())
    by_x = jax.jit(lambda k, c: jax.linear_transpose(lambda x: convolve(x, k), x)(c))
    by_k = jax.jit(
        lambda x, c: jax.linear_transpose(lambda k: convolve(x, k), kernel)(c)
    )
    forward = jax.jit(convolve)
    return [
        lambda: jax.block_until_ready(forward(x, kernel)),
        lambda: jax.block_until_ready(by_x(kernel, ct)),
        lambda: jax.block_until_ready(by_k(x, ct)),
    ]


def theirs(layer: Layer) -> list[Callable[[], Any]]:
    """The three products in PyTorch, in the layout of the peer (NCHW)."""
    x, kernel, ct = (
        torch.from_numpy(np.array(np.transpose(a, axes), order="C"))
        for a, axes in zip(
            layer.arrays(), ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)), strict=True
        )
    )

    def backward(*wanted: bool) -> Any:
        return torch.ops.aten.convolution_backward(
            *(ct, x, kernel, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted)
        )

    return [
        lambda: torch.nn.functional.conv2d(x, kernel, padding=1),
        lambda: backward(True, False, False),
        lambda: backward(False, True, False),
    ]


def machine(repeats: int) -> tuple[float, float]:
    """Operations and bytes a second: a matrix product, and a copy of 200 MB."""
    a, b = jnp.ones((2048, 2048)), jnp.ones(50_000_000)
    calls = [
        functools.partial(timing.compiled(function, x), x)
        for function, x in ((lambda a: a @ a, a), (lambda b: b + 1.0, b))
    ]
    product, copy = medians(calls, repeats)
    return 2 * len(a) ** 3 / product, 2 * b.nbytes / copy


def steps(case: metagrad.RFMetaCase, repeats: int) -> list[float]:
    """Seconds of our step and of PyTorch's."""
    state, episode, step = metagrad.our_step(case)
    peer = case.peer("functional")
    peer.load(jax.device_get(case.start(state)))
    tensors = peers.tensors(jax.device_get(episode))
    return medians([lambda: step(state, episode), lambda: peer.step(tensors)], repeats)


def report(case: metagrad.RFMetaCase, repeats: int) -> Iterator[str]:
    """Lines of the tables."""
    peak, bandwidth = machine(repeats)
    yield f"RFMeta, {case.title}: {peak / 1e9:.0f} GF/s, {bandwidth / 1e9:.1f} GB/s"
    found = list(layers(case))
    flops = sum(layer.flops for layer in found) * len(PRODUCTS) * DOMAINS
    traffic = sum(layer.bytes for layer in found) * len(PRODUCTS) * DOMAINS
    least = max(flops / peak, traffic / bandwidth)
    yield (
        f"convolutions: {flops / 1e9:.1f} GFLOP, {traffic / 1e9:.2f} GB, "
        f"least time {least:.2f} s"
    )
    seconds = np.zeros((2, len(PRODUCTS)))
    yield "| side | channels | forward | by input | by kernel |"
    yield "| --- | --- | --- | --- | --- |"
    for layer in found:
        # Not in turn: PyTorch's threads wait actively for a while after each call.
        sides = [medians(calls(layer), repeats) for calls in (ours, theirs)]
        times = np.array(sides).ravel()
        seconds += sides
        rates = [f"{layer.flops / t / 1e9:.0f}" for t in times]
        cells = (f"{a} / {b}" for a, b in zip(rates[:3], rates[3:], strict=True))
        yield (
            f"| {layer.side} | {layer.channels} to {layer.features} | "
            f"{' | '.join(cells)} |"
        )
    seconds *= DOMAINS
    yield "| part of the step, s | JAX | PyTorch |"
    yield "| --- | --- | --- |"
    for name, pair in zip(PRODUCTS, seconds.T, strict=True):
        yield f"| convolutions, {name} | {pair[0]:.2f} | {pair[1]:.2f} |"
    whole = np.array(steps(case, repeats))
    rest = whole - seconds.sum(1)
    yield f"| rest | {rest[0]:.2f} | {rest[1]:.2f} |"
    yield f"| the step | {whole[0]:.2f} | {whole[1]:.2f} |"


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--case", type=int, default=1, help="0: 32 px, 1: 64 px")
    arguments = parser.parse_args()
    timing.require_torch()
    case = metagrad.CASES[arguments.case]
    if not isinstance(case, metagrad.RFMetaCase):
        parser.error("--case must be 0 or 1, the cases of RFMeta")
    for line in report(case, arguments.repeats):
        print(line, flush=True)


if __name__ == "__main__":
    main()
