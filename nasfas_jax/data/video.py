"""Clips of consecutive frames from video files and pictures, with reasons for bad ones.

A clip of K frames is the current frame and the K - 1 before it.  A picture is a clip
of one frame repeated K times: nothing moves, so its rank pooled image is zero.
"""

import os
import pathlib
from collections.abc import Iterator

import cv2
import numpy as np

# What a broken file is told us through stderr is said in the manifest instead; FFmpeg
# reads its level when the first file is opened.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)

PICTURES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})

# Containers may promise a few frames more than the stream holds; a file that keeps less
# than this part of its promise is truncated.
WHOLE = 0.9


class VideoError(Exception):
    """A file that gives no usable clip; the text is the manifest's reason."""


def is_picture(path: pathlib.Path) -> bool:
    """Whether the file is a picture by its suffix."""
    return path.suffix.lower() in PICTURES


def open_video(path: pathlib.Path) -> cv2.VideoCapture:
    """Open a video for sequential decoding on one thread.

    Raises:
      VideoError: the file is empty or is no video that OpenCV can open.
    """
    _require_content(path)
    one_thread = [cv2.CAP_PROP_N_THREADS, 1]
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, one_thread)
    if not capture.isOpened():
        raise VideoError("no video that OpenCV can open: damaged, cut off, or no video")
    return capture


def count_frames(path: pathlib.Path) -> int:
    """How many frames the header promises, or, where it is silent, the stream holds.

    Raises:
      VideoError: as `open_video`, or there is no frame at all.
    """
    if is_picture(path):
        return 1
    capture = open_video(path)
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if total <= 0:
        total = 0
        while capture.grab():
            total += 1
    capture.release()
    if total == 0:
        raise VideoError("no frame could be decoded")
    return total


def clip_ends(total: int, clips: int, frames: int) -> list[int]:
    """Current frames of at most `clips` clips, evenly spaced up to the last frame.

    >>> clip_ends(total=20, clips=3, frames=7)
    [6, 12, 19]
    >>> clip_ends(total=8, clips=4, frames=7)
    [6, 7]
    """
    steps = np.linspace(total - 1, frames - 1, clips).astype(int)
    return sorted({int(step) for step in steps})


def read_clips(
    path: pathlib.Path, clips: int, frames: int, rotate: int = 0
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield (current frame index, `frames` BGR images [H, W, 3]) of each sampled clip.

    Frames between clips are passed over without conversion, and one clip is held at a
    time, so that memory does not grow with the length of the video.

    Raises:
      VideoError: empty, no video, too short, or truncated.
    """
    if is_picture(path):
        yield 0, [read_picture(path)] * frames
        return
    total = count_frames(path)
    if total < frames:
        raise VideoError(f"{total} frames, but a clip needs {frames}")
    yield from _clips_at(path, total, clip_ends(total, clips, frames), frames)


def read_picture(path: pathlib.Path) -> np.ndarray:
    """A picture as BGR [H, W, 3] uint8, or VideoError with the reason."""
    _require_content(path)
    try:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error as error:  # a header that promises an absurd size
        raise VideoError(f"no picture that OpenCV can read: {error}") from error
    if image is None:
        raise VideoError("no picture that OpenCV can read: damaged, or no picture")
    return image


def _require_content(path):
    if not path.is_file():
        raise VideoError("the file is missing")
    if path.stat().st_size == 0:
        raise VideoError("the file is empty (0 bytes)")


def _clips_at(path, total, ends, frames):
    wanted = {i for end in ends for i in range(end - frames + 1, end + 1)}
    capture = open_video(path)
    held: dict[int, np.ndarray] = {}
    try:
        for index in range(ends[-1] + 1):
            if not capture.grab():
                if index < WHOLE * total:
                    raise VideoError(
                        f"truncated: the header promises {total} frames, {index} could"
                        " be decoded"
                    )
                return
            if index in wanted:
                held[index] = capture.retrieve()[1]
            if index in ends:
                first = index - frames + 1
                held = {i: image for i, image in held.items() if i >= first}
                yield index, [held[i] for i in range(first, index + 1)]
    finally:
        capture.release()
