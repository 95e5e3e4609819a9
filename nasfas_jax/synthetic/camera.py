"""A camera: lens, sensor under a Bayer mosaic, noise, color, tone, sharpening."""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np

from nasfas_jax.synthetic.fields import Array, bands


@dataclasses.dataclass(frozen=True)
class Exposure:
    """Setting of a camera for a clip: gain of the exposure, and RGB gains [3]."""

    gain: float
    balance: Array


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
      smooth: standard deviation of the denoising blur, in pixels of the video; 0 for
        none.
      fill: light-sensitive share of the side of a sensor pixel. Phones skip lines and
        columns in video mode, so that it is small, and fine patterns alias.
      adapt: share of a color cast that the automatic white balance removes (0 to 1), by
        the gray-world rule.
      shutter: exposure of a row, seconds.
      readout: seconds from the first to the last row of a frame (rolling shutter).
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
    fill: float = 0.85
    adapt: float = 0.0
    shutter: float = 0.02
    readout: float = 0.025

    def lens(self, radiance: Array) -> Array:
        """The radiance [H, W, 3] blurred by the lens."""
        return cv2.GaussianBlur(radiance, (0, 0), self.psf)

    def meter(self, optical: Array) -> Exposure:
        """Automatic exposure and white balance on the center of the picture [H, W, 3]."""
        height, width = optical.shape[:2]
        rows = slice(height // 5, height - height // 5)
        middle = optical[rows, width // 4 : width - width // 4]
        mean = np.maximum(middle.mean((0, 1)), 1e-4)
        gain = self.target / max(1e-4, float(middle.mean()))
        ratio = (float(mean.mean()) / mean) ** self.adapt
        return Exposure(gain, ratio.astype(np.float32))

    def develop(
        self, optical: Array, exposure: Exposure, noise: Array, scale: int = 1
    ) -> Array:
        """The picture of the camera from the light on its sensor.

        The demosaiced picture is shrunk before color, tone and sharpening, as in the
        pipeline of a video camera.

        Args:
          optical: linear RGB [H, W, 3] behind the lens; H and W even.
          exposure: result of `meter`.
          noise: standard normal [H, W].
          scale: sensor pixels per pixel of the picture; divides H and W.

        Returns:
          uint8 RGB [H / scale, W / scale, 3].
        """
        height, width = optical.shape[:2]
        raw = bayer(optical)
        raw *= _vignette(height, width, self.vignette) * np.float32(exposure.gain)
        raw += noise * np.sqrt(np.float32(self.shot) * raw + np.float32(self.read**2))
        color = demosaic(raw)
        del raw
        if scale > 1:
            size = (width // scale, height // scale)
            color = cv2.resize(color, size, interpolation=cv2.INTER_AREA)
        color = color.astype(np.float32)
        return self._process(color, exposure.balance)

    def _process(self, color: Array, balance: Array) -> Array:
        """Color matrix, tone curve, denoising and sharpening; uint8 [H, W, 3]."""
        luma = np.array([0.25, 0.6, 0.15])
        matrix = self.saturation * np.eye(3) + (1 - self.saturation) * luma[None, :]
        matrix = matrix * (np.array(self.balance) * balance)[None, :] / 16.0
        level = cv2.transform(color, matrix)
        picture = np.empty(level.shape, np.uint8)
        tone = _tone(self.gamma, self.contrast)
        for band in bands(len(level)):
            picture[band] = tone.take(np.clip(level[band], 0, 4095).astype(np.uint16))
        if self.smooth:
            picture = cv2.GaussianBlur(picture, (0, 0), self.smooth)
        if self.sharpen:
            soft = cv2.GaussianBlur(picture, (0, 0), 1.0)
            picture = cv2.addWeighted(picture, 1 + self.sharpen, soft, -self.sharpen, 0)
        return picture


def bayer(optical: Array) -> Array:
    """The light [H, W] behind a mosaic of color filters: RG in even, GB in odd rows."""
    raw = np.empty(optical.shape[:2], np.float32)
    raw[0::2, 0::2] = optical[0::2, 0::2, 0]
    raw[0::2, 1::2] = optical[0::2, 1::2, 1]
    raw[1::2, 0::2] = optical[1::2, 0::2, 1]
    raw[1::2, 1::2] = optical[1::2, 1::2, 2]
    return raw


def demosaic(raw: Array) -> Array:
    """Colors uint16 [H, W, 3], 65535 for 1, interpolated from a Bayer mosaic [H, W]."""
    counts = np.clip(raw * 65535, 0, 65535).astype(np.uint16)
    return cv2.cvtColor(counts, cv2.COLOR_BayerRGGB2RGB)


class Noise:
    """Normal noise of a sensor: one field, seen at a random offset in every frame."""

    def __init__(self, size: tuple[int, int], rng: np.random.Generator):
        """Draws the field for `size` columns and rows."""
        self._size, self._rng = size, rng
        self._field = rng.standard_normal(
            (size[1] + 64, size[0] + 64), dtype=np.float32
        )

    def frame(self) -> Array:
        """The noise [H, W] of the next frame."""
        top, left = self._rng.integers(0, 65, 2)
        width, height = self._size
        return self._field[top : top + height, left : left + width]


@functools.lru_cache(maxsize=4)
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
        shutter=camera.shutter * float(rng.uniform(0.5, 1.3)),
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
