"""Annotated copies of videos and pictures: face squares, scores and predicted maps.

A copy of a video has a constant frame rate.  Where the time stamps of the original are
not evenly spaced, frames are repeated or dropped so that each appears at its own time,
to half a frame of the copy.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

# BGR: undecided, live, spoof; the report's blue and orange.
GRAY, LIVE, SPOOF = (200, 200, 200), (178, 114, 0), (0, 159, 230)
#: Colors of the verdicts.
COLORS = {"live": LIVE, "spoof": SPOOF}
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
#: Frames per second of a copy whose original has no time stamps.
NOMINAL = 25.0
#: Largest number of frames per second of a copy with repeated or dropped frames.
FASTEST = 60.0
#: Pictures with a shorter side below this many pixels are enlarged; text needs room.
SMALLEST = 240
#: Longest side of an enlarged picture.
LONGEST = 4096
#: Number of maps along the lower border.
MAPS = 4


class Mark(NamedTuple):
    """Annotation of one face in a frame.

    Attributes:
      where: the face square (x, y, side) in pixels of the frame.
      map: the predicted map [h, w], 0 to 1; None without one.
      text: the score, and the verdict if there is one.
      color: BGR color of the square and of the text's background.
    """

    where: np.ndarray
    map: np.ndarray | None
    text: str
    color: tuple[int, int, int]


def draw(image: np.ndarray, marks: Sequence[Mark]) -> np.ndarray:
    """An annotated copy of a BGR image, enlarged by a whole factor if it is small."""
    short, long = sorted(image.shape[:2])
    factor = max(1, min(math.ceil(SMALLEST / short), LONGEST // long))
    drawn = cv2.resize(
        image, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST
    )
    scale = max(0.5, min(drawn.shape[:2]) / 600)
    line = round(2 * scale) + 1
    inset = max(1, min(drawn.shape[:2]) // 4)
    maps = [mark.map for mark in marks if mark.map is not None]
    for i, found in enumerate(maps[: min(MAPS, drawn.shape[1] // inset)]):
        gray = (np.clip(found, 0, 1) * 255).astype(np.uint8)
        small = cv2.resize(gray, (inset, inset), interpolation=cv2.INTER_NEAREST)
        place = drawn[-inset:, i * inset : (i + 1) * inset]
        place[:] = cv2.applyColorMap(small, cv2.COLORMAP_CIVIDIS)
    for mark in marks:
        x, y, side = (int(value) * factor for value in mark.where)
        for color, width in ((_ink(mark), line + 2), (mark.color, line)):
            cv2.rectangle(drawn, (x, y), (x + side, y + side), color, width)
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


def paced(
    frames: Iterable[tuple[np.ndarray, float | None]], rate: float
) -> Iterator[np.ndarray]:
    """Yields pictures at a constant rate, repeated or dropped by their times.

    A picture is shown from its own time to that of the next one. Without times, and at
    the end, each is shown once.

    Args:
      frames: pictures with their times in seconds, not decreasing.
      rate: pictures per second.

    >>> times = [0.0, 0.1, 0.12, 0.3]
    >>> list(paced(((np.array(i), t) for i, t in enumerate(times)), 10))
    [array(0), array(2), array(2), array(3)]
    """
    start, count = None, 0
    held: np.ndarray | None = None
    for image, second in frames:
        if held is not None:
            until = count + 1
            if second is not None and start is not None:
                until = round((second - start) * rate)
            for _ in range(until - count):
                yield held
            count = max(count, until)
        start = second if start is None else start
        held = image
    if held is not None:
        yield held


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
