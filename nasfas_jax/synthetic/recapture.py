"""Print and replay: the picture of a first camera, shown to the last camera."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from nasfas_jax.synthetic import (
    attacks,
    camera,
    display,
    fields,
    geometry,
    live,
    printing,
    retouch,
    scene,
)
from nasfas_jax.synthetic.fields import Array
from nasfas_jax.synthetic.head import build_head
from nasfas_jax.synthetic.identity import Identity, draw_identity
from nasfas_jax.synthetic.specs import VideoSpec
from nasfas_jax.synthetic.stage import (
    FACE_HEIGHT,
    Clip,
    Optical,
    Stage,
    build_room,
    density,
    finish,
    person,
    set_stage,
    sit,
    variant_of,
)

BENDS = {  # of printed variants, 1 / radius
    "flat": (0.0, 0.03),
    "bent": (0.1, 0.3),
    "cut": (0.0, 0.2),
    "card": (0.0, 0.02),
    "copy": (0.0, 0.1),
}
# Identity cards are printed in offset or by dye diffusion, at 20 mm of face, and laminated.
CARD_STOCK = {
    "ruling": (133, 200),
    "scattered": 0.5,
    "glossy": 1.0,
    "gain": (0.0, 0.06),
    "key": (0.7, 0.95),
    "banding": (0.0, 0.01),
    "face_cm": (1.9, 2.1),
}
STIFF = 0.1  # waves of a plastic card relative to those of paper
# Tilt and motion of a held sheet relative to those of a head. The box of a face that moves in
# the source changes by itself; that of a photo changes by the tilt alone.
HELD = {"tilt": 2.0, "motion": 1.0}
STEADY = {"tilt": 0.3, "motion": 0.3}
DENSE = 2.0  # texels of a print per sensor pixel: frequencies that alias in the sensor remain
VIDEO = 0.65  # resolution of the attacker's videos relative to that of photos


@dataclasses.dataclass(frozen=True)
class Source:
    """Pictures of the victim taken by the attacker, and the place of the face in them.

    Attributes:
      pictures: frames of a video, or one photo, uint8 RGB [H, W, 3].
      points: pixels [T, P, 2] of `live.face_points` in them.
      open_: openness of the eyes [T].
      scale: pixels per head unit.
      center: pixel [2] at the center of the sheet that shows them.
    """

    pictures: list[Array]
    points: Array
    open_: Array
    scale: float
    center: Array


def render_recapture(spec: VideoSpec) -> Clip:
    """A print, a screen or a projection in front of the camera of the domain."""
    stage, variant = set_stage(spec), variant_of(spec)
    focused = dataclasses.replace(
        stage.camera, psf=stage.camera.psf * stage.domain.near
    )
    stage = dataclasses.replace(stage, camera=focused)
    rng = np.random.default_rng([spec.seed, 3])
    if variant == "card":
        printer = stage.domain.printer | CARD_STOCK
        domain = dataclasses.replace(stage.domain, printer=printer)
        stage = dataclasses.replace(stage, domain=domain)
    screen = None if variant in BENDS else _draw_screen(stage, variant, rng)
    played = display.played_times(stage.times, screen.rate if screen else 1.0)
    source = take_source(spec, stage, played if variant == "video" else None, rng)
    if variant == "copy":
        source = _copied(stage, source, rng)
    elif variant == "card":
        source = _on_card(source, rng)
    elif variant == "animated":
        source = _animated(source, person(spec), played, rng)
    shown = _show(stage, source, variant, screen, rng)
    pictures = stage.film(shown.optical_at, spec.frames)
    open_ = source.open_[shown.frames]
    return finish(spec, stage, pictures, shown.points, open_)


@dataclasses.dataclass(frozen=True)
class Shown:
    """A source on a sheet in front of a camera.

    Attributes:
      optical_at: light on the sensor by frame index.
      points: pixels [T, P, 2] of `live.face_points`.
      frames: the frame of the source that is shown in every frame [T].
      scale: pixels per head unit.
    """

    optical_at: Optical
    points: Array
    frames: list[int]
    scale: float


def _show(
    stage: Stage,
    source: Source,
    variant: str,
    screen: display.Display | None,
    rng: np.random.Generator,
) -> Shown:
    """A printed, displayed or projected source that moves in front of the camera."""
    sheet = _cut_sheet(source, variant, rng)
    frames, held = [0] * len(stage.times), HELD
    if screen and len(source.pictures) > 1:
        frames, held = display.shown_frames(len(stage.times), screen.rate), STEADY
    points = sheet.points(source.points)[frames]
    rotation = scene.turn(rng, stage.times, **held)
    track = geometry.at_rest(rotation, stage.size)
    contour = points[:, : live.CONTOUR]
    track = track.place(contour, stage.path.heights, stage.path.centers)
    pictures = [source.pictures[number] for number in frames]
    if screen is None:
        optical_at = _print_shower(stage, source, sheet, track, variant, rng)
    elif variant == "projection":
        optical_at = _beam_shower(stage, pictures, screen, sheet, track, rng)
    else:
        optical_at = _replay_shower(stage, pictures, screen, sheet, track, rng)
    return Shown(optical_at, track.project(points), frames, track.scale)


def _copied(stage: Stage, source: Source, rng: np.random.Generator) -> Source:
    """A photo that another camera of the attacker takes of the printed or shown source."""
    rows, columns = source.pictures[0].shape[:2]
    middle = np.array([columns - 1, rows - 1], np.float32) / 2
    face = geometry.bounding(source.points[:1, : live.CONTOUR])[0]
    times = stage.times[:1]
    desk = dataclasses.replace(
        stage,
        camera=camera.attackers_camera(rng, stage.domain.source),
        scale=1,
        size=(columns, rows),
        times=times,
        path=scene.wander(rng, times, float(face[3]), face[:2] + face[2:] / 2),
        noise=rng,
    )
    variant = str(rng.choice(["flat", "photo"]))
    screen = None if variant in BENDS else _draw_screen(desk, variant, rng)
    shown = _show(desk, source, variant, screen, rng)
    picture = camera.jpeg(desk.film(shown.optical_at, 1)[0], int(rng.integers(72, 95)))
    return Source([picture], shown.points, source.open_, shown.scale, middle)


def _on_card(source: Source, rng: np.random.Generator) -> Source:
    """The photo on an identity card."""
    x, y, width, height = geometry.bounding(source.points[:, : live.CONTOUR])[0]
    face = (float(x + width / 2), float(y + height / 2))
    picture, offset = retouch.card(source.pictures[0], face, source.scale, rng)
    middle = np.array(picture.shape[1::-1], np.float32) / 2 - 0.5
    points = (source.points + offset).astype(np.float32)
    return Source([picture], points, source.open_, source.scale, middle)


def _animated(
    source: Source, who: Identity, times: Array, rng: np.random.Generator
) -> Source:
    """The photo animated by an app, at `times` in seconds [T]."""
    behavior = scene.behave(rng, times)
    waves = [fields.waves(rng, times, 0.2, 0.8) for _ in range(2)]
    turned = rng.uniform(0.02, 0.06) * np.stack(waves, 1)
    pictures, points = retouch.animate(
        source.pictures[0], source.points[0], source.scale, who, behavior, turned
    )
    points = points.astype(np.float32)
    return Source(pictures, points, behavior.open_, source.scale, source.center)


def _draw_screen(
    stage: Stage, variant: str, rng: np.random.Generator
) -> display.Display:
    """The attacker's screen or projector; its pixels have a size on the sensor."""
    screen = display.draw_display(rng, stage.domain.display)
    return display.as_projector(screen, rng) if variant == "projection" else screen


def take_source(
    spec: VideoSpec, stage: Stage, played: Array | None, rng: np.random.Generator
) -> Source:
    """A photo or a video of the live victim by the attacker's camera.

    `played` holds the seconds of the frames of the video [T]; `None` is for a photo.
    """
    still = played is None
    times = stage.times[:1] if played is None else played
    behavior = scene.behave(rng, times)
    if still:  # photos with closed eyes are rejected
        behavior = behavior.stare()
    style = stage.domain.source
    height = float(stage.path.heights.mean()) * rng.uniform(*style["height"])
    height *= 1.0 if still else VIDEO
    span = rng.uniform(1.6, 3.0) * rng.permutation([1.0, rng.uniform(1.0, 1.35)])
    columns, rows = (round(side * height / 2) * 2 for side in span)
    center = np.array([columns - 1, rows - 1]) / 2
    center = center + rng.uniform(-0.08, 0.08, 2) * height
    head = build_head(person(spec), density(height))
    size = (columns, rows)
    path = scene.wander(rng, times, height, center)
    sitter = sit(head, stage.domain, size, path, behavior, rng)
    device = camera.attackers_camera(rng, style)
    quality = int(rng.integers(72, 95))
    noise = camera.Noise(size, rng)
    pictures, exposure = [], None
    for frame in range(len(times)):
        optical = device.lens(sitter.film(frame)[0])
        exposure = exposure or device.meter(optical)
        picture = device.develop(optical, exposure, noise.frame())
        pictures.append(camera.jpeg(picture, quality))
    middle = np.array([columns - 1, rows - 1], np.float32) / 2
    return Source(pictures, sitter.points, behavior.open_, sitter.track.scale, middle)


def _cut_sheet(source: Source, variant: str, rng: np.random.Generator) -> attacks.Sheet:
    """The paper or the screen with the source, at its size."""
    rows, columns = source.pictures[0].shape[:2]
    size = rng.uniform(0.92, 1.0) / (2 * source.scale)
    half = (size * columns, size * rows)
    bend = rng.uniform(*BENDS.get(variant, (0.0, 0.0))) * rng.choice([-1, 1])
    edge = float(rng.uniform(0, 0.2) if variant in BENDS else rng.uniform(0.12, 0.4))
    relief = None
    if variant in BENDS:
        folds = int(rng.integers(1, 3)) if rng.random() < 0.3 else 0
        waves = float(rng.uniform(0.01, 0.06))
        if variant == "card":
            folds, waves = 0, STIFF * waves
        whole = (half[0] + edge, half[1] + edge)
        relief = attacks.crumple(whole, waves, folds, rng)
    return attacks.Sheet(
        half=half,
        edge=edge,
        bend=float(bend),
        axis=int(rng.integers(2)),
        source_scale=source.scale,
        source_center=source.center,
        holes=sheet_eyes(source) if variant == "cut" else None,
        relief=relief,
    )


def sheet_eyes(source: Source) -> Array:
    """Positions of the eyes of a photo on its sheet, [2, 2] head units."""
    eyes = source.points[0, live.CONTOUR : live.CONTOUR + 2]
    return ((eyes - source.center) / source.scale).astype(np.float32)


def _room(
    stage: Stage, track: geometry.Track, rng: np.random.Generator
) -> tuple[scene.Light, Optical]:
    """Light of the room of the attack, and the room behind the lens by frame index."""
    light = scene.draw_light(rng, stage.domain.light)
    room = build_room(stage.domain, track, light, rng)

    def behind_at(frame: int) -> Array:
        coarse = scene.moved(room, stage.path.shake[frame] / live.BEHIND)
        fine = cv2.resize(coarse, track.size, interpolation=cv2.INTER_LINEAR)
        return stage.camera.lens(fine)

    return light, behind_at


def _attacker(
    stage: Stage, sheet: attacks.Sheet, track: geometry.Track, rng: np.random.Generator
) -> tuple[scene.Light, Optical]:
    """Light and picture of the attacker, whose eyes are behind the holes of a cut print."""
    who = draw_identity(rng)
    path = stage.path.scaled(0.95)
    head = build_head(who, density(float(path.heights.mean())))
    behavior = scene.behave(rng, stage.times)
    sitter = sit(head, stage.domain, stage.size, path, behavior, rng)
    flat = np.asarray(sheet.holes)
    holes = np.column_stack([flat, sheet.height(flat[:, 0], flat[:, 1])])
    eyes = sitter.points[:, live.CONTOUR : live.CONTOUR + 2].mean(1)
    off = (track.project(holes).mean(1) - eyes) / sitter.track.scale
    shift = sitter.track.shift + np.column_stack([off, 0 * off[:, 0]])
    moved = dataclasses.replace(sitter.track, shift=shift.astype(np.float32))
    sitter = dataclasses.replace(sitter, track=moved)
    return sitter.light, lambda frame: stage.camera.lens(sitter.film(frame)[0])


def _print_sheet(
    stage: Stage,
    source: Source,
    sheet: attacks.Sheet,
    track: geometry.Track,
    rng: np.random.Generator,
) -> tuple[Array, printing.Printer]:
    """The print with its border behind the lens, uint16 [H, W, 3], and its printer."""
    printer = printing.draw_printer(rng, stage.domain.printer)
    rows, columns = source.pictures[0].shape[:2]
    x, y = (round(side * source.scale) for side in sheet.half)
    middle = source.pictures[0][
        max(rows // 2 - y, 0) : rows // 2 + y,
        max(columns // 2 - x, 0) : columns // 2 + x,
    ]
    edge = round(sheet.edge * source.scale)
    photo = camera.linear(middle)
    photo = np.pad(photo, ((edge, edge), (edge, edge), (0, 0)), constant_values=1.0)
    # The paper is larger or smaller than the person; an inch of it has fewer or more
    # texels.
    enlarged = rng.uniform(*stage.domain.printer["face_cm"]) / 7 / FACE_HEIGHT
    texels = DENSE * track.scale
    texture = printing.print_texture(
        photo, texels / source.scale, texels / enlarged, printer, rng
    )
    if sheet.relief and sheet.relief.worn.any():
        size = texture.shape[1::-1]
        worn = cv2.resize(sheet.relief.worn, size, interpolation=cv2.INTER_CUBIC)
        paper = np.float32(65535) * printer.white
        for band in fields.bands(len(texture)):
            ink = texture[band] + worn[band, :, None] * (paper - texture[band])
            texture[band] = np.clip(ink, 0, 65535)
    blur = DENSE * float(np.hypot(stage.camera.psf, 0.29 * stage.camera.fill))
    return cv2.GaussianBlur(texture, (0, 0), blur), printer


def _print_shower(
    stage: Stage,
    source: Source,
    sheet: attacks.Sheet,
    track: geometry.Track,
    variant: str,
    rng: np.random.Generator,
) -> Optical:
    """Light of a held print on the sensor, by frame index."""
    texture, printer = _print_sheet(stage, source, sheet, track, rng)
    if variant == "cut":
        light, behind_at = _attacker(stage, sheet, track, rng)
    else:
        light, behind_at = _room(stage, track, rng)

    def optical(frame: int) -> Array:
        lit, cover = attacks.show_print(
            texture, DENSE * track.scale, sheet, track, frame, light, printer
        )
        return _over(lit, cover, behind_at(frame))

    return optical


def _over(lit: Array, cover: Array, behind: Array) -> Array:
    """A sheet [H, W, 3] with its cover [H, W] before the room [H, W, 3]."""
    return cv2.blendLinear(lit, behind.astype(np.float32), cover, 1 - cover)


def _replay_shower(
    stage: Stage,
    pictures: list[Array],
    screen: display.Display,
    sheet: attacks.Sheet,
    track: geometry.Track,
    rng: np.random.Generator,
) -> Optical:
    """Light of a held screen on the sensor, by frame index.

    `pictures` are the frames shown [T], uint8 RGB.
    """
    light, behind_at = _room(stage, track, rng)
    mirrored = build_room(stage.domain, track, light, rng)
    scale = track.scale / live.BEHIND
    mirrored = cv2.GaussianBlur(mirrored, (0, 0), 0.15 * scale)
    if screen.glare:
        attacks.put_lamp(mirrored, screen.glare / screen.reflect, scale, rng)
    pattern = display.seen_pattern(screen, stage.camera)
    phase = rng.uniform(0, 1)

    def optical(frame: int) -> Array:
        lit, cover = attacks.show_replay(
            pictures[frame],
            screen,
            pattern,
            mirrored,
            sheet,
            track,
            frame,
            stage.camera,
            light,
        )
        lit *= _bands(stage, screen, phase + float(stage.times[frame]))
        return _over(lit, cover, behind_at(frame))

    return optical


def _bands(stage: Stage, screen: display.Display, start: float) -> Array:
    """Light [H, 1, 1] of a flickering screen by row, for a frame that begins at `start`."""
    device, rows = stage.camera, stage.size[1]
    light = display.bands(screen, rows, device.readout, device.shutter, start)
    return light[:, None, None]


def _beam_shower(
    stage: Stage,
    pictures: list[Array],
    beamer: display.Display,
    sheet: attacks.Sheet,
    track: geometry.Track,
    rng: np.random.Generator,
) -> Optical:
    """Light of a projection on the sensor, by frame index.

    The beam adds to the light of the dim room; the wall or cloth multiplies both, and its
    relief shades the beam. `pictures` are the frames shown [T], uint8 RGB.
    """
    light = scene.draw_light(rng, stage.domain.light)
    room = np.float32(rng.uniform(0.02, 0.15)) * (light.ambient + 0.5 * light.key)
    half = (WALL, WALL)
    relief = attacks.crumple(half, float(rng.uniform(0.0, 0.08)), 0, rng)
    wall = dataclasses.replace(sheet, half=half, relief=relief)
    paint = printing.draw_printer(rng, stage.domain.printer | {"glossy": 0.0})
    texels = DENSE * track.scale
    texture = attacks.wall_texture(2 * WALL, texels, paint.white, rng)
    texture = cv2.GaussianBlur(texture, (0, 0), DENSE * stage.camera.psf)
    aside = np.array([*rng.uniform([-0.3, -0.1], [0.3, 0.4]), 1.0], np.float32)
    none = np.zeros(3, np.float32)
    beam = scene.Light(aside / np.linalg.norm(aside), none + 1, none, none)
    dark = np.zeros((8, 8, 3), np.float32)
    pattern = display.seen_pattern(beamer, stage.camera)
    phase = rng.uniform(0, 1)

    def optical(frame: int) -> Array:
        seen, _ = attacks.show_print(texture, texels, wall, track, frame, beam, paint)
        lit, _ = attacks.show_replay(
            pictures[frame],
            beamer,
            pattern,
            dark,
            sheet,
            track,
            frame,
            stage.camera,
            light,
        )
        lit *= _bands(stage, beamer, phase + float(stage.times[frame]))
        return (seen * (lit + room)).astype(np.float32)

    return optical


WALL = 4.0  # half the side of the visible wall of a projection, head units
