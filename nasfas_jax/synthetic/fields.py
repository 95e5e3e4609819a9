"""Charts, soft masks and noise, from which procedural textures are made."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import cv2
import numpy as np

Array = np.ndarray


@dataclasses.dataclass(frozen=True)
class Chart:
    """A pixel grid over a rectangle of the plane, in head units (7 cm), y down.

    Attributes:
      left, top, right, bottom: the rectangle's edges, in head units.
      density: pixels per head unit.
    """

    left: float
    top: float
    right: float
    bottom: float
    density: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        rows = round((self.bottom - self.top) * self.density)
        return rows, round((self.right - self.left) * self.density)

    @functools.cached_property
    def x(self) -> Array:
        """Abscissae of the pixel centers, float32 [1, columns]."""
        columns = np.arange(self.shape[1], dtype=np.float32)
        return (self.left + (columns + 0.5) / self.density)[None, :].astype(np.float32)

    @functools.cached_property
    def y(self) -> Array:
        """Ordinates of the pixel centers, float32 [rows, 1]."""
        rows = np.arange(self.shape[0], dtype=np.float32)
        return (self.top + (rows + 0.5) / self.density)[:, None].astype(np.float32)

    def soft(self, distance: Array, width: float = 0.0) -> Array:
        """1 where the signed distance is negative, 0 where positive, smooth between.

        The step is one pixel wide, or `width` head units if larger, so that shapes are
        antialiased at every density.
        """
        span = max(width, 1.0 / self.density)
        return np.clip(0.5 - distance / np.float32(span), 0, 1)

    def blur(self, image: Array, sigma: float) -> Array:
        """Gaussian blur with `sigma` in head units."""
        return cv2.GaussianBlur(
            image, (0, 0), sigma * self.density, borderType=cv2.BORDER_REPLICATE
        )

    def columns(self, x: Array) -> Array:
        """Pixel columns of the abscissae `x`, in coordinates of cv2.remap."""
        return (x - np.float32(self.left)) * np.float32(self.density) - np.float32(0.5)

    def rows(self, y: Array) -> Array:
        """Pixel rows of the ordinates `y`, in coordinates of cv2.remap."""
        return (y - np.float32(self.top)) * np.float32(self.density) - np.float32(0.5)

    def sample(self, image: Array, x: Array, y: Array) -> Array:
        """Bilinear values of `image` at points; border values repeat outside."""
        return cv2.remap(
            image,
            self.columns(x),
            self.rows(y),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )

    def window(self, x0: float, y0: float, x1: float, y1: float) -> tuple[slice, slice]:
        """Row and column slices of the pixels within a rectangle."""
        rows = slice(
            max(int((y0 - self.top) * self.density), 0),
            min(int((y1 - self.top) * self.density) + 1, self.shape[0]),
        )
        columns = slice(
            max(int((x0 - self.left) * self.density), 0),
            min(int((x1 - self.left) * self.density) + 1, self.shape[1]),
        )
        return rows, columns


def bands(rows: int, height: int = 256) -> Iterator[slice]:
    """Bands of rows from top to bottom, for arrays whose temporary copies are large."""
    for top in range(0, rows, height):
        yield slice(top, min(top + height, rows))


def bump(
    x: Array | float, y: Array | float, cx: float, cy: float, sx: float, sy: float
) -> Array:
    """A Gaussian hill of height 1 about (cx, cy), with deviations sx and sy.

    The result has the broadcast shape of x and y; all lengths have one unit.
    """
    # A product of two factors: cheap where x is a row and y a column.
    half = np.float32(-0.5)
    return np.exp(half * ((x - cx) / sx) ** 2) * np.exp(half * ((y - cy) / sy) ** 2)


def pair(
    x: Array, y: Array | float, cx: float, cy: float, sx: float, sy: float
) -> Array:
    """Two Gaussian hills as of `bump` at (-cx, cy) and (cx, cy), for x from the middle."""
    return bump(np.abs(x), y, cx, cy, sx, sy)


def step(value: Array, low: float, high: float) -> Array:
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def fractal(
    rng: np.random.Generator,
    shape: tuple[int, int],
    cell: float | tuple[float, float],
    octaves: int = 3,
) -> Array:
    """Smooth noise of mean 0 and deviation 1, largest features `cell` pixels wide.

    A pair (cell_y, cell_x) gives streaks, as in hair, brushed surfaces and cloth.
    """
    cell_y, cell_x = (cell, cell) if isinstance(cell, (int, float)) else cell
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        size = [
            max(2, int(np.ceil(n * 2**octave / max(c, 1e-3))) + 1)
            for n, c in zip(shape, (cell_y, cell_x), strict=True)
        ]
        size = [min(s, 4 * n) for s, n in zip(size, shape, strict=True)]
        coarse = rng.standard_normal(size, dtype=np.float32)
        fine = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
        fine *= np.float32(0.6**octave)
        total += fine
    mean, deviation = total.mean(), total.std() + np.float32(1e-6)
    total -= mean
    total /= deviation
    return total


def waves(rng: np.random.Generator, times: Array, low: float, high: float) -> Array:
    """A smooth random motion: three sines of `low` to `high` Hz, deviation about 1.

    `times` are seconds [T]; the result is float32 [T].
    """
    frequency = rng.uniform(low, high, 3)
    phase = rng.uniform(0, 2 * np.pi, 3)
    weight = rng.dirichlet(np.ones(3) * 3) ** 0.5
    sines = np.sin(2 * np.pi * frequency * times[:, None] + phase)
    return (sines @ weight * np.sqrt(2)).astype(np.float32)
