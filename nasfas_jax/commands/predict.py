"""``nasfas predict``: scores over time of one video or picture, with pictures."""

import bisect
import csv
import io
import pathlib

import cv2

from nasfas_jax import files, names
from nasfas_jax.commands import annotate, settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.data.media import video
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import train as training
from nasfas_jax.workflows.model import Model
from nasfas_jax.workflows.predict import Prediction


def run(
    *,
    model: Path | None = None,
    workdir: Path = settings.WORKDIR,
    network: str | None = None,
    input: Path | None = None,
    output: Path | None = None,
    face_model: Path | None = None,
) -> None:
    """Scores ``input`` with a model; writes into ``output``.

    ``<name>.csv`` has a line for each clip, ``<name>.mp4`` (for a picture: ``.png``) is
    a copy with face, score and predicted map drawn in (`annotate`), and
    ``<name>_maps.png`` shows a few clips in a row.
    """
    path = input_file(input)
    scorer = model_of(model, workdir, network)
    detector = settings.detector(face_model)
    prediction = scorer.predict(path, detector=detector)
    given = output or ("predict" if model else pathlib.Path(workdir) / "predict")
    folder = settings.make_folder(given, "--output")
    stem = stem_of(folder, path)
    _write_scores(stem.with_suffix(".csv"), prediction)
    drawn = _draw_all(stem, path, prediction)
    prediction.picture().save(f"{stem}_maps.png")
    print_result(path, scorer, prediction)
    print(f"wrote {stem}.csv, {drawn.name} and {stem.name}_maps.png in {folder}")


def input_file(given: Path | None) -> pathlib.Path:
    """The video or picture of ``--input``.

    Raises:
      InputError: none, or no such file.
    """
    if given is None:
        raise InputError("--input is missing: the video or picture to predict on.")
    path = pathlib.Path(given)
    if not path.is_file():
        raise InputError(f"There is no file {path}; --input is a video or a picture.")
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


def print_result(path: pathlib.Path, scorer: Model, prediction: Prediction) -> None:
    """Prints score, verdict and, where nothing moves in the clips, a caveat."""
    count = len(prediction.scores)
    print(f"{path.name}: mean score {prediction.score:.4f} over {count} clips")
    print(_verdict(prediction))
    if prediction.still.any() and scorer.view.input != "static":
        print(_caveat(prediction, scorer.view.input))


def _caveat(prediction: Prediction, input: str) -> str:
    still = prediction.still
    black = "" if input == "frames" else ", so their dynamic image is black"
    return (
        f"caveat: nothing moves in {still.sum()} of {len(still)} clips (a still picture,"
        f" or frozen frames){black}. A network that was trained"
        " on moving clips has not seen such inputs, and their scores may mean nothing;"
        " manifest.csv of its data counts the stills that it was trained on."
    )


def stem_of(folder: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    """Common beginning of the output paths, short enough for the longest ending."""
    longest = names.LONGEST - len("_layers.png")
    return folder / names.fit(path.name.replace(".", "_"), longest)


def _verdict(prediction: Prediction) -> str:
    if prediction.threshold is None:
        return (
            "no verdict: this network was not evaluated here, so there is no threshold "
            "from development data (nasfas evaluate makes one)"
        )
    return (
        f"verdict: {prediction.verdict} (threshold {prediction.threshold:.4f} from"
        " development data)"
    )


def _write_scores(path: pathlib.Path, prediction: Prediction) -> None:
    """A line for each clip; `second` is empty where the file has no time stamps."""
    text = io.StringIO()
    text.write("# a higher score means live; still: 1 if nothing moves in the clip\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", "second", "score", "verdict", "still"])
    seconds = prediction.seconds
    for clip, frame in enumerate(prediction.frames):
        second = "" if seconds is None else f"{seconds[clip]:.3f}"
        score, word = prediction.scores[clip], prediction.verdicts[clip]
        still = int(prediction.still[clip])
        writer.writerow([frame, second, f"{score:.6f}", word or "", still])
    files.write_text(path, text.getvalue())


def _draw_all(
    stem: pathlib.Path, path: pathlib.Path, prediction: Prediction
) -> pathlib.Path:
    """The input with every frame drawn on; between clips the last one is shown."""

    def mark_of(index: int) -> annotate.Mark:
        clip = bisect.bisect_right(prediction.frames, index) - 1
        return _mark(prediction, max(0, clip))

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
    annotate.write_video(out, video.read_frames(path), prediction.times, mark_of)
    return out


def _mark(prediction: Prediction, clip: int) -> annotate.Mark:
    assert prediction.crops is not None  # of a file
    word = prediction.verdicts[clip] or ""
    colors = {"": annotate.GRAY, "live": annotate.LIVE, "spoof": annotate.SPOOF}
    return annotate.Mark(
        prediction.crops[clip],
        prediction.maps[clip],
        f"{prediction.scores[clip]:.3f} {word}".rstrip(),
        colors[word],
    )
