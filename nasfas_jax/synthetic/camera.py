"""A camera: lens, sensor under a Bayer mosaic, noise, color, tone, sharpening."""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np

from nasfas_jax.synthetic.fields import Array

FILL = 0.85  # light-sensitive share of the side of a sensor pixel


@dataclasses.dataclass(frozen=True)
class Camera:
    """One device with its processing.

    Attributes:
      psf: standard deviation of the blur of the lens, in sensor pixels.
      vignette: share of light lost in the corners.
      target: mean green level targeted by the exposure, linear.
      shot, read: variance of the noise per unit of signal, and its deviation in the dark.
      balance: color cast after white balance, RGB gains.
      saturation: saturation of colors, 1 for neutral.
      gamma: exponent of the tone curve, usually 2.2.
      contrast: weight of an S curve, 0 to 1.
      sharpen: weight of unsharp masking.
      smooth: standard deviation of the denoising blur, in pixels; 0 for none.
    """

    psf: float
    vignette: float
    target: float
    shot: float
    read: float
    balance: tuple[float, float, float]
    saturation: float
    gamma: float
    contrast: float
    sharpen: float
    smooth: float

    def lens(self, radiance: Array) -> Array:
        """The radiance [H, W, 3] blurred by the lens."""
        return cv2.GaussianBlur(radiance, (0, 0), self.psf)

    def passes(self, frequency: float, defocus: float = 0.0) -> float:
        """Contrast of a pattern of `frequency` cycles per pixel after lens and aperture.

        The pattern is then *sampled*: it aliases above half a cycle, for red and blue,
        which have every second pixel, above a quarter.
        """
        blur = np.hypot(self.psf, defocus)
        lens = np.exp(-2 * (np.pi * blur * frequency) ** 2)
        return float(lens * np.sinc(FILL * frequency))

    def exposure(self, optical: Array) -> float:
        """The gain that maps the center of the picture to the target level."""
        height, width = optical.shape[:2]
        rows = slice(height // 5, height - height // 5)
        middle = optical[rows, width // 4 : width - width // 4]
        return self.target / max(1e-4, float(middle.mean()))

    def develop(
        self, optical: Array, gain: float, rng: np.random.Generator, scale: int = 1
    ) -> Array:
        """The picture of the camera from the light on its sensor.

        The demosaiced picture is shrunk before color, tone and sharpening, as in the
        pipeline of a video camera.

        Args:
          optical: linear RGB [H, W, 3] behind the lens; H and W even.
          gain: gain of the exposure.
          rng: generator of the noise.
          scale: sensor pixels per pixel of the picture; divides H and W.

        Returns:
          uint8 RGB [H / scale, W / scale, 3].
        """
        height, width = optical.shape[:2]
        shade = _vignette(height, width, self.vignette) * np.float32(gain)
        mosaic = np.empty((height, width), np.float32)
        mosaic[0::2, 0::2] = optical[0::2, 0::2, 0]
        mosaic[0::2, 1::2] = optical[0::2, 1::2, 1]
        mosaic[1::2, 0::2] = optical[1::2, 0::2, 1]
        mosaic[1::2, 1::2] = optical[1::2, 1::2, 2]
        mosaic *= shade
        noise = rng.standard_normal(mosaic.shape, dtype=np.float32)
        mosaic += noise * np.sqrt(np.float32(self.shot) * mosaic + self.read**2)
        counts = np.clip(mosaic * 65535, 0, 65535).astype(np.uint16)
        color = cv2.cvtColor(counts, cv2.COLOR_BayerRGGB2RGB)
        if scale > 1:
            size = (width // scale, height // scale)
            color = cv2.resize(color, size, interpolation=cv2.INTER_AREA)
        return self._process(color.astype(np.float32))

    def _process(self, color: Array) -> Array:
        """Color matrix, tone curve, denoising and sharpening; uint8 [H, W, 3]."""
        luma = np.array([0.25, 0.6, 0.15])
        matrix = self.saturation * np.eye(3) + (1 - self.saturation) * luma[None, :]
        matrix = matrix * np.array(self.balance)[None, :] / 16.0
        level = np.clip(cv2.transform(color, matrix), 0, 4095).astype(np.uint16)
        picture = _tone(self.gamma, self.contrast).take(level)
        if self.smooth:
            picture = cv2.GaussianBlur(picture, (0, 0), self.smooth)
        if self.sharpen:
            soft = cv2.GaussianBlur(picture, (0, 0), 1.0)
            picture = cv2.addWeighted(picture, 1 + self.sharpen, soft, -self.sharpen, 0)
        return picture


def _vignette(height: int, width: int, strength: float) -> Array:
    """Share of light [H, W] of a lens that loses `strength` in the corners."""
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    return 1 - np.float32(strength) * (x * x + y * y) / 2


@functools.cache
def _tone(gamma: float, contrast: float) -> Array:
    """Tone curve: uint8 for 4096 linear levels."""
    linear = np.arange(4096) / 4095
    curve = linear ** (1 / gamma)
    curve = curve + contrast * (curve * curve * (3 - 2 * curve) - curve)
    return np.round(255 * curve).astype(np.uint8)


def linear(picture: Array) -> Array:
    """Linear light [H, W, 3] float32 of an sRGB-like uint8 picture."""
    table = (np.arange(256) / 255.0) ** 2.2
    return table.astype(np.float32).take(picture)


def vary(camera: Camera, rng: np.random.Generator) -> Camera:
    """The same camera with random exposure, focus, white balance and ISO speed.

    The ISO speed varies the noise fourfold, and with it the size of the encoded file, which
    then reveals little about the content.
    """
    cast = np.exp(rng.normal(0, 0.025, 3))
    balance = tuple(float(a * b) for a, b in zip(camera.balance, cast, strict=True))
    speed = float(np.exp(rng.uniform(-1.1, 0.4)))
    return dataclasses.replace(
        camera,
        psf=camera.psf * float(rng.uniform(0.9, 1.2)),
        target=camera.target * float(np.exp(rng.normal(0, 0.12))),
        shot=camera.shot * speed**2,
        read=camera.read * speed,
        balance=balance,
    )


def attackers_camera(rng: np.random.Generator, style: dict) -> Camera:
    """A random camera of the attacker, for the source picture.

    Args:
      rng: generator of the attacker.
      style: ranges `psf`, `saturation`, `contrast`, `sharpen` and `warmth` (of the color
        cast after white balance).
    """
    cast = np.exp(rng.normal(0, 0.03, 3))
    warm = rng.uniform(*style["warmth"])
    balance = cast * np.exp(np.array([warm, 0, -warm]))
    return Camera(
        psf=float(rng.uniform(*style["psf"])),
        vignette=float(rng.uniform(0, 0.2)),
        target=float(rng.uniform(0.19, 0.28)),
        shot=float(rng.uniform(0.0002, 0.0006)),
        read=float(rng.uniform(0.001, 0.003)),
        balance=tuple(float(g) for g in balance),  # pyright: ignore[reportArgumentType]
        saturation=float(rng.uniform(*style["saturation"])),
        gamma=float(rng.uniform(2.0, 2.4)),
        contrast=float(rng.uniform(*style["contrast"])),
        sharpen=float(rng.uniform(*style["sharpen"])),
        smooth=0.0,
    )


def jpeg(picture: Array, quality: int) -> Array:
    """A picture [H, W, 3] after JPEG compression."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
