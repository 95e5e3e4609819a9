"""The head as a height field: skull, nose, lips and hair.

In head units, x to the right of the picture, y down, z towards the camera; the origin is
between the eyes in the plane of the ears. A face is about 2 wide, its chin at 1.6.
"""

from __future__ import annotations

import numpy as np

from nasfas_jax.synthetic.fields import Array, Chart, bump, pair, step
from nasfas_jax.synthetic.identity import Identity

FLOOR = -0.6  # height outside of the head


def half_width(who: Identity, y: Array, grow: float = 0.0) -> Array:
    """Half the width of the skull at height y; `grow` adds to it on all sides (hair)."""
    top, middle = -1.62 - grow, 0.1
    up = np.clip((y - middle) / (top - middle), 0, 1)
    down = np.clip((y - middle) / (who.chin - middle), 0, 1)
    upper = 1.0 + 0.05 * np.sin(np.pi * up) - (1 - (1 - up**3) ** 0.5)
    lower = (1 - down**who.jaw) ** 0.55
    return (who.width + grow) * np.where(y < middle, upper, lower)


def dome(x: Array, y: Array, width: Array, low: float, high: float) -> Array:
    """A rounded front: 1 in the middle, 0 at the rim `width` and at low and high."""
    across = np.clip(np.abs(x) / np.maximum(width, 1e-3), 0, 1)
    up = np.clip(y / low, 0, 1)
    down = np.clip(y / high, 0, 1)
    profile = np.sqrt(1 - up**3) * np.sqrt(1 - down**9)
    return profile * (1 - across**2.4) ** (1 / 2.2)


def features(who: Identity, x: Array, y: Array) -> Array:
    """Relief of the features on the skull, in head units."""
    base = who.eye_y + who.nose_length  # of the nose
    up = np.clip((y - who.eye_y + 0.12) / (base - who.eye_y + 0.1), 0, 1.05)
    # The underside rises towards the upper lip, more to the sides than below the tip.
    end = base + 0.07 - 0.35 * np.minimum(np.abs(x), 0.3)
    ridge = who.nose_height * up**1.25 * step(end - y, -0.1, 0.11)
    half = 0.08 + 0.055 * up
    nose = ridge * np.exp(-0.5 * (x / half) ** 2)
    wing = 0.6 * who.nose_width
    nose += 0.13 * pair(x, y, wing, base - 0.03, 0.075, 0.075)
    nose += 0.09 * bump(x, y, 0, base - 0.06, 0.1, 0.09)
    m, mw = who.mouth_y, who.mouth_width
    mouth = 0.10 * bump(x, y, 0, m, mw, 0.22)
    mouth += 0.6 * who.lips * bump(x, y, 0, m - 0.055, 0.75 * mw, 0.04)
    mouth += 0.75 * who.lips * bump(x, y, 0, m + 0.075, 0.62 * mw, 0.045)
    line = m - who.smile * (x / mw) ** 2
    mouth -= 0.05 * bump(x, y - line, 0, 0, 0.8 * mw, 0.018)
    mouth -= 0.04 * pair(x, y, mw + 0.03, m, 0.06, 0.07)
    mouth -= 0.05 * bump(x, y, 0, m + 0.2, 0.22, 0.05)
    mouth -= 0.02 * bump(x, y, 0, 0.5 * (base + m), 0.035, 0.09)
    eyes = -0.2 * pair(x, y, who.eye_x - 0.02, who.eye_y, 0.22, 0.13)
    eyes += 0.09 * pair(x, y, who.eye_x, who.eye_y, 0.13, 0.1)
    brows = (who.brow + 0.03) * pair(x, y, 0.36, who.brow_y + 0.02, 0.26, 0.09)
    cheeks = who.cheek * pair(x, y, 0.6, 0.36, 0.22, 0.2)
    cheeks += 0.03 * (1 - who.age) * pair(x, y, 0.45, 0.75, 0.2, 0.2)
    fold = who.age * 0.035 + 0.012
    track = np.abs(x) - (who.nose_width + 0.12 + 0.42 * np.clip(y - base, -0.2, 0.6))
    cheeks -= fold * np.exp(-0.5 * (track / 0.035) ** 2) * bump(0, y, 0, 0.85, 1, 0.16)
    bags = -0.03 * who.age * pair(x, y, who.eye_x, who.eye_y + 0.2, 0.15, 0.03)
    chin = 0.1 * bump(x, y, 0, who.chin - 0.2, 0.22, 0.14)
    return nose + mouth + eyes + brows + cheeks + bags + chin


def wrinkles(who: Identity, x: Array, y: Array, rng: np.random.Generator) -> Array:
    """Relief of wrinkles on the forehead and beside the eyes, in head units."""
    if who.age < 0.35:
        return np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
    lines = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
    for number in range(3):
        level = -0.48 - 0.14 * number + rng.normal(0, 0.015)
        wave = level + 0.03 * np.cos(3 * x + rng.uniform(0, 6))
        lines -= np.exp(-0.5 * ((y - wave) / 0.014) ** 2) * bump(x, 0, 0, 0, 0.4, 1)
    crow = np.sin(40 * (y - who.eye_y) / (0.3 + np.abs(x)))
    lines -= np.clip(crow, 0, 1) * pair(x, y, 0.74, who.eye_y + 0.02, 0.06, 0.08)
    return 0.012 * (who.age - 0.25) * lines


def ears(who: Identity, chart: Chart) -> Array:
    """Coverage [H, W] of the two ears."""
    reach = np.abs(chart.x) - who.width * 1.02
    oval = np.sqrt((reach / 0.12) ** 2 + ((chart.y - 0.2 + 0.3 * reach) / 0.3) ** 2)
    return chart.soft((oval - 1) * 0.1, 0.03)
