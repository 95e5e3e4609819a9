"""Candidates of an edge: names, drawing and multiply-adds."""

import numpy as np

from nasfas_jax.graphs import Operation

#: Labels and colors by name.
LEGEND = {
    op.name: op
    for op in (
        Operation("none", group="none"),
        Operation("skip", group="skip"),
        Operation("sep_conv_3", "sep 3 x 3", "convolution", 0),
        Operation("sep_conv_5", "sep 5 x 5", "convolution", 2),
        Operation("dil_conv_3", "dilated 3 x 3", "convolution", 1),
        Operation("dil_conv_5", "dilated 5 x 5", "convolution", 2),
        Operation("cdc", "CDC 3 x 3", "convolution", 1),
        Operation("avg_pool", "average 3 x 3", "pooling", 0),
        Operation("max_pool", "maximum 3 x 3", "pooling", 2),
        Operation("cdp", "CDP 3 x 3", "pooling", 0),
    )
}
NAMES = tuple(LEGEND)
#: Candidates that are pooling.
POOLS = ("avg_pool", "max_pool", "cdp")
#: Candidates of two stages, each ReLU, separable convolution, BatchNorm; their windows.
SEPARABLE = {"sep_conv_3": 3, "sep_conv_5": 5}
#: Candidates of one separable convolution, dilated by 2; their windows in taps.
DILATED = {"dil_conv_3": 3, "dil_conv_5": 5}


def macs(name: str, channels: int, stride: int) -> int:
    """Multiply-adds per output pixel.

    >>> macs("sep_conv_3", 16, 1), macs("cdc", 16, 1), macs("skip", 16, 2)
    (800, 2304, 256)
    """
    if name in SEPARABLE:
        return 2 * (SEPARABLE[name] ** 2 * channels + channels**2)
    if name in DILATED:
        return DILATED[name] ** 2 * channels + channels**2
    if name == "cdc":
        return 9 * channels**2
    return channels**2 if name == "skip" and stride == 2 else 0


def macs_of_edge(names: tuple[str, ...], channels: int, stride: int) -> np.ndarray:
    """[operations] multiply-adds per output pixel of every candidate."""
    return np.array([macs(name, channels, stride) for name in names], np.float64)
