"""Files that are whole or not there, and folders that one process writes at a time."""

import contextlib
import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nasfas_jax import names
from nasfas_jax.errors import InputError

LOCK = ".lock"
FULL = (errno.ENOSPC, errno.EDQUOT)
#: What the system says of a path that cannot be used, in the words of a user.
UNUSABLE = {
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.EROFS: "the file system is read-only",
    errno.EEXIST: "there is a file of this name, where a folder is expected",
    errno.ENOTDIR: "a part of this path is a file, where a folder is expected",
    errno.EISDIR: "it is a folder, where a file is expected",
    errno.ENAMETOOLONG: "the name is too long",
}


@contextlib.contextmanager
def writing(
    folder: str | os.PathLike, advice: str = "Choose another folder."
) -> Iterator[None]:
    """Reports errors of the disk in one paragraph, while the block writes to a folder.

    Args:
      folder: named where the error names no file.
      advice: what to do, the last sentence of the paragraph about a path.

    Raises:
      InputError: the disk is full, or a file or folder cannot be read or written. Any
        other error passes.
    """
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        if reason := _full(error):
            raise InputError(
                f"The disk that holds {folder} is full ({reason}). Free some space, or "
                "choose another folder. What is finished is kept: the same command "
                "resumes from there."
            ) from error
        if not isinstance(error, OSError) or error.errno not in UNUSABLE:
            raise
        reason = UNUSABLE[error.errno]
        raise InputError(
            f"{error.filename or folder} cannot be read or written: {reason}. {advice}"
        ) from error


def _full(error: BaseException | None) -> str:
    """What the system says of a full disk or quota, or nothing.

    Orbax, TensorStore, HDF5 and ArrayRecord have it in the text of errors of their own.
    """
    while error is not None:
        for number in FULL:
            text = os.strerror(number)
            if getattr(error, "errno", None) == number or text in str(error):
                return text
        error = error.__cause__ or error.__context__
    return ""


@contextlib.contextmanager
def whole(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a path beside `path` to write to; renames it to `path` on success.

    Its name is hidden and keeps the suffix, which tells OpenCV the container.
    """
    path = pathlib.Path(path)
    part = path.with_name(names.fit(f".part-{path.name}"))
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file, whole or not at all; line ends stay as they are."""
    with whole(path) as part:
        part.write_bytes(text.encode())


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows as CSV with a header, lines ending in a line feed."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write `content`, readable, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def digest(paths: Iterable[pathlib.Path]) -> str:
    """SHA-256 of the content of files, in the given order, as hexadecimal digits."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Make the folder and keep other processes out of it while the block runs.

    The system lets go of the lock when the process ends, however it ends; the empty file
    `.lock` stays.

    Raises:
      InputError: another process is in it, or it cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"Another process is writing to {folder} right now; two at once would"
                " spoil each other's files. Wait until it has ended (what it has"
                " finished is kept and used), or choose another folder."
            ) from None
        yield
