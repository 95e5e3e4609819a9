"""RFMeta's networks and the FAS supernet in PyTorch, with names for our parameters."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from nasfas_jax.benchmarks.peers.cdn import TwoConvolutionCDC
from nasfas_jax.search.fas import options as fas_options


def plain(inputs: int, features: int) -> nn.Sequential:
    """Convolution with bias, BatchNorm, ReLU."""
    conv = nn.Conv2d(inputs, features, 3, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(features), nn.ReLU())


class FeatureExtractor(nn.Module):
    """F: features of the last block, and of all blocks pooled to its size."""

    def __init__(self, width: float):
        super().__init__()
        a, b, c = (int(n * width) for n in (64, 128, 196))
        self.stem = plain(6, a)
        self.blocks = nn.ModuleList()
        for inputs in (a, b, b):
            layers = [plain(inputs, b), plain(b, c), plain(c, b), nn.MaxPool2d(2)]
            self.blocks.append(nn.Sequential(*layers))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 6, H, W] to features for M and for D."""
        x = self.stem(x)
        levels = []
        for block in self.blocks:
            x = block(x)
            levels.append(x)
        pooled = [functional.adaptive_avg_pool2d(y, x.shape[2:]) for y in levels]
        return x, torch.cat(pooled, 1)


class MetaLearner(nn.Module):
    """M: features to logits."""

    def __init__(self, width: float):
        super().__init__()
        a, b, c = (int(n * width) for n in (128, 256, 512))
        self.layers = nn.Sequential(
            plain(a, a), nn.MaxPool2d(2), plain(a, b), nn.MaxPool2d(2), plain(b, c)
        )
        self.logit = nn.Linear(c, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] to [N]."""
        return self.logit(self.layers(x).mean((2, 3)))[:, 0]


class FeatureNets(nn.Module):
    """F, M and D."""

    def __init__(self, width: float):
        super().__init__()
        a, b = int(128 * width), int(64 * width)
        self.F, self.M = FeatureExtractor(width), MetaLearner(width)
        self.D = nn.Sequential(plain(3 * a, a), plain(a, b), plain(b, 1))


def blocks(module: nn.Module) -> Iterator[str]:
    """Names of the modules of convolution and BatchNorm, in order."""
    for name, child in module.named_modules():
        if isinstance(child, nn.Sequential) and isinstance(
            child[0], nn.Conv2d | TwoConvolutionCDC
        ):
            yield name


def block_weights(name: str, block: dict[str, Any], kernel: str) -> dict[str, Any]:
    """Renames the arrays of a `layers.ConvBlock`, in PyTorch's layout."""
    found = {f"{name}.{kernel}.weight": oihw(block["kernel"])}
    if "bias" in block:
        found[f"{name}.0.bias"] = block["bias"]
    if "BatchNorm_0" in block:
        found[f"{name}.1.weight"] = block["BatchNorm_0"]["scale"]
        found[f"{name}.1.bias"] = block["BatchNorm_0"]["bias"]
    return found


def oihw(kernel: Any) -> np.ndarray:
    """Transposes [KH, KW, I, O] to PyTorch's order."""
    return np.asarray(kernel).transpose(3, 2, 0, 1)


def feature_weights(nets: FeatureNets, params: Any) -> dict[str, Any]:
    """Renames a tree with the structure of `methods.feature_nets.FeatureNets`' parameters."""
    found = {}
    for net in ("F", "M", "D"):
        for i, name in enumerate(blocks(getattr(nets, net))):
            block = params[net][f"ConvBlock_{i}"]
            found |= block_weights(f"{net}.{name}", block, "0")
    found["M.logit.weight"] = np.asarray(params["M"]["logit"]["kernel"]).T
    found["M.logit.bias"] = params["M"]["logit"]["bias"]
    return {name: np.asarray(x) for name, x in found.items()}


def load(module: nn.Module, weights: dict[str, Any]) -> None:
    """Replaces the weights of a module; they may have any float dtype."""
    module.to(torch.as_tensor(np.array(next(iter(weights.values())))).dtype)
    tensors = {name: torch.as_tensor(np.array(x)) for name, x in weights.items()}
    missing = set(dict(module.named_parameters())) ^ set(tensors)
    if missing:
        raise ValueError(f"these parameters have no counterpart: {sorted(missing)}")
    module.load_state_dict(tensors, strict=False)


class BatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` in training, of elementary operations.

    The fused one's third derivatives, of which Meta-NAS's exact alpha-gradient is one, are
    an error from PyTorch 2.14 on and silently wrong before: its saved mean and deviation
    count as constants (pytorch/pytorch issue 186256).
    """

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, H, W]."""
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
        with torch.no_grad():
            count = x.numel() / x.shape[1]
            unbiased = var.flatten() * count / (count - 1)
            self.running_mean.lerp_(mean.flatten(), self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
        x = (x - mean) * (var + self.eps).rsqrt()
        if not self.affine:
            return x
        return x * self.weight[:, None, None] + self.bias[:, None, None]


def central(
    inputs: int,
    features: int,
    space: fas_options.FASOptions,
    *,
    affine: bool,
) -> nn.Sequential:
    """Convolution of the space, BatchNorm, ReLU."""
    conv = TwoConvolutionCDC(inputs, features, space.own_theta)
    return nn.Sequential(conv, BatchNorm(features, affine=affine), nn.ReLU())


class MixedEdge(nn.Module):
    """All candidate operations of an edge, one by one, on one in K channels."""

    def __init__(self, space: fas_options.FASOptions):
        super().__init__()
        self.partial, self.width = space.partial, space.channels // space.partial
        cdc = functools.partial(central, space=space, affine=False)
        self.single = cdc(self.width, self.width)
        self.pairs = nn.ModuleList()
        for operation in space.operations[3:]:
            hidden = fas_options.hidden_width(operation, self.width)
            pair = cdc(self.width, hidden), cdc(hidden, self.width)
            self.pairs.append(nn.Sequential(*pair))

    def forward(self, x: Tensor, alpha: Tensor) -> Tensor:
        """[N, C, H, W] and alphas [operations] to [N, C, H, W]."""
        chosen, bypass = x[:, : self.width], x[:, self.width :]
        candidates = [nn.Identity(), self.single, *self.pairs]
        weights = alpha.softmax(-1)[1:]  # of 'none' comes zero
        mixed = sum(w * f(chosen) for w, f in zip(weights, candidates, strict=True))
        return nn.functional.channel_shuffle(
            torch.cat([mixed, bypass], 1), self.partial
        )


class Attention(nn.Module):
    """The spatial attention of CDCN++."""

    def __init__(self, window: int):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, window, padding=window // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, H, W]."""
        # amax shares derivatives among equal channels, as our maximum does.
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return self.conv(pooled).sigmoid() * x


class Supernet(nn.Module):
    """Supernet of the FAS space with CDP and attention."""

    def __init__(self, space: fas_options.FASOptions):
        super().__init__()
        if space.pool != "cdp" or not space.attention:
            raise ValueError("the peer has CDP and attention only")
        cdc = functools.partial(central, space=space, affine=True)
        self.space, width = space, space.channels
        stem = cdc(3, space.stem_channels), cdc(space.stem_channels, width)
        self.stem = nn.Sequential(*stem)
        self.cells = nn.ModuleDict()
        self.attention = nn.ModuleDict()
        for cell in fas_options.CELLS:
            edges = [MixedEdge(space) for _ in range(fas_options.EDGES)]
            self.cells[cell] = nn.ModuleList(edges)
            self.attention[cell] = Attention(fas_options.ATTENTION_WINDOWS[cell])
        self.head = cdc(3 * width, space.head_channels)
        self.map = TwoConvolutionCDC(space.head_channels, 1, space.own_theta)

    def new_alphas(self) -> dict[str, Tensor]:
        """Returns alphas [edges, operations] of each cell, which require gradients."""
        shape = (fas_options.EDGES, len(self.space.operations))
        return {
            cell: (1e-3 * torch.randn(shape)).requires_grad_()
            for cell in fas_options.CELLS
        }

    def forward(self, x: Tensor, alphas: dict[str, Tensor]) -> Tensor:
        """[N, 3, H, W] to [N, map_size, map_size]."""
        x = self.stem(x)
        levels = []
        for cell in fas_options.CELLS:
            for edge, alpha in zip(self.cells[cell], alphas[cell], strict=True):
                x = edge(x, alpha)
            x = functional.avg_pool2d(x, 3, 2, 1) - 0.7 * x[:, :, ::2, ::2]
            level = functional.interpolate(
                self.attention[cell](x),
                size=(self.space.map_size, self.space.map_size),
                mode="bilinear",
                align_corners=False,
            )
            levels.append(level)
        return self.map(self.head(torch.cat(levels, 1))).relu()[:, 0]


def supernet_weights(net: Supernet, params: Any) -> dict[str, np.ndarray]:
    """Renames a tree with the structure of `search.fas.supernet.Supernet`'s parameters."""
    found = {
        **block_weights("stem.0", params["stem_0"], "0.conv"),
        **block_weights("stem.1", params["stem_1"], "0.conv"),
        **block_weights("head", params["head_0"], "0.conv"),
        "map.conv.weight": oihw(params["head_1"]["kernel"]),
    }
    for cell in fas_options.CELLS:
        kernel = params[f"{cell}_attention"]["kernel"]
        found[f"attention.{cell}.conv.weight"] = oihw(kernel)
        for i in range(fas_options.EDGES):
            kernels = [
                np.asarray(params[cell][k]["kernel"][i]) for k in ("first", "second")
            ]
            found |= _edge_weights(f"cells.{cell}.{i}", net.space, *kernels)
    return {name: np.asarray(x) for name, x in found.items()}


def _edge_weights(
    name: str, space: fas_options.FASOptions, first, second
) -> dict[str, Any]:
    """Splits the joint kernels of an edge into those of its candidates."""
    width = space.channels // space.partial
    hidden = [fas_options.hidden_width(op, width) for op in space.operations[3:]]
    found = {f"{name}.single.0.conv.weight": oihw(first[..., :width])}
    start = 0
    for i, count in enumerate(hidden):
        wide = slice(width + start, width + start + count)
        found[f"{name}.pairs.{i}.0.0.conv.weight"] = oihw(first[..., wide])
        columns = slice(i * width, (i + 1) * width)
        narrow = second[:, :, start : start + count, columns]
        found[f"{name}.pairs.{i}.1.0.conv.weight"] = oihw(narrow)
        start += count
    return found
