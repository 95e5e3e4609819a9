"""Benchmarks of data: preparing beside decoding, loading beside training, and memory.

Preparing is everything from the source files to the packed records, with programs
compiled; decoding is reading every frame of the same files by as many threads.  Both
are measured by turns, in wall time and in the processor's.
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
from typing import Any

import cv2
import jax
import numpy as np
import rich
from rich.table import Table

from nasfas_jax import nets, synthetic
from nasfas_jax.commands import systems
from nasfas_jax.commands.run import Run
from nasfas_jax.data.datasets import sources
from nasfas_jax.data.datasets.annotations import Annotation
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import faces, prepare
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.files import write_json

VGA, HD = (640, 480), (1920, 1080)
BOX = (200.0, 100.0, 200.0, 250.0)  # of the face in the large videos
SMALL = Recipe(image_size=64, clips_per_video=4)  # as the main job
MANY = (10, 1000)  # videos whose memory is compared


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Medians of one set: seconds of wall time and of the processor."""

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
        """Prepared clips in a second of wall time."""
        return self.clips / self.prepare

    @property
    def ratio(self) -> float:
        """Processor time of preparing over that of decoding."""
        return self.prepare_cpu / self.decode_cpu


def report(run: Run, folder: pathlib.Path) -> None:
    """Measures all three, prints them, and writes ``data.json`` into `folder`."""
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        rows = list(preparing(scratch))
        prepare.prepare("synthetic", scratch / "synthetic", scratch / "data", SMALL)
        found: dict[str, Any] = {
            "loading": loading(run, scratch / "data"),
            "memory": memory(scratch),
        }
    table = Table(
        title="Preparing beside decoding: medians, processor time in brackets"
    )
    for column in ("videos", "clips/s", "prepare s", "decode s", "ratio"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row.case,
            f"{row.clips_per_second:.0f}",
            f"{row.prepare:.2f} ({row.prepare_cpu:.2f})",
            f"{row.decode:.2f} ({row.decode_cpu:.2f})",
            f"{row.prepare / row.decode:.2f} ({row.ratio:.2f})",
        )
    rich.print(table)
    load, grown = found["loading"], found["memory"]
    rich.print(
        f"a batch is loaded in {1e3 * load['load']:.1f} ms; a training step of the CDN"
        f" takes {1e3 * load['step']:.0f} ms, {load['ratio']:.0f} times as long\n"
        f"largest size with {MANY[0]} videos {grown['few']:.0f} MB, with {MANY[1]:,}"
        f" {grown['many']:.0f} MB"
    )
    found["preparing"] = [dataclasses.asdict(row) for row in rows]
    write_json(folder / "data.json", found)


def preparing(folder: pathlib.Path, repeats: int = 3) -> Iterator[Prepared]:
    """The synthetic set at 64 pixels, and larger videos whose decoding weighs more."""
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
) -> Prepared:
    """Times a set; `folder` gets a prepared folder for each repeat."""
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
    return Prepared(
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
    """Read every frame of the files, on all cores; returns how many there were."""

    def one(source: sources.VideoSource) -> int:
        capture, count = video.open_video(source.path), 0
        while capture.read()[0]:
            count += 1
        capture.release()
        return count

    with ThreadPoolExecutor(os.cpu_count()) as executor:
        return sum(executor.map(one, videos))


def loading(run: Run, prepared_dir: pathlib.Path, steps: int = 20) -> dict[str, float]:
    """Seconds a batch of `config.train` from prepared data, and a training step on it."""
    config = run.config.train
    data = pipeline.open_dataset(prepared_dir)
    batches = pipeline.train_batches(
        data,
        batch_size=config.batch_size,
        augment=config.augment,
        map_size=config.map_size,
    )
    batch = next(batches)  # the first decodes and keeps the split
    load = statistics.median(_timed(lambda: next(batches))[0] for _ in range(steps))
    description = nets.describe(
        "cdn", width=config.width, map_size=config.map_size, genotype_file=None
    )
    method = systems.make_method(config, description)
    state = method.init(jax.random.key(0), batch["image"][:1])
    step = jax.jit(method.step)
    shown = {name: batch[name] for name in ("image", "target", "label")}
    jax.block_until_ready(step(state, shown))
    training = statistics.median(
        _timed(lambda: jax.block_until_ready(step(state, shown)))[0] for _ in range(3)
    )
    return {"load": load, "step": training, "ratio": training / load}


def memory(folder: pathlib.Path) -> dict[str, float]:
    """Megabytes by which the process's largest size grows from 10 to 1,000 videos.

    They are hard links of ten small ones; 10 are prepared twice before, so that what is
    loaded and compiled once does not count.
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
    """Videos (mp4v) of a textured, moving, noisy scene with a known face box."""
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
    """An annotation: the same box in all frames."""

    box: tuple[float, ...]
    frames: int

    def __call__(self, path: pathlib.Path) -> Annotation:
        return Annotation(np.repeat([self.box], self.frames, 0))


@dataclasses.dataclass(frozen=True)
class _Anywhere:
    """A detector's work, with a face in the middle where it finds none."""

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
    """Seconds of wall time and of the processor, all threads together."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def _peak() -> float:
    """The process's largest size so far in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
