"""Decoding of still pictures: complete files only, turned upright.

OpenCV fills the missing part of a JPEG with gray and reports nothing, cannot decode a
TIFF that is stored lying on its side, misplaces the tiles of a turned TIFF, and ignores
the turn of an AVIF.  These cases are handled here.
"""

import pathlib
import re
import tempfile
from typing import Literal

import cv2
import numpy as np

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
TIFF: dict[bytes, Literal["little", "big"]] = {
    b"II*\0": "little",
    b"MM\0*": "big",
}

#: The next JPEG marker: no stuffed or filling byte, no restart marker.
MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])", re.DOTALL)
END_OF_IMAGE = b"\xd9"
#: Position after the start-of-image marker.
START = 2
#: Frame headers of JPEG: all of C0 to CF but the tables DHT, JPG and DAC.
FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

ORIENTATION = 274  # TIFF tag

# What makes a stored picture upright, by the value of EXIF's orientation.
UPRIGHT = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def is_truncated(content: bytes) -> bool:
    """Whether a JPEG lacks its end-of-image marker, or a PNG its IEND chunk.

    False for other formats, which OpenCV refuses to decode when they are cut off.
    """
    if content.startswith(JPEG):
        return not end_of_jpeg(content)[0]
    return content.startswith(PNG) and _lacks_iend(content)


def decode(path: pathlib.Path, content: bytes) -> np.ndarray | None:
    """The upright picture as BGR [H, W, 3] uint8; None where OpenCV cannot decode it.

    Args:
      path: the file.
      content: its bytes.

    Raises:
      cv2.error: a header with an absurd size.
    """
    if content[:4] in TIFF:
        stored, orientation = _without_orientation(content)
        if orientation in UPRIGHT:
            return _turned(_decode_tiff(stored), orientation)
    elif content[4:12] in (b"ftypavif", b"ftypavis"):
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        return _turned(cv2.imread(str(path), flags), _avif_orientation(content))
    return cv2.imread(str(path), cv2.IMREAD_COLOR)


def decode_jpeg(content: bytes) -> np.ndarray | None:
    """The upright JPEG as BGR [H, W, 3] uint8; None where OpenCV cannot decode it."""
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # a header with an absurd size
        return None


def _decode_tiff(content: bytes) -> np.ndarray | None:
    """From a file: from memory, OpenCV refuses tiles with padding between them."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "picture.tif")
        path.write_bytes(content)
        return cv2.imread(str(path), cv2.IMREAD_COLOR)


def _turned(image: np.ndarray | None, orientation: int) -> np.ndarray | None:
    if image is None or orientation not in UPRIGHT:
        return image
    return UPRIGHT[orientation](image)


def size_of(content: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG or PNG announces; None for other formats."""

    def number(at: int, size: int) -> int:
        return int.from_bytes(content[at : at + size], "big")

    if content.startswith(PNG):
        return number(16, 4), number(20, 4)
    position = START
    while content.startswith(JPEG) and (match := MARKER.search(content, position)):
        position = match.end()
        if match[1][0] in FRAME:
            return number(position + 5, 2), number(position + 3, 2)
        position += number(position, 2)
    return None


def end_of_jpeg(content: bytes | bytearray, start: int = START) -> tuple[bool, int]:
    """Whether a JPEG has its end-of-image marker, and the position after it.

    Walks over the segments: those with a length may hold a thumbnail's markers. Without
    the marker, the position is the ``start`` of a search in the same and more bytes.
    """
    position = start
    while match := MARKER.search(content, position):
        if match[1] == END_OF_IMAGE:
            return True, match.end()
        if match.end() + 2 > len(content):  # of the length, which is cut off
            return False, match.start()
        length = content[match.end() : match.end() + 2]
        position = match.end() + int.from_bytes(length, "big")
    return False, max(position, len(content) - 1)


def _lacks_iend(content: bytes) -> bool:
    position = len(PNG)
    while position + 12 <= len(content):
        name = content[position + 4 : position + 8]
        # Length and name before a chunk's data, a checksum after them.
        position += 12 + int.from_bytes(content[position : position + 4], "big")
        if name == b"IEND":
            return position > len(content)
    return True


def _without_orientation(content: bytes) -> tuple[bytes, int]:
    """A TIFF whose first page is marked as upright, and the orientation it had."""
    order = TIFF[content[:4]]

    def number(at: int, size: int) -> int:
        return int.from_bytes(content[at : at + size], order)

    table = number(4, 4)
    first = table + 2
    for entry in range(first, first + 12 * number(table, 2), 12):
        if number(entry, 2) == ORIENTATION:
            value = entry + 8
            upright = (1).to_bytes(2, order)
            return content[:value] + upright + content[value + 2 :], number(value, 2)
    return content, 1


def _avif_orientation(content: bytes) -> int:
    """EXIF's orientation for the turn (irot) and the mirror (imir) of an AVIF's item."""
    quarters = _property(content, b"irot") or 0  # counterclockwise, before the mirror
    axis = _property(content, b"imir")
    table = {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}
    return table[axis][quarters]


def _property(content: bytes, name: bytes) -> int | None:
    """The one byte of an item property, None if it is absent."""
    at = content.find(b"\0\0\0\x09" + name)
    return None if at < 0 else content[at + 8] & (3 if name == b"irot" else 1)
