"""The scene: light, background, body and motion of people."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from nasfas_jax.synthetic import geometry
from nasfas_jax.synthetic.fields import Array, Chart, bands, fractal, step, waves
from nasfas_jax.synthetic.identity import Identity, skin_color


@dataclasses.dataclass(frozen=True)
class Light:
    """A soft key light and an ambient light; colors are linear RGB [3].

    Attributes:
      direction: unit vector [3] from the face to the key light (x right, y down, z to the
        camera).
      key: color of the key light.
      ambient: color of the ambient light.
      back: color of the light on the background.
      size: angular radius of the key light in radians: 0.05 for a lamp in a room, 0.4 for a
        window nearby.
      others: unit vectors [K, 3] to further lamps and windows, times their light relative to
        the key light: glossy surfaces mirror them; for matte ones they are part of the
        ambient light.
    """

    direction: Array
    key: Array
    ambient: Array
    back: Array
    size: float = 0.2
    others: Array = dataclasses.field(default_factory=lambda: np.zeros((0, 3)))


def color_of(warmth: float) -> Array:
    """Linear RGB of a light: 0 is neutral, 1 a bulb, -1 a blue sky; green stays 1."""
    return np.array([1 + 0.35 * warmth, 1, 1 - 0.4 * warmth], np.float32)


def draw_light(rng: np.random.Generator, style: dict) -> Light:
    """A random light of a domain.

    Args:
      rng: generator of the session.
      style: ranges `azimuth` and `elevation` (degrees), `ambient` (share of ambient
        light), `warmth`, `back` (brightness of the background).
    """
    azimuth = np.deg2rad(rng.uniform(*style["azimuth"]) * rng.choice([-1, 1]))
    direction = _toward(azimuth, np.deg2rad(rng.uniform(*style["elevation"])))
    ambient = np.float32(rng.uniform(*style["ambient"]))
    tint = color_of(rng.uniform(*style["warmth"]))
    fill = color_of(rng.uniform(*style["warmth"]))
    back = np.float32(rng.uniform(*style["back"])) * fill
    size = float(np.exp(rng.uniform(np.log(0.06), np.log(0.4))))
    others = [
        _toward(*np.deg2rad(rng.uniform([-70, 10], [70, 60]))) * rng.uniform(0.1, 0.5)
        for _ in range(int(rng.integers(1, 4)))
    ]
    key = (1 - 0.6 * ambient) * tint
    return Light(direction, key, ambient * fill, back, size, np.stack(others))


def _toward(azimuth: float, elevation: float) -> Array:
    """Unit vector to a light; angles in radians, elevation upwards."""
    return np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            -np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ],
        np.float32,
    )


@dataclasses.dataclass(frozen=True)
class Behavior:
    """Expression and rotation of a head over a clip, [T] each.

    Attributes:
      rotation: [T, 3, 3].
      open_: openness of the eyes, 1 open.
      gaze: [T, 2], right and down.
      mouth: openness of the mouth, 0 shut.
      smile: height of the corners of the mouth, about -1 to 1.
      brow: height of the brows, about -1 to 1.
      pulse: deviation of the blood in the skin from its mean, in the unit of
        `identity.skin_color`.
    """

    rotation: Array
    open_: Array
    gaze: Array
    mouth: Array
    smile: Array
    brow: Array
    pulse: Array

    def stiffen(self, flex: float) -> Behavior:
        """The behavior under a mask that transmits a share `flex` of the expression."""
        return dataclasses.replace(
            self,
            mouth=self.mouth * np.float32(flex),
            smile=self.smile * np.float32(flex),
            brow=self.brow * np.float32(flex),
        )

    def stare(self) -> Behavior:
        """The behavior with painted eyes, without blinks and eye movements."""
        return dataclasses.replace(
            self, open_=np.full_like(self.open_, 0.95), gaze=0 * self.gaze
        )


@dataclasses.dataclass(frozen=True)
class Path:
    """Path of a face box through a clip.

    Attributes:
      heights: heights of the face box, pixels [T].
      centers: centers of the face box, pixels [T, 2].
      shake: motion of the background by camera motion, pixels [T, 2].
    """

    heights: Array
    centers: Array
    shake: Array

    def scaled(self, factor: float) -> Path:
        """The path of a face of another size."""
        return dataclasses.replace(self, heights=factor * self.heights)


def wander(
    rng: np.random.Generator, times: Array, height: float, center: Array
) -> Path:
    """A random path of a face box through a clip.

    Heads, held prints, and cameras on tripods or in hands share one motion distribution, so
    that box motion does not reveal the class.

    Args:
      rng: generator of the path.
      times: seconds [T].
      height: mean height, pixels.
      center: mean center [2].
    """
    size = height * 0.018 * np.exp(rng.normal(0, 0.6))
    path = size * np.stack([waves(rng, times, 0.2, 1.0) for _ in range(2)], 1)
    zoom = 0.5 * size * waves(rng, times, 0.2, 0.8)
    held = rng.uniform(0, 1.2) * (rng.random() < 0.8)  # the others are on a tripod
    return Path(height + zoom, center + path, held * path)


def moved(room: Array, shake: Array) -> Array:
    """A room [H, W, C] seen by a camera that is rotated by `shake` pixels [2]."""
    matrix = np.array([[1, 0, shake[0]], [0, 1, shake[1]]])
    size = room.shape[1::-1]
    return cv2.warpAffine(room, matrix, size, borderMode=cv2.BORDER_REFLECT)


def turn(
    rng: np.random.Generator, times: Array, tilt: float = 1.0, motion: float = 1.0
) -> Array:
    """Rotations [T, 3, 3] of something held or carried by a person.

    Args:
      rng: generator of the rotations.
      times: seconds [T].
      tilt: angle to the axis of the camera, relative to that of a head. The width of a
        plane that faces the camera hardly changes when it rotates, unlike that of a head;
        the box of a tilted plane changes like that of a head.
      motion: amplitude of the rotation, relative to that of a head.
    """
    size = (
        motion
        * np.deg2rad(4.0 * np.exp(rng.normal(0, 0.4)))
        * np.array([1.0, 0.6, 0.5])
    )
    start = np.deg2rad([5.0, 3.5, 2.5]) * rng.standard_normal(3)
    start[:2] *= tilt
    angles = [start[i] + size[i] * waves(rng, times, 0.25, 1.1) for i in range(3)]
    return geometry.rotations(*angles)


def behave(rng: np.random.Generator, times: Array) -> Behavior:
    """Natural behavior: head turns, blinks, eye movements, sometimes speech."""
    rotation = turn(rng, times)
    mouth = np.zeros(len(times))
    if rng.random() < 0.5:
        mouth = np.clip(0.35 + 0.5 * waves(rng, times, 2.0, 4.5), 0, 1)
    gaze = np.stack([waves(rng, times, 0.2, 0.8) for _ in range(2)], 1)
    smile, brow = (waves(rng, times, 0.2, 0.7) for _ in range(2))
    return Behavior(
        rotation,
        blink(rng, times),
        np.clip(0.4 * gaze, -0.8, 0.8),
        mouth.astype(np.float32),
        np.float32(rng.uniform(0.2, 1)) * np.clip(smile, -1, 1),
        np.float32(rng.uniform(0.1, 0.7)) * np.clip(brow, -1, 1),
        heartbeat(rng, times),
    )


def blink(rng: np.random.Generator, times: Array) -> Array:
    """Openness of the eyes [T], with at least one blink of about 0.2 s."""
    end = float(times[-1])
    open_ = np.full(len(times), rng.uniform(0.85, 1.0))
    blinks = [rng.uniform(0.15, max(0.2, end - 0.2))]
    blinks += [rng.uniform(0, end)] if rng.random() < 0.15 * end else []
    for moment in blinks:
        span = rng.uniform(0.08, 0.13)
        lid = np.clip(1.35 - ((times - moment) / span) ** 2, 0, 1)
        open_ = np.minimum(open_, 1 - lid)
    return open_.astype(np.float32)


def heartbeat(rng: np.random.Generator, times: Array) -> Array:
    """Deviation of the blood in the skin from its mean [T], 50 to 110 beats per minute.

    It absorbs about a hundredth of the green light and a fifth of that of the red light, as
    measured in faces by remote photoplethysmography.
    """
    phase = 2 * np.pi * (rng.uniform(50, 110) / 60 * times + rng.random())
    wave = np.sin(phase) + 0.35 * np.sin(2 * phase - 0.8)
    return (rng.uniform(0.01, 0.03) * wave).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Body:
    """Neck, shoulders and clothes: premultiplied linear RGB and cover [H, W, 4]."""

    chart: Chart
    picture: Array


def build_body(
    who: Identity,
    light: Light,
    density: float,
    rng: np.random.Generator,
    neck_color: Array | None = None,
) -> Body:
    """The shaded body, seen from the front; `neck_color` [3] is that of a mannequin."""
    chart = Chart(-3.6, 0.7, 3.6, 3.4, density)
    x, y = chart.x, chart.y
    slim = 0.56 - 0.07 * who.feminine
    neck_half = slim + 0.12 * step(y, 1.6, 2.3)
    neck = chart.soft(np.abs(x) - neck_half)
    slope = 1.95 + 0.3 * np.clip(np.abs(x) - 0.55, 0, None) ** 1.3
    collar = slope + 0.45 * np.clip(1 - (np.abs(x) / 0.75) ** 2, 0, 1)
    round_ = step(np.abs(x), 2.3 - 0.25 * who.feminine, 2.9)
    trunk = chart.soft(slope - y + 1.5 * round_, 0.03)
    cloth = chart.soft(collar - y, 0.03) * trunk
    albedo = _body_albedo(who, chart, cloth, rng, neck_color)
    nx = np.where(cloth > 0.5, 0.3 * x, 0.9 * x / slim).clip(-0.95, 0.95)
    fold = 0.22 * fractal(rng, chart.shape, 0.7 * density, 3) * cloth
    tendon = 0.25 * np.sin(7 * np.abs(x) - 2 * (y - 1.6)) * (1 - cloth)
    nx = np.clip(nx + fold + tendon * np.tanh(6 * x), -0.97, 0.97)
    lit = nx * light.direction[0] - 0.25 * cloth * light.direction[1]
    lit = lit + np.sqrt(1 - nx * nx) * light.direction[2]
    under = np.exp(-0.5 * ((x / 0.8) ** 2 + ((y - 1.55) / 0.3) ** 2))
    reach = (1 - 0.75 * under)[..., None]
    shade = light.ambient + light.key * np.clip(lit, 0, 1)[..., None]
    cover = np.maximum(neck * chart.soft(y - 2.6), trunk)
    picture = albedo * shade * reach * cover[..., None]
    return Body(chart, np.dstack([picture, cover]).astype(np.float32))


def _body_albedo(
    who: Identity,
    chart: Chart,
    cloth: Array,
    rng: np.random.Generator,
    neck_color: Array | None,
) -> Array:
    """Reflectance [H, W, 3] of skin and clothes; `cloth` [H, W] is 1 on clothes."""
    x, y, density = chart.x, chart.y, chart.density
    tone = rng.uniform(0.02, 0.7) * rng.dirichlet(np.ones(3) * 4) * 2
    weave = fractal(rng, chart.shape, (0.5 * density, 0.1 * density), 3)
    pattern = 1 + 0.1 * weave
    if rng.random() < 0.35:
        stripes = np.sin((x + y * rng.uniform(-1, 1)) * rng.uniform(6, 20))
        pattern = pattern * (1 + 0.5 * np.sign(stripes) * rng.uniform(0, 1))
    mottle = fractal(rng, chart.shape, 0.4 * density, 4)
    skin = skin_color(who.melanin * (1 + 0.05 * mottle), who.blood * (1 + 0.2 * mottle))
    if neck_color is not None:
        skin = np.broadcast_to(np.float32(neck_color), skin.shape)
    return (
        skin * (1 - cloth)[..., None]
        + (tone * cloth[..., None]) * np.clip(pattern, 0.2, 2)[..., None]
    )


def paste(under: Array, over: Array) -> Array:
    """A premultiplied picture [H, W, 4] over an opaque one [H, W, 3]."""
    result = np.empty_like(under)
    for band in bands(len(under)):
        *color, cover = cv2.split(over[band])
        lower = cv2.multiply(under[band], cv2.merge([1 - cover] * 3))
        result[band] = cv2.add(lower, cv2.merge(color))
    return result
