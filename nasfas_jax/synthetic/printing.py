"""Printed pictures: inks, halftone screens, dot gain and paper.

A printer lays binary dots of cyan, magenta, yellow and black ink. Their reflectance follows
Neugebauer (1937) with Yule and Nielsen's exponent n for the light that spreads inside of the
paper (1951):

    R ** (1 / n) = sum over the 16 overprints p of (area of p) * R_p ** (1 / n)

Dots grow when ink spreads (tone value increase; 14 to 22 % at half coverage in ISO 12647-2).
Clustered dots lie on screens at 15, 75, 0 and 45 degrees: 53 to 60 lines per inch by default
at 300 dpi, 85 to 106 at 600 dpi, 150 in photo prints. Ink-jet printers scatter single dots.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np

from nasfas_jax.synthetic.fields import Array, bands, fractal, step

INCH = 2.54 / 7  # in head units
ANGLES = (15, 75, 0, 45)  # of the screens C, M, Y, K, degrees
TILE = 256  # side of a screen's threshold tile, in texels
FINE = 2  # texels of the dots per texel of the texture, along one axis

# Reflectances of solid inks relative to paper, linear RGB: FOGRA39 (ISO 12647-2, coated
# paper) in sRGB, #009EE0, #E2007A, #FFED00, #1D1D1B. Overprints multiply.
INKS = np.array(
    [
        [0.004, 0.342, 0.745],
        [0.761, 0.004, 0.195],
        [1.000, 0.847, 0.008],
        [0.012, 0.012, 0.011],
    ],
    np.float32,
)


@dataclasses.dataclass(frozen=True)
class Printer:
    """A printer with its paper.

    Attributes:
      ruling: lines per inch of the screens; 0 for scattered dots.
      gain: tone value increase at half coverage that the driver does not compensate.
      spread: Yule and Nielsen's n.
      key: share of gray printed by black ink.
      white: reflectance of the paper, linear RGB [3].
      surface: share of light reflected by the surface in all directions, which lightens
        black (more on matte paper).
      gloss: strength of the specular lobe.
      shine: exponent of the specular lobe.
      banding: deviation of the ink's density between passes of the head.
      band: height of a pass, head units.
      grain: deviation of the reflectance of the paper.
    """

    ruling: float
    gain: float
    spread: float
    key: float
    white: Array
    surface: float
    gloss: float
    shine: float
    banding: float
    band: float
    grain: float


def draw_printer(rng: np.random.Generator, style: dict) -> Printer:
    """A random printer.

    Args:
      rng: generator of the attacker.
      style: ranges `ruling`, `gain`, `key`, `white` (warmth of the paper: below 0 with
        optical brighteners), `banding`; probabilities `scattered` and `glossy`.
    """
    glossy = rng.random() < style["glossy"]
    warmth = rng.uniform(*style["white"])
    scattered = rng.random() < style["scattered"]
    ruling = rng.uniform(*style["ruling"])
    return Printer(
        ruling=0.0 if scattered else float(ruling),
        gain=float(rng.uniform(*style["gain"])),
        spread=float(rng.uniform(1.6, 2.0)),
        key=float(rng.uniform(*style["key"])),
        white=(rng.uniform(0.80, 0.88) * np.exp([warmth, 0, -warmth])).astype(
            np.float32
        ),
        surface=float(
            rng.uniform(0.004, 0.012) if glossy else rng.uniform(0.025, 0.05)
        ),
        gloss=float(rng.uniform(0.25, 0.6) if glossy else rng.uniform(0.02, 0.06)),
        shine=float(rng.uniform(60, 160) if glossy else rng.uniform(6, 16)),
        banding=float(rng.uniform(*style["banding"])),
        band=float(rng.uniform(0.8, 6.0) / 70),
        grain=float(rng.uniform(0.006, 0.02)),
    )


def separate(picture: Array, printer: Printer) -> Array:
    """Ink coverages C, M, Y, K [H, W, 4] that print a linear RGB picture [H, W, 3].

    Each ink is solved for its own channel, given the absorption of the other inks in it, as
    a printer's color profile does; colors outside of the gamut are clipped. Black replaces
    a share `key` of the dark grays.
    """
    root = np.float32(1 / printer.spread)
    wanted = np.power(np.clip(picture, 1e-4, 1), root)
    absorbed = 1 - INKS**root
    dark = step(1 - wanted.max(2), 0.25, 0.8)
    black = np.float32(printer.key) * dark * (1 - wanted.max(2)) / absorbed[3, 1]
    wanted = wanted / (1 - black * absorbed[3, 1])[..., None]
    cover = np.zeros((*picture.shape[:2], 4), np.float32)
    cover[..., 3] = np.clip(black, 0, 1)
    for _ in range(3):
        for ink in range(3):
            others = [k for k in range(3) if k != ink]
            left = np.ones_like(black)
            for other in others:
                left *= 1 - cover[..., other] * absorbed[other, ink]
            share = (1 - wanted[..., ink] / left) / absorbed[ink, ink]
            cover[..., ink] = np.clip(share, 0, 1)
    return cover


def grow(cover: Array, gain: float) -> Array:
    """Coverages after dot gain: `gain` is added at half coverage, nothing at 0 and 1."""
    return np.clip(cover + np.float32(4 * gain) * cover * (1 - cover), 0, 1)


def screen(pitch: float, angle: float, rng: np.random.Generator) -> Array:
    """Threshold tile uint8 [TILE, TILE] of clustered dots.

    The tile repeats without a seam: it holds a whole number of periods along both axes. Its
    thresholds are uniform, so that the mean coverage is that of the picture.

    Args:
      pitch: distance of the dots, texels.
      angle: of the screen, degrees.
      rng: breaks ties of thresholds.
    """
    a, b = (
        round(TILE / pitch * float(turn(np.deg2rad(angle))))
        for turn in (np.cos, np.sin)
    )
    y, x = np.mgrid[:TILE, :TILE].astype(np.float32) * np.float32(2 * np.pi / TILE)
    spot = np.cos(a * x + b * y) + np.cos(a * y - b * x)
    return _ranks(spot + 1e-3 * rng.random(spot.shape, np.float32))


def scatter(rng: np.random.Generator) -> Array:
    """Threshold tile uint8 [TILE, TILE] of single dots without low frequencies."""
    tile = rng.random((TILE, TILE), np.float32)
    for _ in range(3):
        wide = np.pad(tile, 8, "wrap")
        tile = tile - cv2.GaussianBlur(wide, (0, 0), 1.5)[8:-8, 8:-8]
        tile = _ranks(tile).astype(np.float32) / 255 + 1e-3 * rng.random(tile.shape)
        tile = tile.astype(np.float32)
    return _ranks(tile)


def _ranks(values: Array) -> Array:
    """Ranks of the values, 0 to 254, each equally often."""
    order = np.empty(values.size, np.int64)
    order[np.argsort(values, axis=None)] = np.arange(values.size)
    return (order * 255 // values.size).astype(np.uint8).reshape(values.shape)


def overprints(printer: Printer) -> Array:
    """R ** (1 / n) of the 16 overprints [16, 3]; bit k is set where ink k is."""
    bits = (np.arange(16)[:, None] >> np.arange(4)) & 1
    solid = np.prod(np.where(bits[..., None], INKS, 1.0), axis=1)
    reflected = printer.white * solid * (1 - printer.surface) + printer.surface
    return (reflected ** (1 / printer.spread)).astype(np.float32)


def halftone(
    cover: Array, printer: Printer, pitch: float, rng: np.random.Generator
) -> Array:
    """The dots of ink coverages, before the light spreads in the paper.

    Args:
      cover: C, M, Y, K with dot gain, uint8 [H, W, 4].
      printer: the printer.
      pitch: distance of clustered dots, texels.
      rng: generator of the dots.

    Returns:
      R ** (1 / n) as uint8 [H, W, 3], 255 for 1.
    """
    return np.concatenate(list(_halftone_bands(cover, printer, pitch, rng)))


def _halftone_bands(
    cover: Array, printer: Printer, pitch: float, rng: np.random.Generator
) -> Iterator[Array]:
    """The result of `halftone` in bands of TILE rows."""
    width = cover.shape[1]
    tiles = [
        screen(pitch, angle, rng) if printer.ruling else scatter(rng)
        for angle in ANGLES
    ]
    limits = [np.tile(tile, (1, -(-width // TILE)))[:, :width] for tile in tiles]
    table = np.zeros((1, 256, 3), np.uint8)
    table[0, :16] = np.round(255 * overprints(printer))
    for rows in bands(len(cover), TILE):
        band = cover[rows]
        index = np.zeros(band.shape[:2], np.uint8)
        for ink, plane in enumerate(cv2.split(band)):
            wet = cv2.compare(plane, limits[ink][: len(band)], cv2.CMP_GT)
            index += np.asarray(wet, np.uint8) & np.uint8(1 << ink)
        yield cv2.LUT(cv2.merge([index] * 3), table)


def print_texture(
    picture: Array,
    density: float,
    per_head: float,
    printer: Printer,
    rng: np.random.Generator,
) -> Array:
    """Reflectance of a printed picture, uint16 [H, W, 3], 65535 for 1.

    Args:
      picture: linear RGB [h, w, 3] of the photo.
      density: texels of the result per pixel of the photo.
      per_head: texels of the result per head unit of the paper as it is printed, so that
        an inch of the paper is `INCH * per_head` texels.
      printer: the printer.
      rng: generator of the print.
    """
    rows, columns = picture.shape[:2]
    size = (round(columns * density), round(rows * density))
    cover = grow(separate(picture, printer), printer.gain)
    lines = np.arange(rows, dtype=np.float32)
    passes = (lines * density / (per_head * printer.band)).astype(int)
    tone = 1 + printer.banding * rng.standard_normal(passes[-1] + 1)
    cover = cover * tone[passes][:, None, None].astype(np.float32)
    cover = np.clip(255 * cover, 0, 255).astype(np.uint8)
    fine = cv2.resize(cover, (FINE * size[0], FINE * size[1]))
    pitch = FINE * INCH * per_head / max(printer.ruling, 1.0)
    dots = _halftone_bands(fine, printer, max(pitch, 2.0), rng)
    spread = np.concatenate(
        [
            cv2.resize(band, (size[0], len(band) // FINE), interpolation=cv2.INTER_AREA)
            for band in dots
        ],
        dtype=np.uint8,
    )
    del fine, dots
    linear = (65535 * (np.arange(256) / 255) ** printer.spread).astype(np.float32)
    fibers = fractal(rng, size[::-1], 0.03 * per_head, 3)
    texture = np.empty(spread.shape, np.uint16)
    for band in bands(len(spread)):
        grain = 1 + np.float32(printer.grain) * fibers[band]
        level = linear.take(spread[band]) * grain[..., None]
        texture[band] = np.clip(level, 0, 65535)
    return texture
