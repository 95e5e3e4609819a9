"""One person's head as textures: height, normals, albedo, gloss, and moving eyes."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from nasfas_jax.synthetic import shape
from nasfas_jax.synthetic.fields import Array, Chart, bump, fractal, pair, step
from nasfas_jax.synthetic.identity import BY_BLOOD, Identity, skin_color

LEFT, TOP, RIGHT, BOTTOM = -1.65, -2.0, 1.65, 2.25


@dataclasses.dataclass(frozen=True)
class Head:
    """Textures over one chart of the head's front, all float32.

    Attributes:
      who: numbers of the person.
      chart: the textures' grid.
      height: z [H, W] in head units.
      normals: unit normals [H, W, 3].
      albedo: linear RGB reflectance [H, W, 3], eyes not yet drawn.
      cover: 1 on the head, 0 outside [H, W].
      gloss: strength of the specular lobe [H, W].
      cavity: share of ambient light that reaches the point, 0 to 1 [H, W].
      wrap: range of subsurface scattering, by color [3].
      over: color and cover of glasses or hair over the eyes [H, W, 4].
      blood: share of light, by color, that an additional unit of blood absorbs in visible
        living skin [H, W, 3].
      shine: exponent of the specular lobe.
    """

    who: Identity
    chart: Chart
    height: Array
    normals: Array
    albedo: Array
    cover: Array
    gloss: Array
    cavity: Array
    wrap: Array
    over: Array
    blood: Array
    shine: int = 16


def build_head(who: Identity, density: float) -> Head:
    """The live head of a person with `density` texels a head unit."""
    chart = Chart(LEFT, TOP, RIGHT, BOTTOM, density)
    rng = np.random.default_rng([who.seed, 1])
    hair, hair_height = shape.hair_mask(who, chart, rng)
    skull = _skull(who, chart, rng)
    height = np.where(hair > 0.02, np.maximum(skull, hair_height), skull)
    width = shape.half_width(who, chart.y)
    rim = np.maximum(np.abs(chart.x) - width, chart.y - who.chin)
    ears = shape.ears(who, chart) * (who.hair != "long")
    body = np.maximum(chart.soft(np.maximum(rim, -1.62 - chart.y)), ears)
    cover = np.maximum(body, hair)
    height = np.where(cover > 0.05, height, shape.FLOOR).astype(np.float32)
    albedo, gloss = skin(who, chart, rng)
    albedo *= (1 - 0.25 * ears * chart.soft(np.abs(np.abs(chart.x) - 1.06) - 0.03))[
        ..., None
    ]
    strands = fractal(rng, chart.shape, (0.5 * density, 0.05 * density), 3)
    tint = who.hair_color * np.exp(0.35 * strands)[..., None]
    glasses = _glasses(who, chart)
    over = np.dstack([tint * hair[..., None], hair])
    over = glasses + over * (1 - glasses[..., 3:])
    albedo = over[..., :3] + albedo * (1 - over[..., 3:])
    gloss = gloss * (1 - hair) + 0.03 * hair * np.exp(0.5 * strands)
    height_blurred = chart.blur(height, 0.025)
    return Head(
        who,
        chart,
        height_blurred,
        normals_of(height_blurred, density),
        albedo.astype(np.float32),
        cover.astype(np.float32),
        gloss.astype(np.float32),
        cavities(chart, height),
        np.array([0.34, 0.20, 0.14], np.float32),
        over.astype(np.float32),
        (body - ears * 0.5).clip(0, 1)[..., None] * (1 - over[..., 3:]) * BY_BLOOD,
    )


def _skull(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """Height of skin and ears [H, W]."""
    x, y = chart.x, chart.y
    width = shape.half_width(who, y)
    front = shape.dome(x, y, width, -1.63, who.chin + 0.005)
    relief = shape.features(who, x + who.asymmetry * y, y) * step(front, 0.1, 0.5)
    relief = relief + shape.wrinkles(who, x, y, rng) * step(front, 0.3, 0.6)
    pores = fractal(rng, chart.shape, 0.05 * chart.density, 2) * 0.0015
    return who.depth * front + relief + pores * (front > 0.3)


def normals_of(height: Array, density: float) -> Array:
    """Unit normals [H, W, 3] of a height field."""
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=density / 8)
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=density / 8)
    slope = np.sqrt(dx * dx + dy * dy)
    limit = np.minimum(1, 4 / np.maximum(slope, 1e-6))
    normals = np.dstack([-dx * limit, -dy * limit, np.ones_like(dx)])
    return normals / np.linalg.norm(normals, axis=2, keepdims=True)


def cavities(chart: Chart, height: Array) -> Array:
    """Share of ambient light that reaches each point, 0 to 1 [H, W]."""
    lifted = np.maximum(height, -0.1)
    deep = np.maximum(chart.blur(lifted, 0.09) - lifted, 0) * 4.0
    wide = np.maximum(chart.blur(lifted, 0.3) - lifted, 0) * 0.9
    return np.clip(1 - deep - wide, 0.35, 1).astype(np.float32)


def skin(who: Identity, chart: Chart, rng: np.random.Generator) -> tuple[Array, Array]:
    """Albedo [H, W, 3] and gloss [H, W] of the face without eyes."""
    x, y, density = chart.x, chart.y, chart.density
    base = who.eye_y + who.nose_length
    mottle = fractal(rng, chart.shape, 0.35 * density, 4)
    grain = fractal(rng, chart.shape, 0.08 * density, 3)
    blood = who.blood * (1 + 0.25 * mottle + 0.12 * grain)
    blood = blood + 0.30 * pair(x, y, 0.55, 0.5, 0.22, 0.2)
    blood = blood + 0.30 * bump(x, y, 0, base - 0.05, 0.16, 0.12)
    blood = blood + 0.25 * pair(x, y, who.eye_x, who.eye_y, 0.24, 0.11)
    lips = _lips(who, chart)
    made_up = who.feminine > 0.6 and who.seed % 3 == 0
    blood = blood + lips * ((1.7 if made_up else 0.85) + 0.1 * grain)
    albedo = skin_color(who.melanin, blood)
    dark = 0.16 * pair(x, y, who.eye_x - 0.05, who.eye_y + 0.17, 0.17, 0.07)
    dark = dark + 0.22 * pair(x, y, who.eye_x, who.eye_y - 0.06, 0.2, 0.07)
    dark = dark + 0.04 * mottle + 0.03 * grain
    spots = fractal(rng, chart.shape, 0.06 * density, 1) > 1.7
    zone = bump(x, y, 0, 0.4, 0.6, 0.35)
    dark = dark + who.freckles * 0.9 * chart.blur(spots.astype(np.float32), 0.01) * zone
    for _ in range(int(rng.integers(0, 4))):  # moles
        at = rng.uniform([-0.7, -0.7], [0.7, 1.3])
        dark = dark + 0.7 * bump(x, y, at[0], at[1], 0.02, 0.02)
    albedo = albedo * np.exp(-dark)[..., None]
    nostril = pair(x, y, 0.52 * who.nose_width, base + 0.05, 0.05, 0.026)
    seam = y - who.mouth_y + who.smile * (x / who.mouth_width) ** 2
    mouth = np.exp(-0.5 * (seam / 0.016) ** 2) * chart.soft(
        np.abs(x) - who.mouth_width, 0.05
    )
    albedo = albedo * (1 - 0.8 * np.minimum(nostril, 1))[..., None]
    albedo = albedo + mouth[..., None] * (0.03 * skin_color(0.5, 1.5) - 0.9 * albedo)
    albedo = _whiskers(who, chart, rng, albedo)
    zone = bump(x, y, 0, -0.6, 0.5, 0.25) + bump(x, y, 0, 0.45, 0.12, 0.3)
    zone = zone + 0.6 * pair(x, y, 0.55, 0.35, 0.2, 0.18) + 0.8 * lips
    return albedo, 0.02 + (0.02 + 0.035 * (who.seed % 7) / 6) * zone


def _lips(who: Identity, chart: Chart) -> Array:
    """Coverage [H, W] of the lips."""
    x = chart.x
    y = chart.y - who.mouth_y + who.smile * (x / who.mouth_width) ** 2
    taper = np.clip(1 - (np.abs(x) / who.mouth_width) ** 2.2, 0, 1)
    bow = 1 - 0.25 * bump(x, 0, 0, 0, 0.06, 1)
    upper = -y - who.lips * 1.05 * taper * bow
    lower = y - who.lips * 1.45 * taper
    return chart.soft(np.maximum(upper, lower), 0.03) * (taper > 0)


def _whiskers(
    who: Identity, chart: Chart, rng: np.random.Generator, albedo: Array
) -> Array:
    """Albedo with brows, stubble and beard over it."""
    x, y = chart.x, chart.y
    along = (np.abs(x) - 0.15) / 0.6
    arch = who.brow_y + 0.06 - who.brow_tilt * np.sin(np.clip(along, 0, 1) * 2.2)
    thick = who.brow_weight * np.clip(1.15 - 0.75 * along, 0.3, 1)
    band = np.maximum(np.abs(y - arch) - thick, np.abs(along - 0.5) * 0.6 - 0.3)
    hairs = fractal(rng, chart.shape, (0.06 * chart.density, 0.03 * chart.density), 2)
    brows = chart.soft(band, 0.05) * np.clip(0.8 + 0.2 * hairs, 0, 1)
    jaw = step(y, 0.55, 1.05) * step(np.abs(x), 0.1, 0.55)
    jaw = np.maximum(jaw, step(y, who.mouth_y + 0.16, who.mouth_y + 0.24))
    lip = pair(x, y, 0.14, who.mouth_y - 0.19, 0.2, 0.05)
    below = chart.soft(y - who.chin, 0.1) * (1 - _lips(who, chart))
    speckle = fractal(rng, chart.shape, 0.03 * chart.density, 2)
    beard = np.maximum(jaw * who.beard, lip * who.moustache) * below
    if who.feminine < 0.5:
        beard = np.maximum(beard, 0.14 * np.maximum(jaw, lip) * below)
    beard = np.clip(beard * (0.8 + 0.25 * speckle), 0, 0.92)
    for cover in (beard, brows * 0.9):
        albedo = albedo + cover[..., None] * (who.hair_color * 1.1 - albedo)
    return albedo


def _glasses(who: Identity, chart: Chart) -> Array:
    """Premultiplied color and cover [H, W, 4] of the frame of the glasses."""
    if who.glasses == "none":
        return np.zeros((*chart.shape, 4), np.float32)
    thick = 0.038 if who.glasses == "thick" else 0.018
    dx = (np.abs(chart.x) - who.eye_x - 0.02) / 0.33
    dy = (chart.y - who.eye_y - 0.04) / 0.25
    ring = ((np.abs(dx) ** 3 + np.abs(dy) ** 3) ** (1 / 3) - 1) * 0.28
    bridge = np.maximum(np.abs(chart.x) - 0.12, np.abs(chart.y - who.eye_y) - thick)
    arms = np.maximum(
        np.maximum(0.78 - np.abs(chart.x), np.abs(chart.x) - 1.05),
        np.abs(chart.y - who.eye_y + 0.04) - thick,
    )
    frame = chart.soft(np.minimum(np.minimum(np.abs(ring) - thick, bridge), arms), 0.01)
    color = np.array([0.02, 0.02, 0.025], np.float32)
    color = color if who.seed % 2 else color + np.array([0.1, 0.06, 0.03], np.float32)
    return np.dstack([frame[..., None] * color, frame]).astype(np.float32)


def draw_eyes(head: Head, open_: float, gaze: tuple[float, float]) -> Array:
    """Albedo [H, W, 3] with both eyes drawn.

    Args:
      head: the head.
      open_: openness of the eyes, 1 for open, 0 for closed.
      gaze: direction of the gaze, right and down, about -1 to 1.
    """
    albedo = head.albedo.copy()
    who, chart = head.who, head.chart
    for side in (-1, 1):
        cx = side * who.eye_x
        rows, columns = chart.window(
            cx - 0.31, who.eye_y - 0.24, cx + 0.31, who.eye_y + 0.2
        )
        u = side * (chart.x[:, columns] - cx)
        v = chart.y[rows] - who.eye_y + who.eye_tilt * u
        eye, cover = _eye(who, chart, u, v, side, open_, gaze)
        patch = albedo[rows, columns]
        patch = patch * (1 - cover[..., None]) + eye
        over = head.over[rows, columns]
        albedo[rows, columns] = over[..., :3] + patch * (1 - over[..., 3:])
    return albedo


def _eye(who, chart, u, v, side, open_, gaze) -> tuple[Array, Array]:
    """Premultiplied color [h, w, 3] and cover [h, w] of one eye."""
    arc = np.clip(1 - (u / who.eye_width) ** 2, 0, 1)
    shut = 0.55 * who.eye_height * arc
    upper = shut + open_ * (-1.05 * who.eye_height * arc**0.8 - shut)
    lower = 0.62 * who.eye_height * arc
    opening = chart.soft(np.maximum(upper - v, v - lower)) * (arc > 0)
    du, dv = u - side * 0.05 * gaze[0], v - 0.03 * gaze[1] + 0.012
    radius = np.sqrt(du * du + dv * dv)
    white = np.array([0.50, 0.46, 0.43], np.float32)
    ball = white * (1 - 0.35 * (u / who.eye_width) ** 2)[..., None]
    ball = ball * (1 - 0.55 * chart.soft(np.abs(v - upper) - 0.03, 0.07))[..., None]
    iris = chart.soft(radius - 0.1)[..., None]
    ring = 0.45 + 0.8 * chart.soft(radius - 0.08, 0.03) * radius / 0.1
    ball = ball + iris * (who.eye_color * ring[..., None] - ball)
    ball = ball * (1 - 0.97 * chart.soft(radius - 0.042))[..., None]
    glint = bump(u, v, side * -0.025, -0.04, 0.017, 0.017)[..., None]
    ball = ball + 1.3 * glint * opening[..., None]
    lash = chart.soft(np.abs(v - upper) - 0.017 - 0.008 * who.feminine) * (arc > 0.02)
    crease = 0.35 * chart.soft(np.abs(v - upper + 0.07 * open_) - 0.012, 0.03) * arc
    rim = 0.3 * chart.soft(np.abs(v - lower) - 0.008, 0.02) * (arc > 0)
    dark = np.maximum(np.maximum(0.85 * lash, crease), rim * (1 - opening))
    eye = ball * (opening * (1 - dark))[..., None]
    eye = eye + (dark * 0.02)[..., None]
    return eye, opening * (1 - dark) + dark
