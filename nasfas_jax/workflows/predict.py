"""Predictions for one video, picture or array of clips, and the input of a network."""

import dataclasses
import functools
import html
import os
import pathlib
from collections.abc import Callable

import numpy as np

from nasfas_jax import nets
from nasfas_jax.data.loading import pipeline
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

#: Images [N, S, S, C] to maps [N, h, w].
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
      images: what a record holds of each clip: 'static', 'dynamic' and 'image' (the
        static-dynamic image), uint8 [n, S, S, 3].
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
        """How a notebook shows it: the summary, the picture and a row for each clip."""
        seconds = [""] * len(self.frames)
        if self.seconds is not None:
            seconds = [f"{second:.3f}" for second in self.seconds]
        rows = "".join(
            f"<tr><td>{frame}</td><td>{second}</td><td>{score:.4f}</td>"
            f"<td>{verdict or ''}</td><td>{'yes' if still else ''}</td></tr>"
            for frame, second, score, verdict, still in zip(
                self.frames,
                seconds,
                self.scores,
                self.verdicts,
                self.still,
                strict=True,
            )
        )
        picture = self.picture()
        return (
            f"<p>{html.escape(repr(self)[1:-1])}</p>"
            f'<img src="{picture.uri}" width="{picture.width}" alt="{picture.alt}">'
            "<details><summary>All clips</summary><table><thead><tr><th>frame</th>"
            "<th>second</th><th>score</th><th>verdict</th><th>still</th></tr></thead>"
            f"<tbody>{rows}</tbody></table></details>"
        )


def preprocess(frames: np.ndarray, recipe: Recipe, view: pipeline.View) -> np.ndarray:
    """The input of a network from face crops, as preparing and loading make it.

    Args:
      frames: clips of RGB face crops, uint8 [..., K, S, S, 3], the current frame last.
      recipe: how the clips are pooled; K and S are its ``frames`` and ``image_size``.
      view: input, color space and range.

    Returns:
      float32 [..., S, S, C].

    Raises:
      InputError: another type or shape.
    """
    frames = _require_clips(frames, recipe)
    images = network_input(
        _pooled(frames.reshape(-1, *frames.shape[-4:]), recipe), view
    )
    return images.reshape(*frames.shape[:-4], *images.shape[1:])


def predict_clips(
    frames: np.ndarray,
    network: Network,
    recipe: Recipe,
    view: pipeline.View,
    *,
    threshold: float | None = None,
) -> Prediction:
    """Scores clips of face crops.

    Args:
      frames: as in `preprocess`, [N, K, S, S, 3] or one clip [K, S, S, 3].
      network: from images to maps.
      recipe: how the clips are pooled.
      view: what the network sees of them.
      threshold: threshold of the verdict.

    Raises:
      InputError: another type or shape, or no clip at all.
    """
    frames = _require_clips(frames, recipe)
    clips = frames.reshape(-1, *frames.shape[-4:])
    if not len(clips):
        raise InputError("frames: expected one clip or more, got none.")
    predict = functools.partial(_predict, network=network, view=view)
    return predict("clips", np.arange(len(clips)), _pooled(clips, recipe), threshold)


def predict_file(
    path: str | os.PathLike,
    network: Network,
    recipe: Recipe,
    view: pipeline.View,
    detector: faces.Detector,
    *,
    clips: int = CLIPS,
    threshold: float | None = None,
) -> Prediction:
    """Scores evenly spaced clips of a video or picture.

    Args:
      path: video or picture.
      network: from images to maps; called with one clip at a time.
      recipe: how clips are cropped and pooled.
      view: what the network sees of them.
      detector: finds the faces; clips without one are passed over.
      clips: number of clips; fewer in a short video.
      threshold: threshold of the verdict.

    Raises:
      InputError: no such file, no usable frames or no face in it, or nothing moves in it
        and the network sees only the dynamic image.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise InputError(f"There is no file {path}; expected a video or a picture.")
    try:
        samples = list(extract.sample_video(path, recipe, detector, clips))
        times = video.time_stamps(path)
    except video.VideoError as error:
        raise InputError(f"{path}: {error}. Nothing was predicted.") from None
    images = _pooled(np.stack([sample.frames for sample in samples]), recipe)
    if view.input == "dynamic" and extract.is_still(images["dynamic"]).all():
        raise InputError(
            f"{path}: nothing moves in it (a still picture, or frozen frames), and the"
            " network sees only the dynamic image (input 'dynamic' of its view), which"
            " is black. Nothing was predicted; give a video in which the face moves."
        )
    frames = np.array([sample.frame for sample in samples])
    return dataclasses.replace(
        _predict(path.name, frames, images, threshold, network=network, view=view),
        boxes=np.stack([sample.face.box for sample in samples]),
        crops=np.stack([sample.where for sample in samples]),
        times=times,
    )


def network_input(images: dict[str, np.ndarray], view: pipeline.View) -> np.ndarray:
    """The input of a network [N, S, S, C] from the images of records [N, S, S, 3]."""
    return pipeline.shown(pipeline.scale(images[view.columns[0]]), view)


def _pooled(clips: np.ndarray, recipe: Recipe) -> dict[str, np.ndarray]:
    """The images that a record holds, of clips [N, K, S, S, 3]."""
    dynamic, image = extract.pool(clips, recipe)
    return {"static": clips[:, -1], "dynamic": dynamic, "image": image}


def _predict(
    name: str,
    frames: np.ndarray,
    images: dict[str, np.ndarray],
    threshold: float | None,
    *,
    network: Network,
    view: pipeline.View,
) -> Prediction:
    # One clip at a time: one compiled shape for videos of any length.
    seen = network_input(images, view)
    maps = np.concatenate([network(image[None]) for image in seen])
    scores = np.asarray(nets.score(maps))
    still = extract.is_still(images["dynamic"])
    return Prediction(name, frames, scores, maps, still, images, threshold)


def _require_clips(frames: np.ndarray, recipe: Recipe) -> np.ndarray:
    frames = np.asarray(frames)
    clip = (recipe.frames, recipe.image_size, recipe.image_size, 3)
    if frames.dtype != np.uint8 or frames.shape[-4:] != clip:
        raise InputError(
            f"frames: expected RGB face crops, uint8 [..., {', '.join(map(str, clip))}],"
            f" got {frames.dtype} {list(frames.shape)}."
        )
    return frames
