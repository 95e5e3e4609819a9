"""CDN with two-convolution CDC in PyTorch, as in published code."""

from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]

from nasfas_jax.nets.depthnet import BLOCKS, CDN


class TwoConvolutionCDC(nn.Module):
    """Central difference convolution as two convolutions, as in published code.

    A 3 x 3 convolution minus theta times a 1 x 1 convolution with the summed kernel.
    """

    def __init__(self, inputs: int, features: int, theta: float):
        super().__init__()
        self.conv = nn.Conv2d(inputs, features, 3, padding=1, bias=False)
        self.theta = theta

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, features, H, W]."""
        plain = self.conv(x)
        if self.theta == 0:
            return plain
        total = self.conv.weight.sum((2, 3), keepdim=True)
        return plain - self.theta * nn.functional.conv2d(x, total)


class TorchCDN(nn.Module):
    """`nets.CDN` with max pooling, NCHW."""

    def __init__(self, theta: float = 0.7, map_size: int = 32):
        super().__init__()

        def conv(inputs: int, features: int) -> nn.Sequential:
            cdc = TwoConvolutionCDC(inputs, features, theta)
            return nn.Sequential(cdc, nn.BatchNorm2d(features), nn.ReLU())

        self.stem = conv(3, 64)
        self.blocks = nn.ModuleList()
        channels = 64
        for width in BLOCKS:
            layers: list[nn.Module] = []
            for features in (width, CDN.middle, width):
                layers.append(conv(channels, features))
                channels = features
            self.blocks.append(nn.Sequential(*layers, nn.MaxPool2d(3, 2, 1)))
        self.head = nn.Sequential(
            conv(3 * channels, 128),
            conv(128, 64),
            TwoConvolutionCDC(64, 1, theta),
            nn.ReLU(),
        )
        size = (map_size, map_size)
        self.resize = nn.Upsample(size=size, mode="bilinear", align_corners=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, map_size, map_size]."""
        x = self.stem(x)
        levels = []
        for block in self.blocks:
            x = block(x)
            levels.append(self.resize(x))
        return self.head(torch.cat(levels, 1))[:, 0]

    def load(
        self, params: dict[str, Any], batch_stats: dict[str, Any] | None = None
    ) -> None:
        """Loads the kernels of `nets.CDN`: blocks in order, HWIO to OIHW.

        Args:
          params: parameters of the network.
          batch_stats: its running averages; None keeps the initial ones.
        """
        convolutions = [m for m in self.modules() if isinstance(m, nn.Conv2d)]
        for i, convolution in enumerate(convolutions):
            kernel = np.asarray(params[f"ConvBlock_{i}"]["kernel"]).transpose(
                3, 2, 0, 1
            )
            with torch.no_grad():
                convolution.weight.copy_(torch.as_tensor(kernel.copy()))
        if batch_stats is None:
            return
        norms = [m for m in self.modules() if isinstance(m, nn.BatchNorm2d)]
        for i, norm in enumerate(norms):
            (averages,) = batch_stats[f"ConvBlock_{i}"].values()
            for name in ("mean", "var"):
                value = torch.as_tensor(np.array(averages[name]))
                getattr(norm, f"running_{name}").copy_(value)

    def images(self, pixels: np.ndarray) -> Tensor:
        """Converts [N, H, W, C] to the input of `forward`."""
        return torch.as_tensor(pixels.transpose(0, 3, 1, 2).astype(np.float32))

    def predict(self, images: Tensor) -> np.ndarray:
        """Maps in evaluation mode."""
        self.eval()
        with torch.no_grad():
            return self(images).numpy(force=True)

    def gradients(self, images: Tensor) -> list[np.ndarray]:
        """Gradients of the mean squared map in training mode, by kernel (HWIO)."""
        self.train()
        self.zero_grad()
        self(images).square().mean().backward()
        convolutions = [m for m in self.modules() if isinstance(m, nn.Conv2d)]
        return [
            m.weight.grad.numpy(force=True).transpose(2, 3, 1, 0) for m in convolutions
        ]
