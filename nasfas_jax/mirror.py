"""The folder of a run at an address: a local copy, uploaded while the run writes to it.

Files of a run are locked, appended to and renamed, and object stores do none of the three.
"""

import contextlib
import json
import pathlib
import threading
import warnings
from collections.abc import Iterator

from nasfas_jax import files, storage
from nasfas_jax.errors import InputError

#: Seconds between uploads.
EVERY = 60.0
#: Sizes and times of the local files that were uploaded, in the copy.
SENT = ".sent.json"
#: Files that describe others, and are uploaded after them.
_LAST = ("checksums", "model.json")


class Mirror:
    """The folder at an address, and the local copy that a run writes to.

    Attributes:
      address: the address.
      folder: the copy, in `storage.staging_folder`.
    """

    def __init__(self, address: str):
        """Synchronizes the local copy with the address.

        A copy that is kept from an earlier run is used as it is where nothing but that run
        has written to the address: it may be ahead.

        Raises:
          InputError: the address cannot be read, or the local disk has no room.
        """
        self.address = address
        self.folder = storage.copy_of(address)
        there = storage.listing(address)
        self._sent: dict[str, list[int]] = {}
        kept = self.folder / SENT
        if kept.exists() and storage.read_index(self.folder) == there:
            self._sent = json.loads(kept.read_text("utf-8"))
        else:
            with files.writing(self.folder):
                for name in set(self._local()) - set(there):
                    (self.folder / name).unlink()
                kept.unlink(missing_ok=True)
                self.folder.mkdir(parents=True, exist_ok=True)
            storage.fetch(address, there, self.folder)
            self._sent = self._local()
        self._there = there

    def upload(self) -> None:
        """Uploads changed files and deletes removed ones at the address.

        Checksums are uploaded after the files that they describe, and nothing is deleted
        before: what an interrupted upload leaves is refused or repeated by a run that
        resumes from it.

        Raises:
          InputError: the address cannot be written, or others have changed a file there.
        """
        local = self._local()
        changed = [name for name in local if self._sent.get(name) != local[name]]
        try:
            for name in sorted(changed, key=_order):
                if (self.folder / name).exists():  # or a checkpoint that is deleted
                    self._put(name)
                    self._sent[name] = local[name]
            for name in sorted(set(self._sent) - set(local), key=_order, reverse=True):
                with storage.reaching(self.address) as (system, root):
                    if name in self._there:
                        system.rm_file(f"{root}/{name}")
                self._there.pop(name, None)
                del self._sent[name]
        finally:
            files.write_json(self.folder / storage.INDEX, self._there)
            files.write_json(self.folder / SENT, self._sent)

    def _put(self, name: str) -> None:
        with storage.reaching(self.address) as (system, root):
            path = f"{root}/{name}"
            if storage.state(system, path) != self._there.get(name):
                raise InputError(
                    f"{self.address}/{name} was changed by another machine or process"
                    " since this one read it. Let one run alone write to an address; this"
                    f" one's files are in {self.folder}."
                )
            system.makedirs(path.rpartition("/")[0], exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                system.put_file(str(self.folder / name), path)
                state = storage.state(system, path)
                assert state is not None
                self._there[name] = state

    def _local(self) -> dict[str, list[int]]:
        """Sizes and times of change of the files of the copy."""
        found = {}
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder).as_posix()
            with contextlib.suppress(FileNotFoundError):  # renamed or deleted meanwhile
                if path.is_file() and not _passing(name):
                    found[name] = [path.stat().st_size, path.stat().st_mtime_ns]
        return found


def _order(name: str) -> tuple[bool, str]:
    return any(part in _LAST for part in name.split("/")), name


def _passing(name: str) -> bool:
    """Whether a file is incomplete, a lock, or of the copy itself."""
    own = (files.LOCK, storage.INDEX, SENT)
    return any(
        part in own or part.startswith(".part-") or ".orbax-checkpoint-tmp" in part
        for part in name.split("/")
    )


@contextlib.contextmanager
def opened(address: str, *, every: float = EVERY) -> Iterator[pathlib.Path]:
    """The local folder of an address, uploaded regularly and when the block ends.

    A run that is killed loses at the address what was written since the last upload. Where
    another process of this machine has opened the address, its folder is shared.

    Args:
      address: address of a folder, as gs://BUCKET/run, which need not exist.
      every: seconds between uploads.

    Raises:
      InputError: the address cannot be read or written, or others have changed it.
    """
    copy = storage.copy_of(address)
    with contextlib.ExitStack() as stack:
        with files.waiting(copy.with_name(f".{copy.name}.start")):
            mirror = Mirror(address) if _owned(copy, stack) else None
        if mirror is None:
            yield copy
            if _owned(copy, stack):  # else the process that has it uploads it
                Mirror(address).upload()
            return
        ended = threading.Event()
        thread = threading.Thread(target=_upload, args=(mirror, ended, every))
        thread.start()
        try:
            yield mirror.folder
        except BaseException:  # passed on, also a signal's, after a last upload
            _stop(thread, ended)
            _attempt(mirror)
            raise
        _stop(thread, ended)
        mirror.upload()


def _owned(copy: pathlib.Path, stack: contextlib.ExitStack) -> bool:
    """Whether no other process has opened the address, which the stack now has."""
    folder = copy.with_name(f".{copy.name}")
    with files.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        stack.enter_context(files.locked(folder))
    except InputError:
        return False
    return True


def _upload(mirror: Mirror, ended: threading.Event, every: float) -> None:
    """Uploads until the end; an error is repeated by the last upload."""
    while not ended.wait(every):
        _attempt(mirror)


def _attempt(mirror: Mirror) -> None:
    try:
        mirror.upload()
    except InputError as error:
        warnings.warn(f"nothing was uploaded: {error}", stacklevel=2)


def _stop(thread: threading.Thread, ended: threading.Event) -> None:
    ended.set()
    thread.join()
