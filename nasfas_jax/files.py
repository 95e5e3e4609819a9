"""Reading and atomic writing of files, and folders locked for one process at a time."""

import contextlib
import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nasfas_jax import names
from nasfas_jax.errors import InputError

LOCK = ".lock"
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(?=[^/])")
FULL = (errno.ENOSPC, errno.EDQUOT)
#: Descriptions of errors of the system for paths that cannot be used.
UNUSABLE = {
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.EROFS: "the file system is read-only",
    errno.EEXIST: "there is a file of this name, where a folder is expected",
    errno.ENOTDIR: "a part of this path is a file, where a folder is expected",
    errno.EISDIR: "it is a folder, where a file is expected",
    errno.ENAMETOOLONG: "the name is too long",
}


def address(path: str | os.PathLike) -> str:
    """The address in a path, which `pathlib` may have changed; '' for a local path.

    >>> address("gs:/bucket/run"), address("memory://a"), address("runs/local")
    ('gs://bucket/run', 'memory://a', '')
    >>> address(pathlib.Path("file:///folder"))
    'file:///folder'
    """
    text = os.fspath(path)
    if (found := _ADDRESS.match(text)) is None:
        return ""
    host = "/" * (found[1] == "file")  # which has no host: its paths begin with /
    return f"{found[1]}://{host}{text[found.end() :]}"


def require_local(folder: str | os.PathLike) -> None:
    """Requires a folder of a file system, which can be locked.

    Raises:
      InputError: an address.
    """
    if found := address(folder):
        raise InputError(
            f"expected a folder of a file system, got {found}: files are locked, appended"
            " and renamed. Use a path, as of a mounted bucket (gcsfuse, mountpoint-s3), or"
            " nasfas_jax.mirror.opened, which keeps a local copy and uploads it; --workdir"
            " does that on one machine."
        )


@contextlib.contextmanager
def writing(
    folder: str | os.PathLike, advice: str = "Choose another folder."
) -> Iterator[None]:
    """Context manager that turns disk errors of the block into an InputError.

    Args:
      folder: folder to name if the error names no file.
      advice: last sentence of the message about a path.

    Raises:
      InputError: the disk is full, or a file or folder cannot be read or written. Other
        errors are not changed.
    """
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        if reason := _full(error):
            raise InputError(
                f"The disk that holds {folder} is full ({reason}). Free some space, or "
                "choose another folder. Finished work is kept: the same command resumes "
                "from there."
            ) from error
        if not isinstance(error, OSError) or error.errno not in UNUSABLE:
            raise
        reason = UNUSABLE[error.errno]
        raise InputError(
            f"{error.filename or folder} cannot be read or written: {reason}. {advice}"
        ) from error


def require_folder_of(path: pathlib.Path) -> None:
    """Requires the folder of a file that is to be written.

    Raises:
      InputError: there is none.
    """
    if not path.parent.is_dir():
        raise InputError(
            f"{path}: expected a folder {path.parent}, got none. Make it first, or give"
            " another path."
        )


def _full(error: BaseException | None) -> str:
    """The system's text for a full disk or quota; '' for other errors.

    Orbax, TensorStore, HDF5 and ArrayRecord include this text in their own errors.
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
    part = part_of(path)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def part_of(path: pathlib.Path) -> pathlib.Path:
    """The path beside ``path`` that `whole` writes to; a killed process leaves it."""
    return path.with_name(names.fit(f".part-{path.name}"))


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file atomically; line ends are kept."""
    with whole(path) as part:
        part.write_bytes(text.encode())


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header and line feeds as line ends."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Writes `content` as indented JSON, atomically."""
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
    """Makes the folder and locks it for this process while the block runs.

    The system releases the lock when the process ends in any way; the empty file `.lock`
    remains.

    Raises:
      InputError: another process has locked the folder, it cannot be written, or it has an
        address.
    """
    require_local(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"Another process is writing to {folder}; two at the same time would"
                " damage each other's files. Wait until it has ended (its finished work"
                " is kept and used), or choose another folder."
            ) from None
        yield


@contextlib.contextmanager
def waiting(folder: pathlib.Path) -> Iterator[None]:
    """`locked`, after other processes of this machine have released the folder."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def reading(path: str | os.PathLike, expected: str, cure: str) -> Iterator[None]:
    """Names the file in errors of its reading and of its content.

    Args:
      path: the file.
      expected: its content, as "the trade-off of a search".
      cure: a sentence on what to do.

    Raises:
      InputError: in the place of an error of the file system, or of wrong content.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected {expected}, got {error!r:.200}. {cure}"
        ) from None
