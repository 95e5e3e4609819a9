"""Predictions for one video, picture, folder of frames or array of clips."""

import dataclasses
import functools
import html
import os
import pathlib
from collections.abc import Callable

import numpy as np

from nasfas_jax import nets, tables
from nasfas_jax.data.loading import views
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import extract, faces
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.report import figures
from nasfas_jax.report.picture import Picture

#: Number of clips that are scored, evenly spaced over the frames of a video.
CLIPS = 32
#: Number of clips in `Prediction.picture`.
SHOWN = 8

#: Function from images [N, S, S, C], or clips [N, K, S, S, C], to maps [N, h, w].
Network = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """The scored clips of one video or picture.

    Attributes:
      name: name of the file; 'clips' for an array.
      frames: index of each clip's current frame in the file, int [n]; for an array, the
        number of the clip.
      scores: [n]; a higher score means live.
      maps: predicted maps [n, h, w].
      still: whether nothing moves in the clip, bool [n].
      images: the images of the records of the clips, uint8 [n, ...], see
        `extract.record_images`.
      threshold: threshold of the verdicts; None if the model was not evaluated.
      boxes: face boxes (x, y, width, height) in pixels [n, 4]; None for an array.
      crops: squares (x, y, side) that were cut out, in pixels [n, 3]; None for an array.
      times: time stamp in seconds of every frame of the file; None without time stamps.
    """

    name: str
    frames: np.ndarray
    scores: np.ndarray
    maps: np.ndarray
    still: np.ndarray
    images: dict[str, np.ndarray]
    threshold: float | None = None
    boxes: np.ndarray | None = None
    crops: np.ndarray | None = None
    times: np.ndarray | None = None

    @property
    def seconds(self) -> np.ndarray | None:
        """Time stamp of each clip's current frame [n]; None without time stamps."""
        return None if self.times is None else self.times[self.frames]

    @property
    def score(self) -> float:
        """Mean score of the clips."""
        return float(self.scores.mean())

    @property
    def verdict(self) -> str | None:
        """'live' or 'spoof' by the mean score; None without a threshold."""
        return self._word(self.score)

    @property
    def verdicts(self) -> list[str | None]:
        """The verdict on each clip alone."""
        return [self._word(score) for score in self.scores]

    def _word(self, score: float) -> str | None:
        if self.threshold is None:
            return None
        return "live" if float(score) >= self.threshold else "spoof"

    def picture(self) -> Picture:
        """Current frame, dynamic image, static-dynamic image and map of `SHOWN` clips."""
        count = len(self.frames)
        chosen = np.unique(np.linspace(0, count - 1, SHOWN).round().astype(int))
        captions = [
            *(f"frame {self.frames[i]}" for i in chosen),
            *["dynamic"] * len(chosen),
            *["input"] * len(chosen),
            *(f"map {self.scores[i]:.3f}" for i in chosen),
        ]
        images = self.images
        rows = (images["static"], images["dynamic"], images["image"], self.maps)
        shown = [row[i] for row in rows for i in chosen]
        return figures.contact_sheet(shown, captions, columns=len(chosen))

    def __repr__(self) -> str:
        parts = [f"mean score {self.score:.4f} over {len(self.scores)} clips"]
        if self.threshold is None:
            parts.append("no threshold")
        else:
            parts.append(f"threshold {self.threshold:.4f}")
        if self.still.any():
            parts.append(f"nothing moves in {self.still.sum()}")
        verdict = self.verdict or "no verdict"
        return f"<Prediction {self.name}: {verdict}, {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        """HTML for notebooks: the summary, the picture and a row for each clip."""
        seconds = [""] * len(self.frames)
        if self.seconds is not None:
            seconds = [f"{second:.3f}" for second in self.seconds]
        columns = self.frames, seconds, self.scores, self.verdicts, self.still
        rows = [["frame", "second", "score", "verdict", "still"]]
        rows += [
            [str(frame), second, f"{score:.4f}", verdict or "", "yes" if still else ""]
            for frame, second, score, verdict, still in zip(*columns, strict=True)
        ]
        return (
            f"<p>{html.escape(repr(self)[1:-1])}</p>{self.picture().html}"
            f"<details><summary>All clips</summary>{tables.as_html(rows)}</details>"
        )


def predict_clips(
    frames: np.ndarray,
    network: Network,
    recipe: Recipe,
    view: views.View,
    *,
    score: nets.Scorer,
    threshold: float | None = None,
) -> Prediction:
    """Scores clips of face crops.

    Args:
      frames: RGB face crops, uint8 [N, K, S, S, 3], or one clip [K, S, S, 3].
      network: function from images to maps.
      recipe: settings of the records.
      view: input, color space and range of the network's images.
      score: function from maps to scores.
      threshold: threshold of the verdict.

    Raises:
      InputError: another type or shape, or no clip.
    """
    frames = views.require_clips(frames, recipe)
    clips = frames.reshape(-1, *frames.shape[-4:])
    images = views.record_images(clips, recipe)
    predict = functools.partial(_predict, network=network, view=view, score=score)
    return predict("clips", np.arange(len(clips)), images, threshold)


def predict_file(
    path: str | os.PathLike,
    network: Network,
    recipe: Recipe,
    view: views.View,
    detector: faces.Detector,
    *,
    score: nets.Scorer,
    clips: int = CLIPS,
    threshold: float | None = None,
) -> Prediction:
    """Scores evenly spaced clips of a video or picture.

    Args:
      path: video, picture or folder of frames.
      network: function from images to maps; called with one clip at a time.
      recipe: settings of the records.
      view: input, color space and range of the network's images.
      detector: face detector; clips without a face are skipped.
      score: function from maps to scores.
      clips: number of clips; fewer in a short video.
      threshold: threshold of the verdict.

    Raises:
      InputError: no such file, no usable frames or no face in it, or nothing moves in it
        and the network sees only the dynamic image.
    """
    path = pathlib.Path(path)
    samples, times = sampled(path, recipe, detector, clips)
    images = views.record_images(np.stack([s.frames for s in samples]), recipe)
    if view.input == "dynamic" and extract.is_still(images["dynamic"]).all():
        raise InputError(
            f"{path}: nothing moves in it (a still picture, or frozen frames), and the"
            " network sees only the dynamic image (input 'dynamic' of its view), which"
            " is black. Nothing was predicted; give a video in which the face moves."
        )
    frames = np.array([sample.frame for sample in samples])
    return dataclasses.replace(
        _predict(
            path.name,
            frames,
            images,
            threshold,
            network=network,
            view=view,
            score=score,
        ),
        boxes=np.stack([sample.face.box for sample in samples]),
        crops=np.stack([sample.where for sample in samples]),
        times=times,
    )


def sampled(
    path: str | os.PathLike, recipe: Recipe, detector: faces.Detector, clips: int
) -> tuple[list[extract.Sample], np.ndarray | None]:
    """Evenly spaced clips of a file, cropped to the face, and its time stamps if any.

    Raises:
      InputError: no such file, no usable frames or no face in it.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise InputError(
            f"There is no {path}; expected a video, a picture or a folder of frames."
        )
    try:
        samples = list(extract.sample_video(path, recipe, detector, clips))
        return samples, video.time_stamps(path)
    except video.VideoError as error:
        found = "no face" not in str(error) or detector.name != faces.Haar.name
        more = "" if found else " YuNet (--face_model) finds more faces than Haar."
        raise InputError(f"{path}: {error}. Nothing was predicted.{more}") from None


def _predict(
    name: str,
    frames: np.ndarray,
    images: dict[str, np.ndarray],
    threshold: float | None,
    *,
    network: Network,
    view: views.View,
    score: nets.Scorer,
) -> Prediction:
    # One clip at a time: one compiled shape for videos of any length.
    inputs = views.network_input(images, view)
    maps = np.concatenate([network(one[None]) for one in inputs])
    scores = np.asarray(score(maps))
    still = extract.is_still(images["dynamic"])
    return Prediction(name, frames, scores, maps, still, images, threshold)
