"""The file that holds what was extracted from one source file.

A line of JSON that says what it is of and what the manifest says of it, then one NumPy
array with a row for each clip, absent where there is none.
"""

import io
import json
import pathlib

import numpy as np

SUFFIX = ".clips"


def to_bytes(about: dict, arrays: dict[str, np.ndarray]) -> bytes:
    """The file's content; `arrays` by name, each [n, ...], or none at all."""
    payload = io.BytesIO()
    if arrays:
        fields = [(name, a.dtype, a.shape[1:]) for name, a in arrays.items()]
        rows = np.empty(len(next(iter(arrays.values()))), np.dtype(fields))
        for name, array in arrays.items():
            rows[name] = array
        np.save(payload, rows, allow_pickle=False)
    line = json.dumps(about | {"bytes": payload.tell()}) + "\n"
    return line.encode() + payload.getvalue()


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
    """The array; its fields are those of `extract.Extracted.arrays`."""
    with path.open("rb") as file:
        file.readline()
        return np.load(file, allow_pickle=False)
