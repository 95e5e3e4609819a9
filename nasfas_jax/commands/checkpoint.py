"""``nasfas checkpoint``: checkpoints of a run, their content, and their export."""

import pathlib
import sys

from nasfas_jax.commands import settings, tables
from nasfas_jax.commands.settings import Path
from nasfas_jax.errors import InputError, renaming
from nasfas_jax.workflows import checkpoint as workflow

_NAMES = {"step": "--step", "format": "--format"}


def run_list(*, workdir: Path = settings.WORKDIR) -> None:
    """Prints the checkpoints of all runs in a folder, whole or damaged."""
    tables.show(f"checkpoints in {workdir}", workflow.list_checkpoints(workdir).table())


def run_verify(*, workdir: Path = settings.WORKDIR) -> None:
    """Compares all checkpoints with their checksums; exit status 1 if any differs."""
    found = workflow.list_checkpoints(workdir)
    tables.show(f"checkpoints in {workdir}", found.table())
    print(f"{len(found.checkpoints)} checkpoints, {len(found.damaged)} damaged")
    if found.damaged:
        sys.exit(1)


def run_show(
    *, workdir: Path = settings.WORKDIR, run: str = "", step: str | None = None
) -> None:
    """Prints type, shape and norm of every array of a checkpoint."""
    with renaming(_NAMES):
        found = workflow.read_checkpoint(pathlib.Path(workdir) / run, _step(step))
    tables.show(f"{found.run}, step {found.step}", found.table())


def run_export(
    *,
    workdir: Path = settings.WORKDIR,
    run: str = "",
    step: str | None = None,
    format: str = "safetensors",
    output: Path = "export",
) -> None:
    """Writes the weights of a checkpoint to ``output``."""
    with renaming(_NAMES):
        written = workflow.export_checkpoint(
            pathlib.Path(workdir) / run, output, format=format, step=_step(step)
        )
    print(f"wrote {written}")


def _step(text: str | None) -> int | None:
    if text is not None and not str(text).isdigit():
        raise InputError(f"expected a number of steps, got {text!r}.", field="--step")
    return None if text is None else int(text)
