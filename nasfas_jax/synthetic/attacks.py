"""Paper, screens and walls, which show the picture of a first camera to the last one."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from nasfas_jax.synthetic import display, geometry, printing, scene
from nasfas_jax.synthetic.camera import Camera
from nasfas_jax.synthetic.fields import Array, Chart, fractal


@dataclasses.dataclass(frozen=True)
class Relief:
    """Slopes of held paper in addition to its bend: waves of the fibers, and folds.

    Attributes:
      chart: grid over the sheet.
      slopes: dz/dx and dz/dy [H, W, 2].
      worn: share of the ink that is rubbed off along folds [H, W].
    """

    chart: Chart
    slopes: Array
    worn: Array


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A flat or bent rectangle that carries pictures, in head units.

    Attributes:
      half: half the width and half the height of the picture.
      edge: width of the border around it: white paper or black bezel.
      bend: curvature, 1 / radius.
      axis: axis of the bend, 0 vertical or 1 horizontal.
      source_scale: source pixels per head unit of the sheet.
      source_center: source pixel at the center of the sheet.
      holes: centers [2, 2] of the two eye holes of the sheet, or None.
      relief: waves and folds of paper, or None.
    """

    half: tuple[float, float]
    edge: float
    bend: float
    axis: int
    source_scale: float
    source_center: Array
    holes: Array | None = None
    relief: Relief | None = None

    def height(self, x: Array, y: Array) -> Array:
        """Height z [...] of the sheet at points x, y [...], in head units."""
        along = y if self.axis else x
        return -0.5 * np.float32(self.bend) * along * along

    def points(self, pixels: Array) -> Array:
        """Points [..., 3] of the sheet at source pixels [..., 2]."""
        flat = (pixels - self.source_center) / self.source_scale
        return np.concatenate(
            [flat, self.height(flat[..., 0], flat[..., 1])[..., None]], -1
        ).astype(np.float32)

    def normals(self, x: Array, y: Array) -> Array:
        """Unit normals [..., 3] in the sheet's frame."""
        tilt = np.float32(self.bend) * (y if self.axis else x)
        zero = np.zeros_like(tilt)
        normals = np.stack(
            [*((zero, tilt) if self.axis else (tilt, zero)), np.ones_like(tilt)], -1
        )
        if self.relief:
            chart = self.relief.chart
            normals[..., :2] -= chart.sample(self.relief.slopes, x, y)
        return normals / np.linalg.norm(normals, axis=-1, keepdims=True)

    def outside(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Signed distances of x, y [...] from the rims of the picture and of the sheet.

        They are positive outside, and in the eye holes of the sheet.
        """
        rim = np.maximum(np.abs(x) - self.half[0], np.abs(y) - self.half[1])
        far = rim - np.float32(self.edge)
        for hole in () if self.holes is None else self.holes:
            oval = np.sqrt(((x - hole[0]) / 0.27) ** 2 + ((y - hole[1]) / 0.15) ** 2)
            far = np.maximum(far, (1 - oval) * np.float32(0.15))
        return rim, far


def coarsely_seen(
    sheet: Sheet, track: geometry.Track, frame: int
) -> tuple[Array, geometry.Grid]:
    """Sheet coordinates x, y [h, w, 2] seen along a grid of rays, and the grid."""
    grid = geometry.whole(track.size, CELL)
    x, y, _ = track.see(frame, sheet.height, grid, search=False)
    return np.dstack([x, y]), grid


CELL = 8  # distance of rays in sensor pixels, which are interpolated between them


def crumple(
    half: tuple[float, float], strength: float, folds: int, rng: np.random.Generator
) -> Relief:
    """A random relief of a sheet.

    Args:
      half: half the width and height of the sheet, head units.
      strength: deviation of the slopes of its waves.
      folds: number of folds, at halves and thirds of the sheet.
      rng: generator of the attacker.
    """
    w, h = half
    chart = Chart(-w, -h, w, h, 48 / max(w, h))
    wave = fractal(rng, chart.shape, chart.density * rng.uniform(0.5, 1.2), 2)
    slopes = np.dstack(
        [cv2.Sobel(wave, cv2.CV_32F, 1, 0), cv2.Sobel(wave, cv2.CV_32F, 0, 1)]
    )
    slopes *= np.float32(strength / (slopes.std() + 1e-6))
    worn = np.zeros(chart.shape, np.float32)
    for _ in range(folds):
        axis = int(rng.integers(2))
        at = rng.choice([0.0, 1 / 3, -1 / 3]) * half[axis]
        away = (chart.y if axis else chart.x) - np.float32(at)
        depth = rng.uniform(0.08, 0.3) * rng.choice([-1, 1])
        slopes[..., axis] += (
            np.float32(depth) * np.tanh(away / 0.03) * np.exp(-np.abs(away) / 0.5)
        )
        worn = np.maximum(
            worn, np.exp(-0.5 * (away / 0.012) ** 2) * rng.uniform(0.1, 0.6)
        )
    return Relief(chart, slopes.astype(np.float32), worn.astype(np.float32))


def show_print(
    texture: Array,
    density: float,
    sheet: Sheet,
    track: geometry.Track,
    frame: int,
    light: scene.Light,
    printer: printing.Printer,
) -> tuple[Array, Array]:
    """Radiance of a held print [H, W, 3] and its cover [H, W], behind the lens.

    Args:
      texture: result of `printing.print_texture` behind the lens, with its border.
      density: texels per head unit of the sheet.
      sheet: shape of the print.
      track: motion of the hand.
      frame: index of the frame.
      light: light of the room.
      printer: gloss of the paper.
    """
    coarse, grid = coarsely_seen(sheet, track, frame)
    x, y = cv2.split(grid.spread(coarse, track))
    rows, columns = texture.shape[:2]
    photo = cv2.remap(
        texture,
        x * np.float32(density) + np.float32((columns - 1) / 2),
        y * np.float32(density) + np.float32((rows - 1) / 2),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    _, far = sheet.outside(x, y)
    shade, shine = _lit(
        sheet, light, track.rotation[frame], coarse, printer.gloss, printer.shine
    )
    shade = grid.spread(shade * np.float32(1 / 65535), track)
    radiance = cv2.multiply(photo, shade, dtype=cv2.CV_32F)
    if float(shine.max()) > 1e-3:
        radiance += grid.spread(shine, track)
    soft = np.float32(track.scale / 1.5)
    return radiance, np.clip(0.5 - far * soft, 0, 1)


def _lit(sheet, light: scene.Light, turn, places, gloss, shine) -> tuple[Array, Array]:
    """Diffuse and specular light of points [h, w, 2] of the sheet, [h, w, 3] each."""
    x, y = places[..., 0], places[..., 1]
    normals = sheet.normals(x, y)
    facing = np.maximum(normals @ (turn.T @ light.direction), 0)
    eye = np.dstack([-x, -y, np.full_like(x, geometry.DISTANCE)])
    eye /= np.linalg.norm(eye, axis=2, keepdims=True)
    middle = turn.T @ light.direction + eye
    middle /= np.linalg.norm(middle, axis=2, keepdims=True)
    lobe = np.maximum((normals * middle).sum(2), 0) ** np.float32(shine)
    diffuse = light.ambient + facing[..., None] * light.key
    bright = (np.float32(gloss) * lobe)[..., None] * light.key
    return diffuse.astype(np.float32), bright.astype(np.float32)


def wall_texture(
    extent: float, texels: float, white: Array, rng: np.random.Generator
) -> Array:
    """Reflectance of a painted wall or a cloth, uint16 [side, side, 3], 65535 for 1.

    It is computed in place and by color: a face of 1024 pixels has a side of 7000 texels.

    Args:
      extent: width and height, head units.
      texels: texels per head unit.
      white: linear RGB [3] of its color.
      rng: generator of the attacker.
    """
    cell = rng.uniform(0.02, 0.05) * texels
    side = round(extent * texels)
    cells = (cell, cell * float(rng.choice([1, 3])))
    level = fractal(rng, (side, side), cells, 2)
    mean, contrast = rng.uniform([0.6, 0.02], [1.0, 0.06])
    level *= np.float32(contrast)
    level += 1
    level *= np.float32(mean)
    level *= 65535
    planes = []
    for color in np.asarray(white, np.float32):
        plane = level * color
        planes.append(np.clip(plane, 0, 65535, out=plane).astype(np.uint16))
    return np.asarray(cv2.merge(planes))


def show_replay(
    picture: Array,
    screen: display.Display,
    pattern: Array,
    room: Array,
    sheet: Sheet,
    track: geometry.Track,
    frame: int,
    camera: Camera,
    light: scene.Light,
) -> tuple[Array, Array]:
    """Radiance of a held screen [H, W, 3] and its cover [H, W], behind the lens.

    Args:
      picture: shown frame, uint8 RGB.
      screen: the screen.
      pattern: its sub-pixels as result of `display.seen_pattern`.
      room: radiance of the room and the lamp in the glass [h, w, 3], blurred.
      sheet: flat sheet of the screen.
      track: motion of the hand.
      frame: index of the frame.
      camera: the last camera.
      light: light of the room; fingerprints scatter a share of it.
    """
    coarse, grid = coarsely_seen(sheet, track, frame)
    x, y = cv2.split(grid.spread(coarse, track))
    shown = cv2.remap(
        picture,
        x * np.float32(sheet.source_scale) + np.float32(sheet.source_center[0]),
        y * np.float32(sheet.source_scale) + np.float32(sheet.source_center[1]),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    level = camera.lens(cv2.LUT(shown, _emitted(screen)))
    tilt = _cosines(track.rotation[frame], coarse)
    angle = (
        display.by_angle(screen, tilt) * screen.white * np.float32(screen.brightness)
    )
    level *= grid.spread(angle.astype(np.float32), track)
    dots = np.float32(track.scale / screen.pitch)
    span = display.LAYOUTS[screen.layout]
    level *= display.sample(pattern, span, x * dots, y * dots)
    rim, far = sheet.outside(x, y)
    soft = np.float32(track.scale / 1.5)
    level *= cv2.merge([np.clip(0.5 - rim * soft, 0, 1)] * 3)
    level += _reflected(screen, room, light, track, frame)
    return level, np.clip(0.5 - far * soft, 0, 1)


def _reflected(
    screen: display.Display,
    room: Array,
    light: scene.Light,
    track: geometry.Track,
    frame: int,
) -> Array:
    """Light [H, W, 3] that the glass reflects and its fingerprints scatter."""
    haze = np.float32(screen.smudge) * (light.ambient + light.key) + np.float32(0.004)
    mirrored = np.float32(screen.reflect) * _mirror(room, track, frame) + haze
    return cv2.resize(mirrored, track.size, interpolation=cv2.INTER_LINEAR)


def _emitted(screen: display.Display) -> Array:
    """Linear light of the 256 levels of a screen, relative to its white."""
    level = (np.arange(256) / 255.0) ** (2.2 * screen.gamma)
    return (screen.black + (1 - screen.black) * level).astype(np.float32)


def _cosines(turn: Array, places: Array) -> Array:
    """Cosines of the viewing angle at points [h, w, 2] of a flat sheet."""
    eye = np.array([0, 0, geometry.DISTANCE], np.float32) @ turn
    x, y = eye[0] - places[..., 0], eye[1] - places[..., 1]
    return eye[2] / np.sqrt(x * x + y * y + eye[2] * eye[2])


def _mirror(room: Array, track: geometry.Track, frame: int) -> Array:
    """The room [h, w, 3] reflected by the tilted glass."""
    size = room.shape[1::-1]
    scale = track.scale * size[0] / track.size[0]
    drift = (track.rotation[frame, 2, :2] * -2.5 * scale).astype(np.float64)
    matrix = np.array([[-1, 0, size[0] + drift[0]], [0, 1, drift[1]]])
    return cv2.warpAffine(room, matrix, size, borderMode=cv2.BORDER_REFLECT)


def put_lamp(room: Array, radiance: float, scale: float, rng: np.random.Generator):
    """Adds the mirror image of a lamp or a window to a reflected room, in place."""
    height, width = room.shape[:2]
    center = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.05, 0.8) * height)
    size = rng.uniform(0.15, 0.7, 2) * scale
    shape = np.zeros((height, width), np.float32)
    box = (center, tuple(size.tolist()), float(rng.uniform(0, 180)))
    if rng.random() < 0.5:
        cv2.ellipse(shape, box, 1.0, -1)
    else:
        cv2.fillPoly(shape, [cv2.boxPoints(box).astype(np.int32)], 1.0)
    room += (cv2.GaussianBlur(shape, (0, 0), 0.03 * scale) * np.float32(radiance))[
        ..., None
    ]
