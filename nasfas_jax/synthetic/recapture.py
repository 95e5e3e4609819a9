"""Print and replay: the picture of a first camera on a sheet, filmed by the last camera."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from nasfas_jax.synthetic import attacks, camera, geometry, interior, live, scene
from nasfas_jax.synthetic.fields import Array
from nasfas_jax.synthetic.head import build_head
from nasfas_jax.synthetic.identity import draw_identity
from nasfas_jax.synthetic.specs import VideoSpec
from nasfas_jax.synthetic.stage import (
    Clip,
    Stage,
    density,
    finish,
    person,
    set_stage,
    sit,
    variant,
)

BENDS = {"flat": (0.0, 0.03), "bent": (0.1, 0.3), "cut": (0.0, 0.2)}  # 1 / radius
ASKEW = 2.0  # tilt of a held photo relative to that of a head


@dataclasses.dataclass(frozen=True)
class Source:
    """Pictures of the victim taken by the attacker, and the place of the face in them."""

    pictures: list[Array]
    points: Array
    open_: Array
    scale: float
    center: Array


def render_recapture(spec: VideoSpec) -> Clip:
    """A print or a replay: a sheet moved by hand in front of the camera of the domain."""
    stage, way = set_stage(spec), variant(spec)
    focused = dataclasses.replace(
        stage.camera, psf=stage.camera.psf * stage.domain.near
    )
    stage = dataclasses.replace(stage, camera=focused)
    rng = np.random.default_rng([spec.seed, 3])
    source = take_source(spec, stage, way != "video", rng)
    sheet = _cut_sheet(source, way, rng)
    points = sheet.points(source.points)
    points = np.broadcast_to(points, (spec.frames, *points.shape[1:]))
    rotation = scene.turn(rng, stage.times, 1.0 if way == "video" else ASKEW)
    track = geometry.at_rest(rotation, stage.size)
    contour = points[:, : live.CONTOUR]
    track = track.place(contour, stage.way.heights, stage.way.centers)
    shown = track.project(points)
    if way in BENDS:
        optical_at = _print_shower(stage, source, sheet, track, way, rng)
    else:
        optical_at = _replay_shower(stage, source, sheet, track, rng)
    pictures = stage.film(optical_at, spec.frames)
    open_ = np.broadcast_to(source.open_, (spec.frames,))
    return finish(spec, stage, pictures, shown, open_, None)


def take_source(
    spec: VideoSpec, stage: Stage, still: bool, rng: np.random.Generator
) -> Source:
    """A photo or a video of the live victim by the attacker's camera."""
    times = stage.times[:1] if still else stage.times
    behavior = scene.behave(rng, times)
    if still:  # photos with closed eyes are rejected
        behavior = behavior.stare()
    style = stage.domain.source
    height = float(stage.way.heights.mean()) * rng.uniform(*style["height"])
    span = rng.uniform(1.6, 3.0) * rng.permutation([1.0, rng.uniform(1.0, 1.35)])
    columns, rows = (round(side * height / 2) * 2 for side in span)
    center = np.array([columns - 1, rows - 1]) / 2
    center = center + rng.uniform(-0.08, 0.08, 2) * height
    head = build_head(person(spec), density(height))
    size = (columns, rows)
    way = scene.wander(rng, times, height, center)
    sitter = sit(head, stage.domain, size, way, behavior, rng)
    device = camera.attackers_camera(rng, style)
    quality = int(rng.integers(72, 95))
    pictures, gain = [], 0.0
    for frame in range(len(times)):
        optical = device.lens(sitter.film(frame)[0])
        gain = gain or device.exposure(optical)
        picture = device.develop(optical, gain, rng)
        pictures.append(camera.jpeg(picture, quality))
    middle = np.array([columns - 1, rows - 1], np.float32) / 2
    return Source(pictures, sitter.points, behavior.open_, sitter.track.scale, middle)


def _cut_sheet(source: Source, way: str, rng: np.random.Generator) -> attacks.Sheet:
    """The paper or the screen with the source, at its size."""
    rows, columns = source.pictures[0].shape[:2]
    half = rng.uniform(0.92, 1.0) / (2 * source.scale)
    bend = rng.uniform(*BENDS.get(way, (0.0, 0.0))) * rng.choice([-1, 1])
    return attacks.Sheet(
        half=(half * columns, half * rows),
        edge=float(rng.uniform(0, 0.2) if way in BENDS else rng.uniform(0.12, 0.4)),
        bend=float(bend),
        axis=int(rng.integers(2)),
        source_scale=source.scale,
        source_center=source.center,
        holes=sheet_eyes(source) if way == "cut" else None,
    )


def sheet_eyes(source: Source) -> Array:
    """Positions of the eyes of a photo on its sheet, [2, 2] head units."""
    eyes = source.points[0, live.CONTOUR : live.CONTOUR + 2]
    return ((eyes - source.center) / source.scale).astype(np.float32)


def _room(stage: Stage, track: geometry.Track, rng) -> tuple[scene.Light, Array]:
    """Light and radiance of the room of the attack, before the lens."""
    light = scene.draw_light(rng, stage.domain.light)
    room = interior.build_background(
        rng, stage.domain.room, track.size, track.scale, light
    )
    return light, room


def _attacker(
    stage: Stage, sheet: attacks.Sheet, track: geometry.Track, rng
) -> live.Sitter:
    """The attacker behind a cut print, whose eyes are visible through its holes."""
    who = draw_identity(rng)
    way = stage.way.scaled(0.95)
    head = build_head(who, density(float(way.heights.mean())))
    behavior = scene.behave(rng, stage.times)
    sitter = sit(head, stage.domain, stage.size, way, behavior, rng)
    flat = np.asarray(sheet.holes)
    holes = np.column_stack([flat, sheet.height(flat[:, 0], flat[:, 1])])
    eyes = sitter.points[:, live.CONTOUR : live.CONTOUR + 2].mean(1)
    off = (track.project(holes).mean(1) - eyes) / sitter.track.scale
    shift = sitter.track.shift + np.column_stack([off, 0 * off[:, 0]])
    moved = dataclasses.replace(sitter.track, shift=shift.astype(np.float32))
    return dataclasses.replace(sitter, track=moved)


def _print_shower(stage, source: Source, sheet, track: geometry.Track, way, rng):
    """Function from a frame index to the light [H, W, 3] of a held print on the sensor."""
    enlarge = 1.5 * track.scale / source.scale
    photo = cv2.resize(
        source.pictures[0], None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_CUBIC
    )
    printer = attacks.draw_printer(rng, stage.domain.printer)
    texture = attacks.print_texture(photo, 1.5, stage.camera, printer, rng)
    if way == "cut":
        sitter = _attacker(stage, sheet, track, rng)
        light = sitter.light
    else:
        sitter = None
        light, room = _room(stage, track, rng)
        room = stage.camera.lens(room)

    def optical(frame: int) -> Array:
        lit, cover = attacks.show_print(
            texture, enlarge, sheet, track, frame, light, printer.gloss
        )
        if sitter:
            behind = stage.camera.lens(sitter.film(frame)[0])
        else:
            behind = scene.moved(room, stage.way.shake[frame])
        return behind + cover[..., None] * (lit - behind)

    return optical


def _replay_shower(stage, source: Source, sheet, track: geometry.Track, rng):
    """Function from a frame index to the light [H, W, 3] of a held screen on the sensor."""
    light, room = _room(stage, track, rng)
    room = stage.camera.lens(room)
    display = attacks.draw_display(rng, stage.domain.display)
    mirrored = interior.build_background(
        rng, stage.domain.room, track.size, track.scale, light
    )
    mirrored = cv2.GaussianBlur(mirrored, (0, 0), 0.15 * track.scale)
    last = len(source.pictures) - 1  # a photo stays on the screen

    def optical(frame: int) -> Array:
        lit, cover = attacks.show_replay(
            source.pictures[min(frame, last)],
            display,
            mirrored,
            sheet,
            track,
            frame,
            stage.camera,
            light,
        )
        behind = scene.moved(room, stage.way.shake[frame])
        return behind + cover[..., None] * (lit - behind)

    return optical
