"""Predictions and watched frames as JSON values."""

from typing import Any

import numpy as np

from nasfas_jax.workflows.predict import Prediction
from nasfas_jax.workflows.watch import Seen, SeenFace


def of_prediction(prediction: Prediction, name: str) -> dict[str, Any]:
    """Score, verdict, threshold and clips of a file."""
    seconds, boxes = prediction.seconds, prediction.boxes
    clips = [
        {
            "frame": int(frame),
            "second": None if seconds is None else round(float(seconds[i]), 4),
            "score": float(prediction.scores[i]),
            "verdict": prediction.verdicts[i],
            "still": bool(prediction.still[i]),
            "box": None if boxes is None else _numbers(boxes[i]),
        }
        for i, frame in enumerate(prediction.frames)
    ]
    return {
        "name": name,
        "score": prediction.score,
        "verdict": prediction.verdict,
        "threshold": prediction.threshold,
        "clips": clips,
    }


def of_seen(seen: Seen) -> dict[str, Any]:
    """Number, time and faces of a frame of a camera."""
    height, width = seen.image.shape[:2]
    return {
        "frame": seen.frame,
        "second": None if seen.second is None else round(seen.second, 4),
        "width": width,
        "height": height,
        "faces": [_face(face) for face in seen.faces],
    }


def _face(face: SeenFace) -> dict[str, Any]:
    return {
        "track": face.track,
        "box": _numbers(face.box),
        "score": face.score,
        "mean": face.mean,
        "verdict": face.verdict,
        "still": face.still,
    }


def _numbers(values: np.ndarray) -> list[float]:
    return [round(float(value), 2) for value in values]
