"""Faces of a stream of frames: found, tracked over frames and scored, in bounded memory.

A face is scored on a sliding window: the current frame and K - 1 earlier ones at the
interval of the recipe, all cut out by one square, as in prepared records. The square is
that of the median of the face boxes in the first, middle and last frame of the window.

With detection in every frame (``every=1``), the score of a frame equals that of
`Model.predict` for the clip that ends there: frames in which the face is missed, or was not
there yet, are left out of the median. Otherwise a box is held until the next detection. A
network of the current frame alone is scored from the first frame on, its square being the
median over the frames that there are.
"""

import dataclasses
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nasfas_jax import limits
from nasfas_jax.data.loading import views
from nasfas_jax.data.media import streams, video
from nasfas_jax.data.preparation import extract, faces
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import in_graph

if TYPE_CHECKING:
    from nasfas_jax.workflows.model import Model

#: Frames from one detection to the next.
EVERY = 5
#: Scores of a track whose mean decides.
SMOOTH = 8
#: Frames after which a face that is no longer found is given up.
PATIENCE = 12
#: Largest number of faces that are followed; the most certain ones come first.
FACES = 8
#: Smallest intersection over union of the boxes of one face in two detections.
OVERLAP = 0.3


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SeenFace:
    """One tracked face in one frame.

    Attributes:
      track: number of the face, from 1 in the order of appearance.
      box: face box (x, y, width, height) in pixels [4], the median over the window.
      crop: square (x, y, side) that was cut out, in pixels [3].
      score: score of the window that ends here, higher for live; None until K frames are
        seen, and in frames that are skipped (``stride``).
      mean: mean of the last scores of the track (``smooth``); None before the first one.
      verdict: 'live', 'spoof' or, within ``abstain`` of the threshold, 'unsure', by the
        mean; None without a mean or a threshold.
      map: predicted map [h, w]; None without a score.
      images: images of the window that the network reads, and 'static', the current face
        crop: uint8 [S, S, 3], or [K, S, S, 3] for 'frames'; empty without a score.
      still: whether nothing moves in the window; True for a picture, and else False for
        networks that read the current frame alone.
    """

    track: int
    box: np.ndarray
    crop: np.ndarray
    score: float | None = None
    mean: float | None = None
    verdict: str | None = None
    map: np.ndarray | None = None
    images: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    still: bool = False

    def __repr__(self) -> str:
        score = "no score" if self.score is None else f"score {self.score:.4f}"
        mean = "" if self.mean is None else f", mean {self.mean:.4f}"
        return f"<SeenFace {self.track}: {self.verdict or 'no verdict'}, {score}{mean}>"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Seen:
    """One frame of a stream and the faces in it.

    Attributes:
      frame: index of the frame, from 0.
      second: time of the frame in seconds; None where it has none.
      image: the frame, upright, BGR uint8 [H, W, 3].
      faces: faces in the order of their tracks; empty without a face.
    """

    frame: int
    second: float | None
    image: np.ndarray
    faces: tuple[SeenFace, ...]

    def __repr__(self) -> str:
        shown = ", ".join(repr(face)[1:-1] for face in self.faces) or "no face"
        at = "" if self.second is None else f" at {self.second:.3f} s"
        return f"<Seen frame {self.frame}{at}: {shown}>"


class Watcher:
    """Follows and scores the faces of one stream; its memory does not grow.

    It holds the frames of one window, and for each face as many boxes and ``smooth``
    scores.

    Args:
      model: the model.
      detector: face detector; the model's own one if None. One without a method ``all``
        finds one face in a frame.
      every: number of frames from one detection to the next; every frame is searched as
        long as there is no face, or one is lost.
      abstain: verdicts are 'unsure' up to this distance from the threshold; 0: never.
      smooth: number of scores of a face whose mean decides.
      stride: every how many frames faces are scored.
      patience: number of frames without detection after which a face is given up; the
        next one has a new number.
      most: largest number of faces followed at once.

    Attributes:
      seconds: time spent in 'detection', 'preparation' (crops and rank pooling) and
        'network' so far.

    Raises:
      InputError: an argument out of its range, or a model that needs a detector.
    """

    def __init__(
        self,
        model: "Model",
        *,
        detector: faces.Detector | None = None,
        every: int = EVERY,
        abstain: float = 0.0,
        smooth: int = SMOOTH,
        stride: int = 1,
        patience: int = PATIENCE,
        most: int = FACES,
    ):
        counts = {"every": every, "smooth": smooth, "stride": stride, "most": most}
        limits.require(
            **{name: (value, limits.COUNT) for name, value in counts.items()},
            patience=(patience, limits.COUNT_OR_NONE),
            abstain=(abstain, limits.NOT_NEGATIVE),
            detector=(detector, faces.DETECTORS),
        )
        self.model = model
        self.detector = detector or model.default_detector()
        self.seconds = dict.fromkeys(("detection", "preparation", "network"), 0.0)
        self._every, self._abstain, self._smooth = every, abstain, smooth
        self._stride, self._patience, self._most = stride, patience, most
        recipe, view = model.recipe, model.view
        self._kept = 1 if in_graph.frames_read(recipe, view) == 1 else recipe.span
        self._images: deque[np.ndarray] = deque(maxlen=self._kept)
        self._tracks: list[_Track] = []
        self._frame = self._born = self._before = 0
        model.maps(np.zeros((1, *model.image_shape), np.float32))  # compiled once

    def watch(
        self, source: Any, ended: Callable[[], bool] | None = None
    ) -> Iterator[Seen]:
        """Yields the frames of a source with their faces; see `Model.watch`.

        Args:
          source: the source.
          ended: whether to leave a live source, as of `streams.until`; None: it is watched
            to its end.
        """
        path = streams.as_path(source)
        if path is not None and not path.is_dir() and video.is_picture(path):
            image, _ = next(iter(streams.frames(source)))
            try:
                seen = self.picture(image)
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
            yield seen
            return
        frames = streams.frames(source)
        if ended is not None and streams.is_live(source):
            frames = streams.until(frames, ended)
        for image, second in frames:
            yield self.step(image, second)

    def step(self, image: np.ndarray, second: float | None = None) -> Seen:
        """The next frame of the stream.

        Args:
          image: BGR uint8 [H, W, 3]; kept for the next windows, so do not write to it. One
            of another size than the last one ends all tracks.
          second: its time.

        Raises:
          InputError: another type or shape; a face that cannot be aligned.
        """
        _require_image(image)
        if self._images and self._images[-1].shape != image.shape:
            self._forget()
        due = self._is_due()
        self._images.append(image)
        if due:
            self._detect(image)
        else:
            for track in self._tracks:
                track.hold()
        scored = self._frame % self._stride == 0
        found = [self._seen(track, scored) for track in self._tracks]
        seen = Seen(self._frame, second, image, tuple(f for f in found if f))
        self._before = min(self._before + 1, self.model.recipe.span - 1)
        self._frame += 1
        return seen

    def picture(self, image: np.ndarray) -> Seen:
        """A still picture, which fills a window alone, as in `Model.predict`.

        Raises:
          InputError: as `step`; or the network sees only the dynamic image, which is black.
        """
        if self.model.view.input == "dynamic":
            raise InputError(
                "nothing moves in it (a still picture), and the network sees only the"
                " dynamic image (input 'dynamic' of its view), which is black. Nothing was"
                " predicted; give a video in which the face moves."
            )
        _require_image(image)
        self._forget()
        self._images.extend([image] * self._kept)
        self._detect(image)
        for track in self._tracks:
            track.faces.extend([track.faces[-1]] * (self.model.recipe.span - 1))
        found = [self._seen(track, True) for track in self._tracks]
        still = (dataclasses.replace(face, still=True) for face in found if face)
        seen = Seen(self._frame, None, image, tuple(still))
        self._forget()
        self._frame += 1
        return seen

    def _forget(self) -> None:
        """Starts anew: no frame was seen."""
        self._images.clear()
        self._tracks.clear()
        self._before = 0

    def _is_due(self) -> bool:
        lost = not self._tracks or any(track.unseen for track in self._tracks)
        return lost or self._frame % self._every == 0

    def _detect(self, image: np.ndarray) -> None:
        """Gives the faces of a frame to the tracks; new ones start, lost ones end."""
        start = time.perf_counter()
        found = faces.all_faces(self.detector, image)
        found = _distinct([f for f in found if faces.is_usable(f.box, image.shape)])
        free = _match(self._tracks, found)
        self._tracks = [t for t in self._tracks if t.unseen <= self._patience]
        for face in free[: max(self._most - len(self._tracks), 0)]:
            self._born += 1
            missed = [None] * self._before
            self._tracks.append(
                _Track(self._born, face, missed, self.model.recipe.span, self._smooth)
            )
        self.seconds["detection"] += time.perf_counter() - start

    def _seen(self, track: "_Track", scored: bool) -> SeenFace | None:
        """A track in the current frame; None if its window shows no face."""
        recipe = self.model.recipe
        held = list(track.faces)[:: -recipe.interval][::-1]
        picks = faces.representative(len(held))
        face = faces.median_face([held[i] for i in picks])
        image = self._images[-1]
        if face is None or not faces.is_usable(face.box, image.shape):
            return None
        where = faces.square(face.box, recipe.margin)
        seen = SeenFace(track.number, face.box, where)
        if scored and len(self._images) == self._kept:
            score, parts = self._score(face, where)
            track.scores.append(score)
            seen = dataclasses.replace(seen, score=score, **parts)
        if not track.scores:
            return seen
        mean = float(np.mean(track.scores))
        return dataclasses.replace(seen, mean=mean, verdict=self._verdict(mean))

    def _score(self, face: faces.Face, where: np.ndarray) -> tuple[float, dict]:
        """Score of the window of a face, and its map, images and stillness."""
        start = time.perf_counter()
        model, recipe = self.model, self.model.recipe
        try:
            roll = extract.roll_of(face, recipe, f"the detector {self.detector.name}")
        except video.VideoError as error:
            raise InputError(f"{error}; give another detector.") from None
        window = list(self._images)[:: -recipe.interval][::-1]
        crops = extract.crop_clip(window, where, recipe.image_size, roll)
        images = _images(crops, model)
        inputs = views.network_input(
            {k: v[None] for k, v in images.items()}, model.view
        )
        prepared = time.perf_counter()
        maps = model.maps(inputs)
        self.seconds["preparation"] += prepared - start
        self.seconds["network"] += time.perf_counter() - prepared
        still = len(crops) > 1 and not (crops[:-1] != crops[-1]).any()
        parts = {"map": maps[0], "images": images, "still": bool(still)}
        return float(model.score(maps)[0]), parts

    def _verdict(self, mean: float) -> str | None:
        return verdict(mean, self.model, self._abstain)


def verdict(score: float, model: "Model", abstain: float = 0.0) -> str | None:
    """'live', 'spoof' or 'unsure' for a score; None without a threshold.

    Args:
      score: the score.
      model: has the threshold.
      abstain: largest distance from the threshold of 'unsure'; 0: never.
    """
    if model.threshold is None:
        return None
    value = model.threshold.value
    if abstain and abs(score - value) <= abstain:
        return "unsure"
    return "live" if score >= value else "spoof"


class _Track:
    """One face: its detections in the frames of a window (None: missed), and scores."""

    def __init__(
        self,
        number: int,
        face: faces.Face,
        missed: list[None],
        span: int,
        smooth: int,
    ):
        self.number, self.last, self.unseen = number, face, 0
        self.faces: deque[faces.Face | None] = deque([*missed, face], maxlen=span)
        self.scores: deque[float] = deque(maxlen=smooth)

    def hold(self) -> None:
        """A frame without detection: the face stays where it was."""
        self.faces.append(self.last)

    def found(self, face: faces.Face) -> None:
        """A frame in which the face was detected."""
        self.last, self.unseen = face, 0
        self.faces.append(face)

    def missed(self) -> None:
        """A frame in which the face was not detected."""
        self.unseen += 1
        self.faces.append(None)


def _match(tracks: list[_Track], found: list[faces.Face]) -> list[faces.Face]:
    """Assigns faces to tracks by overlap, the largest first; returns those left over."""
    pairs = [
        (overlap(track.last.box, face.box), t, f)
        for t, track in enumerate(tracks)
        for f, face in enumerate(found)
    ]
    taken: dict[int, int] = {}
    for share, t, f in sorted(pairs, key=lambda pair: -pair[0]):
        if share >= OVERLAP and t not in taken and f not in taken.values():
            taken[t] = f
    for t, track in enumerate(tracks):
        track.found(found[taken[t]]) if t in taken else track.missed()
    return [face for f, face in enumerate(found) if f not in taken.values()]


def _distinct(found: list[faces.Face]) -> list[faces.Face]:
    """Faces without those that overlap a more certain one."""
    kept: list[faces.Face] = []
    for face in found:
        if all(overlap(face.box, other.box) < OVERLAP for other in kept):
            kept.append(face)
    return kept


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes (x, y, width, height).

    >>> overlap(np.array([0, 0, 2, 2]), np.array([1, 0, 2, 2]))
    0.3333333333333333
    """
    low = np.maximum(a[:2], b[:2])
    high = np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    return shared / (float(a[2] * a[3] + b[2] * b[3]) - shared)


def _images(crops: np.ndarray, model: "Model") -> dict[str, np.ndarray]:
    """The images of a window that the network reads, and the current crop."""
    names = {name for name, _ in model.view.images}
    if names <= {"static", "frames"}:
        images = {"static": crops[-1], "frames": crops}
        return {name: images[name] for name in names | {"static"}}
    return extract.record_images(crops, model.recipe)


def _require_image(image: np.ndarray) -> None:
    good = (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[-1] == 3
        and image.size > 0
    )
    if not good:
        found = getattr(image, "dtype", type(image).__name__)
        shape = list(getattr(image, "shape", []))
        raise InputError(
            f"expected a BGR frame, uint8 [H, W, 3], got {found} {shape}.",
            field="image",
        )


def watch(
    model: "Model",
    source: int | str | os.PathLike | Iterable[np.ndarray],
    *,
    detector: faces.Detector | None = None,
    every: int = EVERY,
    abstain: float = 0.0,
    smooth: int = SMOOTH,
    stride: int = 1,
    patience: int = PATIENCE,
    most: int = FACES,
) -> Iterator[Seen]:
    """Finds, follows and scores the faces of a stream: ``for seen in model.watch(0)``.

    Args:
      model: the model.
      source: path of a video, a picture or a folder with the frames of a video; number of
        a camera; address of a stream (rtsp://, http://); '-' for JPEG pictures one after
        the other on the standard input; or BGR frames, uint8 [H, W, 3]. A camera or stream
        that vanishes is opened again, with a warning each time; see `streams.frames`.
      detector: as of `Watcher`, and so are the other arguments.
      every: number of frames from one detection to the next.
      abstain: verdicts are 'unsure' up to this distance from the threshold.
      smooth: number of scores whose mean decides.
      stride: every how many frames faces are scored.
      patience: number of frames after which a lost face is given up.
      most: largest number of faces followed at once.

    Raises:
      InputError: an argument out of its range, a source that cannot be read, a camera that
        stays away, or a picture for a network that sees only the dynamic image.
    """
    watcher = Watcher(
        model,
        detector=detector,
        every=every,
        abstain=abstain,
        smooth=smooth,
        stride=stride,
        patience=patience,
        most=most,
    )
    return watcher.watch(source)
