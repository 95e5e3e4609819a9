"""Annotated copies of videos and pictures: face square, score and predicted map.

A copy of a video has a constant frame rate.  Where the time stamps of the original are
not evenly spaced, frames are repeated or dropped so that each appears at its own time,
to half a frame of the copy.
"""

import math
import pathlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import cv2
import numpy as np

from nasfas_jax.data.media import writing

# BGR: undecided, live, spoof; the report's blue and orange.
GRAY, LIVE, SPOOF = (200, 200, 200), (178, 114, 0), (0, 159, 230)
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
#: Frames per second of a copy whose original has no time stamps.
NOMINAL = 25.0
#: Largest number of frames per second of a copy with repeated or dropped frames.
FASTEST = 60.0
#: Pictures with a shorter side below this many pixels are enlarged; text needs room.
SMALLEST = 240


class Mark(NamedTuple):
    """Annotation of one frame of a video or picture.

    Attributes:
      where: the face square (x, y, side) in pixels of the frame.
      map: the predicted map [h, w], 0 to 1.
      text: the score, and the verdict if there is one.
      color: BGR color of the square and of the text's background.
    """

    where: np.ndarray
    map: np.ndarray
    text: str
    color: tuple[int, int, int]


def draw(image: np.ndarray, mark: Mark) -> np.ndarray:
    """An annotated copy of a BGR image, enlarged by a whole factor if it is small."""
    factor = math.ceil(SMALLEST / min(image.shape[:2]))
    drawn = cv2.resize(
        image, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST
    )
    x, y, side = (int(value) * factor for value in mark.where)
    scale = max(0.5, min(drawn.shape[:2]) / 600)
    line = round(2 * scale) + 1
    for color, width in ((_ink(mark), line + 2), (mark.color, line)):
        cv2.rectangle(drawn, (x, y), (x + side, y + side), color, width)
    inset = min(drawn.shape[:2]) // 4
    gray = (np.clip(mark.map, 0, 1) * 255).astype(np.uint8)
    small = cv2.resize(gray, (inset, inset), interpolation=cv2.INTER_NEAREST)
    drawn[-inset:, :inset] = cv2.applyColorMap(small, cv2.COLORMAP_CIVIDIS)
    _write(drawn, mark, (x, y), scale)
    return drawn


def _write(
    drawn: np.ndarray, mark: Mark, corner: tuple[int, int], scale: float
) -> None:
    """Text on a filled rectangle above the face square, moved into the picture."""
    font, thick = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(1.5 * scale))
    (width, height), below = cv2.getTextSize(mark.text, font, scale, thick)
    pad = round(6 * scale)
    wide, high = width + 2 * pad, height + below + 2 * pad
    left = min(max(corner[0], 0), max(drawn.shape[1] - wide, 0))
    top = min(max(corner[1] - high, 0), max(drawn.shape[0] - high, 0))
    cv2.rectangle(drawn, (left, top), (left + wide, top + high), mark.color, cv2.FILLED)
    at = (left + pad, top + pad + height)
    cv2.putText(drawn, mark.text, at, font, scale, _ink(mark), thick, cv2.LINE_AA)


def _ink(mark: Mark) -> tuple[int, int, int]:
    """Black or white, whichever contrasts with the mark's color."""
    return WHITE if mark.color == LIVE else BLACK


def write_video(
    path: pathlib.Path,
    images: Iterable[np.ndarray],
    times: np.ndarray | None,
    mark_of: Callable[[int], Mark],
) -> None:
    """Writes an annotated copy (mp4v) of a video.

    Args:
      path: file to be written.
      images: all frames, BGR, in order; one of another size than the first is resized.
      times: time stamp of each frame in seconds, None if there are none.
      mark_of: from a frame's index to what is drawn on it.

    Raises:
      InputError: the file cannot be written, or the disk is full.
    """
    rate, repeats = NOMINAL, None
    if times is not None:
        rate, repeats = schedule(times)
    drawn = (
        copy
        for index, image in enumerate(images)
        for count in [1 if repeats is None else int(repeats[index])]
        if count
        for copy in [draw(image, mark_of(index))] * count
    )
    writing.write_video(path, drawn, rate)


def schedule(times: np.ndarray) -> tuple[float, np.ndarray]:
    """Constant frame rate for a copy, and how often each frame is written at it.

    Evenly spaced frames are written once, at their mean rate.  Otherwise the rate is
    that of the shortest steps, at most `FASTEST`.

    Args:
      times: time stamps in seconds [frames], at least two, not decreasing and not all
        equal.

    >>> rate, repeats = schedule(np.array([0, 0.04, 0.08, 0.12, 0.52, 0.92]))
    >>> round(rate, 6), repeats.tolist()
    (25.0, [1, 1, 1, 10, 10, 1])
    """
    count, steps = len(times), np.diff(times)
    mean = (times[-1] - times[0]) / (count - 1)
    if np.abs(times - times[0] - mean * np.arange(count)).max() < mean / 2:
        return float(1 / mean), np.ones(count, int)
    steps = steps[steps > 0]
    short = steps[steps < 1.5 * np.percentile(steps, 10)]
    rate = min(float(1 / short.mean()), FASTEST)
    starts = np.rint((times - times[0]) * rate).astype(int)
    return rate, np.diff(starts, append=starts[-1] + 1)
