"""The synthetic set as video files with annotations: writing and reading."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import pathlib
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent import futures

import cv2
import numpy as np

from nasfas_jax import files
from nasfas_jax.errors import InputError
from nasfas_jax.synthetic.domains import DOMAINS
from nasfas_jax.synthetic.encode import encode, quality_for
from nasfas_jax.synthetic.render import render
from nasfas_jax.synthetic.specs import VideoSpec, plan
from nasfas_jax.synthetic.stage import Clip

Array = np.ndarray

FORMAT = {"format": "nasfas-synthetic", "version": 5}
# Measured on the default set; used for the check of free space only.
BYTES_A_PIXEL, BYTES_A_MAP = 0.35, 2500


@dataclasses.dataclass(frozen=True)
class Annotation:
    """Annotation of a video file. Boxes and points are in its pixels.

    Attributes:
      path: the video file.
      video, subject, domain, attack_type, split: fields of its `VideoSpec`.
      label: 1 live, 0 spoof.
      fps: frames per second.
      boxes: face boxes x, y, width, height, float32 [T, 4].
      eyes: eye centers (x, y), left in the picture first, float32 [T, 2, 2].
      depth: uint8 [T, D, D] over `depth_box`: 255 nearest, 26 farthest of the face, 0
        off the face; all 0 for a spoof.
      contour: uint8 [T, D, D] over `depth_box`, 255 within the face contour, else 0;
        for live and spoof.
      depth_box: x, y, width, height of the square that the maps cover, float32 [T, 4];
        may extend beyond the frame.
    """

    path: pathlib.Path
    video: str
    subject: str
    domain: str
    attack_type: str
    label: int
    split: str
    fps: float
    boxes: Array
    eyes: Array
    depth: Array
    contour: Array
    depth_box: Array


def write_videos(
    root: str | os.PathLike,
    *,
    subjects_per_domain: Sequence[int] = (8, 4, 4),
    live_videos: int = 2,
    attacks: Sequence[str] = ("print", "replay", "mask"),
    frames: int = 24,
    fps: float = 25.0,
    face_size: int = 64,
    seed: int = 0,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> list[pathlib.Path]:
    """Writes the set under `root` and returns the video files in the order of the plan.

    Complete videos are kept, so an interrupted call can be repeated. Frames do not
    depend on `workers`. With more than one worker new Python processes are *spawned*: a
    script that calls this needs `if __name__ == "__main__"`.

    Args:
      root: folder; created if missing.
      subjects_per_domain: as in `plan`.
      live_videos: as in `plan`.
      attacks: as in `plan`.
      frames: as in `plan`.
      fps: as in `plan`.
      face_size: as in `plan`.
      seed: as in `plan`.
      workers: number of processes; 1 renders in the calling process.
      progress: function of (number of finished videos, number of videos), called after
        each video.

    Raises:
      InputError: `root` cannot be written, holds a set of other settings or of another
        format version, the disk is full, or this OpenCV cannot write a domain's codec.
    """
    settings = {
        "subjects_per_domain": [int(n) for n in subjects_per_domain],
        "live_videos": live_videos,
        "attacks": list(attacks),
        "frames": frames,
        "fps": fps,
        "face_size": face_size,
        "seed": seed,
    }
    specs = plan(**settings)
    root = pathlib.Path(root)
    with files.locked(root), files.writing(root):
        return _write(root, settings, specs, workers, progress)


def _write(root, settings: dict, specs, workers: int, progress) -> list[pathlib.Path]:
    """Writes the missing videos into a claimed folder."""
    _claim(root, settings)
    paths = [video_path(root, spec) for spec in specs]
    work = [(s, p) for s, p in zip(specs, paths, strict=True) if not _complete(p)]
    _check_room(root, [spec for spec, _ in work])
    done = len(specs) - len(work)
    if progress:
        progress(done, len(specs))
    for _ in _run(work, workers):
        done += 1
        if progress:
            progress(done, len(specs))
    _write_index(root, settings, specs, paths)
    return paths


def _write_index(root, settings: dict, specs, paths) -> None:
    """Writes the index of the complete set."""
    entries = [
        {"path": path.relative_to(root).as_posix(), **_entry(spec)}
        for spec, path in zip(specs, paths, strict=True)
    ]
    _write_json(
        root / "index.json", {**FORMAT, "settings": settings, "videos": entries}
    )


def video_path(root: pathlib.Path, spec: VideoSpec) -> pathlib.Path:
    """Path of a video: root/domain/split/subject/video.avi or .mp4."""
    folder = root / spec.domain / spec.split / spec.subject
    return folder / (spec.video + spec.suffix)


def read_index(root: str | os.PathLike) -> list[pathlib.Path]:
    """The video files of a complete set, in the order of the plan.

    Raises:
      InputError: there is no complete set, or it is of another format version.
    """
    root = pathlib.Path(root)
    try:
        index = json.loads((root / "index.json").read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{root} holds no complete synthetic set: index.json is missing. Run "
            "`nasfas prepare --dataset=synthetic` (it resumes an interrupted run)."
        ) from error
    _require_version(root, index)
    return [root / entry["path"] for entry in index["videos"]]


def read_annotation(video: str | os.PathLike) -> Annotation:
    """The annotation of a video file of the set.

    Raises:
      InputError: missing or damaged annotation files.
    """
    path = pathlib.Path(video)
    try:
        fields = json.loads(path.with_suffix(".json").read_text("utf-8"))
        with np.load(path.with_suffix(".npz")) as arrays:
            maps = {name: arrays[name] for name in ("depth", "contour", "depth_box")}
        return Annotation(
            path=path,
            **{name: fields[name] for name in _TEXT},
            boxes=np.array(fields["boxes"], np.float32),
            eyes=np.array(fields["eyes"], np.float32),
            **maps,
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"The annotation of {path} cannot be read ({error}): the files "
            f"{path.stem}.json and {path.stem}.npz written by `write_videos` are "
            "expected beside it. Delete the video and write the set again."
        ) from error


_TEXT = ("video", "subject", "domain", "attack_type", "label", "split", "fps")


def _claim(root: pathlib.Path, settings: dict) -> None:
    """Writes the settings into the folder, or refuses the folder of another set."""
    plan_file = root / "plan.json"
    wanted = {**FORMAT, "settings": settings}
    if not plan_file.exists():
        _write_json(plan_file, wanted)
        return
    found = json.loads(plan_file.read_text("utf-8"))
    _require_version(root, found)
    if found != wanted:
        raise InputError(
            f"{root} holds a synthetic set with other settings: {found}, while "
            f"{wanted} is requested. Choose another folder or delete this one."
        )


def _require_version(root: pathlib.Path, found: dict) -> None:
    """Refuses the folder of another version of the renderer."""
    version = found.get("version")
    if version != FORMAT["version"]:
        raise InputError(
            f"{root} holds a synthetic set of format version {version!r}; this renderer"
            f" writes version {FORMAT['version']}, whose pictures differ. Delete the"
            " folder or choose another one, and run `nasfas prepare` again."
        )


def _check_room(root: pathlib.Path, specs: list[VideoSpec]) -> None:
    """Requires enough free space on the disk."""
    needed = sum(
        spec.frames * (spec.size[0] * spec.size[1] * BYTES_A_PIXEL + BYTES_A_MAP)
        for spec in specs
    )
    free = shutil.disk_usage(root).free
    if needed > free:
        raise InputError(
            f"The disk of {root} is too full for the synthetic set: {len(specs)} "
            f"videos need about {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are free. "
            "Free some or choose another folder; what is already written is kept."
        )


def _complete(path: pathlib.Path) -> bool:
    """Whether a video is complete; it is renamed after its annotation is written."""
    return path.exists()


def _run(work: list[tuple[VideoSpec, pathlib.Path]], workers: int):
    """Renders the videos; yields after each, in the order of completion."""
    if workers <= 1 or len(work) <= 1:
        for job in work:
            yield write_one(*job)
        return
    context = multiprocessing.get_context("spawn")  # the caller may run JAX threads
    pool = futures.ProcessPoolExecutor(workers, context, initializer=_begin_worker)
    try:
        jobs = [pool.submit(write_one, *job) for job in work]
        for job in futures.as_completed(jobs):
            yield job.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """Prepares a process of the pool: one thread, and an end with its parent."""
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when its parent is killed; a pool's process would wait."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def write_one(spec: VideoSpec, path: pathlib.Path) -> pathlib.Path:
    """Renders a video and writes its annotation, then the video file.

    Raises:
      InputError: the disk is full, or the codec is missing.
    """
    clip, domain = render(spec), DOMAINS[spec.domain]
    with files.writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.whole(path) as part:
            quality = _quality(part, clip, spec)
            encode(part, clip.frames, clip.fps, domain.codec, quality)
            with files.whole(path.with_suffix(".npz")) as maps:
                np.savez_compressed(
                    maps,
                    depth=clip.depth,
                    contour=clip.contour,
                    depth_box=clip.depth_box,
                )
            _write_json(path.with_suffix(".json"), _fields(spec, clip))
    return path


def _fields(spec: VideoSpec, clip: Clip) -> dict:
    """The annotation as JSON content."""
    return {
        **FORMAT,
        **_entry(spec),
        "boxes": np.round(clip.boxes.astype(float), 2).tolist(),
        "eyes": np.round(clip.eyes.astype(float), 2).tolist(),
    }


def _entry(spec: VideoSpec) -> dict:
    """The entry of a video in the files of the set."""
    return {**dataclasses.asdict(spec), "label": spec.label}


def _quality(part: pathlib.Path, clip: Clip, spec: VideoSpec) -> int:
    """Quality of Motion-JPEG for a random file size that is independent of the label."""
    domain = DOMAINS[spec.domain]
    if domain.codec != "MJPG":
        return 0
    low, high = np.log(domain.rate)
    rate = np.exp(np.random.default_rng([spec.seed, 4]).uniform(low, high))
    return quality_for(part, clip, rate)


def _write_json(path: pathlib.Path, content: dict) -> None:
    """Writes the file atomically."""
    files.write_text(path, json.dumps(content) + "\n")
