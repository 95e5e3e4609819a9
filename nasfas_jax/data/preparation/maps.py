"""Label maps of a clip, from the first available source.

Sources of depth for live clips, in order: a picture file beside the video, the dataset's
own depth, the landmark model, an analytic head.  Sources of location: the dataset's
contour, the hull of the landmarks, an ellipse.  The depth of spoofs is zero.

Depth files are gray pictures of the whole frame in any size, 255 nearest, 0 background, as
written by PRNet's renderer:

* for a picture `face.jpg`: `face_depth.jpg` or `.png` beside it;
* for a video `clip.mp4`: pictures in the folder `clip_depth/` beside it, named by the
  frame index from 0, with optional zero padding, an optional prefix that ends in '_' and
  an optional suffix `_depth...`: `121.png`, `0121.jpg`, `6_3_20_5_121_depth1D.jpg`.
"""

import os
import pathlib
import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from nasfas_jax import names
from nasfas_jax.data.datasets.sources import Annotation, VideoSource
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import faces, labels
from nasfas_jax.data.preparation.landmarks import LandmarkModel

FRAME = re.compile(r"(?:.*_)?(\d+)(?:_depth\w*)?")


class Maps:
    """Makes the maps of the clips of one source file, and records the source of each map."""

    def __init__(
        self,
        source: VideoSource,
        annotation: Annotation | None,
        landmarks: LandmarkModel | None = None,
    ):
        self._label = source.label
        self._annotation = annotation
        self._landmarks = landmarks
        self._files = depth_files(source.path) if source.label else {}
        self.depth_sources: list[str] = []
        self.face_sources: list[str] = []

    def __call__(
        self, frame: int, image: np.ndarray, face: faces.Face, where, roll: float
    ) -> dict[str, np.ndarray]:
        """`depth` and `face`, uint8 [32, 32], of the current frame of a clip.

        Args:
          frame: index of the frame.
          image: the whole frame, BGR.
          face: face in the frame.
          where: square (x, y, side) of the crop.
          roll: rotation of the crop.
        """
        points = self._landmarks(image, face) if self._landmarks else None
        found = self._face(frame, face, points, where, roll)
        if not self._label:
            self.depth_sources.append("zeros")
            return {"depth": np.zeros_like(found), "face": found}
        depth = self._depth(frame, image, face, points, where, roll)
        return {"depth": depth, "face": found}

    def _face(self, frame, face, points, where, roll):
        given = self._given("face", frame, where, roll)
        if given is not None:
            self.face_sources.append("annotation")
            return labels.binary(given)
        if points is not None:
            self.face_sources.append("landmarks")
            return labels.hull(where, points, roll)
        self.face_sources.append("ellipse")
        return labels.ellipse(where, face.box, roll)

    def _depth(self, frame, image, face, points, where, roll):
        if frame in self._files:
            self.depth_sources.append("file")
            whole = np.array([0, 0, image.shape[1], image.shape[0]])
            return labels.warp_map(where, _gray(self._files[frame]), whole, roll)
        given = self._given("depth", frame, where, roll)
        if given is not None:
            self.depth_sources.append("annotation")
            return given
        if points is not None:
            self.depth_sources.append("landmarks")
            return labels.landmark_depth(where, points, roll)
        self.depth_sources.append("analytic")
        return labels.analytic_depth(where, face.box, face.eyes, roll)

    def _given(self, name, frame, where, roll):
        """The annotated map in the crop; None without one."""
        known = self._annotation
        given = getattr(known, name, None)
        if known is None or given is None or known.map_box is None:
            return None
        return labels.warp_map(where, given[frame], known.map_box[frame], roll)


def _gray(path: pathlib.Path) -> np.ndarray:
    """A depth picture [H, W] uint8."""
    try:
        return video.read_picture(path).max(2)
    except video.VideoError as error:
        raise video.VideoError(f"depth picture {path.name}: {error}") from error


def depth_files(path: pathlib.Path) -> dict[int, pathlib.Path]:
    """Depth pictures of a source file by frame index; empty without any."""
    pictures, folder = _beside(path)
    if video.is_picture(path):
        there = [file for file in pictures if os.path.isfile(file)]
        return {0: there[0]} if there else {}
    if not os.path.isdir(folder):
        return {}
    numbered = {}
    for file in sorted(folder.iterdir()):
        match = FRAME.fullmatch(file.stem)
        if match and video.is_picture(file) and not names.is_ignored(file.name):
            numbered[int(match[1])] = file
    if not numbered:
        raise video.VideoError(
            f"the folder {folder.name} beside it holds no depth picture named by a"
            " frame's number, such as 121.png or NAME_121_depth.jpg"
        )
    return numbered


def depth_stamp(path: pathlib.Path) -> list[int]:
    """Modification times of the depth files of a source file."""
    pictures, folder = _beside(path)
    beside = pictures if video.is_picture(path) else [folder]
    return [file.stat().st_mtime_ns for file in beside if os.path.exists(file)]


def _beside(path: pathlib.Path) -> tuple[list[pathlib.Path], pathlib.Path]:
    """Paths of the depth files of a picture and of the depth folder of a video.

    They need not exist.  A path may be too long for the system: `os.path` reports it as
    missing, where `pathlib` raises.
    """
    folder = path.with_name(path.stem + "_depth")
    return [path.with_name(folder.name + suffix) for suffix in (".jpg", ".png")], folder


def tally(sources: Iterable[str]) -> str:
    """Sources of the clips as written in the manifest.

    >>> tally(["file", "file"]), tally(["file", "analytic", "file"])
    ('file', 'file:2 analytic:1')
    """
    counts = Counter(sources)
    if len(counts) == 1:
        return next(iter(counts))
    return " ".join(f"{name}:{count}" for name, count in counts.items())
