"""Readers of face annotations: eye files, box files, Kinect recordings.

A reader returns the `Annotation` of a file.  Eyes are ordered by x, in whichever order the
file lists them: the image's left eye (the subject's right eye) first.  A frame without a
row, a row of zeros, and a box without area mean that there is no face.

Frames are numbered from 0; if a file numbers its N frames from 1 to N, they become 0 to
N - 1.
"""

import dataclasses
import pathlib
import re
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from nasfas_jax.data.media import video

# For annotations with eyes only: width and height of the face box in eye distances, and the
# position of the eyes as a share of its height.
EYES_TO_BOX = (2.5, 3.2, 0.4)

LARGEST = 100_000  # largest valid frame number or coordinate

NO_READING = (0, 2047)  # 11-bit values of the Kinect for missing readings
MAP_SIZE = 64


class Maps(Protocol):
    """Maps by frame: an array [T, D, D], or an object that reads them from a file."""

    def __getitem__(self, frame: int, /) -> np.ndarray:
        """The map [D, D] uint8 of one frame."""
        ...


@dataclasses.dataclass(frozen=True)
class Annotation:
    """Annotation of a video of T frames, in pixels of the frames as read.

    A box without width marks a frame without a face.
    """

    boxes: np.ndarray  # [T, 4] x, y, w, h, tight
    eyes: np.ndarray | None = None  # [T, 2, 2] x, y, the image's left eye first
    depth: Maps | None = None  # [T, D, D] uint8, 255 nearest, 0 background
    face: Maps | None = None  # [T, D, D] uint8, 255 in the face's contour, else 0
    map_box: np.ndarray | None = None  # [T, 4] the box that both maps cover


def read_eyes(path: pathlib.Path) -> Annotation:
    """OULU-NPU: rows `frame, x, y, x, y`, the subject's right eye first.

    The box is derived from the eyes.

    Raises:
      VideoError: a damaged file; the text names file and line, as in all readers here.
    """
    return from_eyes(_by_frame(_table(path, 5)).reshape(-1, 2, 2))


def read_boxes(path: pathlib.Path) -> Annotation:
    """Replay-Attack, and Idiap's files for CASIA-MFSD: rows `frame x y w h`."""
    return Annotation(_with_area(_by_frame(_table(path, 5))))


def read_corners(path: pathlib.Path) -> Annotation:
    """SiW: a row `x1 y1 x2 y2` for each frame, in order."""
    return Annotation(_with_area(_from_corners(_table(path, 4).numbers)))


def read_corners_and_eyes(path: pathlib.Path) -> Annotation:
    """MSU-MFSD: rows `frame, left, top, right, bottom, x, y, x, y`, left eye first."""
    rows = _by_frame(_table(path, 9))
    boxes = _with_area(_from_corners(rows[:, :4]))
    return Annotation(boxes, _left_first(rows[:, 4:].reshape(-1, 2, 2)))


def read_kinect(path: pathlib.Path) -> Annotation:
    """3DMAD: eyes [T, 4] x, y, x, y, the subject's right one first, and depth.

    The box is derived from the eyes, and the depth map covers the box.

    Raises:
      VideoError: not an HDF5 file, or one without the expected arrays.
    """
    with video.open_hdf5(path) as file:
        eyes = video.hdf5_array(path, file, "Eye_Pos", (None, 4))[:].astype(float)
        video.hdf5_array(path, file, "Depth_Data", (len(eyes), 1, None, None))
    if not (np.abs(eyes) <= LARGEST).all():
        raise video.VideoError(
            f"{path}: Eye_Pos holds numbers that are not coordinates"
        )
    known = from_eyes(eyes.reshape(-1, 2, 2))
    return dataclasses.replace(
        known, depth=KinectDepth(path, known.boxes), map_box=known.boxes
    )


@dataclasses.dataclass(frozen=True)
class KinectDepth:
    """Depth maps of the boxes [T, 4], read from the recording on access."""

    path: pathlib.Path
    boxes: np.ndarray

    def __getitem__(self, frame: int) -> np.ndarray:
        """The map [64, 64] uint8 of a frame, over its box.

        Raises:
          VideoError: too few depth readings of the face.
        """
        with video.open_hdf5(self.path) as file:
            array = video.hdf5_array(self.path, file, "Depth_Data", (None,) * 4)
            raw = array[frame, 0]
        depth = face_depth(_sampled(raw, self.boxes[frame]))
        if depth is None:
            raise video.VideoError(
                f"{self.path}: too few depth readings of the face in frame {frame}"
            )
        return depth


def face_depth(raw: np.ndarray) -> np.ndarray | None:
    """Depth map [64, 64] uint8 of Kinect readings [h, w] in a tight face box.

    The nearest point of the face is 255; the value decreases linearly with the reading, to
    a tenth at the rim.  Only points in the ellipse of the box are face, without those far
    behind: the rim of a sphere is 3.4 times as far behind its nearest point as the median
    of its area.  None if at most half of the ellipse has readings.
    """
    height, width = raw.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    ellipse = x**2 + y**2 <= 1
    seen = ~np.isin(raw, NO_READING)
    readings = raw[ellipse & seen].astype(np.float64)
    if 2 * len(readings) <= ellipse.sum():
        return None
    near, middle = np.percentile(readings, [1, 50])
    reach = max(3.4 * (middle - near), 1.0)
    behind = np.maximum((raw - near) / reach, 0)
    depth = np.where(seen & (behind <= 1.2), 1 - 0.9 * np.minimum(behind, 1), 0)
    # Holes are filled with the mean of the readings around them.
    window = (max(width // 8, 1), max(height // 8, 1))
    around = cv2.blur(seen.astype(np.float64), window)
    filled = cv2.blur(depth, window) / np.maximum(around, 1e-6)
    depth = np.where(ellipse, np.where(seen, depth, filled), 0)
    small = cv2.resize(depth, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA)
    return np.round(255 * small).astype(np.uint8)


def from_eyes(eyes: np.ndarray) -> Annotation:
    """The annotation of eyes [T, 2, 2] in any order, with boxes derived from them.

    >>> from_eyes(np.array([[[60.0, 40], [40, 40]]])).boxes.round(1).tolist()
    [[25.0, 14.4, 50.0, 64.0]]
    """
    eyes = _left_first(eyes)
    distance = np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=-1, keepdims=True)
    wide, high, above = EYES_TO_BOX
    size = distance * [wide, high]
    corner = eyes.mean(1) - size * [0.5, above]
    return Annotation(_with_area(np.concatenate([corner, size], 1)), eyes)


def _sampled(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The readings in the box, resized to [128, 128]; 0 outside of the image."""
    steps = (np.arange(2 * MAP_SIZE) + 0.5) / (2 * MAP_SIZE)
    columns = np.floor(box[0] + steps * box[2]).astype(int)
    rows = np.floor(box[1] + steps * box[3]).astype(int)[:, None]
    inside = (columns >= 0) & (columns < image.shape[1])
    inside = inside & (rows >= 0) & (rows < image.shape[0])
    return np.where(
        inside, image.take(columns, 1, mode="clip").take(rows[:, 0], 0, mode="clip"), 0
    )


def _left_first(eyes):
    order = np.argsort(eyes[:, :, 0], axis=1, kind="stable")[:, :, None]
    return np.take_along_axis(eyes, order, axis=1)


def _from_corners(rows):
    return np.concatenate([rows[:, :2], rows[:, 2:4] - rows[:, :2]], 1)


def _with_area(boxes):
    return np.where((boxes[:, 2:] > 0).all(1, keepdims=True), boxes, 0.0)


class _Rows(NamedTuple):
    path: pathlib.Path
    lines: list[int]
    numbers: np.ndarray  # [rows, columns]


def _table(path: pathlib.Path, columns: int) -> _Rows:
    """The numbers of a text file, separated by commas or white space."""
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except OSError as error:
        raise video.VideoError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise video.VideoError(f"{path}, line {line}: not text") from error
    used = [number for number, line in enumerate(lines, 1) if line.strip()]
    if not used:
        raise video.VideoError(f"{path}, line 1: the file has no rows")
    rows = [_row(path, number, lines[number - 1], columns) for number in used]
    return _Rows(path, used, np.array(rows))


def _row(path, number, line, columns) -> list[float]:
    try:
        values = [float(field) for field in re.split(r"\s*,\s*|\s+", line.strip())]
    except ValueError:
        values = []
    # NaN fails this comparison too.
    if len(values) != columns or not all(abs(value) <= LARGEST for value in values):
        raise video.VideoError(
            f"{path}, line {number}: expected {columns} numbers, found {line[:80]!r}"
        )
    return values


def _by_frame(rows: _Rows) -> np.ndarray:
    """The columns after the first, [frames, columns]; frames without a row are zero."""
    first = rows.numbers[:, 0]
    frames = first.astype(int)
    unique, where = np.unique(frames, return_index=True)
    good = (frames == first) & (frames >= 0) & np.isin(range(len(frames)), where)
    if not good.all():
        row = int(np.argmin(good))
        raise video.VideoError(
            f"{rows.path}, line {rows.lines[row]}: expected the number of a frame that"
            f" no row above has, found {first[row]:g}"
        )
    if unique[0] == 1 and unique[-1] == len(unique):
        frames = frames - 1
    values = np.zeros((frames.max() + 1, rows.numbers.shape[1] - 1))
    values[frames] = rows.numbers[:, 1:]
    return values
