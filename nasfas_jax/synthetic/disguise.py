"""Objects and pigments on a head: masks, makeup, pieces of paper.

`WORN` and `PAINTED` define the attacks: place and optical properties of a material or a
pigment, and the share of facial motion that remains visible. The head below, the light and
the camera are those of a live clip.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from nasfas_jax.synthetic import live, materials, parts, printing, scene
from nasfas_jax.synthetic.eyes import draw_eyes
from nasfas_jax.synthetic.fields import Array, Chart, bump, fractal, pair
from nasfas_jax.synthetic.head import (
    Head,
    cavities,
    face,
    half,
    normals_of,
    soft_normals,
)
from nasfas_jax.synthetic.identity import Identity, draw_identity, skin_color
from nasfas_jax.synthetic.materials import Material
from nasfas_jax.synthetic.scene import Behavior

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Worn:
    """A material on a part of the head; ranges are sampled.

    Attributes:
      part: covered part, a key of `parts.PARTS`.
      picture: the picture on it: the wearer's "face" as molded and painted, the same
        "print"ed on paper, one "plain" color, joke eyeballs ("pupils"), or the "haze" of
        molded film.
      material: its reflectance and scattering.
      coated: material that half of the attackers use instead, or None.
      lift: distance from the skin, head units.
      smooth: width of the hollows it bridges, head units.
      crease: side of the flat facets into which it folds, head units; 0 bends freely.
      clear: share of transmitted light.
      eyes: "live" if they are visible, also through holes, else "painted".
      mouth: whether the living lips are visible through an opening.
      flex: share of the expression that moves it.
      folds: depth of the folds of loose rubber, head units.
    """

    part: str
    picture: str
    material: Material
    lift: Range
    smooth: Range
    coated: Material | None = None
    crease: float = 0.0
    clear: float = 0.0
    eyes: str = "live"
    mouth: bool = False
    flex: float = 0.0
    folds: Range = (0.0, 0.0)


_RUBBER = (materials.LATEX, (0.05, 0.1), (0.04, 0.08))  # 3 to 7 mm thick
_LOOSE = (0.005, 0.015)  # a shell of 1 to 2 mm buckles by half its thickness
_PAPER = (materials.PAPER, (0.03, 0.06))
_SHEET = (0.15, 0.3)  # paper bends in one direction and bridges the features

WORN = {
    "upper": Worn("upper", "face", *_RUBBER, flex=1.0, folds=_LOOSE),
    "lower": Worn("lower", "face", *_RUBBER, mouth=True, folds=_LOOSE),
    "silicone": Worn(
        "face",
        "face",
        materials.SILICONE,
        lift=(0.03, 0.06),
        smooth=(0.025, 0.05),
        mouth=True,
        flex=0.45,
        folds=(0.002, 0.008),
    ),
    "transparent": Worn(
        "face",
        "haze",
        materials.FILM,
        lift=(0.05, 0.08),
        smooth=(0.05, 0.09),
        clear=0.72,
    ),
    "holes": Worn("face", "print", *_PAPER, _SHEET, materials.PHOTO_PAPER, crease=0.42),
    "whole": Worn(
        "whole",
        "print",
        *_PAPER,
        _SHEET,
        materials.PHOTO_PAPER,
        crease=0.3,
        eyes="painted",
    ),
    "plastic": Worn(
        "head",
        "plain",
        materials.PLASTIC,
        lift=(0.0, 0.02),
        smooth=(0.03, 0.06),
        eyes="painted",
    ),
    "resin": Worn(
        "head",
        "face",
        materials.RESIN,
        lift=(0.0, 0.02),
        smooth=(0.03, 0.05),
        eyes="painted",
    ),
    "funny_eye": Worn(
        "eyeballs",
        "pupils",
        materials.CERAMIC,
        lift=(0.14, 0.2),
        smooth=(0.2, 0.2),
        eyes="painted",
        flex=1.0,
    ),
    "paper_glasses": Worn("frames", "plain", *_PAPER, smooth=(0.25, 0.25), flex=1.0),
    "eyes": Worn(
        "eye strip",
        "print",
        *_PAPER,
        (0.2, 0.3),
        materials.PHOTO_PAPER,
        eyes="painted",
        flex=1.0,
    ),
    "mouth": Worn("mouth strip", "print", *_PAPER, (0.2, 0.3), materials.PHOTO_PAPER),
}


@dataclasses.dataclass(frozen=True)
class Pigment:
    """Paint on living skin.

    Attributes:
      zone: painted zone, a key of `parts.ZONES`.
      colors: linear RGB reflectances, one of which is sampled; () for the mean color of
        the skin.
      cover: range of opacity.
      gloss: factor of the gloss of the skin: below 1 for powder, above 1 for lipstick.
    """

    zone: str
    colors: tuple
    cover: Range
    gloss: float = 1.0


_DARK = ((0.02, 0.015, 0.015), (0.05, 0.03, 0.02))
_LIPSTICKS = ((0.45, 0.03, 0.05), (0.30, 0.02, 0.09), (0.55, 0.15, 0.15))
_SHADOWS = ((0.05, 0.04, 0.10), (0.20, 0.08, 0.05), (0.05, 0.12, 0.18))
_PAINTS = (
    (0.02, 0.02, 0.02),
    (0.75, 0.74, 0.70),
    (0.55, 0.04, 0.04),
    (0.04, 0.10, 0.45),
    (0.06, 0.30, 0.08),
    (0.70, 0.50, 0.04),
)
_BASE = Pigment("face", (), (0.35, 0.7), gloss=0.45)

PAINTED = {
    "cosmetic": (
        _BASE,
        Pigment("lips", _LIPSTICKS, (0.6, 0.9), gloss=2.0),
        Pigment("lids", _SHADOWS, (0.35, 0.75)),
        Pigment("cheeks", ((0.60, 0.16, 0.15),), (0.2, 0.45)),
        Pigment("brows", _DARK, (0.3, 0.7)),
    ),
    "impersonation": (
        Pigment("hollows", ((0.10, 0.05, 0.03),), (0.25, 0.5), gloss=0.4),
        Pigment("ridges", ((0.80, 0.68, 0.58),), (0.2, 0.45)),
        Pigment("lines", _DARK, (0.15, 0.4)),
    ),
    "paint": (
        Pigment("patches", _PAINTS, (0.75, 0.95), gloss=1.3),
        Pigment("patches", _PAINTS, (0.75, 0.95), gloss=1.3),
        Pigment("bands", _PAINTS, (0.6, 0.95)),
    ),
    "beard": (
        _BASE,
        Pigment("jaw", _DARK, (0.6, 0.85), gloss=0.4),
        Pigment("brows", _DARK, (0.7, 0.95)),
        Pigment("lines", _DARK, (0.3, 0.6)),
        Pigment("lids", _DARK, (0.2, 0.5)),
    ),
}


PRINTER = {  # of worn prints; the gloss is that of their `Material`
    "ruling": (0, 0),
    "scattered": 1.0,
    "glossy": 0.0,
    "gain": (0.0, 0.1),
    "key": (0.7, 0.95),
    "white": (-0.05, 0.08),
    "banding": (0.01, 0.05),
}


def put_on(
    variant: str, head: Head, behavior: Behavior, rng: np.random.Generator
) -> tuple[Head, Behavior]:
    """The head and its behavior under a worn object or makeup.

    Args:
      variant: key of `WORN` or `PAINTED`.
      head: the live head.
      behavior: behavior of the live head.
      rng: generator of the attack.
    """
    if variant in PAINTED:
        return paint(head, variant, rng), behavior
    worn = WORN[variant]
    behavior = behavior.stiffen(worn.flex)
    if worn.eyes == "painted":
        behavior = behavior.stare()
    return wear(head, worn, rng), behavior


def wear(head: Head, worn: Worn, rng: np.random.Generator) -> Head:
    """The head with a material over a part of it."""
    chart, material = head.chart, worn.material
    if worn.coated and rng.random() < 0.5:
        material = worn.coated
    part = parts.PARTS[worn.part](head.who, chart, rng) * head.cover
    if worn.mouth:
        part = part * (1 - parts.slit(head.who, chart))
    part = part.astype(np.float32)
    albedo = _picture(head, worn, part, rng)
    edge = np.clip(1 - np.abs(part - 0.5) * 2.2, 0, 1)[..., None]
    albedo = albedo * (1 - 0.4 * edge * (1 - np.float32(worn.clear)))
    solid = part * (1 - np.float32(worn.clear) * (1 - _fog(head, rng)))
    height, fine = _relief(head, worn, material, part, rng)
    gloss = np.float32(rng.uniform(*material.fresnel))
    mixed = head.albedo + solid[..., None] * (albedo - head.albedo)
    over = np.dstack([albedo * solid[..., None], solid])
    # Light that passes a clear film is scattered by the skin below it.
    scatter = (material.scatter,) * 3
    below = half(solid if worn.clear else part)[None, ..., None]
    soft = head.soft + below * (soft_normals(chart, height, scatter) - head.soft)
    most = part.mean() > 0.1
    return dataclasses.replace(
        head,
        height=height,
        fine=fine,
        normals=normals_of(height + fine, chart.density),
        soft=soft.astype(np.float32),
        albedo=mixed.astype(np.float32),
        gloss=(head.gloss + part * (gloss - head.gloss)).astype(np.float32),
        cavity=cavities(chart, height),
        over=(over + head.over * (1 - solid[..., None])).astype(np.float32),
        blood=head.blood * (1 - solid[..., None]),
        shine=material.shine if most else head.shine,
        polish=half(part) * np.float32(material.polish),
        neck=_cheek(chart, albedo) if worn.part == "head" else None,
        scatter=scatter if most and not worn.clear else head.scatter,
    )


def _cheek(chart: Chart, albedo: Array) -> Array:
    """Median color [3] around the nose."""
    return np.median(albedo[chart.window(-0.6, 0.2, 0.6, 0.7)], axis=(0, 1))


def _relief(
    head: Head, worn: Worn, material: Material, part: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Height, and height of the finest relief [H, W], of the head with the worn object."""
    chart = head.chart
    smooth = chart.blur(head.height, rng.uniform(*worn.smooth))
    if worn.crease:
        smooth = _facets(chart, smooth, worn.crease)
    lifted = smooth + np.float32(rng.uniform(*worn.lift))
    if worn.part in ("face", "upper"):
        lifted += np.float32(rng.uniform(*SOCKET)) * _sockets(head.who, chart)
    if worn.folds[1]:
        sag = fractal(rng, chart.shape, (0.14 * chart.density, 0.4 * chart.density), 2)
        lifted -= np.float32(rng.uniform(*worn.folds)) * np.abs(sag)
    height = head.height + part * (lifted - head.height)
    rough = fractal(rng, chart.shape, 0.06 * chart.density, 3)
    fine = head.fine * (1 - part) + part * rough * np.float32(material.rough)
    return height.astype(np.float32), fine.astype(np.float32)


SOCKET = (0.04, 0.09)  # further distance from the eyes, which a wearer needs to blink


def _sockets(who: Identity, chart: Chart) -> Array:
    """Bridges over the hollows of the eyes, 1 at their centers [H, W]."""
    return pair(chart.x, chart.y, who.eye_x, who.eye_y, 0.3, 0.2)


def _fog(head: Head, rng: np.random.Generator) -> Array:
    """Share of light that breath on a clear film scatters, at nose and mouth [H, W]."""
    who, chart = head.who, head.chart
    middle = 0.5 * (who.eye_y + who.nose_length + who.mouth_y)
    return np.float32(rng.uniform(0, 0.5)) * bump(
        chart.x, chart.y, 0, middle, 0.35, 0.3
    )


def _facets(chart: Chart, height: Array, side: float) -> Array:
    """The relief [H, W] folded from flat pieces of about `side` head units."""
    rows, columns = chart.shape
    cells = max(2, round(side * chart.density))
    small = (max(2, columns // cells), max(2, rows // cells))
    coarse = cv2.resize(height, small, interpolation=cv2.INTER_AREA)
    flat = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return 0.75 * flat + 0.25 * height


def _picture(head: Head, worn: Worn, part: Array, rng: np.random.Generator) -> Array:
    """Albedo [H, W, 3] of the worn object."""
    who, chart = head.who, head.chart
    if worn.picture == "pupils":
        return parts.joke_eyes(who, chart, rng)
    if worn.picture == "haze":
        cloudy = 0.6 + 0.05 * fractal(rng, chart.shape, 0.3 * chart.density, 3)
        return cv2.merge([cloudy.astype(np.float32)] * 3)
    if worn.picture == "plain":
        if worn.part != "head":
            color = np.array(_PAINTS[rng.integers(len(_PAINTS))], np.float32)
            return np.broadcast_to(color, (*chart.shape, 3))
        return _doll(head, rng)
    shown = draw_eyes(head, 0.95, (0.0, 0.0)) if worn.eyes == "painted" else head.albedo
    if worn.picture == "print":
        return _print(head, chart.blur(shown, rng.uniform(0.015, 0.03)), part, rng)
    return _painted(head, chart.blur(shown, 0.02), worn.material.flat, rng)


def _painted(head: Head, molded: Array, flat: float, rng: np.random.Generator) -> Array:
    """Albedo [H, W, 3] of a cast face: one paint, sprayed shades, drawn features.

    Paint lacks the maps of blood and melanin of skin, and matches that of the wearer in
    part only. A dark wash collects in the hollows and bakes their shade in.
    """
    who, chart = head.who, head.chart
    melanin = np.clip(who.melanin * 0.9 + rng.normal(0.0, 0.12), 0, 1)
    tone = skin_color(melanin, rng.uniform(0.05, 0.45)) * np.exp(rng.normal(0, 0.08, 3))
    sprayed = 1 + 0.04 * fractal(rng, chart.shape, 0.5 * chart.density, 2)
    features = np.maximum(0.9 * parts.features(who, chart), head.over[..., 3])
    keep = 1 - np.float32(flat) * (1 - np.clip(features, 0, 1))
    hollow = 1 - cv2.resize(head.cavity, chart.shape[::-1])
    plain = tone * (sprayed * (1 - np.float32(rng.uniform(0, 0.4)) * hollow))[..., None]
    return (plain + keep[..., None] * (molded - plain)).astype(np.float32)


def _doll(head: Head, rng: np.random.Generator) -> Array:
    """Albedo of a mannequin: one color, painted features, a wig."""
    who, chart = head.who, head.chart
    skin_tone = skin_color(who.melanin * 0.8, 0.15) * np.exp(rng.normal(0, 0.1, 3))
    molded = chart.blur(draw_eyes(head, 0.95, (0.0, 0.0)), 0.012)
    features = parts.features(who, chart)[..., None]
    hair = head.over[..., 3:]
    keep = np.maximum(0.9 * features, hair)
    return (skin_tone + keep * (molded - skin_tone)).astype(np.float32)


def _print(head: Head, shown: Array, part: Array, rng: np.random.Generator) -> Array:
    """A face [H, W, 3] as a photo on paper, with baked-in light and ink colors."""
    chart = head.chart
    photo = _photographed(head, shown, rng)
    mean = float((photo * part[..., None]).sum() / (3 * part.sum() + 1))
    photo = photo * np.float32(rng.uniform(0.28, 0.45) / max(mean, 0.05))  # exposed
    cast = np.exp(rng.normal(0, 0.06, 3)).astype(np.float32)
    printer = printing.draw_printer(rng, PRINTER)
    # A texel of the chart averages many dots: those of a screen would alias with the chart,
    # which is no camera.
    fine = printing.print_texture(photo * cast, 2.0, 2 * chart.density, printer, rng)
    paper = cv2.resize(fine, chart.shape[::-1], interpolation=cv2.INTER_AREA)
    paper = paper.astype(np.float32) / 65535
    return _margin(chart, paper, part, rng)


def _photographed(head: Head, albedo: Array, rng: np.random.Generator) -> Array:
    """Radiance [H, W, 3] of a head in the light of the day when its photo was taken.

    The print keeps its shadows and highlights, which do not turn with the wearer.
    """
    light = scene.draw_light(rng, PHOTO_LIGHT)
    shadow = live.cast_shadow(head, light.direction, light.size)
    turn = np.eye(3, dtype=np.float32)
    return live.shade(head, albedo, light, turn, shadow)[..., :3]


PHOTO_LIGHT = {
    "azimuth": (0, 60),
    "elevation": (-5, 45),
    "ambient": (0.3, 0.7),
    "warmth": (-0.2, 0.4),
    "back": (1.0, 1.0),
}


def _margin(chart: Chart, paper: Array, part: Array, rng: np.random.Generator) -> Array:
    """The printed paper [H, W, 3] with up to 3 mm of white left by the scissors."""
    cells = max(1, round(rng.uniform(0.0, 0.045) * chart.density))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * cells + 1,) * 2)
    white = np.clip(part - cv2.erode(part, kernel), 0, 1)[..., None]
    return (paper + white * (0.84 - paper)).astype(np.float32)


def paint(head: Head, variant: str, rng: np.random.Generator) -> Head:
    """The living head with makeup."""
    if variant == "impersonation":
        head = _as_another(head, rng)
    for pigment in PAINTED[variant]:
        head = _apply(head, pigment, rng)
    return head


def _apply(head: Head, pigment: Pigment, rng: np.random.Generator) -> Head:
    """One pigment on the skin, below hair and glasses."""
    who, chart = head.who, head.chart
    zone = parts.ZONES[pigment.zone](who, chart, rng)
    cover = np.float32(rng.uniform(*pigment.cover)) * zone
    cover = np.clip(cover * head.cover * (1 - head.over[..., 3]), 0, 1)[..., None]
    if pigment.colors:
        color = np.array(pigment.colors[rng.integers(len(pigment.colors))])
        color = color * np.exp(rng.normal(0, 0.12))
    else:
        color = skin_color(who.melanin * 0.95, 0.2 + 0.3 * who.blood) * 0.95
    albedo = head.albedo + cover * (color.astype(np.float32) - head.albedo)
    duller = 1 + cover[..., 0] * np.float32(pigment.gloss - 1)
    return dataclasses.replace(
        head,
        albedo=albedo.astype(np.float32),
        gloss=(head.gloss * duller).astype(np.float32),
        blood=(head.blood * (1 - cover)).astype(np.float32),
    )


def _as_another(head: Head, rng: np.random.Generator) -> Head:
    """Another person's skin, brows and lips, painted on the wearer's own relief."""
    who, other = head.who, draw_identity(rng)
    step = float(np.clip(other.melanin - who.melanin, -0.3, 0.3))
    painted = dataclasses.replace(
        who,
        seed=other.seed,
        melanin=who.melanin + step,
        blood=other.blood,
        brow_y=other.brow_y,
        brow_weight=other.brow_weight * 1.3,
        brow_tilt=other.brow_tilt,
        lips=other.lips,
        mouth_width=other.mouth_width,
        beard=other.beard,
        moustache=other.moustache,
        freckles=other.freckles,
    )
    albedo, gloss, _ = face(painted, head.chart, rng)
    cover = parts.ZONES["face"](who, head.chart, rng)
    cover = np.float32(rng.uniform(0.65, 0.85)) * cover * (1 - head.over[..., 3])
    return dataclasses.replace(
        head,
        albedo=head.albedo + cover[..., None] * (albedo - head.albedo),
        gloss=head.gloss + cover * (0.5 * gloss - head.gloss),
        blood=(head.blood * (1 - cover[..., None])).astype(np.float32),
    )
