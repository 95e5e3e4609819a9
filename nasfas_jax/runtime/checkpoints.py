"""Checkpoints: the training state and the position in the data, stored by Orbax."""

import contextlib
import json
import pathlib
import shutil
import warnings
from collections.abc import Iterator
from concurrent import futures
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from absl import logging

from nasfas_jax import files
from nasfas_jax.errors import InputError
from nasfas_jax.runtime import processes

#: Bytes of a checkpoint beside its arrays, rounded up.
OVERHEAD = 500_000


class DamagedCheckpoint(UserWarning):
    """A checkpoint is incomplete or changed, and an earlier one is used instead."""


class Restored(NamedTuple):
    """A checkpoint: number of steps done, state, and state of the data iterator."""

    step: int
    state: Any
    iterator: dict


class Checkpoints:
    """The last checkpoints of a run, in ``<folder>/checkpoints``.

    Each holds the state pytree, its shapes, and the JSON state of the data iterator.
    ``<folder>/checksums/<step>.json`` is written last and holds the size and SHA-256 of
    every file: a checkpoint that is incomplete or changed is never restored.

    A checkpoint is written while the caller goes on; an error is raised by the next call.
    With several processes each writes its own part of the arrays, and process 0 the rest:
    all of them make the same calls.
    """

    def __init__(self, folder: pathlib.Path, *, keep: int = 2, sweep: bool = False):
        """Opens or makes the folder.

        Args:
          folder: folder of the run.
          keep: number of checkpoints that are kept, the last ones.
          sweep: whether to delete what a killed process was writing; for the one that
            writes.
        """
        self.folder = folder / "checkpoints"
        self._checksums = folder / "checksums"
        self._manager = ocp.CheckpointManager(
            self.folder.absolute(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, cleanup_tmp_directories=sweep
            ),
        )
        self._pool = futures.ThreadPoolExecutor(1)
        self._pending: futures.Future | None = None

    @property
    def steps(self) -> list[int]:
        """Steps of all checkpoints, whole or damaged, latest first."""
        return sorted(self._manager.all_steps(), reverse=True)

    def save(self, step: int, state: Any, iterator: dict) -> None:
        """Saves a checkpoint; one of this step that is there already is kept.

        Returns when the arrays are copied; the files are complete after `wait`.

        Raises:
          InputError: the disk has no room for it.
        """
        if step in self.steps:
            return
        self.wait()
        processes.once(lambda: self.require_room(step, state))
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            iterator=ocp.args.JsonSave(iterator),
            shapes=ocp.args.JsonSave(_shapes(state)),
        )
        with _quiet():
            self._manager.save(step, args=items)
        self._pending = self._pool.submit(self._finish, step)

    def _finish(self, step: int) -> None:
        """Waits for the files of a checkpoint and writes their checksums."""
        with _quiet():
            self._manager.wait_until_finished()
        if not processes.is_first():
            return
        self._checksums.mkdir(exist_ok=True)
        files.write_json(self._checksum_file(step), self._contents(step))
        kept = {self._checksum_file(one) for one in self.steps}
        for path in self._checksums.iterdir():
            if path not in kept:
                path.unlink()

    def wait(self) -> None:
        """Waits until the last checkpoint is complete, and raises what went wrong."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def require_room(self, step: int, state: Any) -> None:
        """Requires room for a checkpoint; Orbax's threads do not end cleanly on a full disk.

        Raises:
          InputError: the disk is full.
        """
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + OVERHEAD
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            last = f"step {self.steps[0]}" if self.steps else "none yet"
            raise InputError(
                f"The disk that holds {self.folder} is full: the checkpoint of step {step}"
                f" needs {needed / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free. Free some"
                " space, or choose another folder; the same call resumes from the last"
                f" checkpoint ({last})."
            )

    def restore(self, like: Any) -> Restored:
        """The last whole checkpoint.

        Args:
          like: a state of the same shapes; the result is placed like it.

        Raises:
          InputError: no checkpoint, none that is whole, or one of another network,
            optimizer or version.

        Warns:
          DamagedCheckpoint: a later checkpoint is incomplete or changed.
        """
        step = processes.once(lambda: self.last_whole)
        saved = self._restore(step, shapes=ocp.args.JsonRestore())["shapes"]
        asked = _shapes(like)
        if saved != asked:
            name = next(k for k in {**saved, **asked} if saved.get(k) != asked.get(k))
            raise InputError(
                f"The checkpoint in {self.folder} does not fit: it was written for "
                "another network, optimizer or size than is requested. Its "
                f"{name} is {saved.get(name, 'absent')}, where "
                f"{asked.get(name, 'nothing')} is expected. Use another folder, or give "
                "the settings that wrote it."
            )
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        try:
            restored = self._restore(
                step,
                state=ocp.args.StandardRestore(abstract),
                iterator=ocp.args.JsonRestore(),
            )
        except ValueError as error:  # equal arrays in another structure
            raise InputError(
                f"The checkpoint in {self.folder} does not fit: it was written by another"
                " version of this program, whose states have other fields. Use another"
                f" folder, or the version that wrote it. ({error!s:.300})"
            ) from None
        return Restored(step, restored["state"], restored["iterator"])

    def arrays(self, step: int) -> Any:
        """The state of a checkpoint as NumPy arrays, from whatever mesh it was saved.

        Fields of states and optimizers are the keys of dicts.
        """
        path = self._manager.directory / str(step) / "state"
        reader = ocp.StandardCheckpointHandler()
        here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        like = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here),
            reader.metadata(path).tree,
        )
        return jax.device_get(reader.restore(path, args=ocp.args.StandardRestore(like)))

    def size(self, step: int) -> int:
        """Bytes of the files of a checkpoint."""
        paths = (self.folder / str(step)).rglob("*")
        return sum(path.stat().st_size for path in paths if path.is_file())

    def drop_after(self, step: int) -> None:
        """Deletes the checkpoints after ``step``, which a resumed run writes again."""

        def delete() -> None:
            for later in self.steps:
                if later > step:
                    # Orbax deletes only what it can read.
                    shutil.rmtree(self.folder / str(later))

        processes.once(delete)
        self._manager.reload()

    def __enter__(self) -> "Checkpoints":
        """The checkpoints, closed after the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Closes, unless another process was lost, for whose part a save would wait."""
        lost = kind is not None and issubclass(kind, jax.errors.JaxRuntimeError)
        if not (lost and processes.count() > 1):
            self.close()

    def close(self) -> None:
        """Waits for the last checkpoint and ends all threads."""
        try:
            self.wait()
        finally:
            self._pool.shutdown()
            self._manager.close()

    @property
    def last_whole(self) -> int:
        """Step of the last whole checkpoint.

        Raises:
          InputError: there is none.

        Warns:
          DamagedCheckpoint: a later checkpoint is incomplete or changed.
        """
        damaged = []
        for step in self.steps:
            reason = self.damage(step)
            if reason is None:
                break
            damaged.append(f"step {step}: {reason}")
        else:
            if damaged:
                raise InputError(
                    f"All checkpoints in {self.folder} are damaged"
                    f" ({'; '.join(damaged)}). Expected at least one whole checkpoint:"
                    f" restore the folder from a copy, or remove {self.folder.parent}"
                    " to begin anew."
                )
            raise InputError(
                f"There is no checkpoint in {self.folder}. Train or search into this "
                "folder first."
            )
        if damaged:
            warnings.warn(
                f"{self.folder}: damaged checkpoint, {'; '.join(damaged)}; using the"
                f" checkpoint of step {step} instead",
                DamagedCheckpoint,
                stacklevel=3,
            )
        return step

    def damage(self, step: int) -> str | None:
        """The difference of a checkpoint from its checksums; None for a whole one."""
        path = self._checksum_file(step)
        if not path.exists():
            return "no checksums, so writing it was interrupted"
        try:
            expected = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return f"{path} is damaged"
        found = self._contents(step)
        for name in sorted({*expected, *found}):
            if name not in found:
                return f"{name} is missing"
            if name not in expected:
                return f"{name} was added"
            if found[name] != expected[name]:
                return f"{name} is cut or changed"
        return None

    def _contents(self, step: int) -> dict[str, list]:
        """Size and digest of each file of a checkpoint, by its path below its folder."""
        folder = self.folder / str(step)
        return {
            path.relative_to(folder).as_posix(): [
                path.stat().st_size,
                files.digest([path]),
            ]
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def _checksum_file(self, step: int) -> pathlib.Path:
        return self._checksums / f"{step}.json"

    def _restore(self, step: int, **items) -> Any:
        return self._manager.restore(step, args=ocp.args.Composite(**items))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Orbax from logging the tracebacks of its threads: it raises their error.

    After an error it stays quiet, since the threads may end later than the block. Where
    all messages are asked for (--verbosity=0) they are shown.
    """
    verbosity = logging.get_verbosity()
    if verbosity < logging.INFO:
        logging.set_verbosity(logging.FATAL)
    yield
    logging.set_verbosity(verbosity)


def _shapes(state: Any) -> dict[str, str]:
    """Type and shape of every array by its path, which a checkpoint must match."""
    return {
        jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }
