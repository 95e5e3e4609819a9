"""``nasfas predict``: scores over time of one video or picture, with pictures."""

import bisect
import csv
import pathlib

import cv2
import numpy as np

from nasfas_jax import nets
from nasfas_jax.commands import evaluate, train
from nasfas_jax.commands.run import Run
from nasfas_jax.data import extract, faces, pipeline, video
from nasfas_jax.errors import InputError
from nasfas_jax.report import figures

#: Clips that are scored, evenly spaced over the video.
CLIPS = 32
#: Clips shown in the picture of the maps.
SHOWN = 8
# BGR: undecided, live, spoof; the report's blue and orange.
GREY, LIVE, SPOOF = (200, 200, 200), (178, 114, 0), (0, 159, 230)


def run(run: Run) -> None:
    """Scores ``--input`` with ``--network``; writes into ``--output``.

    ``<name>.csv`` has a line a clip, ``<name>.mp4`` (a picture: ``.png``) the video with
    face, score and predicted map drawn in, ``<name>_maps.png`` a few clips in a row.
    """
    if run.input is None:
        raise InputError("--input is missing: the video or picture to predict on.")
    path = pathlib.Path(run.input)
    if not path.is_file():
        raise InputError(f"There is no file {path}; --input is a video or a picture.")
    name = run.networks[0]
    predict = train.load(run, name)
    try:
        detector = faces.YuNet(run.face_model) if run.face_model else faces.Haar()
        samples = list(extract.sample_video(path, run.recipe, detector, CLIPS))
    except video.VideoError as error:
        raise InputError(f"{path}: {error}. Nothing was predicted.") from None
    crops = np.stack([sample.frames for sample in samples])
    dynamic, image = extract.pool(crops, run.recipe)
    shown = pipeline.View(**run.view)
    inputs = {"image": image, "static": crops[:, -1], "dynamic": dynamic}
    seen = pipeline.recolored(pipeline.scale(inputs[shown.columns[0]]), shown.color)
    maps = np.concatenate([predict(one[None]) for one in seen])
    scores = np.asarray(nets.score(maps))
    threshold = _threshold(run, name)
    folder = pathlib.Path(run.output) if run.output else run.folder("predict")
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / path.name.replace(".", "_")
    _write_scores(stem.with_suffix(".csv"), path, samples, scores, threshold)
    drawn = _draw_all(stem, path, samples, maps, scores, threshold)
    _picture(samples, dynamic, image, maps, scores).save(f"{stem}_maps.png")
    print(f"{path.name}: mean score {scores.mean():.4f} over {len(scores)} clips")
    print(_verdict(scores.mean(), threshold))
    print(f"wrote {stem}.csv, {drawn.name} and {stem.name}_maps.png in {folder}")


def _threshold(run: Run, name: str) -> float | None:
    """Of the network's evaluation in this workdir, None where there was none."""
    return evaluate.read_results(run).get(name, {}).get("threshold")


def _verdict(score: float, threshold: float | None) -> str:
    if threshold is None:
        return (
            "no verdict: this network was not evaluated here, so there is no threshold "
            "from development data (nasfas evaluate makes one)"
        )
    word = _word(score, threshold)
    return f"verdict: {word} (threshold {threshold:.4f} from development data)"


def _write_scores(path, source, samples, scores, threshold) -> None:
    """A line a clip: frame, second, score, and the verdict where there is a threshold."""
    fps = 0.0 if video.is_picture(source) else _fps(source)
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write("# a higher score means live\n")
        writer = csv.writer(file)
        writer.writerow(["frame", "second", "score", "verdict"])
        for sample, score in zip(samples, scores, strict=True):
            second = f"{sample.frame / fps:.3f}" if fps else ""
            verdict = "" if threshold is None else _word(score, threshold)
            writer.writerow([sample.frame, second, f"{score:.6f}", verdict])


def _word(score: float, threshold: float) -> str:
    return "live" if score >= threshold else "spoof"


def _fps(path: pathlib.Path) -> float:
    capture = video.open_video(path)
    try:
        return capture.get(cv2.CAP_PROP_FPS)
    finally:
        capture.release()


def _draw_all(stem, path, samples, maps, scores, threshold) -> pathlib.Path:
    """The input with every frame drawn on; between clips the last one stands."""
    ends = [sample.frame for sample in samples]

    def draw(index: int, frame: np.ndarray) -> np.ndarray:
        at = max(0, bisect.bisect_right(ends, index) - 1)
        return _draw(frame, samples[at].where, maps[at], scores[at], threshold)

    if video.is_picture(path):
        out = stem.with_suffix(".png")
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert picture is not None  # it was read for its face before
        cv2.imwrite(str(out), draw(0, picture))
        return out
    out = stem.with_suffix(".mp4")
    capture, writer, index = video.open_video(path), None, 0
    while True:
        good, frame = capture.read()
        if not good:
            break
        if writer is None:
            size = (frame.shape[1], frame.shape[0])
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            writer = cv2.VideoWriter(str(out), codec, _fps(path) or 25.0, size)
            if not writer.isOpened():
                raise InputError(f"{out} cannot be written; choose another --output.")
        writer.write(draw(index, frame))
        index += 1
    capture.release()
    if writer is not None:
        writer.release()
    return out


def _draw(frame, where, predicted, score, threshold) -> np.ndarray:
    """Face square, score, and the predicted map in the corner."""
    colour = GREY
    if threshold is not None:
        colour = LIVE if score >= threshold else SPOOF
    drawn = frame.copy()
    x, y, side = (int(v) for v in where)
    cv2.rectangle(drawn, (x, y), (x + side, y + side), colour, 2)
    text = f"{score:.3f}"
    if threshold is not None:
        text += f" {_word(score, threshold)}"
    scale = max(0.5, frame.shape[0] / 600)
    at = (max(0, x), max(int(22 * scale), y - 8))
    font = cv2.FONT_HERSHEY_SIMPLEX
    for ink, thick in (((0, 0, 0), 3), (colour, 1)):
        cv2.putText(drawn, text, at, font, scale, ink, thick, cv2.LINE_AA)
    inset = min(frame.shape[:2]) // 4
    grey = (np.clip(predicted, 0, 1) * 255).astype(np.uint8)
    small = cv2.resize(grey, (inset, inset), interpolation=cv2.INTER_NEAREST)
    drawn[-inset:, :inset] = cv2.applyColorMap(small, cv2.COLORMAP_CIVIDIS)
    return drawn


def _picture(samples, dynamic, image, maps, scores):
    """Static face, dynamic image, input and predicted map of clips over time."""
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
