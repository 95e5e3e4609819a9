"""Supernets of cells in PyTorch, one module an edge and an operation, and DARTS on them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.func import functional_call  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from nasfas_jax.benchmarks.peers import metagrad, nets
from nasfas_jax.search.dag import kernels, operations, skeleton, structure


def norm(features: int) -> nn.Module:
    """BatchNorm without scale and shift, whose third derivatives are right."""
    return nets.BatchNorm(features, affine=False)


def block(inputs: int, features: int, size: int = 1, stride: int = 1) -> nn.Sequential:
    """ReLU, convolution, BatchNorm."""
    conv = nn.Conv2d(inputs, features, size, stride, size // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, norm(features))


def separable(width: int, size: int, stride: int, dilation: int = 1) -> nn.Sequential:
    """ReLU, depthwise and 1 x 1 convolution, BatchNorm."""
    pad = dilation * (size // 2)
    depthwise = nn.Conv2d(
        width, width, size, stride, pad, dilation, groups=width, bias=False
    )
    point = nn.Conv2d(width, width, 1, bias=False)
    return nn.Sequential(nn.ReLU(), depthwise, point, norm(width))


class FactorizedReduce(nn.Module):
    """ReLU, two 1 x 1 convolutions of stride 2 on pixels one apart, BatchNorm."""

    def __init__(self, inputs: int, features: int):
        super().__init__()
        half = features // 2
        self.first = nn.Conv2d(inputs, half, 1, 2, bias=False)
        self.second = nn.Conv2d(inputs, features - half, 1, 2, bias=False)
        self.norm = norm(features)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, features, H / 2, W / 2]; the sides are even."""
        x = x.relu()
        return self.norm(torch.cat([self.first(x), self.second(x[:, :, 1:, 1:])], 1))


class CDC(nn.Module):
    """ReLU, central difference convolution as two, BatchNorm."""

    def __init__(self, width: int, stride: int, theta: float):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.theta, self.norm = theta, norm(width)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, h, w]."""
        x, total = x.relu(), self.conv.weight.sum((2, 3), keepdim=True)
        center = functional.conv2d(x, total, stride=self.conv.stride)
        return self.norm(self.conv(x) - self.theta * center)


class Pool(nn.Module):
    """A pooling of 3 x 3 pixels and BatchNorm."""

    def __init__(self, name: str, width: int, stride: int, lam: float):
        super().__init__()
        self.name, self.stride, self.lam, self.norm = name, stride, lam, norm(width)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, h, w]."""
        if self.name == "max_pool":
            return self.norm(functional.max_pool2d(x, 3, self.stride, 1))
        inside = self.name == "avg_pool"
        y = functional.avg_pool2d(x, 3, self.stride, 1, count_include_pad=not inside)
        if not inside:
            y = y - self.lam * x[:, :, :: self.stride, :: self.stride]
        return self.norm(y)


class Zero(nn.Module):
    """The candidate 'none'."""

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Zeros [N, C, h, w]."""
        return 0 * x[:, :, :: self.stride, :: self.stride]


def candidate(name: str, width: int, stride: int, space: Any) -> nn.Module:
    """One operation of an edge."""
    if name == "none":
        return Zero(stride)
    if name == "skip":
        return nn.Identity() if stride == 1 else FactorizedReduce(width, width)
    if name in operations.POOLS:
        return Pool(name, width, stride, space.own_lam)
    if name == "cdc":
        return CDC(width, stride, space.own_theta)
    if name in operations.DILATED:
        return separable(width, operations.DILATED[name], stride, 2)
    size = operations.SEPARABLE[name]
    return nn.Sequential(separable(width, size, stride), separable(width, size, 1))


class MixedEdge(nn.Module):
    """All candidates of an edge, one by one, on one in K channels."""

    def __init__(self, space: Any, channels: int, stride: int):
        super().__init__()
        self.partial, self.width = space.partial, channels // space.partial
        self.stride = stride
        self.candidates = nn.ModuleDict(
            {n: candidate(n, self.width, stride, space) for n in space.operations}
        )

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """[N, C, H, W] and weights [operations] to [N, C, h, w]."""
        part, rest = x[:, : self.width], x[:, self.width :]
        pairs = zip(weights, self.candidates.values(), strict=True)
        mixed = sum(weight * operation(part) for weight, operation in pairs)
        if self.partial == 1:
            return mixed
        if self.stride == 2:
            rest = functional.max_pool2d(rest, 2, 2)
        return functional.channel_shuffle(torch.cat([mixed, rest], 1), self.partial)


class Cell(nn.Module):
    """Fourteen mixed edges."""

    def __init__(self, space: Any, channels: int, stride: int):
        super().__init__()
        self.edges = nn.ModuleList(
            MixedEdge(space, channels, stride if start < structure.INPUTS else 1)
            for start, _ in structure.EDGES
        )

    def forward(
        self, s0: Tensor, s1: Tensor, weights: Tensor, shares: Tensor
    ) -> Tensor:
        """Two inputs [N, C, H, W] to [N, 4 C, h, w]."""
        features = [s0, s1]
        for group in structure.GROUPS:
            features.append(
                sum(
                    shares[e]
                    * self.edges[e](features[structure.EDGES[e][0]], weights[e])
                    for e in range(group.start, group.stop)
                )
            )
        return torch.cat(features[structure.INPUTS :], 1)


class Supernet(nn.Module):
    """`search.dag.supernet.Supernet` with all sides even."""

    def __init__(self, space: Any):
        super().__init__()
        self.space, inputs = space, 3
        self.stem, self.cells = nn.ModuleList(), nn.ModuleList()
        for i, (features, stride) in enumerate(space.stem):
            relu, conv, _ = block(inputs, features, 3, stride)
            layers = [relu] * (i > 0) + [conv, nets.BatchNorm(features)]
            self.stem.append(nn.Sequential(*layers))
            inputs = features
        self.firsts, self.seconds = nn.ModuleList(), nn.ModuleList()
        widths = [c for c, _ in space.stem][-2:]
        halved = space.stem[-1][1] == 2
        for kind, channels in space.layout:
            layer = FactorizedReduce if halved else block
            self.firsts.append(layer(widths[-2], channels))
            self.seconds.append(block(widths[-1], channels))
            halved = kind == "reduction"
            self.cells.append(Cell(space, channels, 2 if halved else 1))
            widths.append(structure.NODES * channels)
        self.head = nn.Conv2d(widths[-1], 2, 3, padding=1)

    def new_alphas(self) -> dict[str, dict[str, Tensor]]:
        """Alphas of both kinds of cells, which require gradients."""
        edges, count = len(structure.EDGES), len(self.space.operations)
        shapes = {"alpha": (edges, count), "beta": (edges,)}
        return {
            kind: {
                name: (1e-3 * torch.randn(shape)).requires_grad_()
                for name, shape in shapes.items()
            }
            for kind in structure.KINDS
        }

    def forward(self, x: Tensor, alphas: dict[str, dict[str, Tensor]]) -> Tensor:
        """[N, 3, H, W] to [N, map_size, map_size]."""
        outputs = [x]
        for layer in self.stem:
            outputs.append(layer(outputs[-1]))
        s0, s1 = outputs[-2:]
        for i, (kind, _) in enumerate(self.space.layout):
            weights, beta = alphas[kind]["alpha"].softmax(-1), alphas[kind]["beta"]
            shares = torch.cat([beta[g].softmax(0) for g in structure.GROUPS])
            mixed = self.cells[i](
                self.firsts[i](s0), self.seconds[i](s1), weights, shares
            )
            s0, s1 = s1, mixed
        size = (self.space.map_size,) * 2
        logits = functional.interpolate(
            self.head(s1.relu()), size=size, mode="bilinear", align_corners=False
        )
        return (logits[:, 1] - logits[:, 0]).sigmoid()


def weights(net: Supernet, params: Any) -> dict[str, np.ndarray]:
    """Renames a tree with the structure of our supernet's parameters."""
    found: dict[str, Any] = {}
    for i in range(len(net.stem)):
        own, place = params[f"stem_{i}"], 1 if i else 0
        found[f"stem.{i}.{place}.weight"] = nets.oihw(own["kernel"])
        found[f"stem.{i}.{place + 1}.weight"] = own["BatchNorm_0"]["scale"]
        found[f"stem.{i}.{place + 1}.bias"] = own["BatchNorm_0"]["bias"]
    for kind, channels, indices in skeleton.groups(net.space):
        for place, i in enumerate(indices):
            first = params[f"cell_{i}_input_0"]["kernel"]
            found |= _input(f"firsts.{i}", first, net.firsts[i])
            cells = params[f"cells_{indices[0]}"]
            second = (
                cells["between"] if place else params[f"cell_{i}_input_1"]["kernel"]
            )
            found[f"seconds.{i}.1.weight"] = nets.oihw(second)
            stride = 2 if kind == "reduction" else 1
            for name, leaf in _edges(net.space, cells, place, stride, channels):
                found[f"cells.{i}.edges.{name}"] = nets.oihw(leaf)
    found["head.weight"] = nets.oihw(params["head"]["kernel"])
    found["head.bias"] = params["head"]["bias"]
    return {name: np.asarray(x) for name, x in found.items()}


def _input(name: str, kernel: Any, layer: nn.Module) -> dict[str, Any]:
    if not isinstance(layer, FactorizedReduce):
        return {f"{name}.1.weight": nets.oihw(kernel)}
    half = kernel.shape[-1] // 2
    return {
        f"{name}.first.weight": nets.oihw(kernel[..., :half]),
        f"{name}.second.weight": nets.oihw(kernel[..., half:]),
    }


def _edges(
    space: Any, cells: Any, place: int, stride: int, channels: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Names and kernels [k, k, I, O] of the candidates of the edges of a cell."""
    width = channels // space.partial
    for scan, (step, edges) in structure.scans(stride).items():
        layout = kernels.Layout.of(space, step)
        for source, target in np.argwhere(edges < len(structure.EDGES)):
            flat = np.asarray(cells[scan]["kernels"])[place, source, target]
            named = kernels.split(layout, flat, width)
            for name, kernel in named.items():
                for suffix, part in _named(name, np.asarray(kernel)):
                    yield f"{edges[source, target]}.candidates.{suffix}.weight", part


def _named(name: str, kernel: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Names in PyTorch of one of `kernels.shapes`."""
    if name == "skip":
        half = kernel.shape[-1] // 2
        yield from (
            ("skip.first", kernel[..., :half]),
            ("skip.second", kernel[..., half:]),
        )
    elif name == "cdc":
        yield "cdc.conv", kernel
    else:
        operation, stage = name.removesuffix("_depthwise").rsplit("_", 1)
        place = 1 if name.endswith("_depthwise") else 2
        within = f".{['first', 'second'].index(stage)}"
        yield (
            f"{operation}{within if operation in operations.SEPARABLE else ''}.{place}",
            kernel,
        )


class DARTS:
    """Equations 10 and 11 of NAS-FAS, of first order or exact.

    Args:
      net: a supernet with ``new_alphas``.
      rename: function from the net and our parameters to named arrays.
      loss: function of predicted and target maps.
      order: 'first' or 'exact'.
      options: ``inner_rate``; ``learning_rate`` and ``weight_decay`` of Adam for the
        weights, ``alpha_learning_rate`` and ``alpha_weight_decay`` for the alphas.
    """

    def __init__(
        self, net: Any, rename: Any, loss: Any, order: str, options: dict[str, float]
    ):
        self.net, self.rename, self.loss, self.order = net, rename, loss, order
        self.rate = options["inner_rate"]
        self.alphas = net.new_alphas()
        self.optimizer = torch.optim.Adam(
            net.parameters(),
            lr=options["learning_rate"],
            weight_decay=options["weight_decay"],
        )
        self.alpha_optimizer = torch.optim.Adam(
            self.leaves(),
            lr=options["alpha_learning_rate"],
            betas=(0.5, 0.999),
            weight_decay=options["alpha_weight_decay"],
        )

    def leaves(self) -> list[Tensor]:
        """The alphas in a list, ordered as JAX orders a tree."""
        found = []
        for _, one in sorted(self.alphas.items()):
            found += [one[k] for k in sorted(one)] if isinstance(one, dict) else [one]
        return found

    def load(self, params: Any, alphas: list[Any]) -> None:
        """Loads our parameters, and the leaves of our alphas."""
        nets.load(self.net, self.rename(self.net, params))
        for tensor, value in zip(self.leaves(), alphas, strict=True):
            tensor.data = torch.as_tensor(np.array(value))

    def step(self, episode: dict) -> tuple[float, float]:
        """Takes a step; returns the query loss and the support loss after it."""
        # All groups of the support are one batch.
        support = {name: x.flatten(0, 1) for name, x in episode["support"].items()}
        query = episode["query"]
        names, values = zip(*self.net.named_parameters(), strict=True)
        moved = values
        if self.order == "exact":
            inner = self._of(values, names, support)
            grads = torch.autograd.grad(inner, values, create_graph=True)
            pairs = zip(values, grads, strict=True)
            moved = [value - self.rate * grad for value, grad in pairs]
        outer = self._of(moved, names, query)
        leaves = self.leaves()
        for alpha, grad in zip(leaves, torch.autograd.grad(outer, leaves), strict=True):
            alpha.grad = grad
        self.alpha_optimizer.step()
        self.optimizer.zero_grad()
        loss = self._of(values, names, support)
        loss.backward(inputs=list(values))
        self.optimizer.step()
        return outer.item(), loss.item()

    def _of(self, values: Any, names: Any, batch: dict) -> Tensor:
        named = dict(zip(names, values, strict=True))
        predicted = functional_call(self.net, named, (batch["image"], self.alphas))
        return self.loss(predicted, batch["target"])

    def alpha_gradients(self) -> np.ndarray:
        """Gradients of the last step by the alphas, as one vector."""
        return np.concatenate([a.grad.numpy(force=True).ravel() for a in self.leaves()])


def pixel_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean binary cross entropy of probabilities."""
    tiny = torch.finfo(predicted.dtype).eps
    p = predicted.clamp(tiny, 1 - tiny)
    return functional.binary_cross_entropy(p, target)


LOSSES = {"nas_baseline": pixel_loss, "nas_fas": metagrad.depth_loss}
