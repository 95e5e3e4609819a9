"""Parts of a face that objects cover, and zones that pigments cover.

Every function takes (who, chart, rng) and returns a soft mask float32 [H, W].
"""

from __future__ import annotations

import numpy as np

from nasfas_jax.synthetic.fields import Array, Chart, bump, fractal, pair, step
from nasfas_jax.synthetic.identity import Identity
from nasfas_jax.synthetic.shape import half_width


def whole(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """The front of the face, hairline to chin."""
    radius = np.sqrt((chart.x / (0.93 * who.width)) ** 2 + ((chart.y - 0.4) / 1.2) ** 2)
    return chart.soft((radius - 1) * 0.9, 0.02)


def holes(who: Identity, chart: Chart) -> Array:
    """Two openings for the eyes."""
    u = (np.abs(chart.x) - who.eye_x) / (who.eye_width * 1.15)
    v = (chart.y - who.eye_y) / (who.eye_height * 1.6)
    return chart.soft((np.sqrt(u * u + v * v) - 1) * 0.15, 0.02)


def slit(who: Identity, chart: Chart) -> Array:
    """The opening for the mouth."""
    u = chart.x / (0.8 * who.mouth_width)
    v = (chart.y - who.mouth_y) / (0.6 * who.lips)
    return chart.soft((np.sqrt(u * u + v * v) - 1) * 0.1, 0.02)


def face(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """The front of the face with openings for the eyes."""
    return whole(who, chart, rng) * (1 - holes(who, chart))


def _half(who: Identity, chart: Chart, rng: np.random.Generator, sign: int) -> Array:
    """Mask of the face above (sign 1) or below (-1) the middle of the nose."""
    level = who.eye_y + 0.45 * who.nose_length + 0.25 * rng.uniform(0, 1)
    curve = level - 0.12 * bump(chart.x, 0, 0, 0, 0.3, 1)
    return face(who, chart, rng) * chart.soft(sign * (chart.y - curve), 0.02)


def head(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """The whole head with its hair."""
    return np.ones(chart.shape, np.float32)


def eyeballs(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """Two discs in front of the eyes."""
    return chart.soft(_ball(who, chart) - 0.29, 0.01)


def _ball(who: Identity, chart: Chart) -> Array:
    """Distances [H, W] from the nearer eye."""
    return np.hypot(np.abs(chart.x) - who.eye_x, chart.y - who.eye_y)


def joke_eyes(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """Albedo [H, W, 3] of eyeballs: white, an iris, a pupil that looks aside, veins."""
    look = rng.uniform(-0.08, 0.08, 2)
    radius = _ball(who, chart)
    side = np.sign(chart.x)
    iris = np.hypot(
        np.abs(chart.x) - who.eye_x - side * look[0], chart.y - who.eye_y - look[1]
    )
    veins = fractal(rng, chart.shape, 0.1 * chart.density, 3)
    red = 0.35 * chart.soft(np.abs(veins) - 0.12, 0.1) * step(radius, 0.1, 0.28)
    white = np.array([0.80, 0.79, 0.76], np.float32)
    white = white * (1 - red[..., None] * np.array([0.1, 0.8, 0.8], np.float32))
    color = rng.uniform(0.02, 0.4, 3).astype(np.float32)
    ring = chart.soft(iris - rng.uniform(0.12, 0.17))[..., None]
    pupil = chart.soft(iris - 0.07)[..., None]
    picture = white + ring * (color - white)
    return (picture * (1 - 0.97 * pupil)).astype(np.float32)


def frames(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """Wide cardboard glasses without lenses, and their temples."""
    wide, high = rng.uniform(0.29, 0.34), rng.uniform(0.2, 0.26)
    dx = (np.abs(chart.x) - who.eye_x - 0.02) / wide
    dy = (chart.y - who.eye_y - 0.03) / high
    power = rng.choice([2.0, 4.0])
    ring = ((np.abs(dx) ** power + np.abs(dy) ** power) ** (1 / power) - 1) * 0.25
    rim = np.maximum(-ring - 0.02, ring - rng.uniform(0.1, 0.18))
    bridge = np.maximum(np.abs(chart.x) - 0.2, np.abs(chart.y - who.eye_y) - 0.07)
    arms = np.maximum(0.7 - np.abs(chart.x), np.abs(chart.y - who.eye_y) - 0.07)
    open_ = chart.soft(ring + 0.02, 0.02)
    return chart.soft(np.minimum(np.minimum(rim, bridge), arms), 0.02) * (1 - open_)


def _strip(
    who: Identity, chart: Chart, rng: np.random.Generator, y: float, half: float
) -> Array:
    """A piece of paper across the face, cut by hand."""
    wave = 0.03 * fractal(rng, chart.shape, 0.8 * chart.density, 2)
    tilt = rng.uniform(-0.06, 0.06) * chart.x
    wide = rng.uniform(0.72, 0.9) * half_width(who, np.full_like(chart.y, y))
    rim = np.maximum(np.abs(chart.x) - wide, np.abs(chart.y - y - tilt) - half)
    return chart.soft(rim + wave, 0.02)


def eye_strip(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """A printed piece over brows and eyes."""
    return _strip(who, chart, rng, who.eye_y - 0.03, float(rng.uniform(0.28, 0.4)))


def mouth_strip(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """A printed piece over nose and mouth."""
    high = float(rng.uniform(0.35, 0.48))
    return _strip(who, chart, rng, who.mouth_y - 0.14, high)


PARTS = {
    "whole": whole,
    "face": face,
    "upper": lambda who, chart, rng: _half(who, chart, rng, 1),
    "lower": lambda who, chart, rng: _half(who, chart, rng, -1),
    "head": head,
    "eyeballs": eyeballs,
    "frames": frames,
    "eye strip": eye_strip,
    "mouth strip": mouth_strip,
}


def lips(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """The lips and a narrow margin."""
    y = chart.y - who.mouth_y + who.smile * (chart.x / who.mouth_width) ** 2
    taper = np.clip(1 - (np.abs(chart.x) / who.mouth_width) ** 2.2, 0, 1)
    rim = np.maximum(-y - who.lips * 1.1 * taper, y - who.lips * 1.5 * taper)
    return chart.soft(rim, 0.03) * (taper > 0)


def lids(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """The eyelids, from the lashes to the brow."""
    return pair(chart.x, chart.y, who.eye_x + 0.02, who.eye_y - 0.1, 0.19, 0.07)


def cheeks(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """The cheeks, for rouge."""
    return pair(chart.x, chart.y, 0.58, 0.48, 0.2, 0.16)


def brows(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """Drawn eyebrows."""
    along = (np.abs(chart.x) - 0.13) / 0.62
    arch = who.brow_y + 0.05 - who.brow_tilt * np.sin(np.clip(along, 0, 1) * 2.2)
    band = np.abs(chart.y - arch) - who.brow_weight * np.clip(1.2 - 0.8 * along, 0.3, 1)
    return chart.soft(np.maximum(band, np.abs(along - 0.5) * 0.6 - 0.3), 0.04)


def hollows(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """Zones of painted shade: beside the nose, below the cheekbones, on the temples."""
    nose = pair(chart.x, chart.y, 0.17, 0.3, 0.05, 0.25)
    bones = pair(chart.x, chart.y, 0.68, 0.72, 0.2, 0.12)
    return np.minimum(nose + bones + pair(chart.x, chart.y, 0.85, -0.4, 0.15, 0.3), 1)


def ridges(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """Zones of painted highlights: on the nose, the cheekbones, the chin."""
    nose = bump(chart.x, chart.y, 0, 0.3, 0.045, 0.3)
    bones = pair(chart.x, chart.y, 0.55, 0.3, 0.2, 0.06)
    return np.minimum(nose + bones + bump(chart.x, chart.y, 0, 1.35, 0.12, 0.1), 1)


def lines(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """Painted wrinkles, without relief."""
    fold = np.abs(chart.x) - (
        who.nose_width + 0.12 + 0.42 * np.clip(chart.y - 0.6, -0.2, 0.6)
    )
    total = np.exp(-0.5 * (fold / 0.025) ** 2) * bump(0, chart.y, 0, 0.85, 1, 0.16)
    for _ in range(3):
        level = rng.uniform(-0.85, -0.4) + 0.03 * np.cos(
            3 * chart.x + rng.uniform(0, 6)
        )
        total = total + np.exp(-0.5 * ((chart.y - level) / 0.018) ** 2) * bump(
            chart.x, 0, 0, 0, 0.4, 1
        )
    return np.minimum(total, 1)


def jaw(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """The area of a beard."""
    side = step(chart.y, 0.5, 0.95) * step(np.abs(chart.x), 0.15, 0.6)
    below = step(chart.y, who.mouth_y + 0.14, who.mouth_y + 0.24)
    lip = pair(chart.x, chart.y, 0.14, who.mouth_y - 0.19, 0.2, 0.05)
    speckle = fractal(rng, chart.shape, 0.05 * chart.density, 2)
    zone = np.maximum(np.maximum(side, below), lip) * (1 - lips(who, chart, rng))
    return np.clip(zone * (0.9 + 0.15 * speckle), 0, 1)


def patches(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """Irregular fields of face paint."""
    noise = fractal(rng, chart.shape, rng.uniform(0.5, 1.1) * chart.density, 2)
    return step(noise, 0.45, 0.55) * whole(who, chart, rng)


def bands(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """Stripes of face paint."""
    angle = rng.uniform(0, np.pi)
    across = chart.x * np.cos(angle) + chart.y * np.sin(angle)
    wave = np.sin(across * rng.uniform(5, 9) + rng.uniform(0, 6))
    return step(wave, 0.7, 0.8) * whole(who, chart, rng)


def features(who: Identity, chart: Chart) -> Array:
    """The painted features of a mannequin: eyes, brows, lips, nostrils."""
    rng = np.random.default_rng(0)  # these zones are not random
    eyes = pair(chart.x, chart.y, who.eye_x, who.eye_y, 0.2, 0.11)
    nose = pair(chart.x, chart.y, 0.1, who.eye_y + who.nose_length + 0.05, 0.08, 0.05)
    return np.clip(
        1.3 * eyes + nose + brows(who, chart, rng) + lips(who, chart, rng), 0, 1
    )


ZONES = {
    "face": whole,
    "lips": lips,
    "lids": lids,
    "cheeks": cheeks,
    "brows": brows,
    "hollows": hollows,
    "ridges": ridges,
    "lines": lines,
    "jaw": jaw,
    "patches": patches,
    "bands": bands,
}
