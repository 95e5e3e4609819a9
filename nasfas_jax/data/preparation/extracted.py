"""The file of the clips that were extracted from one source file.

It holds a line of JSON with the fingerprint of the source and its row of the manifest,
followed by a NumPy array with a row for each clip; without clips there is no array.
"""

import functools
import io
import json
import mmap
import pathlib

import numpy as np

from nasfas_jax import files

SUFFIX = ".clips"


def write(path: pathlib.Path, about: dict, arrays: dict[str, np.ndarray]) -> None:
    """Writes the file atomically; `arrays` [n, ...] by name may be empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, header = np.empty(0, np.uint8), b""
    if arrays:
        fields = [(name, a.dtype, a.shape[1:]) for name, a in arrays.items()]
        rows = np.empty(len(next(iter(arrays.values()))), np.dtype(fields))
        for name, array in arrays.items():
            rows[name] = array
        header = _header(rows)
    line = json.dumps(about | {"bytes": len(header) + rows.nbytes}) + "\n"
    with files.whole(path) as part, part.open("wb") as file:
        file.write(line.encode() + header)
        file.write(rows.view(np.uint8).data)  # without a copy


def _header(rows: np.ndarray) -> bytes:
    """The header that NumPy writes before an array."""
    text = io.BytesIO()
    about = np.lib.format.header_data_from_array_1_0(rows)
    np.lib.format.write_array_header_1_0(text, about)
    return text.getvalue()


def read_about(path: pathlib.Path) -> dict | None:
    """The line of JSON; None if the file is missing or, after a power cut, incomplete."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        line = file.readline()
        try:
            about = json.loads(line)
        except ValueError:
            return None
        whole = len(line) + about["bytes"]
    return about if path.stat().st_size == whole else None


def read(path: pathlib.Path) -> np.ndarray:
    """The array, read-only, with the fields of `extract.Extracted.arrays`.

    The file is mapped into memory: a record is copied once, when it is packed.
    """
    with path.open("rb") as file:
        start = len(file.readline())
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    magic = start + 8
    end = magic + 2 + int.from_bytes(content[magic : magic + 2], "little")
    return np.ndarray(*_layout(content[start:end]), content, end)


@functools.lru_cache
def _layout(header: bytes) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type from a NumPy header, equal for videos with equal numbers of clips.

    NumPy parses a header in a millisecond, the time to read the clips of a short video.
    """
    file = io.BytesIO(header)
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return shape, dtype
