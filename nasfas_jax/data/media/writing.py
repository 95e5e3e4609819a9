"""Videos as files."""

import errno
import pathlib
from collections.abc import Iterable

import cv2
import numpy as np

from nasfas_jax import files
from nasfas_jax.errors import InputError


def write_video(path: pathlib.Path, images: Iterable[np.ndarray], rate: float) -> None:
    """Writes a video (mp4v).

    Args:
      path: file to be written.
      images: frames, BGR, in order; one of another size than the first is resized.
      rate: frames per second.

    Raises:
      InputError: the file cannot be written, or the disk is full.
    """
    with files.writing(path.parent), files.whole(path) as part:
        written = _write_frames(part, images, rate)
        # VideoWriter reports no failed write: without its index a file has no frames.
        capture = cv2.VideoCapture(str(part))
        counted = capture.get(cv2.CAP_PROP_FRAME_COUNT) if capture.isOpened() else 0
        capture.release()
        if counted != written:
            raise OSError(errno.ENOSPC, "the written video is not complete", str(path))


def _write_frames(path: pathlib.Path, images: Iterable[np.ndarray], rate: float) -> int:
    """The number of frames written."""
    writer, size, written = None, (0, 0), 0
    try:
        for image in images:
            if writer is None:
                size = (image.shape[1], image.shape[0])
                codec = cv2.VideoWriter.fourcc(*"mp4v")
                writer = cv2.VideoWriter(str(path), codec, rate, size)
                if not writer.isOpened():
                    raise InputError(
                        f"{path} cannot be written; choose another folder."
                    )
            if image.shape[1::-1] != size:
                image = cv2.resize(image, size)
            writer.write(image)
            written += 1
    finally:
        if writer is not None:
            writer.release()
    return written
