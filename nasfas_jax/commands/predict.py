"""``nasfas predict``: scores over time of one video or picture, with pictures."""

import bisect
import csv
import io
import pathlib
from typing import NamedTuple

import cv2
import numpy as np

from nasfas_jax import files, names, nets
from nasfas_jax.commands import annotate, evaluate, train
from nasfas_jax.commands.run import Run
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import extract, faces
from nasfas_jax.errors import InputError
from nasfas_jax.report import figures

#: Clips that are scored, evenly spaced over the frames of the video.
CLIPS = 32
#: Clips shown in the picture of the maps.
SHOWN = 8


class Scored(NamedTuple):
    """Scored clips of a file.

    Attributes:
      samples: the clips, in the order of their frames.
      maps: predicted maps [clips, h, w].
      scores: [clips]; higher means live.
      still: [clips] bool, whether nothing moves in the clip.
      times: time stamp in seconds of each frame of the video; None if it has none.
      threshold: of the verdict; None if the network was not evaluated.
    """

    samples: list[extract.Sample]
    maps: np.ndarray
    scores: np.ndarray
    still: np.ndarray
    times: np.ndarray | None
    threshold: float | None


def run(run: Run) -> None:
    """Scores ``--input`` with ``--network``; writes into ``--output``.

    ``<name>.csv`` has a line for each clip, ``<name>.mp4`` (for a picture: ``.png``) is
    a copy with face, score and predicted map drawn in (`annotate`), and
    ``<name>_maps.png`` shows a few clips in a row.
    """
    path = _input(run)
    name = run.networks[0]
    predict = train.load(run, name)
    try:
        detector = faces.YuNet(run.face_model) if run.face_model else faces.Haar()
        samples = list(extract.sample_video(path, run.recipe, detector, CLIPS))
        times = video.time_stamps(path)
    except video.VideoError as error:
        raise InputError(f"{path}: {error}. Nothing was predicted.") from None
    crops = np.stack([sample.frames for sample in samples])
    dynamic, image = extract.pool(crops, run.recipe)
    still = extract.is_still(dynamic)
    view = pipeline.View(**run.view)
    _require_motion(path, view, still)
    inputs = {"image": image, "static": crops[:, -1], "dynamic": dynamic}
    seen = pipeline.shown(pipeline.scale(inputs[view.columns[0]]), view)
    maps = np.concatenate([predict(one[None]) for one in seen])
    scores = np.asarray(nets.score(maps))
    scored = Scored(
        samples, maps, scores, still, times, evaluate.read_threshold(run, name)
    )
    folder = pathlib.Path(run.output) if run.output else run.folder("predict")
    folder.mkdir(parents=True, exist_ok=True)
    stem = _stem(folder, path)
    _write_scores(stem.with_suffix(".csv"), scored)
    drawn = _draw_all(stem, path, scored)
    _picture(scored, dynamic, image).save(f"{stem}_maps.png")
    print(f"{path.name}: mean score {scores.mean():.4f} over {len(scores)} clips")
    print(_verdict(scores.mean(), scored.threshold))
    if still.any() and view.input != "static":
        print(_caveat(still))
    print(f"wrote {stem}.csv, {drawn.name} and {stem.name}_maps.png in {folder}")


def _input(run: Run) -> pathlib.Path:
    if run.input is None:
        raise InputError("--input is missing: the video or picture to predict on.")
    path = pathlib.Path(run.input)
    if not path.is_file():
        raise InputError(f"There is no file {path}; --input is a video or a picture.")
    return path


def _require_motion(path: pathlib.Path, view: pipeline.View, still: np.ndarray) -> None:
    """Raise InputError if the network would see nothing but black pictures."""
    if view.input == "dynamic" and still.all():
        raise InputError(
            f"{path}: nothing moves in it (a still picture, or frozen frames), and the"
            " network sees only the dynamic image (config.train.view.input), which is"
            " black. Nothing was predicted; give a video in which the face moves."
        )


def _caveat(still: np.ndarray) -> str:
    return (
        f"caveat: nothing moves in {still.sum()} of {len(still)} clips (a still picture,"
        " or frozen frames), so their dynamic image is black. A network that was trained"
        " on moving clips has not seen such inputs, and their scores may mean nothing;"
        " manifest.csv of its data counts the stills that it was trained on."
    )


def _stem(folder: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    """Where the outputs' paths begin; leaves room for the longest of their endings."""
    longest = names.LONGEST - len("_maps.png")
    return folder / names.fit(path.name.replace(".", "_"), longest)


def _verdict(score: float, threshold: float | None) -> str:
    if threshold is None:
        return (
            "no verdict: this network was not evaluated here, so there is no threshold "
            "from development data (nasfas evaluate makes one)"
        )
    word = _word(score, threshold)
    return f"verdict: {word} (threshold {threshold:.4f} from development data)"


def _write_scores(path: pathlib.Path, scored: Scored) -> None:
    """A line for each clip; `second` is empty where the file has no time stamps."""
    text = io.StringIO()
    text.write("# a higher score means live; still: 1 if nothing moves in the clip\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", "second", "score", "verdict", "still"])
    for sample, score, still in zip(
        scored.samples, scored.scores, scored.still, strict=True
    ):
        times = scored.times
        second = "" if times is None else f"{times[sample.frame]:.3f}"
        verdict = _word(score, scored.threshold)
        writer.writerow([sample.frame, second, f"{score:.6f}", verdict, int(still)])
    files.write_text(path, text.getvalue())


def _word(score: float, threshold: float | None) -> str:
    """The verdict, '' without a threshold."""
    if threshold is None:
        return ""
    return "live" if score >= threshold else "spoof"


def _draw_all(stem: pathlib.Path, path: pathlib.Path, scored: Scored) -> pathlib.Path:
    """The input with every frame drawn on; between clips the last one is shown."""
    ends = [sample.frame for sample in scored.samples]

    def mark_of(index: int) -> annotate.Mark:
        return _mark(scored, max(0, bisect.bisect_right(ends, index) - 1))

    if video.is_picture(path):
        out = stem.with_suffix(".png")
        drawn = annotate.draw(video.read_picture(path), mark_of(0))
        with files.whole(out) as part:
            if not cv2.imwrite(str(part), drawn):
                raise InputError(
                    f"{out} cannot be written, or the disk is full; choose another "
                    "--output."
                )
        return out
    out = stem.with_suffix(".mp4")
    annotate.write_video(out, video.read_frames(path), scored.times, mark_of)
    return out


def _mark(scored: Scored, clip: int) -> annotate.Mark:
    score = scored.scores[clip]
    word = _word(score, scored.threshold)
    colors = {"": annotate.GRAY, "live": annotate.LIVE, "spoof": annotate.SPOOF}
    return annotate.Mark(
        scored.samples[clip].where,
        scored.maps[clip],
        f"{score:.3f} {word}".rstrip(),
        colors[word],
    )


def _picture(scored: Scored, dynamic: np.ndarray, image: np.ndarray):
    """Static face, dynamic image, input and predicted map of clips over time."""
    samples, maps, scores = scored.samples, scored.maps, scored.scores
    chosen = np.unique(np.linspace(0, len(samples) - 1, SHOWN).round().astype(int))
    rows = (
        ("frame", [samples[i].frames[-1] for i in chosen]),
        ("dynamic", [dynamic[i] for i in chosen]),
        ("input", [image[i] for i in chosen]),
        ("map", [maps[i] for i in chosen]),
    )
    captions = [
        f"{name} {samples[i].frame}" if name == "frame" else
        f"{name} {scores[i]:.3f}" if name == "map" else name
        for name, _ in rows
        for i in chosen
    ]  # fmt: skip
    images = [one for _, row in rows for one in row]
    return figures.contact_sheet(images, captions, columns=len(chosen))
