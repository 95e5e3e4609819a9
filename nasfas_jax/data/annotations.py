"""What datasets say about where the face is: eye files, face files, Kinect recordings.

A reader takes a file and gives an `Annotation`.  Whichever eye a file lists first, the
eyes come out ordered by x: the image's left eye (the subject's right one) first.
"""

import dataclasses
from typing import Protocol

import numpy as np


class Maps(Protocol):
    """Maps by frame: an array [T, D, D], or what reads one from a file when asked."""

    def __getitem__(self, frame: int, /) -> np.ndarray:
        """The map [D, D] uint8 of one frame."""
        ...


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What is known about a video of T frames, in pixels of its frames as read.

    A box with no width means that the frame shows no face.
    """

    boxes: np.ndarray  # [T, 4] x, y, w, h, tight
    eyes: np.ndarray | None = None  # [T, 2, 2] x, y, the image's left eye first
    depth: Maps | None = None  # [T, D, D] uint8, 255 nearest, 0 background
    face: Maps | None = None  # [T, D, D] uint8, 255 in the face's contour, else 0
    map_box: np.ndarray | None = None  # [T, 4] the part of the frame both maps cover
