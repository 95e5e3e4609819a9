"""``nasfas predict``: scores over time of the faces in files, cameras and streams."""

import functools
import itertools
import os
import pathlib
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from nasfas_jax import limits, names, runtime
from nasfas_jax.commands import recording, settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.data.media import streams, video
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import train as training
from nasfas_jax.workflows import watch
from nasfas_jax.workflows.model import Model

#: Largest number of faces of a source that are printed.
PRINTED = 8


class Named(NamedTuple):
    """A source and its name in the output."""

    source: streams.Source
    name: str


def run(
    *,
    model: Path | None = None,
    workdir: Path = settings.WORKDIR,
    network: str | None = None,
    input: Path | None = None,
    camera: str | int | None = None,
    output: Path | None = None,
    face_model: Path | None = None,
    every: str | int = watch.EVERY,
    stride: str | int = 1,
    smooth: str | int = watch.SMOOTH,
    abstain: str | float = 0.0,
    seconds: str | float | None = None,
) -> None:
    """Scores the faces of all sources with a model; `recording` has what it writes.

    Files are read one after the other. One of several sources that cannot be read is
    reported, and the rest goes on. Cameras and streams are read at the same time, until
    they end, a signal (Ctrl-C) or ``seconds``.

    Raises:
      InputError: no source, no model, a wrong number, or no source that can be read.
    """
    sources = _sources(input, camera)
    numbers = {"every": every, "stride": stride, "smooth": smooth, "abstain": abstain}
    limit = None if seconds is None else _number(seconds)
    limits.require(seconds=(limit, limits.OrNone(limits.POSITIVE)))
    scorer = model_of(model, workdir, network)
    options = {name: _number(value) for name, value in numbers.items()}
    given = output or ("predict" if model else pathlib.Path(workdir) / "predict")
    watcher = functools.partial(
        watch.Watcher, scorer, detector=settings.detector(face_model), **options
    )
    watcher()  # wrong options are refused before anything is read
    job = _Job(watcher, recording.make_folder(given), float(options["abstain"]))
    attempt = job.run if len(sources) == 1 else job.attempt
    live = [one for one in sources if streams.is_live(one.source)]
    found = [attempt(one) for one in sources if one not in live]
    if live:
        with runtime.noted_signals() as noted, ThreadPoolExecutor(len(live)) as threads:

            def ended(passed: float) -> bool:
                return bool(noted) or (limit is not None and passed >= limit)

            found += threads.map(lambda one: attempt(one, ended), live)
    if failed := found.count(False):
        print(f"{failed} of {len(found)} sources left out")
    if failed == len(found):
        raise InputError("No source could be read; the reasons are above.")


class _Job(NamedTuple):
    """Watches sources, each with a watcher of its own.

    Attributes:
      watcher: makes one.
      folder: makes and returns the output folder.
      abstain: distance from the threshold of the verdict 'unsure'.
    """

    watcher: Callable[[], watch.Watcher]
    folder: Callable[[], pathlib.Path]
    abstain: float

    def run(self, one: Named, ended: Callable[[float], bool] = lambda _: False) -> bool:
        """Watches one source, writes and prints; True."""
        watcher = self.watcher()
        summary, written = recording.record(*one, watcher, self.folder, ended)
        lines = _lines(summary, watcher, self.abstain)
        lines.append(f"wrote {', '.join(written)} in {self.folder()}")
        print("\n".join(lines), flush=True)
        return True

    def attempt(
        self, one: Named, ended: Callable[[float], bool] = lambda _: False
    ) -> bool:
        """Runs `run`; reports a source that cannot be read and returns False."""
        try:
            return self.run(one, ended)
        except InputError as error:
            print(f"left out: {error}", flush=True)
            return False


def _number(value: str | float) -> Any:
    """The number in a text, or else the text."""
    for kind in (int, float):
        try:
            return kind(value) if isinstance(value, str) else value
        except ValueError:
            continue
    return value


def _sources(input: Path | None, camera: str | int | None) -> list[Named]:
    """All sources of ``--input`` and ``--camera``, with different names.

    Raises:
      InputError: none, no such file, or an empty folder.
    """
    found: list[Named] = []
    for word in [] if camera is None else str(camera).split(","):
        number = _number(word)
        limits.require(camera=(number, limits.COUNT_OR_NONE))
        found.append(Named(number, streams.name_of(number)))
    for word in inputs_of(input):
        if streams.is_live(word):
            found.append(Named(word, streams.name_of(word)))
        elif pathlib.Path(word).is_dir():
            found += _in_folder(pathlib.Path(word))
        else:
            path = input_file(word)
            found.append(Named(path, path.name))
    if not found:
        raise InputError(
            "--input is missing: the video, picture, folder or address to predict on; or"
            " --camera=0."
        )
    return _numbered(found)


def _numbered(found: list[Named]) -> list[Named]:
    """Sources, numbered where their output files would have the same name."""
    unique: dict[pathlib.Path, Named] = {}
    for source, name in found:
        numbered = (f"{name} {count}" for count in itertools.count(2))
        for choice in itertools.chain([name], numbered):
            stem = recording.stem_of(
                pathlib.Path(), choice
            )  # of a/b.mp4, that of a_b.mp4
            if stem not in unique:
                unique[stem] = Named(source, choice)
                break
    return list(unique.values())


def _in_folder(folder: pathlib.Path) -> list[Named]:
    suffixes = video.PICTURES | video.VIDEOS | video.HDF5
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix.lower() in suffixes
        and not names.is_ignored(path.name)
    ]
    if not paths:
        raise InputError(
            f"{folder} holds no video and no picture; --input expects some there."
        )
    return [Named(path, path.relative_to(folder).as_posix()) for path in paths]


def inputs_of(given: Path | None) -> list[str]:
    """The inputs that commas join; one where the whole text names a file."""
    if not given:
        return []
    whole = os.path.exists(given)  # pathlib raises an OSError for a long list
    return [str(given)] if whole else str(given).split(",")


def input_file(given: Path | None) -> pathlib.Path:
    """The video, picture or folder of frames of ``--input``.

    Raises:
      InputError: none, or no such file.
    """
    if given is None:
        raise InputError("--input is missing: the video or picture to predict on.")
    path = pathlib.Path(given)
    if not path.exists():
        raise InputError(
            f"There is no file {path}; --input is a video, a picture or a folder of frames."
        )
    return path


def model_of(model: Path | None, workdir: Path, network: str | None) -> Model:
    """The model in a folder, or that of a network that was trained in a workdir.

    Raises:
      InputError: no model, or several trained networks and none named.
    """
    if model:
        return Model.load(model)
    folder = pathlib.Path(workdir) / "train"
    names = sorted(path.name for path in folder.glob("*") if path.is_dir())
    if network is None:
        if len(names) != 1:
            found = f"{', '.join(names)} there" if names else "none"
            raise InputError(
                f"--network is missing: expected one of those trained in {folder}, found"
                f" {found}. --model=FOLDER names a model elsewhere."
            )
        (network,) = names
    return training.trained_model(folder / network)


def _lines(
    summary: recording.Summary, watcher: watch.Watcher, abstain: float
) -> list[str]:
    """Printed lines about a source."""
    model, name = watcher.model, summary.name
    frames, faces = summary.frames, len(summary.tracks)
    lines = [
        f"{name}: {frames} frame{'s' * (frames != 1)}, {summary.empty} without a face,"
        f" {faces} face{'s' * (faces != 1)}"
    ]
    if summary.problem:
        lines.append(f"it ended early: {summary.problem}")
    by_length = sorted(summary.tracks.items(), key=lambda item: -item[1].scores)
    for number, track in by_length[:PRINTED]:
        if track.scores:
            mean = track.total / track.scores
            lines.append(
                f"face {number}: mean score {mean:.4f} over {track.scores}"
                f" clip{'s' * (track.scores != 1)};"
                f" {verdict_text(watch.verdict(mean, model, abstain), model)}"
            )
    if len(by_length) > PRINTED:
        lines.append(f"{len(by_length) - PRINTED} more faces, shorter in view")
    if not summary.scores:
        lines.append(_unscored(summary, watcher))
    if caution := caveat(summary.still, summary.scores, model):
        lines.append(caution.rstrip())
    return [*lines, _speed(summary, watcher)]


def _unscored(summary: recording.Summary, watcher: watch.Watcher) -> str:
    if summary.tracks:
        return (
            f"no score: the network needs a window of {watcher.model.recipe.span} frames"
            " with a face"
        )
    better = watcher.detector.name.startswith("haar")
    more = "; YuNet (--face_model) finds more faces than Haar" if better else ""
    return f"no face found by {watcher.detector.name}: nothing was predicted{more}"


def _speed(summary: recording.Summary, watcher: watch.Watcher) -> str:
    """Frames a second, latency, and its shares."""
    frames = summary.frames
    rate = f"{(frames - 1) / summary.seconds:.1f} frames/s, " if frames > 1 else ""
    shares = ", ".join(
        f"{name} {1e3 * spent / frames:.1f}" for name, spent in watcher.seconds.items()
    )
    latency = 1e3 * statistics.median(summary.latencies)
    return f"{rate}latency {latency:.1f} ms (median); ms a frame: {shares}"


def verdict_text(verdict: str | None, model: Model) -> str:
    """A verdict with its threshold, or why there is none."""
    if model.threshold is None:
        return (
            "no verdict: this network was not evaluated here, so there is no threshold "
            "from development data (nasfas evaluate makes one)"
        )
    return (
        f"verdict: {verdict} (threshold {model.threshold.value:.4f} from"
        " development data)"
    )


def caveat(still: int, count: int, model: Model) -> str:
    """A line about clips in which nothing moves; '' without any, or where none is needed.

    Args:
      still: number of clips in which nothing moves.
      count: number of clips.
      model: the model.
    """
    if not still or model.view.input == "static":
        return ""
    black = "" if model.view.input == "frames" else ", so their dynamic image is black"
    return (
        f"caveat: nothing moves in {still} of {count} clips (a still picture,"
        f" or frozen frames){black}. A network that was trained"
        " on moving clips has not seen such inputs, and their scores may mean nothing;"
        " manifest.csv of its data counts the stills that it was trained on.\n"
    )
