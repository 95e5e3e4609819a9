"""Paper and screens, which show the picture of a first camera to the last one."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from nasfas_jax.synthetic import geometry, scene
from nasfas_jax.synthetic.camera import Camera, linear
from nasfas_jax.synthetic.fields import Array, fractal, step


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A flat or bent rectangle that carries pictures, in head units.

    Attributes:
      half: half its width and height.
      edge: width of its border: white paper or black bezel.
      bend: curvature 1 / radius about the vertical (0) or horizontal (1) axis.
      axis: axis of the bend, 0 vertical or 1 horizontal.
      source_scale: source pixels per head unit of the sheet.
      source_center: source pixel at the center of the sheet.
      holes: centers [2, 2] of the two eye holes of the sheet, or None.
    """

    half: tuple[float, float]
    edge: float
    bend: float
    axis: int
    source_scale: float
    source_center: Array
    holes: Array | None = None

    def height(self, x: Array, y: Array) -> Array:
        """z of the sheet."""
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
        parts = (zero, tilt) if self.axis else (tilt, zero)
        normals = np.stack([*parts, np.ones_like(tilt)], -1)
        return normals / np.linalg.norm(normals, axis=-1, keepdims=True)

    def outside(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Signed distances beyond the picture's rim and beyond the sheet's rim."""
        rim = np.maximum(np.abs(x) - self.half[0], np.abs(y) - self.half[1])
        far = rim - np.float32(self.edge)
        for hole in () if self.holes is None else self.holes:
            oval = np.sqrt(((x - hole[0]) / 0.27) ** 2 + ((y - hole[1]) / 0.15) ** 2)
            far = np.maximum(far, (1 - oval) * np.float32(0.15))
        return rim, far


def seen_on(sheet: Sheet, track: geometry.Track, frame: int) -> tuple[Array, Array]:
    """Sheet coordinates x, y [H, W] of the pixels of a frame."""
    width, height = track.size
    u = np.linspace(-0.5 * width, 0.5 * width, 33, dtype=np.float32) / track.scale
    v = np.linspace(-0.5 * height, 0.5 * height, 33, dtype=np.float32) / track.scale
    grid = (u[None, :], v[:, None])
    x, y, _ = track.see(frame, sheet.height, grid, search=False)
    places = geometry.spread(np.dstack([x, y]), grid, track)
    return places[..., 0], places[..., 1]


# Print.


@dataclasses.dataclass(frozen=True)
class Printer:
    """A printer and its paper.

    Attributes:
      pitch: distance of halftone dots, in pixels of the last camera.
      gain: exponent of the ink coverages; below 1, dots spread and the print is darker.
      key: share of gray printed by black ink.
      white: warmth of the white of the paper.
      gloss: gloss of the paper.
    """

    pitch: float
    gain: float
    key: float
    white: float
    gloss: float


def draw_printer(rng: np.random.Generator, style: dict) -> Printer:
    """A random printer; `style` has the range of each attribute."""
    return Printer(**{k: float(rng.uniform(*ends)) for k, ends in style.items()})


def ink(picture: Array, printer: Printer) -> Array:
    """Ink coverages C, M, Y, K [H, W, 4] for a linear RGB picture [H, W, 3]."""
    wanted = 1 - np.clip(picture, 0, 1)
    black = wanted.min(2, keepdims=True)
    removed = np.float32(printer.key) * black * step(black, 0.1, 0.9)
    colors = np.clip((wanted - removed) / (1 - removed), 0, 1)
    cover = np.concatenate([colors, removed], 2) ** np.float32(printer.gain)
    return cover * np.float32(0.94)


def printed(
    cover: Array, pitch: float, white: float, rng: np.random.Generator
) -> Array:
    """Reflectance [H, W, 3] of the halftone of ink coverages on paper.

    Clustered dots at 15, 75, 0 and 45 degrees; overlapping inks multiply (Neugebauer), so
    the gamut lacks saturated colors.

    Args:
      cover: C, M, Y, K [H, W, 4].
      pitch: distance of the dots, in pixels of this picture.
      white: warmth of the paper.
      rng: generator of the paper.
    """
    paper = 0.86 * np.exp(np.array([white, 0, -white], np.float32))
    paper = paper * np.float32(rng.uniform(0.9, 1))
    through = np.array(
        [
            [0.06, 0.55, 0.78],
            [0.78, 0.08, 0.35],
            [0.92, 0.84, 0.10],
            [0.04, 0.04, 0.04],
        ],
        np.float32,
    )
    height, width = cover.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    light = np.broadcast_to(paper, (height, width, 3)).copy()
    for screen, angle in enumerate(np.deg2rad([15, 75, 0, 45])):
        turned = x * np.cos(angle) + y * np.sin(angle)
        across = y * np.cos(angle) - x * np.sin(angle)
        turn = np.float32(2 * np.pi / pitch)
        dots = np.cos(turn * turned) * np.cos(turn * across)
        share = cover[..., screen]
        wet = share + np.minimum(share, 1 - share) * dots  # the mean stays the share
        light *= 1 - wet[..., None] * (1 - through[screen])
    grain = fractal(rng, (height, width), pitch * 2, 2)
    return light * (1 + 0.012 * grain)[..., None]


def print_texture(
    picture: Array,
    scale: float,
    camera: Camera,
    printer: Printer,
    rng: np.random.Generator,
) -> Array:
    """A printed photo blurred by the lens of the last camera, about [2H, 2W, 3].

    Args:
      picture: the attacker's photo, uint8 RGB.
      scale: texels per sensor pixel.
      camera: the last camera, for its blur; dots finer than a pixel alias in the sensor.
      printer: the printer.
      rng: generator of the paper.
    """
    cover = ink(linear(picture), printer)
    reflect = printed(cover, scale * printer.pitch, printer.white, rng)
    return cv2.GaussianBlur(reflect, (0, 0), scale * np.hypot(camera.psf, 0.29))


def show_print(
    texture: Array,
    enlarge: float,
    sheet: Sheet,
    track: geometry.Track,
    frame: int,
    light: scene.Light,
    gloss: float,
) -> tuple[Array, Array]:
    """Radiance of a held print [H, W, 3] and its cover [H, W], after the lens.

    Args:
      texture: result of `print_texture`.
      enlarge: texels per source pixel.
      sheet: shape of the print.
      track: motion of the hand.
      frame: index of the frame.
      light: light of the room.
      gloss: gloss of the paper.
    """
    x, y = seen_on(sheet, track, frame)
    step_ = sheet.source_scale * enlarge
    center = (sheet.source_center + 0.5) * enlarge - 0.5
    photo = cv2.remap(
        texture,
        x * np.float32(step_) + np.float32(center[0]),
        y * np.float32(step_) + np.float32(center[1]),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    rim, far = sheet.outside(x, y)
    soft = np.float32(track.scale / 1.5)
    white = np.clip(0.5 + rim * soft, 0, 1)[..., None]
    photo = photo + white * (np.array([0.85, 0.84, 0.81], np.float32) - photo)
    shade, shine = _lit(sheet, light, track.rotation[frame], x, y, gloss)
    return photo * shade + shine, np.clip(0.5 - far * soft, 0, 1)


def _lit(sheet, light: scene.Light, turn, x, y, gloss) -> tuple[Array, Array]:
    """Diffuse and specular light of the points of the sheet, [H, W, 3] each."""
    normals = sheet.normals(x, y)
    facing = np.maximum(normals @ (turn.T @ light.direction), 0)
    middle = light.direction + np.array([0, 0, 1], np.float32)
    lobe = np.maximum(normals @ (turn.T @ (middle / np.linalg.norm(middle))), 0) ** 24
    shine = (np.float32(gloss) * lobe)[..., None] * light.key
    return light.ambient + facing[..., None] * light.key, shine


# Replay.


@dataclasses.dataclass(frozen=True)
class Display:
    """A screen that emits light.

    Attributes:
      pitch: distance of its pixels, in sensor pixels.
      white: color of its white, RGB (bluer than paper).
      brightness: brightness relative to white paper in the room.
      black: light of a black pixel, relative to white.
      gamma: exponent in addition to that of the picture.
      duty: width of a sub-pixel stripe, in pixels of the screen.
      reflect: share of the room reflected by the glass.
      focus: standard deviation of the last camera's defocus on it, in sensor pixels.
    """

    pitch: float
    white: Array
    brightness: float
    black: float
    gamma: float
    duty: float
    reflect: float
    focus: float


def draw_display(rng: np.random.Generator, style: dict) -> Display:
    """A random phone, tablet or monitor.

    Args:
      rng: generator of the attacker.
      style: ranges `pitch`, `blue` (of its white), `brightness`, `black`, `gamma`,
        `focus`.
    """
    blue = rng.uniform(*style["blue"])
    low, high = np.log(style["pitch"])
    return Display(
        pitch=float(np.exp(rng.uniform(low, high))),
        white=np.array([1 - blue, 1.0, 1 + blue], np.float32),
        brightness=float(rng.uniform(*style["brightness"])),
        black=float(rng.uniform(*style["black"])),
        gamma=float(rng.uniform(*style["gamma"])),
        duty=float(rng.uniform(0.24, 0.33)),
        reflect=float(rng.uniform(0.01, 0.05)),
        focus=float(rng.uniform(*style["focus"])),
    )


def mosaic(display: Display, camera: Camera, x: Array, y: Array) -> Array:
    """Modulation of the light at every sensor pixel by the sub-pixels, [H, W, 3].

    Fourier series of RGB stripes and black rows; each harmonic is attenuated by the lens
    and the pixel aperture and then sampled at the sensor pixels, so that it aliases with
    the sensor grid and the Bayer mosaic, as the moire of a real screen.

    Args:
      display: the screen.
      camera: the last camera.
      x: horizontal position on the screen, in screen pixels [H, W].
      y: vertical position on the screen, in screen pixels [H, W].
    """
    frequency = 1 / display.pitch
    turn = np.float32(2 * np.pi)
    out = np.empty((*x.shape, 3), np.float32)
    rows = 0.3 * camera.passes(frequency, display.focus) * np.cos(turn * y)
    weights = [
        2
        * float(np.sinc(k * display.duty))
        * camera.passes(k * frequency, display.focus)
        for k in (1, 2)
    ]
    for color in range(3):
        place = turn * (x - np.float32(color / 3))
        stripes = weights[0] * np.cos(place)
        if weights[1] > 0.01:
            stripes = stripes + weights[1] * np.cos(2 * place)
        out[..., color] = np.maximum((1 + stripes) * (1 + rows), 0)
    return out


def show_replay(
    picture: Array,
    display: Display,
    room: Array,
    sheet: Sheet,
    track: geometry.Track,
    frame: int,
    camera: Camera,
    light: scene.Light,
) -> tuple[Array, Array]:
    """Radiance of a held screen [H, W, 3] and its cover [H, W], after the lens.

    Args:
      picture: frame of the attacker's video, uint8 RGB.
      display: the screen.
      room: radiance of the reflected room [H, W, 3], blurred.
      sheet: flat sheet of the screen.
      track: motion of the hand.
      frame: index of the frame.
      camera: the last camera.
      light: light of the room; the glass scatters a small share of it.
    """
    x, y = seen_on(sheet, track, frame)
    shown = cv2.remap(
        picture,
        x * np.float32(sheet.source_scale) + np.float32(sheet.source_center[0]),
        y * np.float32(sheet.source_scale) + np.float32(sheet.source_center[1]),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    level = linear(shown)
    if abs(display.gamma - 1) > 0.02:
        level = cv2.pow(level, display.gamma)
    level = display.black + (1 - display.black) * level
    level = camera.lens(level * (display.brightness * display.white))
    dots = track.scale / display.pitch
    level = level * mosaic(display, camera, x * np.float32(dots), y * np.float32(dots))
    rim, far = sheet.outside(x, y)
    soft = np.float32(track.scale / 1.5)
    level = level * np.clip(0.5 - rim * soft, 0, 1)[..., None] + 0.012 * light.ambient
    mirrored = _mirror(room, track, frame)
    level = level + np.float32(display.reflect) * mirrored
    return level, np.clip(0.5 - far * soft, 0, 1)


def _mirror(room: Array, track: geometry.Track, frame: int) -> Array:
    """The room [H, W, 3] reflected by the tilted glass."""
    drift = (track.rotation[frame, 2, :2] * -2.5 * track.scale).astype(np.float64)
    matrix = np.array([[-1, 0, room.shape[1] + drift[0]], [0, 1, drift[1]]])
    return cv2.warpAffine(room, matrix, track.size, borderMode=cv2.BORDER_REFLECT)
