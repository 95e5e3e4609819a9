"""Clips of frames from video files and pictures, with the reasons for unusable files.

A clip of K frames consists of the current frame and K - 1 earlier ones at a constant
interval.  A picture yields one clip, its frame repeated K times: nothing moves, so its
rank-pooled image is zero.  A video is a file that OpenCV opens, a Kinect recording (HDF5),
or a folder of pictures, ordered by the numbers in their names.

Frames are numbered from 0 in the order in which they are decoded.  A container's frame
count is used only where it is confirmed; otherwise the frames are counted by decoding.
A file is truncated where its container announces more bytes than the file has, and
damaged where frames that are present cannot be decoded.
"""

import contextlib
import os
import pathlib
import re
from collections.abc import Callable, Iterator

import cv2
import h5py
import numpy as np

from nasfas_jax import names
from nasfas_jax.data.media import containers, pictures

# Decoder errors are recorded in the manifest instead of printed to stderr; FFmpeg reads
# its level when the first file is opened.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_FATAL)

# Suffixes of what OpenCV's wheel decodes. A GIF is a video: it is read frame by frame.
PICTURES = frozenset(
    {
        *(".apng", ".avif", ".bmp", ".dib", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg"),
        *(".jpg", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff"),
        ".webp",
    }
)
VIDEOS = frozenset(
    {
        *(".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".gif", ".m2ts"),
        *(".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg"),
        *(".mts", ".mxf", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv"),
    }
)
HDF5 = frozenset({".h5", ".hdf5"})

TURNS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}

# A file that is cut off or damaged is used if this share of its frames is left.
WHOLE = 0.9


class VideoError(ValueError):
    """A file without a usable clip; the text is the reason in the manifest."""


class _Fewer(Exception):
    """Decoding stopped early; `frames` is the number of decoded frames."""

    def __init__(self, frames: int):
        super().__init__(frames)
        self.frames = frames


def is_picture(path: pathlib.Path) -> bool:
    """Whether the file is a picture by its suffix."""
    return path.suffix.lower() in PICTURES


def open_video(path: pathlib.Path, *settings: int) -> cv2.VideoCapture:
    """Opens a video for sequential decoding on one thread.

    Args:
      path: the file.
      *settings: more properties of `cv2.VideoCapture`, each followed by its value.

    Raises:
      VideoError: the file is empty or is not a video that OpenCV can open.
    """
    _require_content(path)
    one_thread = [cv2.CAP_PROP_N_THREADS, 1]
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [*one_thread, *settings])
    if not capture.isOpened():
        raise VideoError("no video that OpenCV can open: damaged, cut off, or no video")
    return capture


def count_frames(path: pathlib.Path) -> int:
    """Number of frames that can be decoded.

    The header's count is returned where the file is whole, shows all it holds (no edit
    list that trims), and has as many packets; only other videos are decoded.

    Raises:
      VideoError: as `open_video`; truncated, or no frame at all.
    """
    if path.is_dir():
        return len(_pictures(path))
    if is_picture(path):
        return 1
    if path.suffix.lower() in HDF5:
        with open_hdf5(path) as file:
            return len(_colors(path, file))
    capture, total = _counted(path)
    capture.release()
    return total


def _counted(path: pathlib.Path) -> tuple[cv2.VideoCapture, int]:
    """A video before its first frame, and `count_frames` of it."""
    capture = open_video(path)
    promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    cut = containers.is_cut(path)
    if (
        not cut
        and 0 < promised == _packets(path)
        and not containers.is_trimmed(path, promised)
    ):
        return capture, promised
    total = 0
    while capture.grab():
        total += 1
    capture.release()
    if cut:
        total = max(total - 1, 0)  # half of the last frame may be missing
        if total < WHOLE * promised:
            raise VideoError(
                f"truncated: the container announces {promised} frames and more bytes"
                f" than the file has; {total} whole frames could be decoded"
            )
    if total == 0:
        raise VideoError("no frame could be decoded")
    return open_video(path), total


def _packets(path: pathlib.Path) -> int:
    """Number of encoded frames in the file; reading them decodes nothing."""
    capture = open_video(path, cv2.CAP_PROP_FORMAT, -1)
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def read_clips(
    path: pathlib.Path,
    ends: Callable[[int], list[int]],
    frames: int,
    rotate: int = 0,
    interval: int = 1,
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yields (current frame index, `frames` BGR images [H, W, 3]) of each sampled clip.

    Frames outside of clips are skipped without conversion, and the frames of one clip are
    held at a time, so that memory does not grow with the length of the video.

    Args:
      path: video, recording, folder of frames, or picture.
      ends: function from the number of frames to the current frames of the clips,
        ascending, none before (`frames` - 1) `interval`; not called for a picture, whose
        one clip ends in frame 0.  Called again with the number of decoded frames if
        decoding stops early: the clips after the last one yielded are then those of the
        second call.
      frames: number of frames per clip.
      rotate: clockwise rotation of the stored frames in degrees; a rotation that the
        container itself specifies is used instead.
      interval: number of video frames from one frame of a clip to the next.

    Raises:
      VideoError: empty, not a video, too short, truncated, damaged, or frames of several
        sizes.
    """
    if is_picture(path) and not path.is_dir():
        yield 0, [turn(read_picture(path), rotate)] * frames
        return
    capture, total = _opened(path)
    done = -1
    while True:
        _require_span(total, frames, interval)
        last = {
            end: range(end - (frames - 1) * interval, end + 1, interval)
            for end in ends(total)
            if end > done
        }
        wanted = sorted({index for clip in last.values() for index in clip})
        stream = _stream(path, capture, wanted, rotate)
        try:
            for done, images in _clips(stream, last):
                yield done, images
        except _Fewer as early:
            _require_most(early.frames, total)
            capture, total = open_video(path), early.frames
        else:
            return


def read_frames(path: pathlib.Path) -> Iterator[np.ndarray]:
    """Yields all frames before the first damaged one as BGR images [H, W, 3].

    Args:
      path: video, recording, folder of frames, or picture.

    Raises:
      VideoError: as `read_clips`.
    """
    for image, _ in read_timed(path):
        yield image


def read_timed(path: pathlib.Path) -> Iterator[tuple[np.ndarray, float | None]]:
    """Yields frames as `read_frames`, each with its time stamp in seconds.

    The time is None where the file has none (pictures, folders, recordings). One pass: a
    time stamp that is missing is not interpolated, as in `time_stamps`, but None.
    """
    if is_picture(path) and not path.is_dir():
        yield read_picture(path), None
        return
    capture, total = _opened(path)
    try:
        for index, image in _stream(path, capture, range(total), 0):
            second = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 if capture else None
            yield image, second if second or not index else None
    except _Fewer as early:
        _require_most(early.frames, total)


def time_stamps(path: pathlib.Path) -> np.ndarray | None:
    """Time of each frame of a video in seconds [frames], from the container.

    A frame without a time stamp (as the last one of an MPEG program stream) gets its time
    from its neighbors.  None for pictures, folders and recordings, which store no times,
    and for a video whose times are all equal or decrease.

    Raises:
      VideoError: as `count_frames`.
    """
    if path.is_dir() or is_picture(path) or path.suffix.lower() in HDF5:
        return None
    capture, total = _counted(path)
    times = []
    while len(times) < total and capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    capture.release()
    return _completed(np.array(times))


def _completed(times: np.ndarray) -> np.ndarray | None:
    """Times [frames] without gaps; OpenCV gives 0 for a frame without a time stamp."""
    known = np.flatnonzero((times > 0) | (np.arange(len(times)) == 0))
    steps = np.diff(times[known])
    if not len(steps) or (steps < 0).any():
        return None
    after = np.arange(len(times)) - known[-1]
    step = steps[-1] / (known[-1] - known[-2])
    return np.interp(range(len(times)), known, times[known]) + step * after.clip(0)


def _opened(path: pathlib.Path) -> tuple[cv2.VideoCapture | None, int]:
    """An open video (None for a recording or folder), and the number of frames."""
    if path.is_dir() or path.suffix.lower() in HDF5:
        return None, count_frames(path)
    return _counted(path)  # opening a short video costs as much as decoding it


def _require_span(total: int, frames: int, interval: int) -> None:
    """Raises VideoError if a clip spans more than all frames."""
    span = (frames - 1) * interval + 1
    if total < span:
        clip = (
            f" ({frames} frames at an interval of {interval})" if interval > 1 else ""
        )
        raise VideoError(f"{total} frames, but a clip needs {span}{clip}")


def _clips(stream, clips: dict[int, range]):
    """(current frame index, images) of clips, from a stream of all their frames.

    `clips` maps the current frame of each clip to the indices of its frames.
    """
    held: dict[int, np.ndarray] = {}
    for index, image in stream:
        held[index] = image
        if index in clips:
            clip = clips[index]
            held = {i: image for i, image in held.items() if i >= clip[0]}
            yield index, [held[i] for i in clip]


def _require_most(decoded: int, total: int) -> None:
    """Raises VideoError if too many frames of a complete file cannot be decoded."""
    if decoded < WHOLE * total:
        raise VideoError(
            f"damaged: {total} frames are in the file, and decoding stopped after"
            f" {decoded}"
        )


def turn(image: np.ndarray, rotate: int) -> np.ndarray:
    """The image turned clockwise by 0, 90, 180 or 270 degrees."""
    return cv2.rotate(image, TURNS[rotate]) if rotate else image


def read_picture(path: pathlib.Path) -> np.ndarray:
    """A picture, upright, as BGR [H, W, 3] uint8.

    Raises:
      VideoError: missing, empty, truncated, or not decodable; the text is the reason.
    """
    _require_content(path)
    content = path.read_bytes()
    if pictures.is_truncated(content):
        raise VideoError("truncated: the picture has no end")
    try:
        image = pictures.decode(path, content)
    except cv2.error as error:  # a header with an absurd size
        raise VideoError(f"no picture that OpenCV can read: {error}") from error
    if image is None:
        raise VideoError(
            "no picture that OpenCV can read: damaged, cut off, no picture, or a layout"
            " that it does not support"
        )
    return image


def _require_content(path):
    try:
        str(path).encode()
    except UnicodeEncodeError:  # OpenCV 4.14 ends the whole process
        raise VideoError("its path is not valid UTF-8, rename it") from None
    if not path.is_file():
        raise VideoError("the file is missing")
    if not os.access(path, os.R_OK):
        raise VideoError("no permission to read the file")
    if path.stat().st_size == 0:
        raise VideoError("the file is empty (0 bytes)")


def _stream(path, capture, wanted, rotate) -> Iterator[tuple[int, np.ndarray]]:
    """(index, image) of the wanted frames, ascending, all of one size."""
    if capture:
        found = _from_video(capture, wanted, rotate)
    elif path.is_dir():
        found = _from_folder(path, wanted, rotate)
    else:
        found = _from_hdf5(path, wanted, rotate)
    first = None
    for index, image in found:
        height, width = image.shape[:2]
        first = first or (index, width, height)
        if first[1:] != (width, height):
            before = "frame {} has {} x {} pixels".format(*first)
            raise VideoError(
                f"the size of the frames changes: {before}, frame {index} has {width} x"
                f" {height}; cut or convert it to videos of one frame size"
            )
        yield index, image


def _from_video(capture, wanted, rotate):
    """Raises `_Fewer` where decoding stops before the last wanted frame."""
    if capture.get(cv2.CAP_PROP_ORIENTATION_META):
        rotate = 0  # OpenCV has turned the frames by it already
    left = set(wanted)
    try:
        for index in range(max(left, default=-1) + 1):
            if not capture.grab():
                raise _Fewer(index)
            if index in left:
                good, image = capture.retrieve()
                if not good:
                    raise VideoError(f"damaged: frame {index} cannot be converted")
                yield index, turn(image, rotate)
    finally:
        capture.release()


def _from_folder(path, wanted, rotate):
    found = _pictures(path)
    for index in wanted:
        try:
            yield index, turn(read_picture(found[index]), rotate)
        except VideoError as error:
            raise VideoError(f"frame {found[index].name}: {error}") from error


def _from_hdf5(path, wanted, rotate):
    with open_hdf5(path) as file:
        colors = _colors(path, file)
        for index in wanted:
            # RGB, channels first.
            image = np.ascontiguousarray(colors[index][::-1].transpose(1, 2, 0))
            yield index, turn(image, rotate)


def _pictures(folder: pathlib.Path) -> list[pathlib.Path]:
    """The frames in a folder: 2.png before 10.png."""
    found = [
        path
        for path in folder.iterdir()
        if is_picture(path) and not names.is_ignored(path.name)
    ]
    if not found:
        raise VideoError("the folder holds no pictures")

    def number(path):
        parts = re.split(r"(\d+)", path.name)
        return [int(part) if part.isdecimal() else part for part in parts], path.name

    return sorted(found, key=number)


@contextlib.contextmanager
def open_hdf5(path: pathlib.Path) -> Iterator[h5py.File]:
    """An open HDF5 file; reading a damaged one raises VideoError inside the block."""
    _require_content(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:  # raised by h5py for damage
        raise VideoError(f"not an HDF5 file, damaged or cut off: {error}") from error


def hdf5_array(path: pathlib.Path, file: h5py.File, key: str, shape: tuple):
    """An array of an HDF5 file, not read yet; VideoError for another shape (None: any)."""
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


def _colors(path, file):
    return hdf5_array(path, file, "Color_Data", (None, 3, None, None))
