"""Screens: sub-pixels under a sampling sensor, backlight flicker, tone and viewing angle.

The light of a screen pixel is a small pattern of red, green and blue sub-pixels. The last
camera's lens and pixel aperture blur the pattern; its pixels then *sample* it, each color at
its own Bayer sites. Moire is the alias of the pattern in these samples. Nothing draws it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from nasfas_jax.synthetic.camera import Camera
from nasfas_jax.synthetic.fields import Array

TILE = 64  # texels of a pattern's period, along one axis
# Screen pixels per period.
LAYOUTS = {"stripe": 1, "chevron": 2, "diamond": 2, "grid": 1}


@dataclasses.dataclass(frozen=True)
class Display:
    """A phone, tablet, monitor, television or projector.

    Attributes:
      layout: sub-pixel layout: RGB "stripe"s (most LCDs), "chevron" (stripes that lean
        alternately, in-plane switching), "diamond" (RGBG of OLED phones), or "grid"
        (projected pixels, whose three colors coincide).
      pitch: distance of screen pixels, in sensor pixels.
      duty: width of a sub-pixel stripe, or of a pixel of a grid, in screen pixels.
      white: color of its white, RGB; 6500 to 9300 K, bluer than paper.
      brightness: brightness relative to white paper in the room.
      black: light of a black pixel, relative to white.
      gamma: exponent in addition to that of the picture.
      falloff: exponent of the loss of light with the cosine of the viewing angle.
      reflect: share of the room that the glass reflects: 0.04 by Fresnel's equations, up
        to 0.1 with an air gap below it.
      glare: radiance of the reflected lamp.
      smudge: share of the lamp's light that fingerprints scatter.
      flicker: frequency of pulse-width modulation, Hz; 0 for steady light.
      lit: share of a period of the flicker in which the screen is lit.
      focus: deviation of the last camera's defocus, sensor pixels.
      rate: frame rate of a played video relative to that of the last camera.
    """

    layout: str
    pitch: float
    duty: float
    white: Array
    brightness: float
    black: float
    gamma: float
    falloff: float
    reflect: float
    glare: float
    smudge: float
    flicker: float
    lit: float
    focus: float
    rate: float


def draw_display(rng: np.random.Generator, style: dict) -> Display:
    """A random screen.

    Args:
      rng: generator of the attacker.
      style: ranges `pitch`, `blue` (of its white), `brightness`, `black`, `gamma` and
        `focus`.
    """
    blue = rng.uniform(*style["blue"])
    low, high = np.log(style["pitch"])
    layout = str(rng.choice(list(LAYOUTS), p=[0.55, 0.2, 0.25, 0.0]))
    oled = layout == "diamond"
    return Display(
        layout=layout,
        pitch=float(np.exp(rng.uniform(low, high))),
        duty=float(rng.uniform(0.22, 0.30)),
        white=np.array([1 - blue, 1.0, 1 + blue], np.float32),
        brightness=float(rng.uniform(*style["brightness"])),
        black=0.0005 if oled else float(rng.uniform(*style["black"])),
        gamma=float(rng.uniform(*style["gamma"])),
        falloff=float(rng.uniform(0.5, 1.5) if oled else rng.uniform(1.0, 4.0)),
        reflect=float(rng.uniform(0.04, 0.10)),
        glare=float(rng.uniform(0.3, 1.5) * (rng.random() < 0.5)),
        smudge=float(rng.uniform(0.0, 0.02)),
        flicker=float(rng.uniform(180, 480) * (rng.random() < 0.5)),
        lit=float(rng.uniform(0.4, 0.9)),
        focus=float(rng.uniform(*style["focus"])),
        rate=float(rng.choice([0.8, 0.96, 1.0, 1.2])),
    )


def as_projector(screen: Display, rng: np.random.Generator) -> Display:
    """A projector with the pitch and the tone of a screen.

    Its wall scatters the light in all directions, and there is no glass. Gaps between its
    pixels take 0.1 to 0.25 of the area, its lens adds blur, and contrasts of 200 to 2000 lie
    between office projectors and home cinema.
    """
    return dataclasses.replace(
        screen,
        layout="grid",
        duty=float(rng.uniform(0.87, 0.95)),
        brightness=1.0,
        black=float(np.exp(rng.uniform(np.log(0.0005), np.log(0.005)))),
        falloff=0.0,
        reflect=0.0,
        glare=0.0,
        smudge=0.0,
        focus=float(np.hypot(screen.focus, rng.uniform(0.3, 0.8))),
    )


def subpixels(layout: str, duty: float) -> Array:
    """Emission of a period of the pattern [TILE, TILE, 3], of mean 1 in each color."""
    span = LAYOUTS[layout]
    y, x = (np.mgrid[:TILE, :TILE] + 0.5) * (span / TILE)
    if layout == "diamond":
        # Green on every pixel of a square lattice; red and blue alternate between.
        spots = {
            0: [(0, 0), (1, 1)],
            1: [(0.5, 0.5), (1.5, 0.5), (0.5, 1.5), (1.5, 1.5)],
        }
        spots[2] = [(1, 0), (0, 1)]
        half = {0: 0.36, 1: 0.22, 2: 0.40}
        planes = [
            sum(
                np.abs((x - a + 1) % 2 - 1) + np.abs((y - b + 1) % 2 - 1) < half[color]
                for a, b in spots[color]
            )
            for color in range(3)
        ]
    elif layout == "grid":
        planes = [np.maximum(np.abs(x - 0.5), np.abs(y - 0.5)) < duty / 2] * 3
    else:
        lean = np.abs(y % 2 - 1) * 0.35 if layout == "chevron" else 0 * y
        rows = np.abs(y % 1 - 0.5) < 0.43  # black rows of wires between
        planes = [
            (np.abs((x - lean - color / 3) % 1 - 0.5) < duty / 2) & rows
            for color in range(3)
        ]
    light = np.stack(planes, -1).astype(np.float32)
    return light / light.mean((0, 1))


def through_lens(pattern: Array, span: int, pitch: float, blur: float, fill: float):
    """The pattern [TILE, TILE, 3] behind the lens and the aperture of a sensor pixel.

    Args:
      pattern: result of `subpixels`.
      span: screen pixels per period.
      pitch: distance of screen pixels, sensor pixels.
      blur: deviation of lens and defocus, sensor pixels.
      fill: light-sensitive share of the side of a sensor pixel.
    """
    cycles = np.fft.fftfreq(TILE, 1 / TILE) / (span * pitch)  # per sensor pixel
    passed = np.exp(-2 * (np.pi * blur * cycles) ** 2) * np.sinc(fill * cycles)
    spectrum = np.fft.fft2(pattern, axes=(0, 1))
    spectrum = spectrum * passed[:, None, None] * passed[None, :, None]
    return np.maximum(np.fft.ifft2(spectrum, axes=(0, 1)).real, 0).astype(np.float32)


def seen_pattern(display: Display, camera: Camera) -> Array:
    """The pattern of a screen as it falls on the sensor of the camera."""
    pattern = subpixels(display.layout, display.duty)
    blur = float(np.hypot(camera.psf, display.focus))
    span = LAYOUTS[display.layout]
    return through_lens(pattern, span, display.pitch, blur, camera.fill)


def sample(pattern: Array, span: int, x: Array, y: Array) -> Array:
    """The pattern [H, W, 3] at screen positions x, y [H, W], in screen pixels."""
    texels = np.float32(TILE / span)
    far = np.float32(TILE << 10)  # makes positions positive before they are truncated
    column = (x * texels + far).astype(np.int32) & (TILE - 1)
    row = (y * texels + far).astype(np.int32) & (TILE - 1)
    return pattern.reshape(-1, 3).take(row * TILE + column, axis=0)


def played_times(times: Array, rate: float) -> Array:
    """Times [F] in seconds of the frames of a video that is played during a clip.

    Args:
      times: seconds of the frames of the clip [T].
      rate: `Display.rate`.
    """
    step = times[1] - times[0] if len(times) > 1 else 0.0
    return step / rate * np.arange(shown_frames(len(times), rate)[-1] + 1)


def shown_frames(frames: int, rate: float) -> list[int]:
    """The frame of a played video that is shown in every frame of a clip.

    A video of another frame rate than the clip's, `Display.rate`, has frames that are
    repeated or dropped.
    """
    return [int(frame * rate + 0.5) for frame in range(frames)]


def bands(
    display: Display, rows: int, readout: float, shutter: float, start: float
) -> Array:
    """Light of a flickering screen by sensor row [rows], of mean 1.

    A rolling shutter exposes row r from `start + readout * r / rows` on for `shutter`
    seconds, and integrates the square wave of the backlight over that time.

    Args:
      display: the screen.
      rows: rows of the sensor.
      readout: seconds from the first to the last row.
      shutter: exposure of a row, seconds.
      start: begin of the first row's exposure, seconds.
    """
    if not display.flicker:
        return np.ones(rows, np.float32)
    begin = start + readout * np.arange(rows) / rows

    def energy(time: Array) -> Array:
        phase = time * display.flicker
        whole = np.floor(phase)
        return (whole * display.lit + np.minimum(phase - whole, display.lit)) / (
            display.flicker
        )

    light = (energy(begin + shutter) - energy(begin)) / (shutter * display.lit)
    return light.astype(np.float32)


def by_angle(display: Display, cosine: Array) -> Array:
    """Light [..., 3] of the screen by the cosine of the viewing angle [...].

    Liquid crystals lose blue light first, which turns white yellowish.
    """
    power = display.falloff * np.array([0.9, 1.0, 1.25], np.float32)
    return np.maximum(cosine, 0.05)[..., None] ** power
