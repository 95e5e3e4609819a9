"""Frames with times from files, cameras, addresses, the standard input and iterables."""

import contextlib
import io
import os
import pathlib
import queue
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np

from nasfas_jax.data.media import pictures, video
from nasfas_jax.errors import InputError

#: Beginnings of the addresses that FFmpeg opens.
ADDRESSES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://")
#: Pauses in seconds before a camera or stream that vanished is opened again; after the
#: last one it is given up. A frame that arrives starts the row anew.
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
#: Milliseconds without an answer after which an address counts as vanished.
TIMEOUT = 10_000
#: Bytes of the largest picture on the standard input.
LARGEST = 64 * 2**20
STANDARD_INPUT = "-"
#: Seconds between two looks at whether a source that gives nothing is to be left.
POLL = 0.1

Item = TypeVar("Item")
Source = int | str | os.PathLike | Iterable[np.ndarray]


class Timed(NamedTuple):
    """A frame and its time.

    Attributes:
      image: BGR uint8 [H, W, 3].
      second: seconds from the start of the video, or since the camera was opened; None
        where there is no time.
    """

    image: np.ndarray
    second: float | None


def is_camera(source: Any) -> bool:
    """Whether the source is a camera or an address, which has no end of its own."""
    number = isinstance(source, int) and not isinstance(source, bool)
    return number or (isinstance(source, str) and source.startswith(ADDRESSES))


def is_live(source: Any) -> bool:
    """Whether frames come when they are taken: a camera, an address, standard input."""
    return is_camera(source) or (isinstance(source, str) and source == STANDARD_INPUT)


def name_of(source: Any) -> str:
    """Name of a source for messages and files: an address without password and query."""
    if is_camera(source):
        if isinstance(source, int):
            return f"camera {source}"
        scheme, _, rest = source.partition("://")
        return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"
    if is_live(source):
        return "standard input"
    path = as_path(source)
    return "frames" if path is None else path.name


def as_path(source: Any) -> pathlib.Path | None:
    """The path of a source that is a file or folder; None for others."""
    if is_live(source):
        return None
    return pathlib.Path(source) if isinstance(source, str | os.PathLike) else None


def frames(source: Source) -> Iterator[Timed]:
    """Yields the frames of a source, one at a time.

    Cameras and addresses are retried after `PAUSES` when they vanish, each time with a
    warning; a camera that never gave a frame is not. An address that announces its number
    of frames (a file on a server) ends with them.

    Args:
      source: path of a video, picture or folder of frames; number of a camera; address;
        '-' for JPEG pictures one after the other on the standard input; or an iterable of
        BGR frames.

    Raises:
      InputError: a source that cannot be read, or a camera that stays away.
    """
    if is_camera(source):
        assert isinstance(source, int | str)
        local = isinstance(source, int)
        return _retried(lambda: _open(source), name_of(source), local)
    if is_live(source):
        # A reader of its own: a thread left waiting in it holds no lock of `sys.stdin`.
        stdin = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
        return (Timed(image, None) for image in read_jpegs(stdin))
    path = as_path(source)
    if path is not None:
        return _from_path(path)
    if isinstance(source, str | os.PathLike | int) or not isinstance(source, Iterable):
        raise InputError(
            "expected a path, the number of a camera, an address, '-', or BGR frames, got"
            f" {source!r}.",
            field="source",
        )
    return (Timed(image, None) for image in source)


def until(items: Iterator[Item], ended: Callable[[], bool]) -> Iterator[Item]:
    """Yields the items of an iterator until an end, even where it gives none.

    A thread takes one item ahead. After the end it is left where it waits.

    Args:
      items: the iterator.
      ended: whether to end; called before each item, and every `POLL` seconds without one.

    Raises:
      Exception: as ``items``.
    """
    taken: queue.Queue[tuple[Any, Exception | None]] = queue.Queue(1)
    left = threading.Event()

    def take() -> None:
        error: Exception | None = None
        while error is None and not left.is_set():
            item = None
            try:
                item = next(items)
            except Exception as raised:  # StopIteration among them
                error = raised
            while not left.is_set():
                with contextlib.suppress(queue.Full):
                    taken.put((item, error), timeout=POLL)
                    break

    threading.Thread(target=take, daemon=True).start()
    try:
        while not ended():
            try:
                item, error = taken.get(timeout=POLL)
            except queue.Empty:
                continue
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        left.set()


def _from_path(path: pathlib.Path) -> Iterator[Timed]:
    if not path.exists():
        raise InputError(
            f"There is no {path}; expected a video, a picture, a folder of frames, the"
            " number of a camera, or an address as rtsp://HOST/PATH."
        )
    try:
        for image, second in video.read_timed(path):
            yield Timed(image, second)
    except video.VideoError as error:
        raise InputError(f"{path}: {error}.") from None


def _open(source: int | str) -> cv2.VideoCapture:
    if isinstance(source, int):
        return cv2.VideoCapture(source)
    timeouts = [
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT),
    ]
    return cv2.VideoCapture(source, cv2.CAP_FFMPEG, timeouts)


def _retried(open: Callable[[], Any], name: str, local: bool) -> Iterator[Timed]:
    """Frames of a capture that is opened again whenever it vanishes.

    A local camera that never gave a frame is given up at once: it is not there.
    """
    start, failed, count = time.monotonic(), 0, 0
    while True:
        capture = open()
        promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        try:
            while capture.isOpened():
                good, image = capture.read()
                if not good:
                    break
                failed, count = 0, count + 1
                yield Timed(image, time.monotonic() - start)
        finally:
            capture.release()
        if 0 < promised <= count / video.WHOLE:
            return
        absent = local and not count
        if absent or failed == len(PAUSES):
            tried = f" in {failed + 1} attempts over {sum(PAUSES):g} s (after {count} frames)"
            raise InputError(
                f"{name} gave no frame{'' if absent else tried}; check that it is there and"
                " that no other program uses it."
            )
        warnings.warn(
            f"{name} gave no frame after {count} frames at"
            f" {time.monotonic() - start:.1f} s; attempt {failed + 1} of {len(PAUSES)} to"
            f" open it again follows in {PAUSES[failed]:g} s.",
            stacklevel=2,
        )
        time.sleep(PAUSES[failed])
        failed += 1


def read_jpegs(file: io.BufferedReader | io.BytesIO) -> Iterator[np.ndarray]:
    """Yields JPEG pictures that follow one another in a binary stream, as BGR images.

    Raises:
      InputError: other content, a picture that cannot be decoded, is larger than `LARGEST`
        or has more than `video.MOST_PIXELS` pixels, or a last one that is cut off.
    """
    for count, content in enumerate(_jpegs(file)):
        width, height = pictures.size_of(content) or (0, 0)
        if width * height > video.MOST_PIXELS:
            size = f"{width} x {height} pixels, more than {video.MOST_PIXELS:,} in all"
            raise _no_jpeg(count, f"it has {size}")
        image = pictures.decode_jpeg(content)
        if image is None:
            raise _no_jpeg(count, "it cannot be decoded")
        yield image


def _jpegs(file: io.BufferedReader | io.BytesIO) -> Iterator[bytes]:
    """Contents of the pictures; every byte is searched once for the end of its picture."""
    held, count, position = bytearray(), 0, pictures.START
    while True:
        whole, position = pictures.end_of_jpeg(held, position)
        if whole:
            yield bytes(held[:position])
            del held[:position]
            count, position = count + 1, pictures.START
            continue
        more = file.read1(2**16)
        held += more
        if held and not pictures.JPEG.startswith(bytes(held[:3])):
            raise _no_jpeg(count, f"it begins with {bytes(held[:8])!r}")
        if not more and held:
            raise _no_jpeg(count, f"it is cut off after {len(held)} bytes")
        if len(held) > LARGEST:
            raise _no_jpeg(count, f"it has more than {LARGEST} bytes")
        if not more:
            return


def _no_jpeg(count: int, found: str) -> InputError:
    return InputError(
        "expected JPEG pictures one after the other on the standard input, got other"
        f" content for picture {count + 1}: {found}. A video is sent as pictures by `ffmpeg"
        " -i VIDEO -f mjpeg -q:v 2 -`.",
        field="source",
    )
