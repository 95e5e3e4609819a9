"""Completeness of video containers, read from their structure.

OpenCV reports a container's frame count and decodes what the file holds; it reports
neither a cut-off file nor an edit list.  Four families are understood, by content and
not by suffix: ISO base media (mp4, mov, m4v, 3gp), RIFF (avi), Matroska (mkv, webm) and
ASF (wmv).  Transport and program streams, flv and mxf are not: a cut-off one has the
frames that can be decoded.
"""

import pathlib
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple

ISO = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
EBML, SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
UNKNOWN_RIFF = (0, 2**32 - 1)  # sizes written by a recorder that never finished


class Box(NamedTuple):
    """Type of an ISO box and the byte range of its content."""

    name: bytes
    start: int
    stop: int


def is_cut(path: pathlib.Path) -> bool:
    """Whether the container announces more bytes than the file has.

    False for other containers, and for those that announce no size.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        if head[4:8] in ISO:
            return any(box.stop > size for box in _boxes(file, 0, size))
        if head[:4] == b"RIFF":
            return _riff_end(file, size) > size
        if head[:4] == EBML:
            return _segment_end(file) > size
        if head == ASF:
            return _asf_end(file, size) > size
    return False


def is_trimmed(path: pathlib.Path, frames: int) -> bool:
    """Whether an edit list of an ISO file shows less than the video track holds.

    A track trimmed without re-encoding keeps its frames, and its header counts them.

    Args:
      path: video file; False where it is no ISO file.
      frames: frames of the track by its header, above 0.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(8)[4:] not in ISO:
            return False
        movie = _child(file, Box(b"", 0, size), b"moov")
        header = movie and _child(file, movie, b"mvhd")
        if not (movie and header):
            return False
        scale, _ = _timing(file, header)
        return any(
            _shows_less(file, track, scale, frames)
            for track in _boxes(file, movie.start, movie.stop)
            if track.name == b"trak" and _is_video(file, track)
        )


def _shows_less(file: BinaryIO, track: Box, movie_scale: int, frames: int) -> bool:
    """Whether the edits of a track are shorter than the track by half a frame."""
    edits = _child(file, track, b"edts", b"elst")
    header = _child(file, track, b"mdia", b"mdhd")
    if not (edits and header):
        return False
    scale, duration = _timing(file, header)
    if not (scale and movie_scale):
        return True
    shown = _shown(_content(file, edits)) / movie_scale
    return shown < duration / scale * (1 - 0.5 / frames)


def _shown(edits: bytes) -> int:
    """Sum of the durations of an edit list's entries, without the empty ones."""
    wide = 8 if edits[:1] == b"\1" else 4
    entry = 2 * wide + 4
    total = 0
    for at in range(8, len(edits) - entry + 1, entry):
        start = _integer(edits[at + wide : at + 2 * wide], signed=True)
        if start >= 0:
            total += _integer(edits[at : at + wide])
    return total


def _is_video(file: BinaryIO, track: Box) -> bool:
    handler = _child(file, track, b"mdia", b"hdlr")
    return handler is not None and _content(file, handler)[8:12] == b"vide"


def _timing(file: BinaryIO, header: Box) -> tuple[int, int]:
    """Ticks per second and duration in ticks of an mvhd or mdhd box."""
    content = _content(file, header)
    wide = 8 if content[:1] == b"\1" else 4
    at = 4 + 2 * wide  # after the version and the two dates
    return _integer(content[at : at + 4]), _integer(content[at + 4 : at + 4 + wide])


def _child(file: BinaryIO, box: Box, *names: bytes) -> Box | None:
    """The first box below `box` on the path of `names`."""
    found: Box | None = box
    for name in names:
        if found is None:
            return None
        inside = _boxes(file, found.start, found.stop)
        found = next((one for one in inside if one.name == name), None)
    return found


def _boxes(file: BinaryIO, start: int, stop: int) -> Iterator[Box]:
    """The boxes of a range, up to the first that has no legal size."""
    while start + 8 <= stop:
        file.seek(start)
        head = file.read(16)
        size, content = _integer(head[:4]), start + 8
        if size == 1:
            size, content = _integer(head[8:]), start + 16
        end = start + size if size else stop  # 0: to the end of the file
        if end < content:
            return
        yield Box(head[4:8], content, end)
        start = end


def _content(file: BinaryIO, box: Box) -> bytes:
    file.seek(box.start)
    return file.read(box.stop - box.start)


def _riff_end(file: BinaryIO, size: int) -> int:
    """Byte at which the last RIFF chunk ends; a large AVI has several."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        head = file.read(8)
        length = _integer(head[4:], "little")
        if head[:4] != b"RIFF" or length in UNKNOWN_RIFF:
            break
        end += 8 + length
    return end


def _asf_end(file: BinaryIO, size: int) -> int:
    """Byte at which the last object ends."""
    end = 0
    while end + 24 <= size:
        file.seek(end + 16)
        length = _integer(file.read(8), "little")
        if length < 24:
            break
        end += length
    return end


def _segment_end(file: BinaryIO) -> int:
    """Byte at which the Matroska segment ends; 0 if it has no known size."""
    file.seek(4)
    length = _variable_integer(file)
    if length is None:
        return 0
    file.seek(length, 1)
    if file.read(4) != SEGMENT:
        return 0
    length = _variable_integer(file)
    return 0 if length is None else file.tell() + length


def _variable_integer(file: BinaryIO) -> int | None:
    """EBML's integer of 1 to 8 bytes; None if all bits are set, which is 'unknown'."""
    first = _integer(file.read(1))
    bits = 7 * (9 - first.bit_length())
    if first == 0:
        return None
    value = (first << 8 * (bits // 7 - 1)) + _integer(file.read(bits // 7 - 1))
    value &= (1 << bits) - 1
    return None if value == (1 << bits) - 1 else value


def _integer(
    content: bytes, order: Literal["little", "big"] = "big", *, signed: bool = False
) -> int:
    return int.from_bytes(content, order, signed=signed)
