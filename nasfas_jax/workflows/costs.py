"""Parameters and multiply-adds of networks beside those that the papers print."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from nasfas_jax import limits, nets, tables
from nasfas_jax.layers import ConvBlock
from nasfas_jax.nets import published
from nasfas_jax.nets.classifier import Classifier

#: Networks that need no file.
NAMES = tuple(name for name in nets.NAMES if name != "searched")
HEADER = (
    *("network", "paper", "image", "parameters", "MACs", "2 x MACs"),
    *("printed", "by", "printed cost", "by"),
)


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of one network at one image size.

    Attributes:
      network: its name.
      figure: row of a paper; None for a network that no table has.
      side: side of the image, in pixels.
      parameters: number of parameters, with two classes for a classifier.
      macs: multiply-adds of one prediction: convolutions and matrix products.
      parameters_by: conventions by which the printed parameters are found, in words.
      flops_by: conventions by which the printed cost is found, in words.
    """

    network: str
    figure: published.Figure | None
    side: int
    parameters: int | None = None
    macs: int | None = None
    parameters_by: str = ""
    flops_by: str = ""

    def row(self) -> list[str]:
        """Cells of the table."""
        figure = self.figure
        known = ["" if n is None else f"{n:,}" for n in (self.parameters, self.macs)]
        twice = "" if self.macs is None else f"{2 * self.macs:,}"
        printed = ["", "", "", ""]
        if figure is not None:
            printed = [
                figure.parameters,
                self.parameters_by,
                figure.flops,
                self.flops_by,
            ]
        paper = "" if figure is None else f"{figure.table}, {figure.row}"
        return [self.network, paper, str(self.side), *known, twice, *printed]


@dataclasses.dataclass(frozen=True)
class Costs:
    """Costs of several networks.

    Attributes:
      rows: one for each row of a paper's table, and for each other network.
    """

    rows: tuple[Cost, ...]

    def table(self) -> list[list[str]]:
        """Cells as text; the header row first."""
        return [list(HEADER), *(cost.row() for cost in self.rows)]

    def __repr__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return tables.as_html(self.table())


def cost(networks: Sequence[str] | None = None) -> Costs:
    """Costs of networks at the image sizes of the papers; nothing is computed by them.

    Args:
      networks: names of `NAMES`; None for all, and for the rows of the papers' tables that
        no network of this project has.

    Raises:
      InputError: an unknown name.
    """
    limits.require(
        networks=(networks, limits.OrNone(limits.Several(limits.OneOf(NAMES))))
    )
    chosen = NAMES if networks is None else tuple(networks)
    rows = [
        _compared(figure)
        for figure in published.FIGURES
        if figure.network in chosen or (networks is None and not figure.network)
    ]
    compared = {figure.network for figure in published.FIGURES}
    for name in chosen:
        if name not in compared:
            side = 224 if name in ("vgg16", "deeppixbis") else 256
            parameters, macs = _count(nets.build(name), side)
            rows.append(Cost(name, None, side, parameters, macs))
    return Costs(tuple(rows))


def _image(net: nn.Module, side: int) -> tuple[int, ...]:
    """Shape of an input: an image, or four frames."""
    frames = (4,) if getattr(net, "takes_frames", False) else ()
    return (1, *frames, side, side, 3)


def _variables(net: nn.Module, side: int) -> Any:
    image = jax.ShapeDtypeStruct(_image(net, side), jnp.float32)
    return jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), image)


def _count(net: nn.Module, side: int) -> tuple[int, int]:
    """Parameters and multiply-adds."""
    return nets.parameters(_variables(net, side)), nets.macs(net, _image(net, side))


def _compared(figure: published.Figure) -> Cost:
    """The row of a paper, with the conventions that give its figures."""
    if not figure.network:
        words = f"not counted: {figure.remark}"
        return Cost(
            "", figure, figure.side, parameters_by=words, flops_by="not counted"
        )
    net = nets.build(figure.network, **figure.options)
    side = figure.side
    counted, macs = _count(net, side)
    flops = {"MACs": macs, "2 x MACs": 2 * macs}
    if isinstance(net, Classifier):
        at_224 = nets.macs(net, _image(net, 224))
        flops |= {"MACs at 224 pixels": at_224, "2 x MACs at 224 pixels": 2 * at_224}
    if isinstance(net, nets.CDN):
        flops["2 x MACs, additions of biases and pooling"] = 2 * macs + _others(
            net, side
        )
    return Cost(
        figure.network,
        figure,
        side,
        counted,
        macs,
        published.matching(figure.parameters, _by_classes(net, side, counted)),
        published.matching(figure.flops, flops) if figure.flops else "",
    )


def _by_classes(net: nn.Module, side: int, counted: int) -> Mapping[str, int]:
    """Parameters for several numbers of classes, from those for the network's own."""
    if not isinstance(net, Classifier):
        return {"all parameters": counted}
    kernel = _variables(net, 64)["params"]["classifier"]["kernel"]
    each = kernel.shape[0] + 1
    body = counted - net.classes * each
    counts = {f"{n:,} classes": body + n * each for n in (2, 10, 1000)}
    counts["no classifier"] = body
    if hasattr(net, "stem") and hasattr(net, "bottleneck"):
        small = nets.parameters(_variables(net.clone(stem=3, classes=10), 64))
        counts["10 classes and a first kernel of 3 x 3"] = small
    return counts


def _others(net: nn.Module, side: int) -> int:
    """Additions of a bias to every output of a convolution, and 2 x 2 pooling, of a CDN.

    TensorFlow's profiler counts these beside the multiply-adds of convolutions.
    """
    sizes: dict[str, int] = {}

    def keep(module: nn.Module, method: str) -> bool:
        return isinstance(module, ConvBlock) and method == "__call__"

    image = jax.ShapeDtypeStruct(_image(net, side), jnp.float32)
    _, kept = jax.eval_shape(
        lambda v, x: net.apply(v, x, train=False, capture_intermediates=keep),
        _variables(net, side),
        image,
    )
    for name, outputs in kept["intermediates"].items():
        sizes[name] = outputs["__call__"][0].size
    # The third convolution of each block is pooled, each pixel once.
    pooled = sum(sizes[f"ConvBlock_{i}"] for i in (3, 6, 9))
    return sum(sizes.values()) + pooled
