"""Annotation files in the format of each dataset, a row for each frame."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

from nasfas_jax.synthetic.fields import Array

Row = Callable[[int, Array, Array], str]


@dataclasses.dataclass(frozen=True)
class Dialect:
    """Path and row format of the annotation of a video.

    Attributes:
      folder: folder of annotations; "" for files beside the video.
      suffix: suffix of the annotation file, in place of that of the video.
      row: (frame from 0, box x y width height, eyes [2, 2] left in the picture first),
        all in whole pixels -> one line without its end.
    """

    folder: str
    suffix: str
    row: Row

    def place(self, path: str) -> str:
        """The annotation file of a video, below the root."""
        return str(pathlib.PurePosixPath(self.folder, path).with_suffix(self.suffix))

    def text(self, boxes: Array, eyes: Array) -> str:
        """The file of a video with `boxes` [T, 4] and `eyes` [T, 2, 2]."""
        boxes, eyes = boxes.round().astype(int), eyes.round().astype(int)
        rows = zip(boxes, eyes, strict=True)
        return "".join(f"{self.row(i, *one)}\n" for i, one in enumerate(rows))


def _oulu(frame: int, box: Array, eyes: Array) -> str:
    """The right eye is that of the subject, with the smaller x."""
    return ",".join(str(n) for n in (frame, *eyes[0], *eyes[1]))


def _siw(frame: int, box: Array, eyes: Array) -> str:
    x, y, width, height = box
    return f"{x} {y} {x + width} {y + height}"


def _idiap(frame: int, box: Array, eyes: Array) -> str:
    return " ".join(str(n) for n in (frame, *box))


def _msu(frame: int, box: Array, eyes: Array) -> str:
    """Chosen: frames are numbered from 0, and the left eye is that of the subject."""
    x, y, width, height = box
    corners = (x, y, x + width, y + height)
    return ",".join(str(n) for n in (frame, *corners, *eyes[1], *eyes[0]))


# CASIA-MFSD has no annotations; users have Idiap's face-locations.
# SiW-M, HKBU-MARs and CASIA-SURF 3DMask have none; 3DMAD's eyes are in its HDF5.
DIALECTS = {
    "oulu_npu": Dialect("", ".txt", _oulu),
    "siw": Dialect("", ".face", _siw),
    "casia_mfsd": Dialect("face-locations", ".face", _idiap),
    "replay_attack": Dialect("face-locations", ".face", _idiap),
    "msu_mfsd": Dialect("", ".face", _msu),
}
