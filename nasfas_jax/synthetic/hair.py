"""Hair in strands: on the head, eyebrows, stubble and beard."""

from __future__ import annotations

import cv2
import numpy as np

from nasfas_jax.synthetic.fields import Array, Chart, bump, fractal, pair, step
from nasfas_jax.synthetic.identity import Identity
from nasfas_jax.synthetic.shape import FLOOR, dome, half_width


def strands(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """Noise [H, W] of mean 0 and deviation 1, constant along the hairs of the head.

    Hairs leave the parting on parabolas and fall; locks are 3 mm wide, hairs finer.
    """
    parting = 5 * who.asymmetry
    drop = np.maximum(chart.y + 2.05, 0.05)
    across = (chart.x - parting) / drop ** (0.4 if who.hair == "long" else 0.65)
    size = (int(4.3 * chart.density), int(7 * chart.density))
    noise = fractal(rng, size, (1.2 * chart.density, 0.06 * chart.density), 4)
    columns = (across + 3.5).astype(np.float32) * np.float32(chart.density)
    along = np.hypot(chart.x - parting, drop).astype(np.float32)
    rows = along * np.float32(0.9 * chart.density)
    return cv2.remap(
        noise, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )


def hair_mask(who: Identity, chart: Chart, lock: Array) -> tuple[Array, Array]:
    """Coverage [H, W] of hair on the head, and its height [H, W].

    Args:
      who: the person.
      chart: grid of the textures.
      lock: result of `strands`, which frays the edges.
    """
    x, y = chart.x, chart.y
    grow = who.hair_volume
    if who.hair == "bald":
        return np.zeros(chart.shape, np.float32), np.full(chart.shape, FLOOR)
    side = step(np.abs(x), 0.45, 0.98)
    line = who.hairline + 0.12 * bump(x, 0, 0.12, 0, 0.3, 1) * (who.hair != "tied")
    line = line + side * (0.95 if who.hair == "short" else 1.15)
    if who.hair == "receding":
        line = line - 0.32 * pair(x, 0 * y, 0.45, 0, 0.25, 1) - 0.12
    if who.hair == "long" and who.seed % 2:  # a fringe
        line = line + 0.42 * (1 - side)
    crown = half_width(who, y, grow)
    over = np.maximum(np.abs(x) - crown, -1.62 - grow - y) - 0.012 * lock
    edge = (y - line) * 0.55 - 0.03 * lock
    cap = np.minimum(chart.soft(edge, 0.09), chart.soft(over, 0.03))
    height = (who.depth + 0.25 * grow) * dome(x, y, crown, -1.63 - grow, who.chin)
    if who.hair == "long":
        inner = half_width(who, np.minimum(y, 1.0)) * 0.9 - 0.12 * step(y, 0.9, 1.7)
        outer = 1.04 + grow + 0.12 * step(y, -0.2, 1.2)
        fall = np.maximum(inner - np.abs(x), np.abs(x) - outer) - 0.02 * lock
        curtain = chart.soft(np.maximum(fall, -0.7 - y), 0.05) * step(-y, -2.2, -1.8)
        round_ = np.clip(1 - ((np.abs(x) - 1.0) / 0.35) ** 2, 0, 1)
        height = np.maximum(height, np.where(curtain > 0, 0.1 + 0.2 * round_, FLOOR))
        cap = np.maximum(cap, curtain)
    return cap.astype(np.float32), height


def whiskers(
    who: Identity, chart: Chart, rng: np.random.Generator, lips: Array
) -> tuple[Array, Array]:
    """Coverages [H, W] of beard with stubble, and of eyebrows."""
    x, y, density = chart.x, chart.y, chart.density
    along = (np.abs(x) - 0.15) / 0.6
    arch = who.brow_y + 0.06 - who.brow_tilt * np.sin(np.clip(along, 0, 1) * 2.2)
    thick = who.brow_weight * np.clip(1.1 - 0.7 * along, 0.3, 1)
    # Hairs of the brow rise outwards: noise that is sheared by the distance.
    noise = fractal(rng, chart.shape, (0.14 * density, 0.02 * density), 2)
    columns = (np.abs(x) + 0.9 * y).astype(np.float32) * np.float32(density)
    rows = np.repeat(chart.rows(y), chart.shape[1], 1)
    hairs = cv2.remap(
        noise, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    band = np.maximum(np.abs(y - arch) - thick, np.abs(along - 0.5) * 0.6 - 0.3)
    brows = chart.soft(band - 0.015 * hairs, 0.09) * np.clip(0.75 + 0.25 * hairs, 0, 1)
    jaw = step(y, 0.55, 1.05) * step(np.abs(x), 0.1, 0.55)
    jaw = np.maximum(jaw, step(y, who.mouth_y + 0.16, who.mouth_y + 0.3))
    lip = pair(x, y, 0.14, who.mouth_y - 0.19, 0.2, 0.06)
    below = chart.soft(y - who.chin, 0.1) * (1 - lips)
    speckle = fractal(rng, chart.shape, max(2.0, 0.025 * density), 2)
    patchy = fractal(rng, chart.shape, 0.25 * density, 2)
    beard = np.maximum(jaw * who.beard, lip * who.moustache) * below
    if who.feminine < 0.5:  # shaved this morning or yesterday
        shaved = 0.06 + 0.16 * (who.seed % 5) / 4
        beard = np.maximum(beard, shaved * np.maximum(jaw, lip) * below)
    beard = np.clip(beard * (0.85 + 0.15 * speckle + 0.12 * patchy), 0, 0.92)
    return beard.astype(np.float32), (0.9 * brows).astype(np.float32)
