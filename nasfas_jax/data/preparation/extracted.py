"""The file that holds what was extracted from one source file.

A line of JSON that says what it is of and what the manifest says of it, then one NumPy
array with a row for each clip, absent where there is none.
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
    """Write the file, whole; `arrays` by name, each [n, ...], or none at all."""
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
        file.write(rows.view(np.uint8).data)  # from where they are


def _header(rows: np.ndarray) -> bytes:
    """What NumPy writes before an array."""
    text = io.BytesIO()
    about = np.lib.format.header_data_from_array_1_0(rows)
    np.lib.format.write_array_header_1_0(text, about)
    return text.getvalue()


def read_about(path: pathlib.Path) -> dict | None:
    """The line, None if the file is absent or, on a machine that lost power, not whole."""
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
    """The array, read only; its fields are those of `extract.Extracted.arrays`.

    It is the file itself, mapped into memory: a record is copied once, when it is packed.
    """
    with path.open("rb") as file:
        start = len(file.readline())
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    magic = start + 8
    end = magic + 2 + int.from_bytes(content[magic : magic + 2], "little")
    return np.ndarray(*_layout(content[start:end]), content, end)


@functools.lru_cache
def _layout(header: bytes) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type by NumPy's header, the same for all videos of so many clips.

    NumPy takes a millisecond to parse one, as long as a short video's clips take.
    """
    file = io.BytesIO(header)
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return shape, dtype
