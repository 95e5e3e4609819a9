"""468 three-dimensional landmarks of a face, from a model file provided by the user.

The file is MediaPipe's `face_landmark.tflite`, run by OpenCV.  Its input is an upright face
of 192 x 192 pixels, RGB in [0, 1]; its outputs are the landmarks in pixels of that picture,
with smaller z nearer, and a logit of whether the picture shows a face.
"""

import hashlib
import pathlib
import threading

import cv2
import numpy as np

from nasfas_jax.data.preparation import faces
from nasfas_jax.data.preparation.labels import EYE_CORNERS
from nasfas_jax.errors import InputError

POINTS = 468
SIDE = 192
MARGIN = 1.5  # side of the model's picture over the longer side of the face box
# Outputs of the model, identified by their number of values: a logit, and the points.
FACE, LANDMARKS = 1, 3 * POINTS


class LandmarkModel:
    """Landmarks of the face in a box; `name` is part of the recipe."""

    def __init__(self, path: str | pathlib.Path):
        path = pathlib.Path(path)
        if not path.is_file():
            raise InputError(
                f"The landmark model {path} does not exist. Expected MediaPipe's"
                " face_landmark.tflite (468 points); leave the option out to fit an"
                " analytic depth to the face box instead."
            )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        self.name = f"landmarks468:{digest}"
        self._path = path
        self._local = threading.local()  # networks are not thread-safe
        try:
            sizes = set(self._forward(np.zeros((SIDE, SIDE, 3), np.uint8)))
            problem = f"its outputs have {sorted(sizes)} values"
        except cv2.error as error:
            sizes, problem = set(), f"OpenCV cannot run it: {str(error).strip()}"
        if not {FACE, LANDMARKS} <= sizes:
            raise InputError(
                f"The landmark model {path} cannot be used: {problem}. Expected"
                f" MediaPipe's face_landmark.tflite with outputs of {LANDMARKS} and"
                f" {FACE} values."
            )

    def __reduce__(self):
        return LandmarkModel, (self._path,)

    def __call__(self, image: np.ndarray, face: faces.Face) -> np.ndarray | None:
        """Landmarks [468, 3] in pixels of the BGR image; None if no face is found.

        Without eyes, the model runs twice: the eyes of the first run make the face upright
        for the second.
        """
        where = faces.square(face.box, MARGIN)
        if face.eyes is not None:
            return self._points(image, where, faces.roll_of(face.eyes))
        points = self._points(image, where, 0.0)
        if points is None:
            return None
        return self._points(image, where, faces.roll_of(eyes_of(points)))

    def _points(self, image, where, roll) -> np.ndarray | None:
        outputs = self._forward(faces.crop(image, where, SIDE, roll))
        if outputs[FACE][0] <= 0:  # a probability of one half
            return None
        points = outputs[LANDMARKS].reshape(POINTS, 3).astype(np.float64) / SIDE
        flat = faces.out_of_crop(where, points[:, :2], roll)
        return np.concatenate([flat, points[:, 2:] * float(where[2])], 1)

    def _forward(self, crop: np.ndarray) -> dict[int, np.ndarray]:
        """Outputs of the network, by their number of values."""
        network = getattr(self._local, "network", None)
        if network is None:
            network = cv2.dnn.readNetFromTFLite(str(self._path))
            self._local.network = network
        network.setInput(cv2.dnn.blobFromImage(crop, 1 / 255))
        outputs = network.forward(network.getUnconnectedOutLayersNames())
        return {output.size: np.ravel(output) for output in outputs}


def eyes_of(points: np.ndarray) -> np.ndarray:
    """Eyes [2, 2] (x, y) of landmarks [468, 3], the image's left one first."""
    return np.stack([points[list(corners), :2].mean(0) for corners in EYE_CORNERS])
