"""Checkpoints: the train state and the place in the data, by Orbax."""

import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp

from nasfas_jax.errors import InputError


class Checkpoints:
    """The last checkpoints of a run, in ``<folder>/checkpoints``.

    One holds the state pytree, its shapes, and the JSON state of the data iterator; all
    are written before the checkpoint gets its name: a half-written one is never read.
    """

    def __init__(self, folder: pathlib.Path, *, keep: int = 2):
        """Opens or makes the folder; ``keep`` checkpoints stay."""
        self.folder = folder / "checkpoints"
        self._manager = ocp.CheckpointManager(
            self.folder.absolute(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, enable_async_checkpointing=False
            ),
        )

    @property
    def latest(self) -> int | None:
        """The last saved step, None if there is none."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, iterator: dict) -> None:
        """Saves; a step that is there already is left as it is."""
        if step == self.latest:
            return
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            iterator=ocp.args.JsonSave(iterator),
            shapes=ocp.args.JsonSave(_shapes(state)),
        )
        self._manager.save(step, args=items)

    def restore(self, like: Any) -> tuple[Any, dict]:
        """The last state and iterator state.

        Args:
          like: a state of the same shapes; the result is placed like it.

        Raises:
          InputError: no checkpoint, or one of another network or optimizer.
        """
        if self.latest is None:
            raise InputError(
                f"There is no checkpoint in {self.folder}. Train or search with this "
                "--workdir first."
            )
        saved = self._restore(shapes=ocp.args.JsonRestore())["shapes"]
        asked = _shapes(like)
        if saved != asked:
            name = next(k for k in {**saved, **asked} if saved.get(k) != asked.get(k))
            raise InputError(
                f"The checkpoint in {self.folder} does not fit: it was written for "
                "another network, optimizer or size than is now asked for. Its "
                f"{name} is {saved.get(name, 'absent')}, where "
                f"{asked.get(name, 'nothing')} is expected. Use another --workdir, or "
                "give the settings that wrote it."
            )
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        restored = self._restore(
            state=ocp.args.StandardRestore(abstract), iterator=ocp.args.JsonRestore()
        )
        return restored["state"], restored["iterator"]

    def _restore(self, **items) -> Any:
        return self._manager.restore(self.latest, args=ocp.args.Composite(**items))

    def close(self) -> None:
        """Ends Orbax's threads."""
        self._manager.close()


def _shapes(state: Any) -> dict[str, str]:
    """Type and shape of every array by its path: what a checkpoint must agree in."""
    return {
        jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }
