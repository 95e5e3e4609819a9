"""One person's head as textures: height, normals, albedo, gloss."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from nasfas_jax.synthetic import hair, shape, skin
from nasfas_jax.synthetic.eyeballs import eyeball
from nasfas_jax.synthetic.fields import Array, Chart, bump, fractal, pair, step
from nasfas_jax.synthetic.identity import BY_BLOOD, Identity, skin_color

LEFT, TOP, RIGHT, BOTTOM = -1.65, -2.0, 1.65, 2.25


@dataclasses.dataclass(frozen=True)
class Head:
    """Textures over one chart of the head's front, all float32.

    Smooth textures have half the resolution, [h, w].

    Attributes:
      who: numbers of the person.
      chart: the textures' grid.
      height: z [H, W] in head units.
      fine: height [H, W] of pores, lines and strands on it.
      normals: unit normals [H, W, 3] with the finest relief, of the reflecting film.
      soft: normals by color [3, h, w, 3] of the light from below the surface, which is
        scattered over some distance: relief that is finer does not shade it.
      albedo: linear RGB reflectance [H, W, 3], eyes not yet drawn.
      cover: 1 on the head, 0 outside [H, W].
      gloss: strength of the specular lobe [H, W]: Fresnel reflectance at normal incidence
        times cover.
      cavity: share of ambient light that reaches the point, 0 to 1 [h, w].
      over: color and cover of glasses or hair over the eyes [H, W, 4].
      blood: share of light, by color, that an additional unit of blood absorbs in visible
        living skin [H, W, 3].
      balls: albedo [h, w, 3] of the two eyeballs, on the texels of `eyeballs.place`.
      shine: exponent of the specular lobe.
      polish: share of the surface that mirrors the room [h, w], 0 for skin.
      neck: linear RGB [3] of the neck of a mannequin, or None for skin.
      scatter: deviation of the distance that light travels inside, by color, head units.
    """

    who: Identity
    chart: Chart
    height: Array
    fine: Array
    normals: Array
    soft: Array
    albedo: Array
    cover: Array
    gloss: Array
    cavity: Array
    over: Array
    blood: Array
    balls: tuple[Array, Array]
    shine: int = skin.SHINE
    polish: Array | float = 0.0
    neck: Array | None = None
    scatter: tuple[float, float, float] = skin.SCATTER


def build_head(who: Identity, density: float) -> Head:
    """The live head of a person with `density` texels a head unit."""
    chart = Chart(LEFT, TOP, RIGHT, BOTTOM, density)
    rng = np.random.default_rng([who.seed, 1])
    lock = hair.strands(who, chart, rng)
    hairy, hair_height = hair.hair_mask(who, chart, lock)
    skull = _skull(who, chart, rng)
    height = skull + hairy * np.maximum(hair_height - skull, 0)
    width = shape.half_width(who, chart.y)
    rim = np.maximum(np.abs(chart.x) - width, chart.y - who.chin)
    ears = shape.ears(who, chart) * (who.hair != "long")
    body = np.maximum(chart.soft(np.maximum(rim, -1.62 - chart.y)), ears)
    cover = np.maximum(body, hairy)
    height = np.where(cover > 0.05, height, shape.FLOOR).astype(np.float32)
    albedo, gloss, fine = face(who, chart, rng)
    albedo *= (1 - 0.25 * ears * chart.soft(np.abs(np.abs(chart.x) - 1.06) - 0.03))[
        ..., None
    ]
    tint = who.hair_color * np.exp(0.3 * lock)[..., None]
    glasses = _glasses(who, chart)
    over = np.dstack([tint * hairy[..., None], hairy])
    over = glasses + over * (1 - glasses[..., 3:])
    albedo = over[..., :3] + albedo * (1 - over[..., 3:])
    gloss = gloss * (1 - hairy) + 0.02 * hairy * np.exp(0.5 * lock)
    fine = fine * (1 - hairy) + 0.004 * lock * hairy
    smooth = chart.blur(height, 0.012)
    return Head(
        who,
        chart,
        height,
        fine.astype(np.float32),
        normals_of(smooth + fine, density),
        soft_normals(chart, smooth, skin.SCATTER),
        albedo.astype(np.float32),
        cover.astype(np.float32),
        gloss.astype(np.float32),
        cavities(chart, height),
        over.astype(np.float32),
        (body - ears * 0.5).clip(0, 1)[..., None] * (1 - over[..., 3:]) * BY_BLOOD,
        (eyeball(who, chart, -1), eyeball(who, chart, 1)),
    )


def _skull(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """Height of skin and ears [H, W]."""
    x, y = chart.x, chart.y
    width = shape.half_width(who, y)
    front = shape.dome(x, y, width, -1.63, who.chin + 0.005)
    relief = shape.features(who, x + who.asymmetry * y, y) * step(front, 0.1, 0.5)
    relief = relief + shape.wrinkles(who, x, y, rng) * step(front, 0.3, 0.6)
    uneven = fractal(rng, chart.shape, 0.3 * chart.density, 2) * 0.006
    return who.depth * front + relief + uneven * (front > 0.3)


def half(image: Array) -> Array:
    """A texture at half its resolution."""
    rows, columns = image.shape[:2]
    size = (max(1, columns // 2), max(1, rows // 2))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def normals_of(height: Array, density: float) -> Array:
    """Unit normals [H, W, 3] of a height field."""
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=density / 8)
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=density / 8)
    slope = np.sqrt(dx * dx + dy * dy)
    limit = np.minimum(1, 4 / np.maximum(slope, 1e-6))
    long_ = np.sqrt(1 + (slope * limit) ** 2)
    return cv2.merge([-dx * limit / long_, -dy * limit / long_, 1 / long_])


def soft_normals(chart: Chart, height: Array, scatter) -> Array:
    """Normals by color [3, h, w, 3] of the light scattered below a surface.

    Irradiance is linear in the normals, so that its blur by scattering is that of the
    normals (Ma et al., "Rapid acquisition of specular and diffuse normal maps", 2007).
    """
    normals = normals_of(half(height), chart.density / 2)
    return np.stack(
        [
            cv2.GaussianBlur(normals, (0, 0), max(0.3, s * chart.density / 2))
            for s in scatter
        ]
    )


def cavities(chart: Chart, height: Array) -> Array:
    """Share of ambient light that reaches each point, 0 to 1 [h, w]."""
    lifted, density = np.maximum(half(height), -0.1), chart.density / 2
    deep, middle, wide = (
        np.maximum(cv2.GaussianBlur(lifted, (0, 0), s * density) - lifted, 0)
        for s in (0.04, 0.09, 0.3)
    )
    return np.clip(1 - 4 * deep - 5 * middle - 2.2 * wide, 0.2, 1).astype(np.float32)


def face(
    who: Identity, chart: Chart, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Albedo [H, W, 3], gloss and fine relief [H, W] of the face without eyes."""
    x, y = chart.x, chart.y
    base = who.eye_y + who.nose_length
    lips = _lips(who, chart)
    melanin, blood = skin.pigments(who, chart, rng, lips)
    fine = skin.relief(who, chart, rng)
    albedo = skin.albedo_of(melanin, blood, fine)
    nostril = pair(x, y, 0.5 * who.nose_width, base + 0.045, 0.042, 0.022)
    seam = y - who.mouth_y + who.smile * (x / who.mouth_width) ** 2
    mouth = np.exp(-0.5 * (seam / 0.014) ** 2) * chart.soft(
        np.abs(x) - who.mouth_width, 0.05
    )
    albedo = albedo * (1 - 0.85 * np.minimum(nostril, 1))[..., None]
    albedo = albedo + mouth[..., None] * (0.05 * skin_color(0.5, 1.5) - 0.85 * albedo)
    for cover in hair.whiskers(who, chart, rng, lips):
        albedo = albedo + cover[..., None] * (who.hair_color * 1.1 - albedo)
    return albedo, skin.film(who, chart, rng, lips), fine


def _lips(who: Identity, chart: Chart) -> Array:
    """Coverage [H, W] of the lips."""
    x = chart.x
    y = chart.y - who.mouth_y + who.smile * (x / who.mouth_width) ** 2
    taper = np.clip(1 - (np.abs(x) / who.mouth_width) ** 2.2, 0, 1)
    bow = 1 - 0.25 * bump(x, 0, 0, 0, 0.06, 1)
    upper = -y - who.lips * 1.05 * taper * bow
    lower = y - who.lips * 1.45 * taper
    return chart.soft(np.maximum(upper, lower), 0.08) * (taper > 0)


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
