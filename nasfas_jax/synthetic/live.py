"""Rendering of a head: shading, ray casting, and composition with the background."""

from __future__ import annotations

import dataclasses
import functools
import math

import cv2
import numpy as np

from nasfas_jax.synthetic import geometry, scene, shape
from nasfas_jax.synthetic.eyes import CORNEA, draw_eyes
from nasfas_jax.synthetic.fields import Array, Chart, bump, pair, step
from nasfas_jax.synthetic.head import Head, half
from nasfas_jax.synthetic.identity import Identity

VIEW = np.array([0, 0, 1], np.float32)
CELL = 4  # distance of rays in sensor pixels, which are interpolated between them
BEHIND = 2  # pixels of the frame per pixel of background and body, out of focus


def shade(head: Head, albedo: Array, light: scene.Light, turn: Array, shadow: Array):
    """Premultiplied radiance and cover [H, W, 4] of the head's texture.

    Light that was scattered below the surface is smooth, and is computed at half the
    resolution, as is the broad lobe of the film; the narrow lobe shows its finest relief.

    Args:
      head: textures.
      albedo: linear RGB [H, W, 3].
      light: in the camera's frame.
      turn: rotation [3, 3] of the head.
      shadow: share of the key light that arrives, by color [h, w, 3].
    """
    key, down = turn.T @ light.direction, turn.T[1]
    middle = _halfway(light.direction, turn)
    up = cv2.transform(head.soft[1], np.append(-CEILING * down, 1 - CEILING)[None])
    up *= head.cavity
    size = head.chart.shape[::-1]
    sent = []
    for color in range(3):
        cosine = cv2.transform(head.soft[color], key[None])
        sent.append(_terminator(cosine, light.size) * shadow[..., color])
        sent[color] *= light.key[color]
    lobe = _lobe(cv2.transform(head.soft[2], middle[None]), head.shine, light.size)
    lobe *= sent[1] / max(float(light.key[1]), 1e-3)
    for other in light.others:
        share = float(np.linalg.norm(other))
        cosine = cv2.transform(head.soft[2], _halfway(other / share, turn)[None])
        lobe += share * _lobe(cosine, head.shine, light.size)
    sheen = up * _mirrored(head)
    broad = [lobe * light.key[c] + sheen * light.ambient[c] for c in range(3)]
    narrow = _lobe(
        cv2.transform(head.normals, middle[None]), 5 * head.shine, light.size
    )
    narrow *= cv2.resize(shadow[..., 1], size, interpolation=cv2.INTER_LINEAR)
    layers = []
    for color, plane in enumerate(cv2.split(albedo)):
        both = np.dstack([sent[color] + up * light.ambient[color], broad[color]])
        diffuse, shine = cv2.split(cv2.resize(both, size))
        shine += narrow * np.float32(NARROW * light.key[color])
        shine *= head.gloss
        diffuse *= plane
        diffuse += shine
        layers.append(diffuse * head.cover)
    return cv2.merge([*layers, head.cover])


def _mirrored(head: Head) -> Array:
    """Mirrored light of the room relative to `gloss` [h, w].

    Polished surfaces follow Schlick's form of Fresnel's equations for a reflectance of 0.05
    at normal incidence; the facets of a rough film hide each other at the rim.
    """
    away = 1 - head.soft[2][..., 2]
    rough, smooth = 0.5 * away**3, 1 + 19 * away**5
    return rough + head.polish * (smooth - rough)


CEILING = 0.4  # contrast of the light from above and from below
NARROW = 0.35  # weight of the narrow lobe


def _halfway(direction: Array, turn: Array) -> Array:
    """Unit vector between a light and the camera, in the head's frame."""
    middle = direction + VIEW
    return (turn.T @ (middle / np.linalg.norm(middle))).astype(np.float32)


def _terminator(cosine: Array, size: float) -> Array:
    """Irradiance by a light of angular radius `size`: no edge where it sets."""
    soft = np.float32(0.7 * size + 0.02)
    return 0.5 * (cosine + np.sqrt(cosine * cosine + soft * soft))


def _lobe(cosine: Array, shine: float, size: float) -> Array:
    """Normalized Blinn-Phong lobe, widened by the angular radius of the light.

    Exponent n is a slope of sqrt(2 / (n + 2)); slopes add in squares (Karis, "Real shading
    in Unreal Engine 4", 2013).
    """
    slope = 2 / (shine + 2) + (0.5 * size) ** 2
    power = max(1.0, 2 / slope - 2)
    return cv2.pow(np.maximum(cosine, 0), power) * np.float32((power + 2) / 8)


def cast_shadow(head: Head, direction: Array, size: float) -> Array:
    """Share of the key light, by color, that is not shadowed by the relief of the head.

    Args:
      head: textures.
      direction: to the light, in the head's frame.
      size: angular radius of the light, on which the width of the penumbra depends;
        `head.scatter` blurs it further.

    Returns:
      [h, w, 3].
    """
    height, density = half(head.height), head.chart.density / 2
    rise = float(direction[2]) / max(1e-3, float(np.hypot(direction[0], direction[1])))
    toward = direction[:2] / max(1e-3, float(np.hypot(direction[0], direction[1])))
    blocked = np.zeros_like(height)
    for distance in np.geomspace(0.04, 1.2, 11):
        dx, dy = (toward * distance * density).tolist()
        moved = cv2.warpAffine(
            height,
            np.array([[1, 0, -dx], [0, 1, -dy]]),
            height.shape[::-1],
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=shape.FLOOR,
        )
        over = moved - height - np.float32(rise * distance)
        width = 0.03 + 2 * size * distance
        shaded = np.clip(over * np.float32(1 / width) + 0.2, 0, 1)
        blocked = np.maximum(blocked, shaded)
    clear = 1 - 0.9 * cv2.GaussianBlur(blocked, (0, 0), 0.02 * density)
    blurred = [
        cv2.GaussianBlur(clear, (0, 0), max(0.3, s * density)) for s in head.scatter
    ]
    return cv2.merge(blurred)


def face_points(who: Identity, chart: Chart, height: Array) -> Array:
    """Surface points [P, 3]: 40 of the face's contour, then LANDMARKS in that order."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    middle, low, high = 0.35, -0.85, who.chin - 0.05
    y = middle + np.where(np.sin(angle) < 0, middle - low, high - middle) * np.sin(
        angle
    )
    sign = np.sign(np.cos(angle))
    width = shape.half_width(who, y) * 0.95
    x = sign * np.minimum(width, np.abs(np.cos(angle)) ** 0.5 * 1.02 * who.width)
    nose = who.eye_y + who.nose_length
    marks = [
        [-who.eye_x, who.eye_y],
        [who.eye_x, who.eye_y],
        [0, nose - 0.06],
        [-who.mouth_width, who.mouth_y],
        [who.mouth_width, who.mouth_y],
        [0, who.chin - 0.15],
        [-0.6, 0.4],
        [0.6, 0.4],
        [0, -0.55],
        [0, 0.05],
    ]
    flat = np.concatenate([np.stack([x, y], 1), np.array(marks)]).astype(np.float32)
    z = chart.sample(height, flat[None, :, 0], flat[None, :, 1])[0]
    return np.concatenate([flat, z[:, None]], 1)


CONTOUR = 40
LANDMARKS = (
    "eye_left",
    "eye_right",
    "nose_tip",
    "mouth_left",
    "mouth_right",
    "chin",
    "cheek_left",
    "cheek_right",
    "forehead",
    "nose_root",
)


@dataclasses.dataclass(frozen=True)
class Sitter:
    """The constants of a clip of one person in one room.

    `points` [T, P, 2] are the pixel coordinates of `face_points` in every frame, `shake`
    [T, 2] is the motion of the background in pixels. `background` has 1 / BEHIND of the
    frame's resolution.
    """

    head: Head
    light: scene.Light
    body: scene.Body
    background: Array
    shake: Array
    behavior: scene.Behavior
    track: geometry.Track
    shadow: Array
    points: Array

    def grid(self, frame: int) -> geometry.Grid:
        """The coarse grid of rays around the head."""
        x, y = self.track.shift[frame, :2] * self.track.scale
        x, y = x + self.track.size[0] / 2, y + self.track.size[1] / 2
        blocks = self.track.scale / CELL
        return geometry.Grid(
            left=round(float(x) - 2.0 * self.track.scale),
            top=round(float(y) - 2.3 * self.track.scale),
            columns=math.ceil(4.0 * blocks),
            rows=math.ceil(4.9 * blocks),
            side=CELL,
        )

    @functools.cached_property
    def relief(self) -> tuple[Chart, Array]:
        """Chart and height of the head for ray casting."""
        return coarse_height(self.head)

    def look(self, frame: int) -> tuple[geometry.Grid, Array]:
        """The coarse grid, and x, y, depth [h, w, 3] of the points hit by its rays."""
        grid = self.grid(frame)
        chart, relief = self.relief

        def height(x: Array, y: Array) -> Array:
            return chart.sample(relief, x, y)

        seen = self.track.see(frame, height, grid, search=True)
        return grid, np.dstack(seen).astype(np.float32)

    def film(self, frame: int) -> tuple[Array, geometry.Grid, Array]:
        """Radiance [H, W, 3] of one frame before the lens, and the result of `look`."""
        grid, seen = self.look(frame)
        texture = self._texture(frame)
        x, y, _ = cv2.split(grid.spread(seen, self.track))
        head, act = self.head, self.behavior
        if act.smile[frame] or act.brow[frame]:
            y = express(head.who, x, y, act.smile[frame], act.brow[frame])
        y = speak(head.who, x, y, float(act.mouth[frame]))
        picture = cv2.remap(
            texture,
            head.chart.columns(x),
            head.chart.rows(y),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
        )
        picture = smooth_outline(picture)
        radiance = self._behind(frame)
        window = grid.window(self.track)
        radiance[window] = scene.paste(radiance[window], picture)
        return radiance, grid, seen

    def _texture(self, frame: int) -> Array:
        """Premultiplied radiance and cover [H, W, 4] of the head in one frame."""
        head, act = self.head, self.behavior
        turn = self.track.rotation[frame]
        gaze = (float(act.gaze[frame, 0]), float(act.gaze[frame, 1]))
        mirror = _halfway(self.light.direction, turn)
        width = CORNEA * max(0.1, 0.5 * self.light.size)
        albedo = draw_eyes(
            head,
            float(act.open_[frame]),
            gaze,
            (float(mirror[0]), float(mirror[1])),
            width,
        )
        if act.pulse[frame]:
            taken = cv2.multiply(albedo, head.blood, scale=float(act.pulse[frame]))
            albedo = cv2.subtract(albedo, taken)
        return shade(head, albedo, self.light, turn, self.shadow)

    def _behind(self, frame: int) -> Array:
        """Radiance [H, W, 3] of background and body, drawn at their own resolution."""
        room = scene.moved(self.background, self.shake[frame] / BEHIND)
        behind = scene.paste(room, self._body(frame, room.shape[1::-1]))
        return cv2.resize(behind, self.track.size, interpolation=cv2.INTER_LINEAR)

    def _body(self, frame: int, size: tuple[int, int]) -> Array:
        """The body in the frame [H, W, 4]; it follows the head by half."""
        chart, track = self.body.chart, self.track
        mean = track.shift.mean(0)
        at = 0.5 * (track.shift[frame, :2] + mean[:2]) + np.array([0, 0.03])
        scale = track.scale / BEHIND
        corner = (np.array([chart.left, chart.top]) + at) * scale
        corner = corner + (np.array(size) - 1) / 2
        zoom = scale / chart.density
        matrix = np.array([[zoom, 0, corner[0]], [0, zoom, corner[1]]])
        return cv2.warpAffine(self.body.picture, matrix, size, flags=cv2.INTER_LINEAR)


def smooth_outline(picture: Array) -> Array:
    """A premultiplied picture [H, W, 4] without the steps of the coarse rays.

    Where the head hides itself its outline is known to CELL pixels only; corners of that
    size are cut.
    """
    wide = cv2.GaussianBlur(picture[..., 3], (0, 0), 0.5 * CELL)
    kept = np.clip(3 * wide - 1.2, 0, 1)
    return cv2.multiply(picture, cv2.merge([kept] * 4))


def coarse_height(head: Head) -> tuple[Chart, Array]:
    """The height of the head at 32 texels per unit, sufficient for ray casting."""
    chart = head.chart
    small = dataclasses.replace(chart, density=min(32.0, chart.density))
    if small.shape == chart.shape:
        return chart, head.height
    size = small.shape[::-1]
    return small, cv2.resize(head.height, size, interpolation=cv2.INTER_AREA)


def speak(who: Identity, x: Array, y: Array, mouth: float) -> Array:
    """Texture ordinates for an open mouth: the dark seam between the lips is wider."""
    if mouth <= 0:
        return y
    across = np.clip(1 - (x / who.mouth_width) ** 2, 0, 1)
    gap = np.float32(0.13 * mouth) * across
    seam = y - who.mouth_y + who.smile * (x / who.mouth_width) ** 2
    fade = step(-y, -2.0, -1.1)
    return y - np.clip(seam, 0, gap) * fade


def express(who: Identity, x: Array, y: Array, smile: float, brow: float) -> Array:
    """Texture ordinates with raised corners of the mouth and raised brows."""
    corners = np.float32(0.06 * smile) * pair(x, y, who.mouth_width, who.mouth_y, *WIDE)
    return y + corners + np.float32(0.05 * brow) * bump(0, y, 0, who.brow_y, 1, 0.14)


WIDE = (0.16, 0.13)  # size in head units of the region that moves with a mouth corner


def contour_mask(points: Array, box: Array, cells: int) -> Array:
    """The filled face contour over a box, uint8 [cells, cells], 0 or 255.

    Args:
      points: contour pixels [P, 2].
      box: x, y, width, height of the region, pixels.
      cells: side of the map.
    """
    local = (points - box[:2]) / box[2:] * cells - 0.5
    mask = np.zeros((cells, cells), np.uint8)
    cv2.fillPoly(mask, [np.round(local * 16).astype(np.int32)], 255, shift=4)
    return mask


def depth_map(
    seen: Array,
    grid: geometry.Grid,
    box: Array,
    mask: Array,
) -> Array:
    """True depth over a box, uint8 like `mask`: 255 nearest, 26 farthest, 0 off."""
    cells = mask.shape[0]
    pixel = (np.arange(cells, dtype=np.float32) + 0.5) / cells
    x, y = np.meshgrid(box[0] + pixel * box[2], box[1] + pixel * box[3])
    depth = grid.sample(seen[..., 2], x, y)
    face = mask > 0
    # The steep outermost cells are excluded from the range of depth.
    low, high = float(np.quantile(depth[face], 0.08)), float(depth[face].max())
    value = 26 + 229 * np.maximum(depth - low, 0) / max(high - low, 1e-3)
    return np.where(face, np.round(value), 0).astype(np.uint8)
