"""Persons: the numbers that define the head of one person."""

from __future__ import annotations

import dataclasses

import numpy as np

Array = np.ndarray

HAIR_COLORS = np.array(
    [
        [0.012, 0.010, 0.009],
        [0.025, 0.016, 0.011],
        [0.060, 0.032, 0.016],
        [0.130, 0.070, 0.032],
        [0.330, 0.210, 0.095],
        [0.200, 0.070, 0.025],
        [0.260, 0.250, 0.240],
    ],
    np.float32,
)
EYE_COLORS = np.array(
    [
        [0.030, 0.016, 0.010],
        [0.070, 0.035, 0.016],
        [0.110, 0.085, 0.035],
        [0.090, 0.150, 0.230],
        [0.140, 0.170, 0.180],
    ],
    np.float32,
)

BY_BLOOD = np.array([0.10, 0.55, 0.52], np.float32)  # absorbance of a unit, by color


@dataclasses.dataclass(frozen=True)
class Identity:
    """One person. Lengths are in head units (half the face's width, about 7 cm).

    `melanin` runs from 0 (the lightest human skin) to 1 (the darkest), `age` from 0
    (twenty) to 1 (seventy). Colors are linear RGB reflectances.
    """

    seed: int
    melanin: float
    blood: float
    age: float
    feminine: float
    jaw: float
    chin: float
    width: float
    depth: float
    cheek: float
    brow: float
    eye_x: float
    eye_y: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    nose_length: float
    nose_height: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    lips: float
    smile: float
    brow_y: float
    brow_weight: float
    brow_tilt: float
    hairline: float
    hair: str
    hair_volume: float
    hair_color: Array
    eye_color: Array
    beard: float
    moustache: float
    glasses: str
    freckles: float
    asymmetry: float


def draw_identity(rng: np.random.Generator) -> Identity:
    """A random person: skin tone, age, hair, beard and glasses are sampled."""
    melanin = float(rng.beta(0.9, 1.1))
    age = float(rng.uniform(0, 1))
    feminine = float(rng.beta(0.6, 0.6))
    dark_only = melanin > 0.35
    color = rng.choice([0, 1] if dark_only else [0, 1, 2, 3, 4, 5])
    if age > 0.75 and rng.random() < 0.7:
        color = 6
    styles = ["long", "tied", "long", "short"] if feminine > 0.5 else ["short", "short"]
    if feminine < 0.5 and rng.random() < 0.15 + 0.35 * age:
        styles = ["bald", "receding"]
    bearded = feminine < 0.5 and rng.random() < 0.45
    return Identity(
        seed=int(rng.integers(2**31)),
        melanin=melanin,
        blood=float(rng.uniform(0.1, 0.5)),
        age=age,
        feminine=feminine,
        jaw=float(rng.normal(2.75 - 0.4 * feminine, 0.2)),
        chin=float(rng.normal(1.64 - 0.06 * feminine, 0.05)),
        width=float(rng.normal(0.98, 0.045)),
        depth=float(rng.normal(1.15, 0.05)),
        cheek=float(rng.normal(0.08, 0.035)),
        brow=float(rng.normal(0.08 - 0.05 * feminine, 0.02)),
        eye_x=float(rng.normal(0.445, 0.02)),
        eye_y=float(rng.normal(0.0, 0.02)),
        eye_width=float(rng.normal(0.215, 0.012)),
        eye_height=float(rng.normal(0.086 + 0.012 * feminine, 0.011)),
        eye_tilt=float(rng.normal(0.05, 0.06)),
        nose_length=float(rng.normal(0.6, 0.04)),
        nose_height=float(rng.normal(0.34, 0.04)),
        nose_width=float(rng.normal(0.20 + 0.03 * melanin, 0.02)),
        mouth_y=float(rng.normal(0.98, 0.03)),
        mouth_width=float(rng.normal(0.37, 0.03)),
        lips=float(rng.normal(0.095 + 0.03 * melanin + 0.012 * feminine, 0.015)),
        smile=float(rng.normal(0.02, 0.025)),
        brow_y=float(rng.normal(-0.25, 0.02)),
        brow_weight=float(rng.normal(0.055 - 0.015 * feminine, 0.008)),
        brow_tilt=float(rng.normal(0.06, 0.04)),
        hairline=float(rng.normal(-0.98, 0.07)),
        hair=str(rng.choice(styles)),
        hair_volume=float(rng.uniform(0.06, 0.2)),
        hair_color=HAIR_COLORS[color] * np.float32(rng.uniform(0.8, 1.25)),
        eye_color=EYE_COLORS[rng.choice([0, 1] if dark_only else 5)],
        beard=float(rng.uniform(0.2, 1.0)) if bearded else 0.0,
        moustache=float(rng.uniform(0.3, 1.0)) if bearded else 0.0,
        glasses=str(rng.choice(["thick", "thin"])) if rng.random() < 0.22 else "none",
        freckles=float(max(0.0, rng.normal(0.1, 0.25)) * (1 - melanin)),
        asymmetry=float(rng.normal(0, 0.02)),
    )


def skin_color(melanin: float | Array, blood: float | Array) -> Array:
    """Linear RGB of skin: light tissue seen through melanin and blood (Beer-Lambert).

    Args:
      melanin: 0 to 1, a number or a field [H, W].
      blood: a number or a field [H, W]; about 0 to 1, lips more.

    Returns:
      float32 [3] or [H, W, 3].
    """
    tissue = np.array([0.88, 0.72, 0.62], np.float32)
    by_melanin = np.array([1.8, 2.35, 2.8], np.float32)
    density = np.asarray(blood, np.float32)[..., None] * BY_BLOOD
    density = density + np.asarray(melanin, np.float32)[..., None] * by_melanin
    return tissue * np.exp(-density)
