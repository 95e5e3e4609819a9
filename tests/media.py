"""Small videos and pictures, and changes to the bytes of their containers."""

import struct

import cv2
import numpy as np

RATE = 25
TICKS = 512  # of a frame in OpenCV's mp4 files
CODECS = {".avi": "MJPG", ".mpg": "MPG2", ".wmv": "WMV2"}
NESTED = (b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl")


def gray(index: int) -> np.ndarray:
    """A frame whose gray level tells its index even after compression."""
    return np.full((48, 64, 3), 6 * index, np.uint8)


def level(image: np.ndarray) -> int:
    """The index of a frame made by `gray`."""
    return round(float(image.mean()) / 6 + 0.3)


def write_video(path, count=40, draw=gray):
    codec = CODECS.get(path.suffix, "mp4v")
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = draw(0).shape[:2]
    writer = cv2.VideoWriter(
        str(path),
        cv2.CAP_FFMPEG,
        cv2.VideoWriter_fourcc(*codec),
        RATE,
        (width, height),
    )
    for index in range(count):
        writer.write(draw(index))
    writer.release()
    return path


def boxes(content: bytes) -> list[tuple[bytes, bytes]]:
    """Types and contents of the ISO boxes in a row."""
    found, start = [], 0
    while start < len(content):
        size, name = struct.unpack(">I4s", content[start : start + 8])
        found.append((name, content[start + 8 : start + size]))
        start += size
    return found


def join(parts) -> bytes:
    return b"".join(
        struct.pack(">I4s", len(content) + 8, name) + content for name, content in parts
    )


def edit(content: bytes, changes) -> bytes:
    """Replace the content of ISO boxes by type: functions of the old content."""
    return join(
        (
            name,
            edit(inside, changes)
            if name in NESTED
            else changes.get(name, lambda same: same)(inside),
        )
        for name, inside in boxes(content)
    )


def trim(path, first: int, count: int):
    """Show `count` frames from `first` on by an edit list, as phones trim."""
    duration = round(1000 * count / RATE)
    edits = struct.pack(">IIIiI", 0, 1, duration, first * TICKS, 1 << 16)
    path.write_bytes(edit(path.read_bytes(), {b"elst": lambda _: edits}))
    return path


def time(path, durations: list[int]):
    """Give each frame of an mp4 a duration in ticks."""
    total = sum(durations)
    rows = b"".join(struct.pack(">II", 1, ticks) for ticks in durations)
    table = struct.pack(">II", 0, len(durations)) + rows
    shown = struct.pack(">I", round(1000 * total / (RATE * TICKS)))

    def splice(at, value):
        return lambda old: old[:at] + value + old[at + 4 :]

    changes = {
        b"stts": lambda _: table,
        b"mdhd": splice(16, struct.pack(">I", total)),
        b"elst": splice(8, shown),
        b"mvhd": splice(16, shown),
        b"tkhd": splice(20, shown),
    }
    path.write_bytes(edit(path.read_bytes(), changes))
    return path


def index_first(path):
    """Move an mp4's index before its frames, as for streaming."""
    start, free, data, (name, movie) = boxes(path.read_bytes())
    size = len(movie) + 8

    def later(old):
        count = struct.unpack(">I", old[4:8])[0]
        offsets = struct.unpack(f">{count}I", old[8:])
        return old[:8] + struct.pack(f">{count}I", *(at + size for at in offsets))

    moved = (name, edit(movie, {b"stco": later}))
    path.write_bytes(join([start, moved, free, data]))
    return path


def promise(path, frames: int):
    """Write another frame count into an avi's headers."""
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"avih") + 24, frames)
    struct.pack_into("<I", content, content.index(b"strh") + 40, frames)
    path.write_bytes(content)
    return path


def cut(path, part: float):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    return path


def blank(path, part: float):
    """Zero the last frames of an mp4 whose index comes first, as a broken copy has it."""
    content = path.read_bytes()
    start = content.index(b"mdat")
    kept = start + int(part * (len(content) - start))
    path.write_bytes(content[:kept] + bytes(len(content) - kept))
    return path


def write_tiff(path, image, orientation: int):
    """An uncompressed TIFF with an orientation tag; its pixels are stored as given."""
    height, width, _ = image.shape
    rows = np.ascontiguousarray(image[..., ::-1]).tobytes()
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1),
        (262, 3, 1, 2), (273, 4, 1, 8), (274, 3, 1, orientation), (277, 3, 1, 3),
        (278, 4, 1, height), (279, 4, 1, len(rows)), (284, 3, 1, 1),
    ]  # fmt: skip
    table = struct.pack("<H", len(tags))
    table += b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    path.write_bytes(struct.pack("<4sI", b"II*\0", 8 + len(rows)) + rows + table)
    return path


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels that the orientation makes upright, by EXIF's definition."""
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }
    return np.ascontiguousarray(turned[orientation])
