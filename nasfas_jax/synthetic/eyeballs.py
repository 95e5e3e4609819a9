"""Eyeballs as textures: sclera with its vessels, iris with its fibers, pupil."""

from __future__ import annotations

import numpy as np

from nasfas_jax.synthetic.fields import Array, Chart
from nasfas_jax.synthetic.identity import Identity

IRIS = 0.088  # radius of the iris, 6 mm, in head units
RISE = 0.012  # height of its center above that of the eye


def place(who: Identity, chart: Chart, side: int):
    """Rows and columns of the texels about one eye, and their coordinates in it.

    Args:
      who: the person.
      chart: grid of the head's textures.
      side: -1 for the left eye in the picture, 1 for the right one.

    Returns:
      Slices of rows and columns, u from the eye's center outwards [h, w or 1] and v
      downwards [h, w], head units.
    """
    x, y = side * who.eye_x, who.eye_y
    rows, columns = chart.window(x - 0.31, y - 0.24, x + 0.31, y + 0.2)
    u = side * (chart.x[:, columns] - x)
    return rows, columns, u, chart.y[rows] - y + who.eye_tilt * u


def eyeball(who: Identity, chart: Chart, side: int) -> Array:
    """Albedo [h, w, 3] of an eyeball that looks straight ahead, on the texels of `place`."""
    _, _, u, v = place(who, chart, side)
    du, dv = u, v + RISE
    radius = np.sqrt(du * du + dv * dv)
    angle = np.arctan2(dv, du)
    phase = np.random.default_rng([who.seed, 2]).uniform(0, 6.3, 4)
    fibers = np.cos(9 * angle + phase[0]) + np.cos(23 * angle + phase[1])
    fibers = 0.12 * (fibers + np.cos(41 * angle + phase[2] + 30 * radius))
    veins = np.cos(30 * dv + 3 * np.cos(25 * u + phase[3]) + phase[3]) ** 16
    away = np.clip(np.abs(u) / who.eye_width, 0, 1)
    white = np.array([0.50, 0.44, 0.40], np.float32) * (1 - 0.3 * away**2)[..., None]
    red = np.clip(0.25 * away * veins + 0.45 * (-u / who.eye_width - 0.75), 0, 0.6)
    ball = white * (1 - red[..., None] * np.array([0.1, 0.75, 0.7], np.float32))
    ring = (radius / IRIS).clip(0, 1)
    tone = (0.75 + fibers) * (1 + 0.5 * np.exp(-(((ring - 0.6) / 0.15) ** 2)))
    tone = tone * (1 - 0.75 * chart.soft(0.9 - ring, 0.25))  # the dark limbus
    iris = chart.soft(radius - IRIS, 0.012)[..., None]
    ball = ball + iris * (who.eye_color * 1.15 * tone[..., None] - ball)
    ball = ball * (1 - 0.97 * chart.soft(radius - 0.038, 0.01))[..., None]
    return ball.astype(np.float32)
