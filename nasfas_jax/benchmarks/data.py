"""Benchmarks of data: preparing against decoding, loading against training, and memory.

Preparing is everything from the source files to the packed records, without compilation;
decoding is reading every frame of the same files with as many threads. Both are measured
in turn, in wall time and in processor time.
"""

import dataclasses
import functools
import os
import pathlib
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import cv2
import jax
import numpy as np

from nasfas_jax import synthetic
from nasfas_jax.compilation import run_once
from nasfas_jax.data.datasets import sources
from nasfas_jax.data.datasets.annotations import Annotation
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import faces, prepare
from nasfas_jax.data.preparation.recipe import Recipe

VGA, HD = (640, 480), (1920, 1080)
BOX = (200.0, 100.0, 200.0, 250.0)  # face box in the large videos
SMALL = Recipe(image_size=64, clips_per_video=4)
MANY = (10, 1000)  # numbers of videos whose memory is compared


@dataclasses.dataclass(frozen=True)
class Preparing:
    """Medians of one set of videos, in seconds of wall time and processor time."""

    case: str
    videos: int
    frames: int
    clips: int
    prepare: float
    decode: float
    prepare_cpu: float
    decode_cpu: float

    @property
    def clips_per_second(self) -> float:
        """Clips prepared per second of wall time."""
        return self.clips / self.prepare

    @property
    def ratio(self) -> float:
        """Processor time of preparing divided by that of decoding."""
        return self.prepare_cpu / self.decode_cpu


@dataclasses.dataclass(frozen=True)
class Loading:
    """Median seconds to load a batch, and of a training step on it."""

    load: float
    step: float

    @property
    def ratio(self) -> float:
        """Time of a training step divided by that of loading its batch."""
        return self.step / self.load


class Costs(NamedTuple):
    """All measurements of data; ``memory`` as returned by `memory`."""

    preparing: list[Preparing]
    loading: Loading
    memory: dict[str, float]


def costs(method: Any, *, batch_size: int, augment: str, map_size: int) -> Costs:
    """Measures preparing, loading and memory in a temporary folder.

    The arguments are those of `loading`, which uses the synthetic set.
    """
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        rows = list(preparing(scratch))
        prepare.prepare("synthetic", scratch / "synthetic", scratch / "data", SMALL)
        loaded = loading(
            method,
            scratch / "data",
            batch_size=batch_size,
            augment=augment,
            map_size=map_size,
        )
        return Costs(rows, loaded, memory(scratch))


def preparing(folder: pathlib.Path, repeats: int = 3) -> Iterator[Preparing]:
    """Measures the synthetic set and larger videos, for which decoding takes longer.

    Args:
      folder: empty folder for the videos.
      repeats: number of runs, of which the medians are taken.
    """
    synthetic.write_videos(
        folder / "synthetic", subjects_per_domain=(3, 1, 1), workers=1
    )
    small = sources.list_videos("synthetic", folder / "synthetic")
    large = large_videos(folder / "vga", count=16, frames=150)
    full = large_videos(folder / "hd", count=4, frames=150, size=HD)
    unknown = [dataclasses.replace(one, annotation=None) for one in large[:2]]
    cases = {
        "synthetic set, 64 x 64": (small, SMALL),
        "640 x 480, 64 x 64": (large, Recipe()),
        "640 x 480, 256 x 256": (large, Recipe(image_size=256)),
        "1920 x 1080, 256 x 256": (full, Recipe(image_size=256)),
        "640 x 480, 64 x 64, Haar": (unknown, Recipe()),
    }
    for case, (videos, settings) in cases.items():
        yield measure(case, videos, settings, folder / "out", repeats)


def measure(
    case: str,
    videos: Sequence[sources.VideoSource],
    settings: Recipe,
    folder: pathlib.Path,
    repeats: int,
) -> Preparing:
    """Times preparing and decoding of a set of videos.

    Args:
      case: title of the row.
      videos: source files.
      settings: recipe of the records.
      folder: scratch folder; the prepared data are deleted after each run.
      repeats: number of runs, of which the medians are taken.
    """
    tools = prepare.make_tools(settings, detector=_Anywhere(faces.Haar()))
    prepare.warm_up(settings)
    clips = 0

    def once(out: str) -> None:
        nonlocal clips
        made = prepare.prepare_videos("own_data", videos, out, tools)
        clips = made.clips

    times = []
    for _ in range(repeats):
        folder.mkdir(exist_ok=True)
        decoding = _timed(lambda: decode(videos))
        with tempfile.TemporaryDirectory(dir=folder) as out:
            times.append((*_timed(functools.partial(once, out)), *decoding))
    wall, cpu, decode_wall, decode_cpu = map(
        statistics.median, zip(*times, strict=True)
    )
    return Preparing(
        case,
        len(videos),
        sum(video.count_frames(one.path) for one in videos),
        clips,
        wall,
        decode_wall,
        cpu,
        decode_cpu,
    )


def decode(videos: Sequence[sources.VideoSource]) -> int:
    """Reads every frame of the files on all cores and returns their number."""

    def one(source: sources.VideoSource) -> int:
        capture, count = video.open_video(source.path), 0
        while capture.read()[0]:
            count += 1
        capture.release()
        return count

    with ThreadPoolExecutor(os.cpu_count()) as executor:
        return sum(executor.map(one, videos))


def loading(
    method: Any,
    prepared_dir: pathlib.Path,
    *,
    batch_size: int,
    augment: str,
    map_size: int,
    steps: int = 20,
) -> Loading:
    """Times loading a training batch and a training step on it.

    Args:
      method: training method with ``init`` and ``step``.
      prepared_dir: prepared data.
      batch_size: number of images in a batch.
      augment: name of the augmentation.
      map_size: side of the target maps.
      steps: number of timed batches, of which the median is taken.
    """
    data = pipeline.open_dataset(prepared_dir)
    batches = pipeline.train_batches(
        data,
        batch_size=batch_size,
        augment=augment,
        view=pipeline.View(map_size=map_size),
    )
    batch = next(batches)  # the first one decodes and caches the split
    load = statistics.median(_timed(lambda: next(batches))[0] for _ in range(steps))
    state = run_once(method.init, jax.random.key(0), batch["image"][:1])
    step = jax.jit(method.step)
    shown = {name: batch[name] for name in ("image", "target", "label")}
    jax.block_until_ready(step(state, shown))
    training = statistics.median(
        _timed(lambda: jax.block_until_ready(step(state, shown)))[0] for _ in range(3)
    )
    return Loading(load, training)


def memory(folder: pathlib.Path) -> dict[str, float]:
    """Peak memory of this process in megabytes after few and after many videos.

    The videos are hard links to ten small ones. The few are prepared twice, so that
    loading libraries and compiling, which happen once, do not count.

    Args:
      folder: folder for the videos.

    Returns:
      ``few`` and ``many``: megabytes after preparing each number of `MANY`.
    """
    first = large_videos(folder / "small", count=10, frames=8, size=(64, 48))
    settings = Recipe(image_size=32, clips_per_video=1)
    tools = prepare.make_tools(settings)
    peaks = {}
    for count in (MANY[0], *MANY):
        videos = list(_links(first, folder / f"links{count}", count))
        with tempfile.TemporaryDirectory(dir=folder) as out:
            prepare.prepare_videos("own_data", videos, out, tools)
        peaks[count] = _peak()
    return {"few": peaks[MANY[0]], "many": peaks[MANY[1]]}


def large_videos(
    folder: pathlib.Path, *, count: int, frames: int, size: tuple[int, int] = VGA
) -> list[sources.VideoSource]:
    """Writes videos (mp4v) of a textured, moving, noisy scene with a known face box.

    Args:
      folder: created if missing.
      count: number of videos.
      frames: frames of each video.
      size: width and height in pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wide, high = size
    box = tuple(np.array(BOX) * (wide / VGA[0]))
    found = []
    for i in range(count):
        path, random = folder / f"{i}.mp4", np.random.default_rng(i)
        coarse = random.integers(0, 255, (high // 16 + 4, wide // 16 + 4, 3), np.uint8)
        scene = cv2.resize(
            coarse, (wide + 64, high + 64), interpolation=cv2.INTER_CUBIC
        )
        noise = random.integers(0, 9, (high + 64, wide + 64, 3), np.uint8)
        code = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 25, size)
        for t in range(frames):
            x, y = t % 32, (t * 7) % 32
            writer.write(
                cv2.add(
                    scene[y : y + high, x : x + wide],
                    noise[x : x + high, y : y + wide],
                )
            )
        writer.release()
        known = _Known(box, frames)
        label, kind = (1, "live") if i % 2 else (0, "print")
        found.append(
            sources.VideoSource(
                path, path.name, str(i), "own", kind, label, "train", annotation=known
            )
        )
    return found


@dataclasses.dataclass(frozen=True)
class _Known:
    """An annotation with the same box in all frames."""

    box: tuple[float, ...]
    frames: int

    def __call__(self, path: pathlib.Path) -> Annotation:
        return Annotation(np.repeat([self.box], self.frames, 0))


@dataclasses.dataclass(frozen=True)
class _Anywhere:
    """A detector that assumes a face in the middle if it finds none."""

    detector: faces.Detector
    name = "bench"

    def __call__(self, image: np.ndarray) -> faces.Face | None:
        return self.detector(image) or faces.Face(np.array(BOX))


def _links(first, folder: pathlib.Path, count: int) -> Iterator[sources.VideoSource]:
    folder.mkdir(exist_ok=True)
    for i in range(count):
        one = first[i % len(first)]
        path = folder / f"{i}.mp4"
        if not path.exists():
            path.hardlink_to(one.path)
        yield dataclasses.replace(one, path=path, video=path.name)


def _timed(function: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall time, and of processor time summed over all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def _peak() -> float:
    """Peak memory of this process so far in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
