"""Shared parts of live and spoof videos: camera, path of the face, annotated clip."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from nasfas_jax.synthetic import camera, geometry, interior, live, scene
from nasfas_jax.synthetic.domains import DOMAINS, Domain
from nasfas_jax.synthetic.fields import Array
from nasfas_jax.synthetic.head import Head
from nasfas_jax.synthetic.identity import Identity, draw_identity
from nasfas_jax.synthetic.specs import ATTACKS, VideoSpec

MAP_CELLS = 64  # side of the depth and contour maps
MAP_SPAN = 2.0  # side of the region they cover, in sides of the face box
TRACKING = 2.0  # deviation of the smoothing of face boxes over time, frames
FACE_HEIGHT = 2.4  # head units from the contour's top to the chin
SENSOR_FACE = 190  # sensor pixels of a face's height that recapture cues require
MOST_SCALE = 4  # largest number of sensor pixels per pixel of the video

Optical = Callable[[int], Array]  # light [H, W, 3] on the sensor by frame index


@dataclasses.dataclass(frozen=True)
class Clip:
    """One rendered video with its annotation.

    Attributes:
      frames: uint8 RGB [T, H, W, 3].
      fps: frames a second.
      boxes: tracked face boxes x, y, width, height in pixels, float32 [T, 4].
      eyes: the two eyes' centers, left in the picture first, float32 [T, 2, 2].
      landmarks: `live.LANDMARKS` in pixels, float32 [T, 10, 2].
      open_: openness of the eyes shown, 1 open, float32 [T].
      depth: true depth over `depth_box`, uint8 [T, 64, 64]: 255 nearest, 26 the
        farthest of the face, 0 off the face; all 0 for a spoof.
      contour: the filled face contour over `depth_box`, uint8 [T, 64, 64], 0 or 255,
        for live and spoof.
      depth_box: x, y, width, height of the region the maps cover, float32 [T, 4]; it
        may extend beyond the frame.
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


@dataclasses.dataclass(frozen=True)
class Stage:
    """Random properties shared by live and spoof videos of a domain.

    Attributes:
      domain: the capture condition.
      camera: the last camera with its setting.
      scale: sensor pixels per pixel of the finished video, along one axis.
      size: columns and rows of the sensor.
      times: seconds [T].
      path: path of the face over the sensor.
      noise: generator of the noise of the sensor.
    """

    domain: Domain
    camera: camera.Camera
    scale: int
    size: tuple[int, int]
    times: Array
    path: scene.Path
    noise: np.random.Generator

    def film(self, optical_at: Optical, frames: int) -> list[Array]:
        """Frames of the video, uint8 RGB [H, W, 3], from the light on the sensor."""
        noise = camera.Noise(self.size, self.noise)
        pictures, exposure = [], None
        for frame in range(frames):
            optical = optical_at(frame)
            exposure = exposure or self.camera.meter(optical)
            pictures.append(
                self.camera.develop(optical, exposure, noise.frame(), self.scale)
            )
        return pictures


def person(spec: VideoSpec) -> Identity:
    """The subject of a video: the same in all videos of the same `subject_seed`."""
    return draw_identity(np.random.default_rng(spec.subject_seed))


def variant_of(spec: VideoSpec) -> str:
    """The variant of the attack: the specified one, or a random one."""
    rng = np.random.default_rng([spec.seed, 5])
    return spec.variant or str(rng.choice(ATTACKS[spec.attack_type]))


def set_stage(spec: VideoSpec) -> Stage:
    """Camera and path of the face, which depend on the seeds alone."""
    rng = np.random.default_rng([spec.seed, 1])
    device = spec.seed if spec.camera_seed is None else spec.camera_seed
    domain = DOMAINS[spec.domain]
    scale = sensor_scale(spec.face_size)
    columns, rows = domain.size(spec.face_size)
    size = (scale * columns, scale * rows)
    height = scale * spec.face_size * domain.zoom * rng.uniform(0.92, 1.08)
    center = (np.array(size) - 1) / 2 + rng.uniform(-0.06, 0.06, 2) * height
    times = np.arange(spec.frames) / spec.fps
    return Stage(
        domain,
        camera.vary(domain.camera, np.random.default_rng([device, 6])),
        scale,
        size,
        times,
        scene.wander(rng, times, height, center),
        np.random.default_rng([spec.seed, 2]),
    )


def sensor_scale(face_size: int) -> int:
    """Sensor pixels per pixel of the finished video.

    The smallest number with `SENSOR_FACE` sensor pixels for the height of a face, where
    halftone dots, sub-pixels and pores are resolved; at most `MOST_SCALE`.
    """
    return min(MOST_SCALE, -(-SENSOR_FACE // face_size))


def density(height: float) -> float:
    """Texels per head unit of a head whose face is `height` pixels high."""
    return 1.05 * height / FACE_HEIGHT


def sit(
    head: Head,
    domain: Domain,
    size: tuple[int, int],
    path: scene.Path,
    behavior: scene.Behavior,
    rng: np.random.Generator,
    bare: Head | None = None,
) -> live.Sitter:
    """Places a head in a room so that its face box follows the path of the stage.

    `bare` is the head below a worn object; its contour is that of the face.
    """
    light = scene.draw_light(rng, domain.light)
    points = live.face_points(head.who, head.chart, (bare or head).height)
    track = geometry.at_rest(behavior.rotation, size)
    track = track.place(points[: live.CONTOUR], path.heights, path.centers)
    room = build_room(domain, track, light, rng)
    scale = track.scale / live.BEHIND
    return live.Sitter(
        head,
        light,
        scene.build_body(head.who, light, scale * 1.2, rng, head.neck),
        room,
        path.shake,
        behavior,
        track,
        live.cast_shadow(head, track.rotation[0].T @ light.direction, light.size),
        track.project(points),
    )


def build_room(
    domain: Domain, track: geometry.Track, light: scene.Light, rng: np.random.Generator
) -> Array:
    """Radiance [H / BEHIND, W / BEHIND, 3] of a room, before the lens."""
    size = (track.size[0] // live.BEHIND, track.size[1] // live.BEHIND)
    scale = track.scale / live.BEHIND
    return interior.build_background(rng, domain.room, size, scale, light)


def track_boxes(contour: Array) -> Array:
    """Face boxes [T, 4] of contours [T, P, 2], smoothed over time as by a tracker.

    Without it the frames that a screen repeats or drops would show in the annotations.
    """
    boxes = geometry.bounding(contour)
    return ndimage.gaussian_filter1d(boxes, TRACKING, axis=0, mode="nearest")


def map_regions(boxes: Array) -> Array:
    """The squares [T, 4] that the maps cover, about the face boxes [T, 4]."""
    side = MAP_SPAN * boxes[:, 2:].max(1)
    corner = boxes[:, :2] + boxes[:, 2:] / 2 - side[:, None] / 2
    return np.column_stack([corner, side, side]).astype(np.float32)


def finish(
    spec: VideoSpec,
    stage: Stage,
    frames: list[Array],
    points: Array,
    open_: Array,
    depth_at: Callable[[int, Array, Array], Array] | None = None,
) -> Clip:
    """The clip with its annotations.

    Args:
      spec: specification of the video.
      stage: its stage.
      frames: pictures of the video, uint8 RGB [H, W, 3].
      points: sensor pixels [T, P, 2] of `live.face_points`.
      open_: openness of the eyes shown [T].
      depth_at: function (frame, region on the sensor, mask) -> depth map; required for
        a live clip.
    """
    shrunk = (points + 0.5) / stage.scale - 0.5
    contour = points[:, : live.CONTOUR]
    regions = map_regions(track_boxes(contour))
    boxes = track_boxes(shrunk[:, : live.CONTOUR])
    masks = [
        live.contour_mask(outline, region, MAP_CELLS)
        for outline, region in zip(contour, regions, strict=True)
    ]
    depth = np.zeros((len(masks), MAP_CELLS, MAP_CELLS), np.uint8)
    if spec.label:
        assert depth_at is not None
        depth = np.stack([depth_at(t, regions[t], m) for t, m in enumerate(masks)])
    marks = shrunk[:, live.CONTOUR :].astype(np.float32)
    return Clip(
        np.stack(frames),
        spec.fps,
        boxes,
        marks[:, :2],
        marks,
        np.asarray(open_, np.float32),
        depth,
        np.stack(masks),
        map_regions(boxes),
    )
