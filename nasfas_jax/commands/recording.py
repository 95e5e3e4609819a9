"""Files that ``nasfas predict`` writes about one source, and its counts.

``<name>.csv`` has a line for each face in each frame, ``<name>.jsonl`` a line for each
frame, also one without a face, ``<name>.mp4`` (of a picture: ``.png``) is a copy with faces,
scores and predicted maps drawn in (`annotate`), and ``<name>_maps.png`` shows a few windows.
Memory does not grow with the number of frames.
"""

import collections
import contextlib
import csv
import dataclasses
import itertools
import json
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import cv2
import numpy as np

from nasfas_jax import files, names
from nasfas_jax.commands import annotate, settings
from nasfas_jax.data.media import streams, video, writing
from nasfas_jax.errors import InputError
from nasfas_jax.report import figures
from nasfas_jax.workflows.watch import Seen, SeenFace, Watcher

COLUMNS = (
    *("frame", "second", "track", "x", "y", "width", "height"),
    *("score", "mean", "verdict", "still"),
)
ABOUT = "# a higher score means live; still: 1 if nothing moves in the window\n"
#: Largest number of windows in the sheet, and of frames whose times are kept for medians.
SHOWN, TIMED = 8, 500


class Thinned:
    """Evenly spaced items of a sequence of unknown length; holds at most 2 ``most``."""

    def __init__(self, most: int):
        self._most, self._stride, self._count = most, 1, 0
        self._held: list[Any] = []

    def add(self, item: Any) -> None:
        """The next item of the row."""
        if self._count % self._stride == 0:
            self._held.append(item)
        self._count += 1
        if len(self._held) == 2 * self._most:
            self._held = self._held[::2]
            self._stride *= 2

    @property
    def items(self) -> list[Any]:
        """At most ``most`` items, with the first one."""
        count = min(self._most, len(self._held))
        picks = np.linspace(0, len(self._held) - 1, count).round().astype(int)
        return [self._held[i] for i in picks]


@dataclasses.dataclass
class Track:
    """Sums over one face.

    Attributes:
      scores: number of scores.
      total: their sum.
    """

    scores: int = 0
    total: float = 0.0


@dataclasses.dataclass
class Summary:
    """Counts of a source so far.

    Attributes:
      name: name of the source.
      frames: number of frames.
      empty: number of frames without a face.
      still: number of windows in which nothing moves.
      tracks: sums by face.
      seconds: time from the first frame to the last one.
      latencies: times of the last frames from reading to verdict, in seconds.
      problem: why a camera or stream ended; '' if it did not fail.
    """

    name: str
    frames: int = 0
    empty: int = 0
    still: int = 0
    tracks: dict[int, Track] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    latencies: collections.deque = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=TIMED)
    )
    problem: str = ""

    @property
    def scores(self) -> int:
        """Number of scores of all faces."""
        return sum(track.scores for track in self.tracks.values())

    def add(self, seen: Seen) -> None:
        """The next frame."""
        self.frames += 1
        self.empty += not seen.faces
        for face in seen.faces:
            self.still += face.still
            track = self.tracks.setdefault(face.track, Track())
            if face.score is not None:
                track.scores += 1
                track.total += face.score


def record(
    source: streams.Source,
    name: str,
    watcher: Watcher,
    folder: Callable[[], pathlib.Path],
    ended: Callable[[float], bool] = lambda _: False,
) -> tuple[Summary, list[str]]:
    """Watches a source to its end and writes what was seen.

    A camera or stream that fails ends: what it gave before is kept. Changes of its verdicts
    are printed, since it may have no end.

    Args:
      source: the source.
      name: its name, for those of the files.
      watcher: watches it.
      folder: makes and returns the folder, called when the first frame was seen.
      ended: whether to leave a live source, from the seconds since it was opened.

    Returns:
      The counts, and the names of the files.

    Raises:
      InputError: as `Model.watch`, or a file cannot be written.
    """
    summary = Summary(name)
    begin = time.perf_counter()
    seen = watcher.watch(source, lambda: ended(time.perf_counter() - begin))
    if streams.is_live(source):
        seen = told(_kept(seen, summary), name)
    frames = _timed(seen, summary)
    first = next(frames, None)
    if first is None:
        raise InputError(f"{name}: no frame. Nothing was predicted.")
    stem = stem_of(folder(), name)
    windows = Thinned(SHOWN)
    with contextlib.ExitStack() as stack:
        texts = [
            stack.enter_context(_text(stem.with_suffix(suffix)))
            for suffix in (".csv", ".jsonl")
        ]
        rows = _written(itertools.chain([first], frames), summary, windows, *texts)
        written = [f"{stem.name}.csv", f"{stem.name}.jsonl"]
        written.append(_draw_all(stem, source, rows))
    if windows.items:
        _sheet(windows.items).save(f"{stem}_maps.png")
        written.append(f"{stem.name}_maps.png")
    return summary, written


def stem_of(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Common beginning of the output paths, short enough for the longest ending."""
    longest = names.LONGEST - len("_layers.png")
    plain = "".join(c if c.isalnum() or c in " -_()" else "_" for c in name)
    return folder / names.fit(plain, longest)


def _kept(frames: Iterator[Seen], summary: Summary) -> Iterator[Seen]:
    """Frames up to a failure, which is noted in the summary."""
    try:
        yield from frames
    except InputError as error:
        if not summary.frames:
            raise
        summary.problem = str(error)


def told(frames: Iterator[Seen], name: str) -> Iterator[Seen]:
    """Passes frames on; prints the first verdict of each face, and every other one."""
    verdicts: dict[int, str | None] = {}
    for seen in frames:
        at = f"frame {seen.frame}" if seen.second is None else f"{seen.second:.1f} s"
        for face in seen.faces:
            if face.mean is None or face.verdict == verdicts.get(face.track, ""):
                continue
            verdicts[face.track] = face.verdict
            verdict = face.verdict or "no verdict"
            print(
                f"{name}, {at}: face {face.track} {verdict} ({face.mean:.3f})",
                flush=True,
            )
        yield seen


def _timed(frames: Iterator[Seen], summary: Summary) -> Iterator[Seen]:
    """Frames, with their latencies in the summary."""
    first = begin = time.perf_counter()
    for seen in frames:
        now = time.perf_counter()
        summary.latencies.append(now - begin)
        first = first if summary.frames else now
        yield seen
        begin = time.perf_counter()
        summary.seconds = begin - first


@contextlib.contextmanager
def _text(path: pathlib.Path) -> Iterator[TextIO]:
    """A text file that gets its name when it is whole."""
    with files.whole(path) as part, part.open("w", newline="") as file:
        yield file


def _written(
    frames: Iterator[Seen],
    summary: Summary,
    windows: Thinned,
    table: TextIO,
    lines: TextIO,
) -> Iterator[Seen]:
    """Passes frames on and writes their rows."""
    table.write(ABOUT)
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for seen in frames:
        summary.add(seen)
        rows = [row_of(seen, face) for face in seen.faces]
        writer.writerows(rows)
        about = {"frame": seen.frame, "second": seen.second}
        found = [{k: v for k, v in row.items() if k not in about} for row in rows]
        lines.write(json.dumps({**about, "faces": found}) + "\n")
        for face in seen.faces:
            if face.score is not None:
                windows.add((seen.frame, face))
        yield seen


def row_of(seen: Seen, face: SeenFace) -> dict[str, Any]:
    """Values of `COLUMNS`; None where there is none."""
    x, y, width, height = (round(float(value), 1) for value in face.box)
    second = None if seen.second is None else round(seen.second, 3)
    score, mean = (None if v is None else round(v, 6) for v in (face.score, face.mean))
    return {
        "frame": seen.frame,
        "second": second,
        "track": face.track,
        **{"x": x, "y": y, "width": width, "height": height},
        **{"score": score, "mean": mean, "verdict": face.verdict},
        "still": None if score is None else int(face.still),
    }


def _draw_all(
    stem: pathlib.Path, source: streams.Source, frames: Iterator[Seen]
) -> str:
    """Writes the annotated copy; its name."""
    path = streams.as_path(source)
    if path is not None and not path.is_dir() and video.is_picture(path):
        out = stem.with_suffix(".png")
        [seen] = frames
        with files.whole(out) as part:
            if not cv2.imwrite(str(part), drawn(seen)):
                raise InputError(
                    f"{out} cannot be written, or the disk is full; choose another "
                    "--output."
                )
        return out.name
    out = stem.with_suffix(".mp4")
    times = None if path is None else video.time_stamps(path)
    if times is None:
        pairs = ((drawn(seen), seen.second) for seen in frames)
        writing.write_video(
            out, annotate.paced(pairs, annotate.NOMINAL), annotate.NOMINAL
        )
        return out.name
    rate, repeats = annotate.schedule(times)
    copies = (
        copy
        for seen in frames
        if repeats[seen.frame]
        for copy in [drawn(seen)] * int(repeats[seen.frame])
    )
    writing.write_video(out, copies, rate)
    return out.name


def drawn(seen: Seen) -> np.ndarray:
    """The frame with its faces, scores and maps drawn in."""
    return annotate.draw(seen.image, [_mark(face) for face in seen.faces])


def _mark(face: SeenFace) -> annotate.Mark:
    score = "..." if face.mean is None else f"{face.mean:.3f}"
    number = f"{face.track}: " if face.track > 1 else ""
    text = f"{number}{score} {face.verdict or ''}".rstrip()
    color = annotate.COLORS.get(face.verdict or "", annotate.GRAY)
    return annotate.Mark(face.crop, face.map, text, color)


def _sheet(windows: list[tuple[int, SeenFace]]) -> Any:
    """Current frame, dynamic image and input where the network reads them, and map."""
    shown, captions = [], []
    named = {"static": "frame {}", "dynamic": "dynamic", "image": "input"}
    for name, caption in named.items():
        for frame, face in windows:
            if name in face.images:
                shown.append(face.images[name])
                captions.append(caption.format(frame))
    shown += [face.map for _, face in windows]
    captions += [f"map {face.score:.3f}" for _, face in windows]
    return figures.contact_sheet(shown, captions, columns=len(windows))


def make_folder(given: settings.Path) -> Callable[[], pathlib.Path]:
    """Makes the folder of --output when it is needed."""
    return lambda: settings.make_folder(given, "--output")
