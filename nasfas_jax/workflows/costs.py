"""Parameters, multiply-adds and latency of networks, and the published figures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from nasfas_jax import limits, nets, tables
from nasfas_jax.layers import ConvBlock
from nasfas_jax.nets import published
from nasfas_jax.nets.classifier import Classifier
from nasfas_jax.search import cost as latencies
from nasfas_jax.search import spaces

#: Networks that need no file.
NETWORKS = tuple(name for name in nets.NAMES if name != "searched")
#: Random architectures of a space, whose mean is its cost.
RANDOM = 3
RANDOM_WORDS = f"mean of {RANDOM} random architectures"
HEADER = (
    *("network", "paper", "image", "parameters", "MACs", "2 x MACs"),
    *("printed", "by", "printed cost", "by"),
)


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of one network at one image size.

    Attributes:
      network: its name; that of a search space for the mean of random architectures.
      figure: row of a paper; None for a network that no table has.
      side: side of the image, in pixels.
      parameters: number of parameters, with two classes for a classifier.
      macs: multiply-adds of one prediction: convolutions and matrix products.
      parameters_by: conventions by which the printed parameters are found, in words.
      flops_by: conventions by which the printed cost is found, in words.
      seconds: seconds of one prediction on this device; None where it was not measured.
    """

    network: str
    figure: published.Figure | None
    side: int
    parameters: int | None = None
    macs: int | None = None
    parameters_by: str = ""
    flops_by: str = ""
    seconds: float | None = None

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
        """Cells as text; the header row first. Latencies are the last column, if any."""
        lines = [list(HEADER), *(cost.row() for cost in self.rows)]
        seconds = [cost.seconds for cost in self.rows]
        if any(one is not None for one in seconds):
            cells = ["" if one is None else f"{1e3 * one:.1f}" for one in seconds]
            for line, cell in zip(lines, ["latency, ms", *cells], strict=True):
                line.append(cell)
        return lines

    def __repr__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return tables.as_html(self.table())


def cost(networks: Sequence[str] | None = None, *, repeats: int = 0) -> Costs:
    """Costs of networks at the image sizes of the papers.

    Args:
      networks: names of `NETWORKS`, and of search spaces for the mean of `RANDOM` random
        architectures at the options' defaults; None for all networks, and for all rows of
        the papers' tables.
      repeats: number of timed predictions of one image by each network, of which the median
        is its latency on this device; 0 for none, so that nothing is computed.

    Raises:
      InputError: an unknown name, or ``repeats`` out of range.
    """
    known = limits.Several(limits.OneOf((*NETWORKS, *spaces.SPACES)))
    limits.require(
        networks=(networks, limits.OrNone(known)),
        repeats=(repeats, limits.COUNT_OR_NONE),
    )
    of_papers = {figure.network for figure in published.FIGURES if figure.network}
    all_names = (*NETWORKS, *sorted(of_papers - set(NETWORKS)))
    chosen = all_names if networks is None else tuple(networks)
    rows = [
        _compared(figure, repeats)
        for figure in published.FIGURES
        if figure.network in chosen or (networks is None and not figure.network)
    ]
    for name in chosen:
        if name not in of_papers:
            side = 224 if name in ("vgg16", "deeppixbis") else 256
            several = _networks(name)
            counts = _count(several, side)
            seconds = _seconds(several, side, repeats)
            rows.append(Cost(name, None, side, *counts, seconds=seconds))
    return Costs(tuple(rows))


def _networks(name: str, options: Mapping[str, Any] | None = None) -> list[nn.Module]:
    """The network of a name, or random ones of a search space."""
    if name not in spaces.SPACES:
        return [nets.build(name, **(options or {}))]
    space = spaces.get(name, **(options or {}))
    return [space.network(space.sample(seed)) for seed in range(RANDOM)]


def _image(net: nn.Module, side: int) -> tuple[int, ...]:
    """Shape of an input: an image, or four frames."""
    frames = (4,) if getattr(net, "takes_frames", False) else ()
    return (1, *frames, side, side, 3)


def _variables(net: nn.Module, side: int) -> Any:
    image = jax.ShapeDtypeStruct(_image(net, side), jnp.float32)
    return jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), image)


def _count(several: Sequence[nn.Module], side: int) -> tuple[int, int]:
    """Parameters and multiply-adds, means of networks."""
    counts = [
        (nets.parameters(_variables(net, side)), nets.macs(net, _image(net, side)))
        for net in several
    ]
    parameters, macs = np.mean(counts, 0)
    return round(parameters), round(macs)


def _seconds(several: Sequence[nn.Module], side: int, repeats: int) -> float | None:
    """Mean latency of networks in seconds; None without repeats."""
    if not repeats:
        return None
    return float(
        np.mean([latencies.latency(net, _image(net, side), repeats) for net in several])
    )


def _compared(figure: published.Figure, repeats: int) -> Cost:
    """The row of a paper, with the conventions that give its figures."""
    if not figure.network:
        words = f"not counted: {figure.remark}"
        return Cost(
            "", figure, figure.side, parameters_by=words, flops_by="not counted"
        )
    side, several = figure.side, _networks(figure.network, figure.options)
    counted, macs = _count(several, side)
    seconds = _seconds(several, side, repeats)
    found = Cost(figure.network, figure, side, counted, macs, seconds=seconds)
    if figure.network in spaces.SPACES:
        words = f"no match ({RANDOM_WORDS})"
        return dataclasses.replace(found, parameters_by=words, flops_by=words)
    (net,) = several
    flops = {"MACs": macs, "2 x MACs": 2 * macs}
    if isinstance(net, Classifier):
        at_224 = nets.macs(net, _image(net, 224))
        flops |= {"MACs at 224 pixels": at_224, "2 x MACs at 224 pixels": 2 * at_224}
    if isinstance(net, nets.CDN):
        flops["2 x MACs, additions of biases and pooling"] = 2 * macs + _others(
            net, side
        )
    by_classes = _by_classes(net, side, counted)
    return dataclasses.replace(
        found,
        parameters_by=published.matching(figure.parameters, by_classes),
        flops_by=published.matching(figure.flops, flops) if figure.flops else "",
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
