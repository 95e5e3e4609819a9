"""Rendering of a head: shading, ray casting, and composition with the background."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from nasfas_jax.synthetic import geometry, scene, shape
from nasfas_jax.synthetic.fields import Array, Chart, bump, pair, step
from nasfas_jax.synthetic.head import Head, draw_eyes
from nasfas_jax.synthetic.identity import Identity

VIEW = np.array([0, 0, 1], np.float32)
CELL = 4.0  # distance of rays in sensor pixels, which are interpolated between them


def shade(head: Head, albedo: Array, light: scene.Light, turn: Array, shadow: Array):
    """Premultiplied radiance and cover [H, W, 4] of the head's texture.

    Args:
      head: textures.
      albedo: linear RGB [H, W, 3].
      light: in the camera's frame.
      turn: rotation [3, 3] of the head.
      shadow: share of the key light that arrives, by color [H, W, 3].
    """
    key = turn.T @ light.direction
    middle = light.direction + VIEW
    middle = turn.T @ (middle / np.linalg.norm(middle))
    # One product with all normals: down, the lobe's axis, and per color the wrapped
    # cosine (n.l + wrap) / (1 + wrap) of the key light.
    down, axis = -0.25 * turn.T[:, 1], np.append(middle, 0)
    rows = [np.append(key, wrap) / (1 + wrap) for wrap in head.wrap]
    matrix = np.array([np.append(down, 0.75), axis, *rows])
    up, lobe, *lit = cv2.split(cv2.transform(head.normals, matrix))
    lobe = np.maximum(lobe, 0)
    for _ in range(int(np.log2(head.shine))):
        lobe *= lobe
    lobe *= head.gloss * np.float32(head.shine / 5)
    up *= head.cavity
    layers = []
    for color, diffuse in enumerate(lit):
        diffuse = np.maximum(diffuse, 0)
        direct = (albedo[..., color] * diffuse + lobe) * shadow[..., color]
        ambient = albedo[..., color] * up * light.ambient[color]
        layers.append((direct * light.key[color] + ambient) * head.cover)
    return cv2.merge([*layers, head.cover])


def cast_shadow(head: Head, direction: Array) -> Array:
    """Share of the key light, by color, that is not shadowed by the relief of the head.

    Skin scatters red light into shadows: `wrap` softens their edges.

    Returns:
      [H, W, 3].
    """
    chart, height = head.chart, head.height
    rise = direction[2] / max(1e-3, float(np.hypot(direction[0], direction[1])))
    way = direction[:2] / max(1e-3, float(np.hypot(direction[0], direction[1])))
    blocked = np.zeros_like(height)
    for distance in np.geomspace(0.06, 1.2, 10):
        dx, dy = (way * distance * chart.density).tolist()
        moved = cv2.warpAffine(
            height,
            np.array([[1, 0, -dx], [0, 1, -dy]]),
            height.shape[::-1],
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=shape.FLOOR,
        )
        over = moved - height - np.float32(rise * distance)
        blocked = np.maximum(blocked, np.clip(over / (0.04 + 0.2 * distance), 0, 1))
    clear = 1 - 0.85 * chart.blur(blocked, 0.04)
    return (clear[..., None] ** (1 - head.wrap)).astype(np.float32)


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
    [T, 2] is the motion of the background in pixels.
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

    def grid(self, frame: int) -> tuple[Array, Array]:
        """Picture coordinates u [1, W], v [H, 1] of the coarse grid around the head."""
        x, y = self.track.shift[frame, :2]
        apart = CELL / self.track.scale
        u = np.arange(x - 2.0, x + 2.0, apart, dtype=np.float32)
        v = np.arange(y - 2.3, y + 2.6, apart, dtype=np.float32)
        return u[None, :], v[:, None]

    def look(self, frame: int) -> tuple[tuple[Array, Array], Array]:
        """The coarse grid, and x, y, depth [h, w, 3] of the points hit by its rays."""
        head = self.head
        grid = self.grid(frame)
        smooth = coarse_height(head)

        def height(x: Array, y: Array) -> Array:
            return smooth[0].sample(smooth[1], x, y)

        seen = self.track.see(frame, height, grid, search=True)
        return grid, np.dstack(seen).astype(np.float32)

    def film(self, frame: int) -> tuple[Array, tuple[Array, Array], Array]:
        """Radiance [H, W, 3] of one frame before any lens, and what `look` found."""
        head, act = self.head, self.behavior
        grid, seen = self.look(frame)
        gaze = (float(act.gaze[frame, 0]), float(act.gaze[frame, 1]))
        albedo = draw_eyes(head, float(act.open_[frame]), gaze)
        albedo -= albedo * (act.pulse[frame] * head.blood)
        turn = self.track.rotation[frame]
        texture = shade(head, albedo, self.light, turn, self.shadow)
        places = geometry.spread(seen[..., :2], grid, self.track)
        x, y = cv2.split(places)
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
        room = scene.moved(self.background, self.shake[frame])
        behind = scene.paste(room, self._body(frame))
        return scene.paste(behind, picture), grid, seen

    def _body(self, frame: int) -> Array:
        """The body in the frame [H, W, 4]; it follows the head by half."""
        chart, track = self.body.chart, self.track
        mean = track.shift.mean(0)
        at = 0.5 * (track.shift[frame, :2] + mean[:2]) + np.array([0, 0.03])
        zoom = track.scale / chart.density
        corner = (np.array([chart.left, chart.top]) + at) * track.scale
        corner = corner + (np.array(track.size) - 1) / 2
        matrix = np.array([[zoom, 0, corner[0]], [0, zoom, corner[1]]])
        rows = self.body.picture
        return cv2.warpAffine(rows, matrix, track.size, flags=cv2.INTER_LINEAR)


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
    grid: tuple[Array, Array],
    track: geometry.Track,
    box: Array,
    mask: Array,
) -> Array:
    """True depth over a box, uint8 like `mask`: 255 nearest, 26 farthest, 0 off."""
    cells = mask.shape[0]
    u, v = grid[0][0], grid[1][:, 0]
    center = (np.array(track.size, np.float32) - 1) / 2
    pixel = (np.arange(cells, dtype=np.float32) + 0.5) / cells
    at_u = (box[0] + pixel * box[2] - center[0]) / track.scale
    at_v = (box[1] + pixel * box[3] - center[1]) / track.scale
    columns = (at_u - u[0]) / (u[1] - u[0])
    rows = (at_v - v[0]) / (v[1] - v[0])
    depth = cv2.remap(
        seen[..., 2],
        np.repeat(columns[None, :].astype(np.float32), cells, 0),
        np.repeat(rows[:, None].astype(np.float32), cells, 1),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    face = mask > 0
    # The steep outermost cells are excluded from the range of depth.
    low, high = float(np.quantile(depth[face], 0.08)), float(depth[face].max())
    value = 26 + 229 * np.maximum(depth - low, 0) / max(high - low, 1e-3)
    return np.where(face, np.round(value), 0).astype(np.uint8)
