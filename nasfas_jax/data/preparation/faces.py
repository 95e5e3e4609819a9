"""Face detectors, and the square crop, which is fixed over a clip.

A face box (x, y, w, h) in pixels is tight: hair line to chin, ear to ear.
"""

import hashlib
import pathlib
import threading
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from nasfas_jax.errors import InputError

# Longest side of the pictures given to detectors: faces to be cropped are large.
LONGEST_SIDE = 480
# From the square of the Haar cascade, which extends beyond the ears and ends above the
# chin, to a tight box; measured against YuNet's boxes on real videos.
HAAR_TO_TIGHT = (0.125, 0.0, 0.75, 1.05)
SMALLEST_FACE = 16  # smallest usable side of a face box, in pixels


class Face(NamedTuple):
    """A face in an image.

    Attributes:
      box: tight box [4].
      eyes: eyes [2, 2] (x, y), the image's left eye first; None if unknown.
    """

    box: np.ndarray
    eyes: np.ndarray | None = None


class Detector(Protocol):
    """Function from a BGR image to its most certain face; `name` is part of the recipe."""

    name: str

    def __call__(self, image: np.ndarray) -> Face | None:
        """The face, or None."""
        ...


class Haar:
    """The frontal face cascade included in OpenCV."""

    name = "haar"

    def __init__(self):
        self._local = threading.local()  # cascades are not thread-safe

    def __reduce__(self):
        return Haar, ()

    def __call__(self, image: np.ndarray) -> Face | None:
        """The most certain detection."""
        cascade = getattr(self._local, "cascade", None)
        if cascade is None:
            folder = pathlib.Path(cv2.__file__).parent / "data"
            file = folder / "haarcascade_frontalface_default.xml"
            cascade = self._local.cascade = cv2.CascadeClassifier(str(file))
        small, scale = _shrink(image)
        gray = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        boxes, _, weights = cascade.detectMultiScale3(
            gray, 1.1, 5, minSize=(24, 24), outputRejectLevels=True
        )
        if len(boxes) == 0:
            return None
        x, y, w, h = np.asarray(boxes[int(np.argmax(weights))]) / scale
        left, top, wide, high = HAAR_TO_TIGHT
        return Face(np.array([x + left * w, y + top * h, wide * w, high * h]))


class YuNet:
    """The YuNet network from an onnx file provided by the user; also finds eyes."""

    def __init__(self, path: str | pathlib.Path):
        path = pathlib.Path(path)
        if not path.is_file():
            raise InputError(
                f"The face detector {path} does not exist. Expected the onnx file of"
                " YuNet (face_detection_yunet_*.onnx); leave the option out to use the"
                " Haar detector that comes with OpenCV."
            )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        self.name = f"yunet:{digest}"
        self._path = path
        self._local = threading.local()
        try:
            self(np.zeros((320, 320, 3), np.uint8))
        except cv2.error as error:
            raise InputError(
                f"The face detector {path} cannot be run by OpenCV"
                f" ({str(error).strip()}). Expected the onnx file of YuNet"
                " (face_detection_yunet_*.onnx)."
            ) from error

    def __reduce__(self):
        return YuNet, (self._path,)

    def _network(self):
        if not hasattr(self._local, "network"):
            self._local.network = cv2.FaceDetectorYN.create(
                str(self._path), "", (320, 320), 0.6, 0.3
            )
        return self._local.network

    def __call__(self, image: np.ndarray) -> Face | None:
        """The detection with the highest score."""
        small, scale = _shrink(image)
        network = self._network()
        network.setInputSize(small.shape[1::-1])
        faces = network.detect(small)[1]
        if faces is None:
            return None
        # A row: x, y, w, h, five points (the image's left eye first), a score.
        best = faces[np.argmax(faces[:, 14])].astype(np.float64) / scale
        return Face(best[:4], best[4:8].reshape(2, 2))


def find_face(frames: Sequence[np.ndarray], detector: Detector) -> Face | None:
    """Median of the faces found in the first, middle and last frame of a clip."""
    picks = sorted({0, len(frames) // 2, len(frames) - 1})
    if all(frames[i] is frames[0] for i in picks):  # a picture
        picks = [0]
    faces = [face for i in picks if (face := detector(frames[i])) is not None]
    if not faces:
        return None
    eyes = [face.eyes for face in faces if face.eyes is not None]
    boxes = np.array([face.box for face in faces])
    return Face(median(boxes), median(np.array(eyes)) if eyes else None)


def median(values: np.ndarray) -> np.ndarray:
    """Median over the first axis; `numpy.median` takes ten times as long for a few boxes."""
    ordered, count = np.sort(values, axis=0), len(values)
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2


def is_usable(box: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether a box is finite, large enough, and has its center in the image."""
    x, y, w, h = (float(value) for value in box)
    inside = 0 <= x + w / 2 < shape[1] and 0 <= y + h / 2 < shape[0]
    return (
        bool(np.isfinite([x, y, w, h]).all()) and min(w, h) >= SMALLEST_FACE and inside
    )


def square(box: np.ndarray, margin: float) -> np.ndarray:
    """Square (x, y, side) about the box, `margin` times its longer side, whole pixels.

    >>> square(np.array([10, 20, 30, 40]), margin=1.5).tolist()
    [-5, 10, 60]
    """
    x, y, w, h = (float(value) for value in box)
    side = round(margin * max(w, h))
    return np.array([round(x + (w - side) / 2), round(y + (h - side) / 2), side])


def crop(
    image: np.ndarray, where: np.ndarray, size: int, roll: float = 0.0
) -> np.ndarray:
    """RGB crop [size, size, 3] of a BGR image; pixels of the border repeat beyond it.

    Args:
      image: BGR [H, W, 3] uint8.
      where: square (x, y, side) before rotation.
      size: side of the crop in pixels.
      roll: clockwise rotation of the square about its center, in radians: a face tilted by
        this angle is upright in the crop.
    """
    side = int(where[2])
    part = _turned(image, where, roll) if roll else _part(image, where)
    # Averaging is fast by integer factors; the remaining factor, below two, interpolates.
    whole = max(side // size, 1) * size
    if side != whole:
        part = cv2.resize(part, (whole, whole), interpolation=cv2.INTER_LINEAR)
    if whole != size:
        part = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(part, cv2.COLOR_BGR2RGB)


def roll_of(eyes: np.ndarray) -> float:
    """Clockwise angle in radians of the line from the left to the right eye of the image.

    >>> roll_of(np.array([[0.0, 0.0], [1.0, 0.0]]))
    0.0
    """
    (x, y), (right_x, right_y) = np.asarray(eyes, float)
    return float(np.arctan2(right_y - y, right_x - x))


def into_crop(where: np.ndarray, points: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """Points [..., 2] of the image in coordinates of the crop, whose corners are 0 and 1."""
    x, y, side = (float(value) for value in where)
    cos, sin = np.cos(roll), np.sin(roll)
    offset = np.asarray(points, float) - [x + side / 2, y + side / 2]
    return offset @ np.array([[cos, -sin], [sin, cos]]) / side + 0.5


def out_of_crop(where: np.ndarray, points: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """The inverse of `into_crop`."""
    x, y, side = (float(value) for value in where)
    cos, sin = np.cos(roll), np.sin(roll)
    offset = (np.asarray(points, float) - 0.5) * side
    return offset @ np.array([[cos, sin], [-sin, cos]]) + [x + side / 2, y + side / 2]


def _part(image: np.ndarray, where: np.ndarray) -> np.ndarray:
    x, y, side = (int(value) for value in where)
    height, width = image.shape[:2]
    left, top = max(-x, 0), max(-y, 0)
    right, bottom = max(x + side - width, 0), max(y + side - height, 0)
    part = image[max(y, 0) : y + side, max(x, 0) : x + side]
    if left or top or right or bottom:
        part = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return part


def _turned(image: np.ndarray, where: np.ndarray, roll: float) -> np.ndarray:
    """The rotated square at the scale of the image."""
    side = int(where[2])
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    there = (
        out_of_crop(where, corners, roll) - 0.5
    )  # pixel centers have integer coordinates
    matrix = cv2.getAffineTransform(
        (corners * side - 0.5).astype(np.float32), there.astype(np.float32)
    )
    return cv2.warpAffine(
        image,
        matrix,
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _shrink(image: np.ndarray) -> tuple[np.ndarray, float]:
    scale = min(1.0, LONGEST_SIDE / max(image.shape[:2]))
    if scale == 1.0:
        return image, scale
    return cv2.resize(
        image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    ), scale
