"""Probes of the labels of a synthetic set, by groups of features.

A set is useful for training only if the label is contained in the pictures alone: a probe
on `production` (file size, container, path of the face box, black borders) must stay near
chance. Color and sharpness (`appearance`) predict the label, since recapture changes them,
but mainly within the domain, camera and light that the probe was fitted on. These two groups
have a linear probe. `texture` has a small network and contains neither color nor contrast.

Needs scikit-learn (the extra `baselines`).
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from nasfas_jax.errors import InputError
from nasfas_jax.synthetic.dataset import Annotation, read_annotation

Array = np.ndarray

DARK = 16  # borders with all pixels below this level count as black
FRAMES = 3  # number of frames of a video in `appearance` and `texture`
SIDE, PATCH = 96, 16  # sides of a normalized face and of its patches, pixels
SPECTRUM = PATCH * (PATCH // 2 + 1)  # numbers of the spectrum of a patch


@dataclasses.dataclass(frozen=True)
class Result:
    """A probe's AUC, as a fraction (chance is 0.5), and its standard error over subjects.

    Its text is in percent.
    """

    auc: float
    error: float

    def __str__(self) -> str:
        return f"{100 * self.auc:.1f} ± {100 * self.error:.1f}"


@dataclasses.dataclass(frozen=True)
class Table:
    """Features of the videos of a set.

    Attributes:
      names: names of the features.
      values: float64 [N, F].
      labels: 1 live, 0 spoof [N].
      subjects, domains, attack_types: str [N].
    """

    names: tuple[str, ...]
    values: Array
    labels: Array
    subjects: Array
    domains: Array
    attack_types: Array

    def where(self, rows: Array) -> Table:
        """The rows of a mask or an index."""
        kept = {
            field.name: getattr(self, field.name)[rows]
            for field in dataclasses.fields(self)[1:]
        }
        return dataclasses.replace(self, **kept)

    def columns(self, *starts: str) -> Table:
        """The features whose names begin with one of `starts`."""
        kept = [i for i, name in enumerate(self.names) if name.startswith(starts)]
        names = tuple(self.names[i] for i in kept)
        return dataclasses.replace(self, names=names, values=self.values[:, kept])


Fit = Callable[[Table], Callable[[Array], Array]]


def tabulate(
    videos: Sequence[pathlib.Path],
    features: Callable[[Annotation], dict[str, float]],
    progress: Callable[[int], None] | None = None,
) -> Table:
    """The features of video files of a set.

    Args:
      videos: paths returned by `write_videos`.
      features: `production`, `appearance` or `texture`.
      progress: called with the number of finished videos after each.

    Raises:
      InputError: an annotation is missing, or a video cannot be decoded.
    """
    notes = [read_annotation(video) for video in videos]
    names, values = (), []
    for note in notes:
        row = features(note)
        names = names or tuple(row)
        values.append(np.array(list(row.values()), float))
        if progress:
            progress(len(values))
    return Table(
        names,
        np.stack(values),
        np.array([note.label for note in notes]),
        np.array([note.subject for note in notes]),
        np.array([note.domain for note in notes]),
        np.array([note.attack_type for note in notes]),
    )


def production(note: Annotation) -> dict[str, float]:
    """Features of the production of a file, none of which depends on the picture.

    Boxes are in units of the height of the frame.

    Raises:
      InputError: the video cannot be decoded.
    """
    reader = cv2.VideoCapture(str(note.path))
    good, first = reader.read()
    if not good:
        raise _damaged(note.path, "holds no frame that can be read")
    fields = {
        "frames": reader.get(cv2.CAP_PROP_FRAME_COUNT),
        "fps": reader.get(cv2.CAP_PROP_FPS),
        "columns": reader.get(cv2.CAP_PROP_FRAME_WIDTH),
        "rows": reader.get(cv2.CAP_PROP_FRAME_HEIGHT),
        "fourcc": reader.get(cv2.CAP_PROP_FOURCC) % 997,
    }
    reader.release()
    fields["seconds"] = fields["frames"] / fields["fps"]
    fields["size: log bytes"] = float(np.log(note.path.stat().st_size))
    fields |= {f"border: {k}": v for k, v in _borders(first).items()}
    return fields | _motion(note.boxes / fields["rows"])


def _damaged(path: pathlib.Path, problem: str) -> InputError:
    return InputError(
        f"{path} {problem}. Expected a complete video of the synthetic set; delete the file"
        " and run 'nasfas prepare' again, which renders what is missing."
    )


def _borders(frame: Array) -> dict[str, float]:
    """Black rows and columns along each edge of a frame."""
    rows, columns = frame.max((1, 2)) >= DARK, frame.max((0, 2)) >= DARK
    edges = {
        "top": rows,
        "bottom": rows[::-1],
        "left": columns,
        "right": columns[::-1],
    }
    return {k: float(np.argmax(v) if v.any() else len(v)) for k, v in edges.items()}


def _motion(boxes: Array) -> dict[str, float]:
    """Size, position and motion of the face box [T, 4] in the clip."""
    size = boxes[:, 2:]
    center = boxes[:, :2] + size / 2
    series = np.column_stack([center, size, size[:, :1] / size[:, 1:]])
    speed = np.abs(np.diff(series, axis=0)) if len(series) > 1 else 0 * series
    change = np.abs(np.diff(series, 2, axis=0)) if len(series) > 2 else 0 * series
    table = {}
    for i, name in enumerate(("x", "y", "width", "height", "aspect")):
        table[f"box: {name}"] = series[:, i].mean()
        motion = {
            "range": np.ptp(series[:, i]),
            "speed": speed[:, i].mean(),
            "acceleration": change[:, i].mean(),
        }
        for kind, value in motion.items():
            table[f"box: {kind} of {name}"] = float(np.log(value + 1e-5))
    return table


def appearance(note: Annotation) -> dict[str, float]:
    """Global statistics of color and sharpness of the face, which recapture changes.

    Raises:
      InputError: the video cannot be decoded.
    """
    frames = faces(note)
    rows = [_statistics(face) for face in frames]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def texture(note: Annotation) -> dict[str, float]:
    """Log power spectra of the patches of gray, locally normalized faces.

    Raises:
      InputError: the video cannot be decoded.
    """
    spectra = [_spectra(normalize(face)) for face in faces(note)]
    values = np.stack(spectra).ravel().tolist()
    return {f"texture: {number}": value for number, value in enumerate(values)}


def normalize(face: Array, side: int = SIDE) -> Array:
    """A face without color, brightness and contrast, float32 [side, side].

    The luma is divided by its local deviation after subtraction of its local mean, over
    about 20 pixels. The deviation has a floor of a tenth of its mean over the face.

    Args:
      face: uint8 BGR [H, W, 3].
      side: side of the result, pixels.
    """
    gray = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY).astype(np.float32)
    gray = cv2.resize(gray, (side, side), interpolation=cv2.INTER_AREA)
    detail = gray - cv2.GaussianBlur(gray, (0, 0), 4)
    local = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 4))
    return detail / (local + 0.1 * local.mean() + 1e-6)


def _spectra(face: Array) -> Array:
    """Log power spectra [patches, SPECTRUM] of a normalized face."""
    count = SIDE // PATCH
    tiles = face.reshape(count, PATCH, count, PATCH).swapaxes(1, 2)
    window = np.hanning(PATCH + 2)[1:-1]
    spectra = np.fft.rfft2(tiles * window[:, None] * window, axes=(2, 3))
    return np.log(np.abs(spectra) ** 2 + 1e-2).reshape(count * count, SPECTRUM)


def faces(note: Annotation, frames: int = FRAMES) -> list[Array]:
    """The face boxes of evenly spaced frames of a video, uint8 BGR.

    Raises:
      InputError: the video cannot be decoded.
    """
    wanted = np.linspace(0, len(note.boxes) - 1, frames).astype(int)
    reader = cv2.VideoCapture(str(note.path))
    found = []
    for number in range(len(note.boxes)):
        good, frame = reader.read()
        if not good:
            raise _damaged(
                note.path, f"ends after {number} of its {len(note.boxes)} frames"
            )
        if number in wanted:
            x, y, w, h = np.round(note.boxes[number]).astype(int)
            found.append(frame[max(y, 0) : y + h, max(x, 0) : x + w])
    reader.release()
    return found


YCRCB = ("y", "cr", "cb")  # channels of COLOR_BGR2YCrCb


def _statistics(face: Array) -> dict[str, float]:
    """Means and deviations of the color channels, energies of octaves."""
    table = {}
    spaces = {
        ("r", "g", "b"): face[..., ::-1],
        ("h", "s", "v"): cv2.cvtColor(face, cv2.COLOR_BGR2HSV),
        YCRCB: cv2.cvtColor(face, cv2.COLOR_BGR2YCrCb),
    }
    for names, picture in spaces.items():
        for name, channel in zip(names, cv2.split(picture), strict=True):
            level = channel.astype(np.float32)
            table[f"color: mean {name}"] = level.mean()
            table[f"color: deviation {name}"] = level.std()
    for name, channel in zip(YCRCB, cv2.split(spaces[YCRCB]), strict=True):
        level = channel.astype(np.float32)
        for octave in range(3):
            lower = cv2.GaussianBlur(level, (0, 0), 1.0)
            energy = float(np.log(np.mean((level - lower) ** 2) + 1e-3))
            table[f"sharpness: {name}, octave {octave}"] = energy
            level = cv2.resize(lower, None, fx=0.5, fy=0.5)
    return table


def within(table: Table, *, folds: int = 5, fit: Fit | None = None) -> Result:
    """AUC of a probe, cross-validated over subjects.

    The error covers the tested videos alone; `chance` measures the variation due to fitting
    on a small set.

    Args:
      table: features of videos.
      folds: number of folds.
      fit: `linear` (the default), or `network` for the features `texture`.

    Raises:
      InputError: fewer people than folds.
    """
    return _result(table, _held_out_scores(table, folds, fit or linear))


def chance(table: Table, *, folds: int = 5, draws: int = 40) -> Result:
    """The result of `within` for labels shuffled within every subject.

    Its error is the standard deviation over the draws.
    """
    rng = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        labels = table.labels.copy()
        for subject in np.unique(table.subjects):
            rows = np.flatnonzero(table.subjects == subject)
            labels[rows] = rng.permutation(labels[rows])
        blind = dataclasses.replace(table, labels=labels)
        found.append(_auc(labels, _held_out_scores(blind, folds, linear)))
    return Result(float(np.mean(found)), float(np.std(found)))


def _held_out_scores(table: Table, folds: int, fit: Fit) -> Array:
    """Scores [N] of the videos by probes fitted without their subjects."""
    from sklearn.model_selection import GroupKFold

    people = len(set(table.subjects.tolist()))
    if people < folds:
        domains = ", ".join(sorted(set(table.domains.tolist())))
        raise InputError(
            f"The videos of {domains} show {people} people. Expected {folds} or more,"
            f" for a probe in {folds} folds without a person in two; prepare a larger"
            " set (config.synthetic.subjects_per_domain)."
        )
    scores = np.zeros(len(table.labels))
    for train, test in GroupKFold(folds).split(table.values, groups=table.subjects):
        scores[test] = fit(table.where(train))(table.values[test])
    return scores


def across(table: Table, domain: str, *, fit: Fit | None = None) -> Result:
    """AUC on one domain of a probe fitted on all other domains; `fit` as in `within`."""
    held = table.domains == domain
    score = (fit or linear)(table.where(~held))
    target = table.where(held)
    return _result(target, score(target.values))


def linear(table: Table) -> Callable[[Array], Array]:
    """A logistic regression: function from values [N, F] to scores [N], high for live."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(C=0.1, max_iter=2000, class_weight="balanced")
    fitted = make_pipeline(StandardScaler(), model).fit(table.values, table.labels)
    return fitted.decision_function


def network(table: Table) -> Callable[[Array], Array]:
    """A small network on `texture`: function from values [N, F] to scores [N].

    One hidden layer of 32 units scores the spectrum of each patch; a video has the mean
    logit of its patches. It is a convolutional network whose first layer is a fixed bank of
    windowed waves with their power.
    """
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    patches = table.values.reshape(-1, SPECTRUM)
    scaler = StandardScaler().fit(patches)
    model = MLPClassifier((32,), alpha=0.1, learning_rate_init=2e-3, random_state=0)
    labels = np.repeat(table.labels, len(patches) // len(table.labels))
    patches = scaler.transform(patches)
    for _ in range(EPOCHS):
        model.partial_fit(patches, labels, classes=[0, 1])

    def score(values: Array) -> Array:
        seen = scaler.transform(values.reshape(-1, SPECTRUM))
        live = np.asarray(model.predict_proba(seen))[:, 1].clip(1e-6, 1 - 1e-6)
        return np.log(live / (1 - live)).reshape(len(values), -1).mean(1)

    return score


EPOCHS = 15


def _result(table: Table, scores: Array, draws: int = 200) -> Result:
    """AUC and its standard error, by resampling subjects."""
    rng = np.random.default_rng(0)
    rows_of = [np.flatnonzero(table.subjects == s) for s in np.unique(table.subjects)]
    drawn = []
    for _ in range(draws):
        picked = rng.integers(len(rows_of), size=len(rows_of))
        rows = np.concatenate([rows_of[i] for i in picked])
        if 0 < table.labels[rows].mean() < 1:
            drawn.append(_auc(table.labels[rows], scores[rows]))
    return Result(_auc(table.labels, scores), float(np.std(drawn)))


def _auc(labels: Array, scores: Array) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))
