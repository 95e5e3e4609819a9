"""Rooms behind people, with the statistics of natural images.

A picture of opaque objects that occlude each other, with sizes r distributed as r^-3, has
the power spectrum 1 / f^2 and the edges of natural images (Ruderman, "Origins of scaling in
natural images", 1997; Lee, Mumford and Huang, "Occlusion models for natural images", 2001).
"""

from __future__ import annotations

import cv2
import numpy as np

from nasfas_jax.synthetic.fields import Array, fractal

SMALLEST, LARGEST = 0.12, 3.0  # sizes of objects, head units


def build_background(
    rng: np.random.Generator,
    style: dict,
    size: tuple[int, int],
    scale: float,
    light,
) -> Array:
    """A defocused room behind the person, linear RGB [H, W, 3].

    Args:
      rng: generator of the session.
      style: `palette` (albedos), `clutter` (range of the number of large objects),
        `defocus` (head units).
      size: columns and rows.
      scale: pixels per head unit.
      light: light of the scene, of which `back` is used.
    """
    width, height = size
    palette = np.asarray(style["palette"], np.float32)
    wall = palette[rng.integers(len(palette))] * rng.uniform(0.7, 1.2)
    room = np.empty((height, width, 3), np.float32)
    room[:] = wall
    for extent in _sizes(rng, 6 * int(rng.integers(*style["clutter"]))):
        _put_thing(room, rng, palette, scale, float(extent))
    texture = fractal(rng, (height, width), 2 * scale, 5)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    tilt = rng.uniform(-0.45, 0.45, 2)
    lit = (1 + tilt[0] * x + tilt[1] * y) * (1 + 0.07 * texture)
    lit = np.maximum(lit, 0.05).astype(np.float32)
    room = cv2.multiply(room, cv2.merge([lit] * 3))
    room = cv2.GaussianBlur(room, (0, 0), max(0.4, style["defocus"] * scale))
    return np.maximum(room, 0.002) * light.back


def _sizes(rng: np.random.Generator, count: int) -> Array:
    """Sizes of objects, distributed as r^-3, the largest first [count]."""
    share = rng.random(count)
    inverse = SMALLEST**-2 + share * (LARGEST**-2 - SMALLEST**-2)
    sizes = inverse**-0.5
    return np.sort(sizes * rng.uniform(1.0, 3.0, count))[::-1]


def _put_thing(room: Array, rng, palette: Array, scale: float, extent: float) -> None:
    """Draws one picture, cupboard, shelf, leaf or lamp into the room, in place."""
    height, width = room.shape[:2]
    color = palette[rng.integers(len(palette))] * rng.uniform(0.25, 1.5)
    color = color * np.exp(rng.normal(0, 0.15, 3))
    x, y = rng.uniform(-0.1, 1.1) * width, rng.uniform(-0.1, 1.0) * height
    w, h = extent * scale * np.exp(rng.normal(0, 0.4, 2))
    kind = rng.random()
    corner, other = (int(x), int(y)), (int(x + w), int(y + h))
    if kind < 0.6:
        cv2.rectangle(room, corner, other, (color * 0.5).tolist(), -1)
        edge = max(1, int(0.04 * extent * scale))
        inner = (corner[0] + edge, corner[1] + edge), (other[0] - edge, other[1] - edge)
        if inner[1][0] > inner[0][0] and inner[1][1] > inner[0][1]:
            cv2.rectangle(room, *inner, color.tolist(), -1)
    elif kind < 0.68 and extent < 1.2:
        bright = (2.0 * np.ones(3) * rng.uniform(0.6, 1.4)).tolist()
        cv2.ellipse(room, (corner, (w * 0.5, h * 0.4), 0), bright, -1)
    elif kind < 0.85:
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(room, (corner, (0.4 * w, h), turn), color.tolist(), -1)
    else:
        for number in range(int(rng.integers(3, 8))):
            left = int(x + number * 0.16 * w)
            book = color * rng.uniform(0.5, 1.5)
            top = int(y + rng.uniform(0, 0.15) * h)
            low = (left + max(1, int(0.14 * w)), other[1])
            cv2.rectangle(room, (left, top), low, book.tolist(), -1)
