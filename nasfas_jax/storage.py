"""Folders in buckets: local copies of what is read, and uploads of what is written.

An address is ``gs://BUCKET/FOLDER``, ``s3://BUCKET/FOLDER``, or another of fsspec's. Records
are opened by ArrayRecord, which reads local files alone: folders are copied whole. The
folder that a run writes to is a `mirror`.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import fsspec

from nasfas_jax import files
from nasfas_jax.errors import InputError

#: Variable with the folder of local copies.
VARIABLE = "NASFAS_STAGING_DIR"
#: Beside a copy, what it was made of.
INDEX = ".staged.json"
#: Size of each file and a text that changes with its content, by its path in a folder.
Listing = dict[str, list[Any]]


def staging_folder() -> pathlib.Path:
    """``$NASFAS_STAGING_DIR``, or ``~/.cache/nasfas_jax/staged``."""
    given = os.environ.get(VARIABLE)
    own = pathlib.Path.home() / ".cache" / "nasfas_jax" / "staged"
    return pathlib.Path(given) if given else own


def local(folder: str | os.PathLike) -> pathlib.Path:
    """The folder itself, or the local copy of one with an address.

    Files that have changed since the last copy are copied again, others are kept; one
    process copies at a time.

    Args:
      folder: path or address.

    Raises:
      InputError: nothing is there, or it cannot be read.
    """
    source = files.address(folder)
    if not source:
        return pathlib.Path(folder)
    there = listing(source)
    if not there:
        raise InputError(f"{source}: expected a folder with files, got none.")
    copy = copy_of(source)
    with files.waiting(copy):
        fetch(source, there, copy)
    return copy


def listing(source: str) -> Listing:
    """The files at an address.

    Raises:
      InputError: it cannot be read.
    """
    with reaching(source) as (system, root):
        system.invalidate_cache()
        return {
            name.removeprefix(root).lstrip("/"): _state(system, name, info)
            for name, info in system.find(root, detail=True).items()
            if pathlib.PurePosixPath(name).name != files.LOCK
        }


def state(system: Any, path: str) -> list[Any] | None:
    """The entry of one file in a `listing`; None where there is none.

    Its folder is listed, since file systems may describe a single file differently.
    """
    system.invalidate_cache()
    try:
        found = system.ls(path.rpartition("/")[0], detail=True)
    except FileNotFoundError:
        return None
    for info in found:
        if info["name"] == path and info["type"] == "file":
            return _state(system, path, info)
    return None


def _state(system: Any, path: str, info: dict[str, Any]) -> list[Any]:
    """Size of a file, and a text that changes with its content."""
    marks = (info.get(name) for name in ("etag", "ETag", "mtime", "created"))
    mark = next((one for one in marks if one is not None), None)
    return [info["size"], str(system.checksum(path) if mark is None else mark)]


def copy_of(source: str) -> pathlib.Path:
    """The folder of the local copy of an address."""
    digest = hashlib.sha256(source.rstrip("/").encode()).hexdigest()[:16]
    name = pathlib.PurePosixPath(source.partition("://")[2]).name
    return staging_folder() / f"{name}-{digest}"


def read_index(copy: pathlib.Path) -> Listing:
    """The listing that a copy was made of; empty where it is not complete."""
    index = copy / INDEX
    return json.loads(index.read_text("utf-8")) if index.exists() else {}


def fetch(source: str, there: Listing, copy: pathlib.Path) -> None:
    """Makes a copy equal to the folder at an address, whose files are listed.

    Raises:
      InputError: no room for them, or they cannot be read.
    """
    _require_room(copy, sum(size for size, _ in there.values()))
    known, index = read_index(copy), copy / INDEX
    index.unlink(missing_ok=True)
    for name in sorted(set(known) - set(there)):
        (copy / name).unlink(missing_ok=True)
    for name, state in there.items():
        path = copy / name
        if known.get(name) == state and path.is_file():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            files.writing(copy),
            reaching(source) as (system, root),
            files.whole(path) as part,
        ):
            system.get_file(f"{root}/{name}", str(part))
            if part.stat().st_size != state[0]:
                raise InputError(f"{root}/{name} was cut while it was read: try again.")
    files.write_json(index, there)


def upload(
    folder: pathlib.Path, target: str | os.PathLike, last: Sequence[str]
) -> None:
    """Copies the files of a folder to an address.

    Args:
      folder: local folder.
      target: address of the folder.
      last: names of files that are copied after all others, which they describe.

    Raises:
      InputError: it cannot be written.
    """
    with reaching(files.address(target)) as (system, root):
        system.makedirs(root, exist_ok=True)
        names = [
            p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()
        ]
        for name in sorted(names, key=lambda name: (name in last, name)):
            system.put_file(str(folder / name), f"{root}/{name}")


@contextlib.contextmanager
def reaching(place: str) -> Iterator[tuple[Any, str]]:
    """The file system of an address and the path in it; names it in errors of fsspec.

    Raises:
      InputError: an unknown scheme, a package that is missing, or no access.
    """
    try:
        yield fsspec.url_to_fs(place)
    except InputError:
        raise
    except OSError as error:
        if error.errno in files.FULL:  # the local disk
            raise
        raise _unusable(place, error) from error
    except ImportError as error:
        extra = {"gs": "gcs", "s3": "s3"}.get(place.partition(":")[0])
        cure = f"pip install 'nasfas_jax[{extra}]'" if extra else str(error)
        raise InputError(f"{place}: a package is missing: {cure}.") from None
    except Exception as error:  # each file system has exceptions of its own
        raise _unusable(place, error) from error


def _unusable(place: str, error: Exception) -> InputError:
    return InputError(
        f"{place} cannot be read or written: {error!r:.200}. Check the address and the"
        " permissions of this machine."
    )


def _require_room(folder: pathlib.Path, size: int) -> None:
    """Requires free space for a copy, beside what is there of it."""
    kept = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free
    if free + kept < size:
        raise InputError(
            f"{folder}: expected {size / 1e9:.1f} GB for a local copy, got {free / 1e9:.1f}"
            f" GB free. Set {VARIABLE} to a folder on a larger disk."
        )
