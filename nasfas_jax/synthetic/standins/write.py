"""Writing of a stand-in: few rendered clips in many files with official names."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Callable, Iterator

import h5py
import numpy as np

from nasfas_jax import files, limits, synthetic
from nasfas_jax.errors import InputError
from nasfas_jax.synthetic.dataset import FORMAT
from nasfas_jax.synthetic.specs import derive
from nasfas_jax.synthetic.standins import shot
from nasfas_jax.synthetic.standins.annotations import DIALECTS
from nasfas_jax.synthetic.standins.layouts import LAYOUTS, File
from nasfas_jax.synthetic.standins.lists import LISTS

MARK = "standin.json"
CODECS = {".avi": "MJPG", ".mov": "MJPG", ".mp4": "mp4v"}


@dataclasses.dataclass(frozen=True)
class _Settings:
    """Settings that determine the content of a stand-in."""

    layout: str
    subjects: int | None
    frames: int
    face_size: int
    distinct: int | None
    seed: int
    empty: bool


def write(
    layout: str,
    root: str | os.PathLike,
    *,
    subjects: int | None = None,
    frames: int = 24,
    face_size: int = 64,
    distinct: int | None = 4,
    seed: int = 0,
    empty: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[pathlib.Path]:
    """Writes a synthetic dataset in a layout; safe to re-run after an interruption.

    Args:
      layout: a key of `LAYOUTS`.
      root: the dataset's folder; created if missing.
      subjects: number of people in each of the dataset's own splits (for siw_m: of
        videos in each group of names), all where it has fewer; None: `Layout.few`, or all
        people if `empty`.
      frames: as in `synthetic.VideoSpec`.
      face_size: as in `synthetic.VideoSpec`.
      distinct: number of clips rendered per person and attack type, which are repeated
        over that person's files of the type; None renders every file.
      seed: as in `synthetic.VideoSpec`.
      empty: writes empty files under all names, without annotations, for listing.
      progress: called with (files done, number of files).

    Returns:
      The video files in the layout's order.

    Raises:
      InputError: an unknown layout, a number that makes no set, a folder that holds
        something else or cannot be written, or a full disk.
    """
    settings = _Settings(layout, subjects, frames, face_size, distinct, seed, empty)
    if distinct is not None:
        limits.require(distinct=(distinct, limits.COUNT))
    planned = plan(layout, subjects=subjects, empty=empty)
    _spec(planned[0], settings)  # refuses wrong numbers before anything is written
    root = pathlib.Path(root)
    with files.writing(root):
        _claim(root, settings)
        _write_files(root, planned, settings, progress)
        for name, text in LISTS.get(layout, lambda _: {})(planned).items():
            _write_text(root / name, text)
        _mark(root, settings, complete=True)
    return [root / file.path for file in planned]


def plan(
    layout: str, *, subjects: int | None = None, empty: bool = False
) -> list[File]:
    """The files that `write` makes of these arguments, in their order.

    Raises:
      InputError: an unknown layout, or a number of people that is not positive.
    """
    if layout not in LAYOUTS:
        raise InputError(
            f"There is no layout {layout!r} to write a stand-in of; choose one of "
            f"{', '.join(LAYOUTS)}."
        )
    tree = LAYOUTS[layout]
    if subjects is not None:
        limits.require(subjects=(subjects, limits.COUNT))
    return tree.plan(subjects or (None if empty else tree.few))


def _write_files(root, files: list[File], settings: _Settings, progress) -> None:
    """Writes the missing files, clip by clip."""
    done = 0
    for clips in _groups(files, settings):
        missing = [file for file in clips if not (root / file.path).exists()]
        if missing and settings.empty:
            for file in missing:
                path = root / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        elif missing:
            clip = _render(clips[0], settings)
            for file in missing:
                _write_one(root, file, clip, settings.layout)
        done += len(clips)
        if progress:
            progress(done, len(files))


def _groups(files: list[File], settings: _Settings) -> Iterator[list[File]]:
    """Files that share a clip: one person, one attack type, one turn of `distinct`."""
    kinds: dict[tuple, list[File]] = {}
    for file in files:
        kinds.setdefault((file.subject, file.attack_type, file.variant), []).append(
            file
        )
    for same in kinds.values():
        step = min(settings.distinct or len(same), len(same))
        yield from (same[first::step] for first in range(step))


def _render(file: File, settings: _Settings) -> synthetic.Clip:
    """The clip of a file, with a depth map where a Kinect would measure a relief."""
    spec = _spec(file, settings)
    clip = synthetic.render(spec)
    if file.path.endswith(".hdf5") and file.attack_type != "live":
        # The label depth of a mask is zero, but a Kinect measures the relief of the face
        # below it: that of the same person in the same pose, by the same seeds.
        bare = synthetic.render(
            dataclasses.replace(spec, attack_type="live", variant="")
        )
        clip = dataclasses.replace(clip, depth=bare.depth)
    return clip


def _spec(file: File, settings: _Settings) -> synthetic.VideoSpec:
    name, layout = settings.layout, LAYOUTS[settings.layout]
    return synthetic.VideoSpec(
        domain=layout.domain,
        attack_type=file.attack_type,
        variant=file.variant,
        subject_seed=derive(settings.seed, f"{name}/{file.subject}"),
        seed=derive(settings.seed, f"{name}/{file.path}"),
        camera_seed=derive(settings.seed, f"{name}/{file.camera}"),
        frames=settings.frames,
        fps=layout.fps,
        face_size=settings.face_size,
    )


def _write_one(root, file: File, clip: synthetic.Clip, layout: str) -> None:
    """Writes the annotation of a video, then the video, atomically."""
    path = root / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    clip = shot.fit(clip, file.aspect)
    if layout in DIALECTS:
        dialect = DIALECTS[layout]
        text = dialect.text(clip.boxes, clip.eyes)
        _write_text(root / dialect.place(file.path), text)
    with files.whole(path) as part:
        if path.suffix == ".hdf5":
            _write_hdf5(part, clip)
        else:
            codec = CODECS[path.suffix]
            synthetic.write_clip(shot.turn(clip, file.turn), part, codec=codec)
        if file.tagged:
            shot.tag_half_turn(part)


def _write_hdf5(path: pathlib.Path, clip: synthetic.Clip) -> None:
    """One recording of 3DMAD: Color_Data, Depth_Data and Eye_Pos.

    The person's right eye, which has the smaller x, comes first.
    """
    with h5py.File(path, "w") as file:
        color = np.moveaxis(clip.frames, -1, 1)
        file.create_dataset("Color_Data", data=color, compression="gzip")
        file.create_dataset("Depth_Data", data=shot.kinect(clip), compression="gzip")
        file.create_dataset("Eye_Pos", data=clip.eyes.round().reshape(-1, 4))


def _claim(root: pathlib.Path, settings: _Settings) -> None:
    """Makes and marks the folder, or refuses one with other content."""
    root.mkdir(parents=True, exist_ok=True)
    mark = root / MARK
    if not mark.exists():
        held = sorted(path.name for path in itertools.islice(root.iterdir(), 5))
        if held:
            raise InputError(
                f"{root} is not empty and holds no stand-in: {', '.join(held)}. Choose "
                "an empty folder, so that synthetic and other data are not mixed."
            )
        _mark(root, settings, complete=False)
    wanted = _about(settings, complete=False)
    found = {**_read_mark(mark), "complete": False}
    if found != wanted:
        raise InputError(
            f"{root} holds a stand-in with other settings or of another format "
            f"version: {found.get('version')}, {found.get('settings')}, while "
            f"{wanted['version']}, {wanted['settings']} is requested. Choose another "
            "folder or delete this one."
        )


def version_of(file: pathlib.Path) -> int | None:
    """Format version of the stand-in that a file belongs to; None for other files.

    Raises:
      InputError: a damaged `MARK`.
    """
    marks = (folder / MARK for folder in file.absolute().parents)
    mark = next((mark for mark in marks if mark.exists()), None)
    return None if mark is None else _read_mark(mark).get("version")


def _read_mark(mark: pathlib.Path) -> dict:
    try:
        return dict(json.loads(mark.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{mark} is damaged ({error}). Delete the folder {mark.parent} and write the"
            " stand-in again."
        ) from error


def _mark(root: pathlib.Path, settings: _Settings, complete: bool) -> None:
    """Writes the file that marks the content as synthetic and complete or not."""
    _write_text(root / MARK, json.dumps(_about(settings, complete)) + "\n")


def _about(settings: _Settings, complete: bool) -> dict:
    return {
        "format": "nasfas-standin",
        "version": FORMAT["version"],
        "complete": complete,
        "settings": dataclasses.asdict(settings),
    }


def _write_text(path: pathlib.Path, text: str) -> None:
    """Writes the file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, text)
