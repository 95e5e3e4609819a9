"""Face detectors, and the square crop, which is fixed over a clip.

A face box (x, y, w, h) in pixels is tight: hair line to chin, ear to ear.
"""

import hashlib
import pathlib
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from nasfas_jax import limits
from nasfas_jax.errors import InputError

# Longest side of the pictures given to detectors: faces to be cropped are large.
LONGEST_SIDE = 480
# From the square of the Haar cascade, which extends beyond the ears and ends above the
# chin, to a tight box; measured against YuNet's boxes on real videos.
HAAR_TO_TIGHT = (0.125, 0.0, 0.75, 1.05)
FILE = "face_detector.onnx"  # name of YuNet's file in prepared data and in models
YUNET_SMALLEST = 10  # pixels; in a narrower copy YuNet finds faces of no height
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
    """The frontal face cascade included in OpenCV.

    Args:
      longest_side: pixels of the longest side of the searched copy; other values than the
        default are faster, find other faces and have another ``name``.
    """

    name = "haar"

    def __init__(self, longest_side: int = LONGEST_SIDE):
        limits.require(longest_side=(longest_side, limits.Range(64, whole=True)))
        self.name = _named(Haar.name, longest_side)
        self._longest = longest_side
        self._local = threading.local()  # cascades are not thread-safe

    def __reduce__(self):
        return Haar, (self._longest,)

    def __call__(self, image: np.ndarray) -> Face | None:
        """The most certain detection."""
        return next(iter(self.all(image)), None)

    def all(self, image: np.ndarray) -> list[Face]:
        """All detections, the most certain first."""
        cascade = getattr(self._local, "cascade", None)
        if cascade is None:
            folder = pathlib.Path(cv2.__file__).parent / "data"
            file = folder / "haarcascade_frontalface_default.xml"
            cascade = self._local.cascade = cv2.CascadeClassifier(str(file))
        small, scale = _shrink(image, self._longest)
        gray = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        boxes, _, weights = cascade.detectMultiScale3(
            gray, 1.1, 5, minSize=(24, 24), outputRejectLevels=True
        )
        if len(boxes) == 0:
            return []
        order = np.argsort(-np.ravel(weights), kind="stable")
        left, top, wide, high = HAAR_TO_TIGHT
        return [
            Face(np.array([x + left * w, y + top * h, wide * w, high * h]))
            for x, y, w, h in np.asarray(boxes)[order] / scale
        ]


class YuNet:
    """The YuNet network from an onnx file provided by the user; also finds eyes.

    Args:
      file: path of the file, or its content.
      longest_side: as in `Haar`.
    """

    def __init__(
        self, file: str | pathlib.Path | bytes, longest_side: int = LONGEST_SIDE
    ):
        limits.require(longest_side=(longest_side, limits.Range(64, whole=True)))
        if not isinstance(file, bytes) and not pathlib.Path(file).is_file():
            raise InputError(
                f"The face detector {file} does not exist. Expected the onnx file of"
                " YuNet (face_detection_yunet_*.onnx); leave the option out to use the"
                " Haar detector that comes with OpenCV."
            )
        known = isinstance(file, bytes)
        #: Content of the onnx file.
        self.content = file if known else pathlib.Path(file).read_bytes()
        digest = hashlib.sha256(self.content).hexdigest()[:8]
        self.name = _named(f"yunet:{digest}", longest_side)
        self._longest = longest_side
        self._local = threading.local()
        try:
            self(np.zeros((320, 320, 3), np.uint8))
        except cv2.error as error:
            raise InputError(
                f"The face detector{'' if known else f' {file}'} cannot be run by OpenCV"
                f" ({str(error).strip()}). Expected the onnx file of YuNet"
                " (face_detection_yunet_*.onnx)."
            ) from error

    def __reduce__(self):
        return YuNet, (self.content, self._longest)

    def _network(self):
        if not hasattr(self._local, "network"):
            content = np.frombuffer(self.content, np.uint8)
            self._local.network = cv2.FaceDetectorYN.create(
                "onnx", content, np.zeros(0, np.uint8), (320, 320), 0.6, 0.3
            )
        return self._local.network

    def __call__(self, image: np.ndarray) -> Face | None:
        """The detection with the highest score."""
        return next(iter(self.all(image)), None)

    def all(self, image: np.ndarray) -> list[Face]:
        """All detections, that with the highest score first."""
        small, scale = _shrink(image, self._longest)
        if min(small.shape[:2]) < YUNET_SMALLEST:
            return []
        network = self._network()
        network.setInputSize(small.shape[1::-1])
        faces = network.detect(small)[1]
        if faces is None:
            return []
        # A row: x, y, w, h, five points (the image's left eye first), a score.
        order = np.argsort(-faces[:, 14], kind="stable")
        rows = faces[order].astype(np.float64) / scale
        return [Face(row[:4], row[4:8].reshape(2, 2)) for row in rows]


#: Values of an argument ``detector`` with a default.
DETECTORS = limits.OrNone(
    limits.Kind(Haar | Callable, "a face detector, as faces.YuNet(FILE)")
)


def of_name(name: str, content: bytes | None) -> Detector | None:
    """The detector with a name of a recipe; None for another one, or without its file.

    Args:
      name: `Detector.name`.
      content: content of YuNet's file; None if there is none.
    """
    kind, _, side = name.partition("@")
    longest = int(side) if side.isdecimal() else LONGEST_SIDE
    if kind == Haar.name:
        found = Haar(longest)
    else:
        found = None if content is None else YuNet(content, longest)
    return found if found is not None and found.name == name else None


def all_faces(detector: Detector, image: np.ndarray) -> list[Face]:
    """All faces of an image; the one face of a detector without a method ``all``."""
    if find := getattr(detector, "all", None):
        return find(image)
    face = detector(image)
    return [] if face is None else [face]


def find_face(frames: Sequence[np.ndarray], detector: Detector) -> Face | None:
    """Median of the faces found in the first, middle and last frame of a clip."""
    picks = representative(len(frames))
    if all(frames[i] is frames[0] for i in picks):  # a picture
        picks = [0]
    return median_face([detector(frames[i]) for i in picks])


def representative(count: int) -> list[int]:
    """Indices of the first, middle and last frame of a clip."""
    return sorted({0, count // 2, count - 1})


def median_face(found: Sequence[Face | None]) -> Face | None:
    """Median of the faces that were found; None for none."""
    faces = [face for face in found if face is not None]
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


def _named(name: str, longest_side: int) -> str:
    return name if longest_side == LONGEST_SIDE else f"{name}@{longest_side}"


def _shrink(image: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    short, long = sorted(image.shape[:2])
    scale = min(
        1.0, max(longest / long, 1 / short)
    )  # a pixel is left of a narrow strip
    if scale == 1.0:
        return image, scale
    return cv2.resize(
        image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    ), scale
