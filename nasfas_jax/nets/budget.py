"""Widths at which networks cost a given number of multiply-adds."""

import math
import operator

import flax.linen as nn

from nasfas_jax import limits
from nasfas_jax.errors import InputError
from nasfas_jax.layers import WIDTHS
from nasfas_jax.nets.cost import macs as count
from nasfas_jax.nets.searched import SearchedNet
from nasfas_jax.search import genotype

#: Largest difference from a budget, relative to it.
TOLERANCE = 0.1
#: Largest number of widths that are tried, and the difference at which no more are.
ATTEMPTS, CLOSE = 8, 0.02


def with_macs(
    net: nn.Module, macs: float, input_shape: tuple[int, ...], **call: object
) -> nn.Module:
    """The network at a width whose multiply-adds come close to a budget.

    All channels but those of the input and of the map are multiplied and rounded. Networks
    of one budget are compared at equal cost: the width is no part of their architecture.

    Args:
      net: a network of `build` with a width, or of a genotype.
      macs: the budget, multiply-adds of one input, as `macs` counts them.
      input_shape: shape of one input, [1, H, W, C], or [1, K, H, W, C] for frames.
      **call: as in `macs`.

    Raises:
      InputError: the network has no width, no width comes within a tenth of the budget,
        or another shape.

    >>> from nasfas_jax.nets import build, macs
    >>> wide = with_macs(build("depthnet"), 10e6, (1, 32, 32, 3))
    >>> round(wide.width, 2), macs(wide, (1, 32, 32, 3))
    (0.09, 9681984)
    """
    limits.require(macs=(macs, limits.POSITIVE))
    width, low, high, tried = 1.0, 0.0, math.inf, []
    for _ in range(ATTEMPTS):
        found = _widened(net, width)
        ratio = count(found, input_shape, **call) / macs
        tried.append((abs(ratio - 1), ratio, found))
        low, high = (width, high) if ratio < 1 else (low, width)
        if abs(ratio - 1) < CLOSE:
            break
        # Multiply-adds grow nearly with the square of the width, in steps of a channel.
        width *= ratio**-0.5
        if not low < width < high:
            width = (low * high) ** 0.5
    difference, ratio, found = min(tried, key=operator.itemgetter(0))
    if difference > TOLERANCE:
        raise InputError(
            f"expected a budget that some width comes within {TOLERANCE:.0%} of, got"
            f" {macs:,.0f} multiply-adds; the nearest width has {ratio * macs:,.0f}.",
            field="macs",
        )
    return found


def _widened(net: nn.Module, width: float) -> nn.Module:
    """The network with its channels multiplied and rounded."""
    if isinstance(found := getattr(net, "genotype", None), genotype.Genotype):
        return SearchedNet(genotype.widened(found, width))
    if not hasattr(net, "width"):
        raise InputError(
            f"expected a network with a width, or of a genotype, got {net}.",
            field="net",
        )
    return net.clone(width=max(WIDTHS.low, round(net.width * width, 4)))
