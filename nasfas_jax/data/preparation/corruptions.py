"""Corruptions of clips, as cameras, links and detectors cause them."""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np


@dataclasses.dataclass(frozen=True)
class Corruption:
    """A corruption with one parameter.

    Attributes:
      about: the parameter and its unit.
      levels: values of the parameter; the first leaves frames unchanged.
      apply: function (clip uint8 [K, S, S, 3], value) to a clip of the same shape.
    """

    about: str
    levels: tuple[float, ...]
    apply: Callable[[np.ndarray, float], np.ndarray]


def blur(frames: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of every frame; ``sigma`` in pixels of the face crop."""
    if not sigma:
        return frames
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])


def jpeg(frames: np.ndarray, quality: float) -> np.ndarray:
    """Every frame compressed by JPEG at a quality below 100, and decoded again."""
    if quality >= 100:
        return frames
    settings = [cv2.IMWRITE_JPEG_QUALITY, round(quality)]
    return np.stack([_coded(frame, settings) for frame in frames])


def _coded(frame: np.ndarray, settings: list[int]) -> np.ndarray:
    _, data = cv2.imencode(".jpg", frame[..., ::-1], settings)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]


def brighten(frames: np.ndarray, factor: float) -> np.ndarray:
    """Pixels times a factor, cut off at 255."""
    if factor == 1:
        return frames
    return np.clip(np.rint(frames * np.float32(factor)), 0, 255).astype(np.uint8)


def downsample(frames: np.ndarray, share: float) -> np.ndarray:
    """Every frame reduced to a share of its side by area, and enlarged again."""
    if share >= 1:
        return frames
    size = frames.shape[2], frames.shape[1]
    small = tuple(max(1, round(side * share)) for side in size)
    return np.stack(
        [
            cv2.resize(
                cv2.resize(frame, small, interpolation=cv2.INTER_AREA),
                size,
                interpolation=cv2.INTER_LINEAR,
            )
            for frame in frames
        ]
    )


def shift(frames: np.ndarray, share: float) -> np.ndarray:
    """The face moved right and down by a share of the side; the border repeats."""
    pixels = round(share * frames.shape[2])
    pad = ((0, 0), (pixels, 0), (pixels, 0), (0, 0))
    height, width = frames.shape[1:3]
    return np.pad(frames, pad, mode="edge")[:, :height, :width]


def hold(frames: np.ndarray, interval: float) -> np.ndarray:
    """Every ``interval``-th frame, shown until the next: a camera of a lower frame rate.

    Counted back from the current frame, which stays; the first frame stands for those
    before the clip, so that all intervals from K - 1 on give the same frames.
    """
    last, step = len(frames) - 1, round(interval)
    index = [max(0, last - -(-(last - i) // step) * step) for i in range(last + 1)]
    return frames[index]


CORRUPTIONS = {
    "blur": Corruption("deviation, pixels", (0, 0.5, 1, 2, 4), blur),
    "jpeg": Corruption("JPEG quality", (100, 90, 70, 50, 30, 10), jpeg),
    "brightness": Corruption("factor", (1, 0.25, 0.5, 0.75, 1.5, 2), brighten),
    "resolution": Corruption(
        "share of the side", (1, 0.75, 0.5, 0.25, 0.125), downsample
    ),
    "shift": Corruption("share of the side", (0, 0.05, 0.1, 0.2, 0.3), shift),
    "frame_rate": Corruption("interval, frames", (1, 2, 3, 4, 6), hold),
}


def levels(name: str, frames: int) -> tuple[float, ...]:
    """Levels of a corruption that differ from one another on clips of some frames.

    >>> levels("frame_rate", 4)
    (1, 2, 3)
    """
    every = CORRUPTIONS[name].levels
    if name != "frame_rate":
        return every
    return tuple(interval for interval in every if interval < max(frames, 2))
