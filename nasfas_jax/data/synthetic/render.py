"""Render one video of the plan: a live clip, or an attack filmed by the same camera."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from nasfas_jax.data.synthetic import attacks, camera, geometry, live, scene
from nasfas_jax.data.synthetic.domains import DOMAINS, Domain
from nasfas_jax.data.synthetic.fields import Array
from nasfas_jax.data.synthetic.head import Head, build_head
from nasfas_jax.data.synthetic.identity import Identity, draw_identity
from nasfas_jax.data.synthetic.specs import VideoSpec

MAP_CELLS = 64  # side of the depth and contour maps
MAP_SPAN = 2.0  # side of the region they cover, in sides of the face box
FACE_HEIGHT = 2.4  # head units from the contour's top to the chin


@dataclasses.dataclass(frozen=True)
class Clip:
    """One rendered video with its truth.

    Attributes:
      frames: uint8 RGB [T, H, W, 3].
      fps: frames a second.
      boxes: face boxes x, y, width, height in pixels, float32 [T, 4].
      eyes: the two eyes' centres, left in the picture first, float32 [T, 2, 2].
      landmarks: `live.LANDMARKS` in pixels, float32 [T, 10, 2].
      open_: openness of the eyes shown, 1 open, float32 [T].
      depth: true depth over `depth_box`, uint8 [T, 64, 64]: 255 nearest, 26 the
        farthest of the face, 0 off the face; all 0 for a spoof.
      contour: the filled face contour over `depth_box`, uint8 [T, 64, 64], 0 or 255,
        for live and spoof.
      depth_box: x, y, width, height of the region the maps cover, float32 [T, 4]; it
        may reach over the frame's edge.
    """

    frames: Array
    fps: float
    boxes: Array
    eyes: Array
    landmarks: Array
    open_: Array
    depth: Array
    contour: Array
    depth_box: Array


def person(spec: VideoSpec) -> Identity:
    """The subject of a video: the same in all videos of the same `subject_seed`."""
    return draw_identity(np.random.default_rng(spec.subject_seed))


def render(spec: VideoSpec) -> Clip:
    """Render one video; a pure function of `spec`."""
    if spec.attack_type in ("print", "replay"):
        return _render_recapture(spec)
    return _render_head(spec)


@dataclasses.dataclass(frozen=True)
class _Stage:
    """What live and spoof videos of a domain draw alike."""

    domain: Domain
    camera: camera.Camera
    times: Array
    height: float
    centre: Array
    noise: np.random.Generator


def _stage(spec: VideoSpec) -> _Stage:
    rng = np.random.default_rng([spec.seed, 1])
    domain = DOMAINS[spec.domain]
    size = np.array(domain.size(spec.face_size), np.float32)
    height = spec.face_size * domain.zoom * rng.uniform(0.92, 1.08)
    centre = (size - 1) / 2 + rng.uniform(-0.06, 0.06, 2) * height
    return _Stage(
        domain,
        camera.vary(domain.camera, rng),
        np.arange(spec.frames) / spec.fps,
        height,
        centre,
        np.random.default_rng([spec.seed, 2]),
    )


def _sit(
    head: Head,
    domain: Domain,
    size: tuple[int, int],
    height: float,
    centre: Array,
    behaviour: scene.Behaviour,
    rng: np.random.Generator,
) -> live.Sitter:
    """Put a head into a room so that its face has the asked height and place."""
    light = scene.draw_light(rng, domain.light)
    points = live.face_points(head.who, head.chart, head.height)
    track = geometry.Track(behaviour.rotation, behaviour.shift, height / 2.5, size)
    track = track.place(points[: live.CONTOUR], height, centre)
    room = scene.build_background(rng, domain.room, size, track.scale, light)
    density = track.scale * 1.2
    return live.Sitter(
        head,
        light,
        scene.build_body(head.who, light, density, rng),
        room,
        behaviour,
        track,
        live.cast_shadow(head, track.rotation[0].T @ light.direction),
        track.project(points),
    )


def _render_head(spec: VideoSpec) -> Clip:
    """A live clip, or one of a worn mask."""
    stage = _stage(spec)
    rng = np.random.default_rng([spec.seed, 3])
    head = build_head(person(spec), 1.35 * stage.height / FACE_HEIGHT)
    behaviour = scene.behave(rng, stage.times)
    if spec.attack_type != "live":
        head = attacks.make_mask(head, rng)
        still = np.ones(spec.frames, np.float32)
        behaviour = dataclasses.replace(behaviour, open_=0.92 * still, mouth=0 * still)
    size = stage.domain.size(spec.face_size)
    sitter = _sit(head, stage.domain, size, stage.height, stage.centre, behaviour, rng)
    frames, maps = [], []
    boxes = geometry.bounding(sitter.points[:, : live.CONTOUR])
    regions = map_regions(boxes)
    gain = 0.0
    for frame in range(spec.frames):
        radiance, grid, seen = sitter.film(frame)
        optical = stage.camera.lens(radiance)
        gain = gain or stage.camera.exposure(optical)
        frames.append(stage.camera.develop(optical, gain, stage.noise))
        contour = sitter.points[frame, : live.CONTOUR]
        mask = live.contour_mask(contour, regions[frame], MAP_CELLS)
        depth = np.zeros_like(mask)
        if spec.label:
            depth = live.depth_map(seen, grid, sitter.track, regions[frame], mask)
        maps.append((depth, mask))
    return _clip(spec, frames, sitter.points, behaviour.open_, maps)


def map_regions(boxes: Array) -> Array:
    """The squares [T, 4] that the maps cover, about the face boxes [T, 4]."""
    side = MAP_SPAN * boxes[:, 2:].max(1)
    corner = boxes[:, :2] + boxes[:, 2:] / 2 - side[:, None] / 2
    return np.column_stack([corner, side, side]).astype(np.float32)


def _clip(spec: VideoSpec, frames, points: Array, open_: Array, maps) -> Clip:
    boxes = geometry.bounding(points[:, : live.CONTOUR])
    marks = points[:, live.CONTOUR :].astype(np.float32)
    return Clip(
        np.stack(frames),
        spec.fps,
        boxes,
        marks[:, :2],
        marks,
        np.asarray(open_, np.float32),
        np.stack([depth for depth, _ in maps]),
        np.stack([mask for _, mask in maps]),
        map_regions(boxes),
    )


@dataclasses.dataclass(frozen=True)
class _Source:
    """What the attacker has: pictures of the victim and where the face is in them."""

    pictures: list[Array]
    points: Array
    open_: Array
    scale: float
    centre: Array


def _take_source(spec: VideoSpec, stage: _Stage, rng: np.random.Generator) -> _Source:
    """Film the victim live with the attacker's own camera: a photo or a video."""
    still = spec.attack_type == "print"
    times = stage.times[:1] if still else stage.times
    behaviour = scene.behave(rng, times)
    if still:  # a photo with shut eyes is thrown away
        behaviour = dataclasses.replace(behaviour, open_=np.full(1, 0.95, np.float32))
    height = stage.height * rng.uniform(1.05, 1.3)
    span = rng.uniform(1.5, 2.2) * rng.permutation([1.0, rng.uniform(1.0, 1.35)])
    columns, rows = (round(side * height / 2) * 2 for side in span)
    centre = np.array([columns - 1, rows - 1]) / 2
    centre = centre + rng.uniform(-0.08, 0.08, 2) * height
    head = build_head(person(spec), 1.35 * height / FACE_HEIGHT)
    size = (columns, rows)
    sitter = _sit(head, stage.domain, size, height, centre, behaviour, rng)
    device = camera.consumer_camera(rng)
    quality = int(rng.integers(72, 95))
    pictures, gain = [], 0.0
    for frame in range(len(times)):
        optical = device.lens(sitter.film(frame)[0])
        gain = gain or device.exposure(optical)
        picture = device.develop(optical, gain, rng)
        pictures.append(camera.jpeg(picture, quality))
    middle = np.array([columns - 1, rows - 1], np.float32) / 2
    return _Source(pictures, sitter.points, behaviour.open_, sitter.track.scale, middle)


def _render_recapture(spec: VideoSpec) -> Clip:
    """A print or a replay: a sheet moved by hand before the domain's camera."""
    stage = _stage(spec)
    rng = np.random.default_rng([spec.seed, 3])
    source = _take_source(spec, stage, rng)
    paper = spec.attack_type == "print"
    sheet = _cut_sheet(source, paper, rng)
    points = sheet.points(source.points)
    points = np.broadcast_to(points, (spec.frames, *points.shape[1:]))
    held = 1.0 if rng.random() < 0.7 else 0.1
    rotation, shift = scene.sway(
        rng, stage.times, 4.5 * held, (0.09 if paper else 0.05) * held
    )
    size = stage.domain.size(spec.face_size)
    track = geometry.Track(rotation, shift, stage.height / 2.5, size)
    track = track.place(points[:, : live.CONTOUR], stage.height, stage.centre)
    show = _print_shower if paper else _replay_shower
    radiance_at = show(stage, source, sheet, track, rng)
    shown = track.project(points)
    regions = map_regions(geometry.bounding(shown[:, : live.CONTOUR]))
    frames, maps, gain = [], [], 0.0
    for frame in range(spec.frames):
        optical = radiance_at(frame)
        gain = gain or stage.camera.exposure(optical)
        frames.append(stage.camera.develop(optical, gain, stage.noise))
        mask = live.contour_mask(
            shown[frame, : live.CONTOUR], regions[frame], MAP_CELLS
        )
        maps.append((np.zeros_like(mask), mask))
    open_ = np.broadcast_to(source.open_, (spec.frames,))
    return _clip(spec, frames, shown, open_, maps)


def _cut_sheet(source: _Source, paper: bool, rng: np.random.Generator) -> attacks.Sheet:
    """The paper or the screen that carries the source, at its own size."""
    rows, columns = source.pictures[0].shape[:2]
    half = rng.uniform(0.92, 1.0) / (2 * source.scale)
    return attacks.Sheet(
        half=(half * columns, half * rows),
        edge=float(rng.uniform(0, 0.2) if paper else rng.uniform(0.12, 0.4)),
        bend=float(rng.normal(0, 0.14)) if paper and rng.random() < 0.65 else 0.0,
        axis=int(rng.integers(2)),
        source_scale=source.scale,
        source_centre=source.centre,
    )


def _room(stage: _Stage, track: geometry.Track, rng) -> tuple[scene.Light, Array]:
    """The room in which the attack is filmed, as the lens sees it."""
    light = scene.draw_light(rng, stage.domain.light)
    room = scene.build_background(
        rng, stage.domain.room, track.size, track.scale, light
    )
    return light, stage.camera.lens(room)


def _print_shower(stage, source: _Source, sheet, track: geometry.Track, rng):
    """A function: frame -> radiance [H, W, 3] behind the lens, of a held print."""
    light, room = _room(stage, track, rng)
    enlarge = 2.5 * track.scale / source.scale
    photo = cv2.resize(
        source.pictures[0], None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_CUBIC
    )
    texture = attacks.print_texture(photo, 2.5, stage.camera, rng)
    gloss = float(rng.choice([0.02, 0.12, 0.3]))

    def radiance(frame: int) -> Array:
        light_, cover = attacks.show_print(
            texture, enlarge, sheet, track, frame, light, gloss
        )
        return room + cover[..., None] * (light_ - room)

    return radiance


def _replay_shower(stage, source: _Source, sheet, track: geometry.Track, rng):
    """A function: frame -> radiance [H, W, 3] behind the lens, of a held screen."""
    light, room = _room(stage, track, rng)
    display = attacks.draw_display(rng)
    mirrored = scene.build_background(
        rng, stage.domain.room, track.size, track.scale, light
    )
    mirrored = cv2.GaussianBlur(mirrored, (0, 0), 0.15 * track.scale)

    def radiance(frame: int) -> Array:
        light_, cover = attacks.show_replay(
            source.pictures[frame],
            display,
            mirrored,
            sheet,
            track,
            frame,
            stage.camera,
            light,
        )
        return room + cover[..., None] * (light_ - room)

    return radiance
