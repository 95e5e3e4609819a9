"""Encoding of frames as video files, with the codecs of the OpenCV wheel."""

from __future__ import annotations

import errno
import os
import pathlib

import cv2
import numpy as np

from nasfas_jax import files
from nasfas_jax.errors import InputError
from nasfas_jax.synthetic.stage import Clip

Array = np.ndarray

TAGS = {  # four-character codes by codec and suffix
    ("MJPG", ".avi"): "MJPG",
    ("MJPG", ".mov"): "jpeg",
    ("mp4v", ".avi"): "XVID",
    ("mp4v", ".mov"): "mp4v",
    ("mp4v", ".mp4"): "mp4v",
}


def write_clip(
    clip: Clip, path: str | os.PathLike, *, codec: str, quality: int = 90
) -> pathlib.Path:
    """Writes a clip as a video file, atomically.

    Args:
      clip: result of `render`, with the frame rate.
      path: the file, in an existing folder; .avi, .mov or .mp4 selects the container.
      codec: "MJPG" (.avi, .mov) or "mp4v" (MPEG-4 part 2; .avi, .mov, .mp4).
      quality: quality of Motion-JPEG in .avi, 1 to 100; OpenCV's other writers have a
        fixed one.

    Raises:
      InputError: no such pair of codec and container, or this OpenCV cannot write it.
      OSError: the file cannot be written, or the disk is full.
    """
    path = pathlib.Path(path)
    with files.whole(path) as part:
        encode(part, clip.frames, clip.fps, codec, quality)
    return path


def encode(
    path: pathlib.Path, frames: Array, fps: float, codec: str, quality: int
) -> None:
    """Writes RGB frames [T, H, W, 3], uint8, and counts the frames in the file."""
    suffix = path.suffix.lower()
    if (codec, suffix) not in TAGS:
        raise InputError(
            f"Cannot write {path} with codec {codec!r}: a synthetic video is one of "
            f"{', '.join(f'{c} in {s}' for c, s in TAGS)}. Choose another ending or "
            "codec."
        )
    code = cv2.VideoWriter.fourcc(*TAGS[codec, suffix])
    size = (frames.shape[2], frames.shape[1])
    own = (codec, suffix) == ("MJPG", ".avi")  # only this writer has a quality
    api = cv2.CAP_OPENCV_MJPEG if own else cv2.CAP_FFMPEG
    writer = cv2.VideoWriter(str(path), api, code, fps, size)
    if not writer.isOpened():
        raise InputError(
            f"OpenCV {cv2.__version__} cannot open {path} for writing with codec "
            f"{codec}, which the synthetic set needs. Install the pinned "
            "opencv-python-headless, and check that the folder can be written to."
        )
    if own:
        writer.set(cv2.VIDEOWRITER_PROP_QUALITY, float(quality))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    # VideoWriter reports no failed write: a full disk shows only when reading back.
    if count_frames(path) != len(frames):
        raise OSError(errno.ENOSPC, "the written video is not complete", str(path))


def quality_for(path: pathlib.Path, clip: Clip, rate: float) -> int:
    """The quality, 5 to 97, at which Motion-JPEG in .avi comes nearest to a rate.

    Args:
      path: an .avi file to try with.
      clip: the clip to write; every fourth frame is tried.
      rate: bytes per pixel beyond those of gray frames, whose files hold headers alone.
    """
    frames = clip.frames[::4]

    def size(pictures: Array, quality: int) -> int:
        encode(path, pictures, clip.fps, "MJPG", quality)
        return path.stat().st_size

    wanted = size(np.full_like(frames, 128), 50) + rate * frames[..., 0].size
    low, high = 5, 97
    while low < high:
        middle = (low + high) // 2
        if size(frames, middle) < wanted:
            low = middle + 1
        else:
            high = middle
    return low


def count_frames(path: pathlib.Path) -> int:
    """Frames that OpenCV decodes from a video file."""
    reader = cv2.VideoCapture(str(path))
    count = 0
    while reader.grab():
        count += 1
    reader.release()
    return count
