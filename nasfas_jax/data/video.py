"""Clips of consecutive frames from video files and pictures, with reasons for bad ones.

A clip of K frames is the current frame and the K - 1 before it.  A picture is a clip
of one frame repeated K times: nothing moves, so its rank pooled image is zero.  Video
is what OpenCV opens, a Kinect recording (HDF5), or a folder of pictures, its frames in
the order of the numbers in their names.
"""

import contextlib
import os
import pathlib
import re
from collections.abc import Callable, Iterator

import cv2
import h5py
import numpy as np

# What a broken file is told us through stderr is said in the manifest instead; FFmpeg
# reads its level when the first file is opened.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)

PICTURES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
HDF5 = frozenset({".h5", ".hdf5"})

TURNS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}

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
    if path.is_dir():
        return len(_pictures(path))
    if is_picture(path):
        return 1
    if path.suffix.lower() in HDF5:
        with open_hdf5(path) as file:
            return len(_colours(path, file))
    capture, total = _counted(path)
    capture.release()
    return total


def _counted(path: pathlib.Path) -> tuple[cv2.VideoCapture, int]:
    """A video before its first frame, and how many it has."""
    capture = open_video(path)
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if total > 0:
        return capture, total
    total = 0
    while capture.grab():
        total += 1
    capture.release()
    if total == 0:
        raise VideoError("no frame could be decoded")
    return open_video(path), total


def read_clips(
    path: pathlib.Path, ends: Callable[[int], list[int]], frames: int, rotate: int = 0
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield (current frame index, `frames` BGR images [H, W, 3]) of each sampled clip.

    Frames between clips are passed over without conversion, and one clip is held at a
    time, so that memory does not grow with the length of the video.

    Args:
      path: video, recording, folder of frames, or picture.
      ends: from the number of frames to the clips' current frames, ascending and none
        below `frames` - 1; not asked for a picture, whose one clip ends in frame 0.
      frames: of a clip.
      rotate: degrees clockwise by which the stored frames are turned; a container that
        itself names a rotation is turned by that, and by nothing else.

    Raises:
      VideoError: empty, no video, too short, or truncated.
    """
    if is_picture(path) and not path.is_dir():
        yield 0, [turn(read_picture(path), rotate)] * frames
        return
    capture = None
    if path.is_dir() or path.suffix.lower() in HDF5:
        total = count_frames(path)
    else:  # opening a short video costs as much as decoding it
        capture, total = _counted(path)
    if total < frames:
        raise VideoError(f"{total} frames, but a clip needs {frames}")
    last = ends(total)
    wanted = sorted({i for end in last for i in range(end - frames + 1, end + 1)})
    held: dict[int, np.ndarray] = {}
    for index, image in _stream(path, capture, total, wanted, rotate):
        held[index] = image
        if index in last:
            first = index - frames + 1
            held = {i: image for i, image in held.items() if i >= first}
            yield index, [held[i] for i in range(first, index + 1)]


def turn(image: np.ndarray, rotate: int) -> np.ndarray:
    """The image turned clockwise by 0, 90, 180 or 270 degrees."""
    return cv2.rotate(image, TURNS[rotate]) if rotate else image


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


def _stream(path, capture, total, wanted, rotate) -> Iterator[tuple[int, np.ndarray]]:
    """(index, image) of the wanted frames, ascending."""
    if capture:
        return _from_video(capture, total, wanted, rotate)
    if path.is_dir():
        return _from_folder(path, wanted, rotate)
    return _from_hdf5(path, wanted, rotate)


def _from_video(capture, total, wanted, rotate):
    if capture.get(cv2.CAP_PROP_ORIENTATION_META):
        rotate = 0  # OpenCV has turned the frames by it already
    left = set(wanted)
    try:
        for index in range(wanted[-1] + 1):
            if not capture.grab():
                if index < WHOLE * total:
                    raise VideoError(
                        f"truncated: the header promises {total} frames, {index} could"
                        " be decoded"
                    )
                return
            if index in left:
                yield index, turn(capture.retrieve()[1], rotate)
    finally:
        capture.release()


def _from_folder(path, wanted, rotate):
    pictures = _pictures(path)
    for index in wanted:
        try:
            yield index, turn(read_picture(pictures[index]), rotate)
        except VideoError as error:
            raise VideoError(f"frame {pictures[index].name}: {error}") from error


def _from_hdf5(path, wanted, rotate):
    with open_hdf5(path) as file:
        colours = _colours(path, file)
        for index in wanted:
            # RGB, channels first.
            image = np.ascontiguousarray(colours[index][::-1].transpose(1, 2, 0))
            yield index, turn(image, rotate)


def _pictures(folder: pathlib.Path) -> list[pathlib.Path]:
    """The frames in a folder: 2.png before 10.png."""
    found = [path for path in folder.iterdir() if is_picture(path)]
    if not found:
        raise VideoError("the folder holds no pictures")

    def number(path):
        parts = re.split(r"(\d+)", path.name)
        return [int(part) if part.isdecimal() else part for part in parts], path.name

    return sorted(found, key=number)


@contextlib.contextmanager
def open_hdf5(path: pathlib.Path) -> Iterator[h5py.File]:
    """An HDF5 file to read from; a damaged one is a VideoError, now or later."""
    _require_content(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:  # what h5py says of damage
        raise VideoError(f"no HDF5 file, or damaged or cut off: {error}") from error


def hdf5_array(path: pathlib.Path, file: h5py.File, key: str, shape: tuple):
    """An array of an HDF5 file, unread, of the shape (None: any); else VideoError."""
    array = file.get(key)
    if not isinstance(array, h5py.Dataset):
        raise VideoError(f"{path} has no array {key}; it has {', '.join(file)}")
    same = len(array.shape) == len(shape) and all(
        want in (None, size) for want, size in zip(shape, array.shape, strict=True)
    )
    if not same or array.dtype.kind not in "iuf":
        raise VideoError(
            f"{path}: {key} is {array.dtype}{list(array.shape)}; expected"
            f" numbers {[size or '?' for size in shape]}"
        )
    return array


def _colours(path, file):
    return hdf5_array(path, file, "Color_Data", (None, 3, None, None))
