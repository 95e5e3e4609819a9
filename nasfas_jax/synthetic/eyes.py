"""Moving eyes: lids, lashes, and the wet highlights that mirror the light."""

from __future__ import annotations

import cv2
import numpy as np

from nasfas_jax.synthetic.eyeballs import RISE, place
from nasfas_jax.synthetic.fields import Array, bump
from nasfas_jax.synthetic.head import Head

CORNEA = 0.111  # radius of the cornea, 7.8 mm, in head units
MIRRORED = (-0.25, -0.3)  # half vector of a light from the upper left


def draw_eyes(
    head: Head,
    open_: float,
    gaze: tuple[float, float],
    mirror: tuple[float, float] = MIRRORED,
    width: float = 0.016,
) -> Array:
    """Albedo [H, W, 3] with both eyes drawn.

    Args:
      head: the head.
      open_: openness of the eyes, 1 for open, 0 for closed.
      gaze: direction of the gaze, right and down, about -1 to 1.
      mirror: x and y of the unit vector halfway between light and camera, in the head's
        frame: the normal of the cornea where it mirrors the light.
      width: radius of the mirrored light, head units.
    """
    albedo = head.albedo.copy()
    who, chart = head.who, head.chart
    look = (0.05 * gaze[0], 0.03 * gaze[1])
    for side in (-1, 1):
        rows, columns, u, v = place(who, chart, side)
        at_u = side * (look[0] + CORNEA * mirror[0])
        at_v = look[1] - RISE + CORNEA * mirror[1]
        # The mirrored window is a rounded square.
        glint = np.exp(-(((u - at_u) ** 4 + (v - at_v) ** 4) / width**4))
        ball = cv2.warpAffine(
            head.balls[(side + 1) // 2],
            np.array(
                [[1, 0, look[0] * chart.density], [0, 1, look[1] * chart.density]]
            ),
            glint.shape[::-1],
            borderMode=cv2.BORDER_REPLICATE,
        )
        eye, cover = _eye(who, chart, u, v, ball, glint, open_)
        patch = albedo[rows, columns]
        patch = patch * (1 - cover[..., None]) + eye
        over = head.over[rows, columns]
        albedo[rows, columns] = over[..., :3] + patch * (1 - over[..., 3:])
    return albedo


def _eye(who, chart, u, v, ball, glint, open_) -> tuple[Array, Array]:
    """Premultiplied color [h, w, 3] and cover [h, w] of one eye."""
    arc = np.clip(1 - (u / who.eye_width) ** 2, 0, 1)
    shut = 0.55 * who.eye_height * arc
    upper = shut + open_ * (-0.93 * who.eye_height * arc**0.8 - shut)
    lower = 0.62 * who.eye_height * arc
    opening = chart.soft(np.maximum(upper - v, v - lower)) * (arc > 0)
    # The upper lid and its lashes shade the ball.
    ball = ball * (1 - 0.6 * np.clip(1 - (v - upper) / 0.07, 0, 1))[..., None]
    tears = 0.10 * np.exp(-0.5 * ((v - lower + 0.012) / 0.007) ** 2)
    ball = ball + (1.6 * glint + tears)[..., None]
    comb = 0.8 + 0.2 * np.cos(110 * u + 40 * v)
    lash = chart.soft(np.abs(v - upper + 0.006) - 0.014 - 0.008 * who.feminine, 0.02)
    lash = lash * (arc > 0.02) * comb
    fold = chart.soft(np.abs(v - upper + 0.075 * open_) - 0.008, 0.035) * arc
    fold = 0.3 * fold + 0.12 * bump(u, v + 0.1, 0, 0, 0.16, 0.05) * arc
    rim = 0.3 * chart.soft(np.abs(v - lower) - 0.006, 0.02) * (arc > 0)
    dark = np.maximum(np.maximum(0.85 * lash, fold), rim * (1 - opening))
    eye = ball * (opening * (1 - dark))[..., None]
    tone = np.array([0.03, 0.018, 0.014], np.float32)
    return eye + dark[..., None] * tone, opening * (1 - dark) + dark
