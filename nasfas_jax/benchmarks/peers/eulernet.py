"""EulerNet and Ranger in PyTorch, as in published code."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]


class FCAM(nn.Module):
    """Feature-compressed attention module whose filter is a loop over frames."""

    def __init__(self, inputs: int, frames: int):
        super().__init__()
        self.frames = frames
        self.conv = nn.Conv2d(inputs, 1, 3, padding=1)
        self.b, self.a = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        """[N T, C, H, W] to the same shape."""
        signal = self.conv(x).unflatten(0, (-1, self.frames))
        h1 = h2 = torch.zeros_like(signal[:, 0])
        filtered = []
        for frame in signal.unbind(1):
            y = self.b[0] * frame + h1
            h1 = self.b[1] * frame + h2 - self.a[0] * y
            h2 = self.b[2] * frame - self.a[1] * y
            filtered.append(y)
        return x * torch.sigmoid(torch.stack(filtered, 1).flatten(0, 1))


def block(inputs: int, features: int) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU."""
    conv = nn.Conv2d(inputs, features, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(features), nn.ReLU())


class TorchEulerNet(nn.Module):
    """`nets.EulerNet` with free filters and the mean of the maps, NCHW.

    Args:
      stem: channels at full resolution.
      channels: channels at the lower resolutions.
      head: channels after the pyramid.
      units: numbers of units at the four resolutions and after the pyramid.
      frames: frames of a clip.
      map_size: side of the map.
    """

    def __init__(
        self,
        stem: int,
        channels: int,
        head: int,
        units: Sequence[int],
        frames: int = 4,
        map_size: int = 32,
    ):
        super().__init__()
        self.frames, self.map_size = frames, map_size
        widths = ((3, stem), (stem, channels), (channels, channels))
        widths += ((channels, channels), (3 * channels, head))

        def level(i: int) -> nn.Sequential:
            inputs, features = widths[i]
            layers: list[nn.Module] = []
            for _ in range(units[i]):
                layers += [block(inputs, features), FCAM(features, frames)]
                inputs = features
            return nn.Sequential(*layers)

        # In the order in which ours creates them.
        self.levels = nn.ModuleList([level(i) for i in range(4)])
        self.first, self.second = block(channels, channels), block(channels, channels)
        self.head = level(4)
        self.map = nn.Conv2d(head, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, 3, S, S] to [N, map_size, map_size]."""
        x = self.levels[0](x.flatten(0, 1))
        found = []
        for level in self.levels[1:]:
            x = level(functional.max_pool2d(x, 3, 2, 1))
            found.append(x)
        first, second, third = found
        first = self.first(first - _resized(second, first.shape[-1]))
        second = self.second(second - _resized(third, second.shape[-1]))
        sides = [_to_side(y, self.map_size) for y in (first, second, third)]
        maps = functional.relu(self.map(self.head(torch.cat(sides, 1))))
        return maps.unflatten(0, (-1, self.frames)).mean(1)[:, 0]

    def load(self, params: Mapping[str, Any]) -> None:
        """Loads the parameters of `nets.EulerNet` with ``filters='free'``."""
        convolutions = [m for m in self.modules() if isinstance(m, nn.Conv2d)]
        attentions = [m for m in self.modules() if isinstance(m, FCAM)]
        gates = {id(m.conv) for m in attentions}
        plain = [m for m in convolutions if id(m) not in gates]
        with torch.no_grad():
            for i, conv in enumerate(plain):
                conv.weight.copy_(_kernel(params[f"ConvBlock_{i}"]))
            for i, attention in enumerate(attentions):
                layer = params[f"FCAM_{i}"]
                attention.conv.weight.copy_(_kernel(layer))
                attention.conv.bias.fill_(float(layer["bias"]))
                attention.b.copy_(torch.as_tensor(np.array(layer["b"])))
                attention.a.copy_(torch.as_tensor(np.array(layer["a"])))

    def predict(self, clips: Tensor) -> np.ndarray:
        """Maps in evaluation mode."""
        self.eval()
        with torch.no_grad():
            return self(clips).numpy(force=True)

    def step(self, ranger: "Ranger", clips: Tensor, targets: Tensor) -> float:
        """One update in training mode; its L2 loss."""
        self.train()
        ranger.zero_grad()
        loss = (self(clips) - targets).square().mean()
        loss.backward()
        ranger.step()
        return loss.item()


class Ranger:
    """Centralized gradients, PyTorch's RAdam, lookahead every sixth step."""

    def __init__(self, params: Sequence[nn.Parameter], learning_rate: float):
        self.params, self.count = params, 0
        self.slow = [p.detach().clone() for p in params]
        self.radam = torch.optim.RAdam(
            params, lr=learning_rate, betas=(0.95, 0.999), eps=1e-5, foreach=True
        )

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        self.radam.zero_grad()

    @torch.no_grad()
    def step(self) -> None:
        """Updates the parameters."""
        for param in self.params:
            if param.ndim > 1:
                dims = tuple(range(1, param.ndim))
                param.grad -= param.grad.mean(dims, keepdim=True)
        self.radam.step()
        self.count += 1
        if self.count % 6 == 0:
            torch._foreach_lerp_(self.slow, list(self.params), 0.5)
            torch._foreach_copy_(list(self.params), self.slow)


def clips(pixels: np.ndarray) -> Tensor:
    """Converts clips [N, T, S, S, 3] to the input of `TorchEulerNet`."""
    return torch.as_tensor(pixels.transpose(0, 1, 4, 2, 3).astype(np.float32))


def _kernel(layer: Mapping[str, Any]) -> Tensor:
    return torch.as_tensor(np.asarray(layer["kernel"]).transpose(3, 2, 0, 1).copy())


def _resized(x: Tensor, side: int) -> Tensor:
    size = (side, side)
    return functional.interpolate(x, size, mode="bilinear", align_corners=False)


def _to_side(x: Tensor, side: int) -> Tensor:
    if x.shape[-1] > side and not x.shape[-1] % side:
        return functional.adaptive_avg_pool2d(x, side)
    return _resized(x, side)
