"""Identity cards and animations, made of one photo before it is shown.

Coordinates of a face are head units about the point between its eyes, as those of a head seen
from the front; a photo of a slightly turned head differs by little.
"""

from __future__ import annotations

import cv2
import numpy as np

from nasfas_jax.synthetic import live, shape
from nasfas_jax.synthetic.fields import Array, pair
from nasfas_jax.synthetic.identity import Identity
from nasfas_jax.synthetic.scene import Behavior

# Identity cards of format ID-1 (ISO/IEC 7810) are 85.6 x 54 mm; a face on them is about 20 mm
# high (ICAO Doc 9303), which is 2.4 head units.
CARD = (85.6 / 20 * 2.4, 54.0 / 20 * 2.4)
PORTRAIT = (2.7, 3.5)  # width and height of the picture on it, head units


def card(
    photo: Array, face: tuple[float, float], scale: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """An identity card with a portrait, a title, fields of text and a printed pattern.

    Args:
      photo: uint8 RGB [H, W, 3].
      face: pixel x, y of the center of the face in it.
      scale: pixels per head unit.
      rng: generator of the card.

    Returns:
      The card, uint8 RGB [H, W, 3], with `scale` pixels per head unit, and the offset [2] of
      its pixels from those of the photo.
    """
    picture = _pattern(scale, rng)
    ink = (rng.uniform(0.02, 0.3, 3) * 255).tolist()
    bar = picture[: round(0.8 * scale)]
    bar[:] = np.array(rng.uniform(30, 140, 3), np.uint8)
    _write(picture, (0.5, 0.55), 0.42, (240, 240, 240), scale, rng, 14)
    left = 0.5 + PORTRAIT[0] + 0.45
    for line in range(5):
        at = 1.5 + 0.8 * line
        _write(picture, (left, at), 0.14, ink, scale, rng, 9)
        _write(picture, (left, at + 0.38), 0.26, (20, 20, 25), scale, rng, 12)
    for line in range(2):
        _write(
            picture,
            (0.5, CARD[1] - 0.65 + 0.4 * line),
            0.26,
            (20, 20, 25),
            scale,
            rng,
            30,
        )
    corner = (round(0.5 * scale), round(1.25 * scale))
    size = tuple(round(side * scale) for side in PORTRAIT)
    start = (round(face[0] - size[0] / 2), round(face[1] - 0.52 * size[1]))
    shift = np.array([[1, 0, -start[0]], [0, 1, -start[1]]], np.float64)
    portrait = cv2.warpAffine(photo, shift, size, borderMode=cv2.BORDER_REPLICATE)
    picture[corner[1] : corner[1] + size[1], corner[0] : corner[0] + size[0]] = portrait
    return picture, np.array(corner) - np.array(start)


def _pattern(scale: float, rng: np.random.Generator) -> Array:
    """The empty card with its waved lines, uint8 RGB [H, W, 3]."""
    width, height = (round(side * scale) for side in CARD)
    tint = rng.uniform(0.72, 0.95, 3)
    y, x = np.mgrid[:height, :width].astype(np.float32) / np.float32(scale)
    waves = rng.uniform(5, 9, 2) + rng.uniform(-1, 1, 2)
    lines = np.sin(
        40 * (y + 0.25 * np.sin(waves[0] * x / 4) + 0.1 * np.cos(waves[1] * y))
    )
    ground = (
        tint
        * (1 - 0.10 * (lines > 0.6))[..., None]
        * (1 - 0.04 * x / CARD[0])[..., None]
    )
    return np.clip(255 * ground, 0, 255).astype(np.uint8)


def _write(
    picture: Array, at, size: float, color, scale: float, rng, letters: int
) -> None:
    """A line of random capital letters and digits, in place; lengths in head units."""
    signs = list("ABCDEFGHIKLMNOPRSTUVXYZ0123456789<")
    text = "".join(rng.choice(signs, letters))
    place = (round(at[0] * scale), round(at[1] * scale))
    thick = max(1, round(0.1 * size * scale))
    cv2.putText(
        picture,
        text,
        place,
        cv2.FONT_HERSHEY_SIMPLEX,
        size * scale / 22,
        color,
        thick,
        cv2.LINE_AA,
    )


def animate(
    photo: Array,
    points: Array,
    scale: float,
    who: Identity,
    behavior: Behavior,
    turned: Array,
) -> tuple[list[Array], Array]:
    """Frames of a photo that is warped: lids, mouth, brows and small turns of the head.

    Nothing that the photo does not show appears: lids are skin pulled over the eyes, an open
    mouth is a stretched seam, and a turn moves the middle of the face against its rim.

    Args:
      photo: uint8 RGB [H, W, 3].
      points: pixels [P, 2] of `live.face_points` in it.
      scale: pixels per head unit.
      who: the person, whose features the app knows from marks.
      behavior: the played expression; its rotation is not used.
      turned: right and down shift of the nose by the turn of the head, head units [T, 2].

    Returns:
      The frames [T], uint8 RGB [H, W, 3], and the pixels [T, P, 2] of the points in them.
    """
    eyes = points[live.CONTOUR : live.CONTOUR + 2]
    origin = eyes.mean(0) - [0, who.eye_y * scale]
    rows, columns = photo.shape[:2]
    x = ((np.arange(columns) - origin[0]) / scale).astype(np.float32)[None, :]
    y = ((np.arange(rows) - origin[1]) / scale).astype(np.float32)[:, None]
    x, y = np.broadcast_to(x, (rows, columns)), np.broadcast_to(y, (rows, columns))
    near = _nearness(who, x, y)
    flat = ((points - origin) / scale).astype(np.float32)
    nearer = _nearness(who, flat[:, 0], flat[:, 1])[:, None]
    eye = pair(x, y, who.eye_x, who.eye_y, 0.9 * who.eye_width, 1.4 * who.eye_height)
    frames = []
    for frame, (right, down) in enumerate(turned.astype(np.float32)):
        u, v = x - right * near, y - down * near
        v = live.express(who, u, v, behavior.smile[frame], behavior.brow[frame])
        v = live.speak(who, u, v, float(behavior.mouth[frame]))
        shut = 1 - behavior.open_[frame] / behavior.open_.max()
        v = v - np.float32(1.6 * who.eye_height * shut) * eye
        at = np.float32(scale)
        frames.append(
            cv2.remap(
                photo,
                u * at + np.float32(origin[0]),
                v * at + np.float32(origin[1]),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
        )
    return frames, points + scale * turned[:, None, :] * nearer


def _nearness(who: Identity, x: Array, y: Array) -> Array:
    """Relative height of points of a face above its rim: 1 in the middle, 0 outside."""
    return shape.dome(x, y, shape.half_width(who, y), -1.62, who.chin).astype(
        np.float32
    )
