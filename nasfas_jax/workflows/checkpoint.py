"""Checkpoints of a run: which there are, their content, and their export."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import safetensors.numpy

from nasfas_jax import files, limits, runtime, tables
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import model_files
from nasfas_jax.workflows.train import trained_model

#: Exports: the arrays by name, or the folder of a model that `Model.load` reads.
FORMATS = ("safetensors", "model")
#: Parts of a state that an export of arrays holds.
EXPORTED = ("params", "batch_stats", "alphas")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a run.

    Attributes:
      run: folder of the run, which holds ``checkpoints/``.
      step: number of steps done.
      bytes: size of its files.
      damage: difference from its checksums; '' for a whole one.
    """

    run: pathlib.Path
    step: int
    bytes: int
    damage: str


@dataclasses.dataclass(frozen=True, repr=False)
class Listing:
    """Checkpoints of the runs in a folder, each compared with its checksums."""

    checkpoints: tuple[Checkpoint, ...]

    @property
    def damaged(self) -> list[Checkpoint]:
        """Those that are incomplete or changed."""
        return [one for one in self.checkpoints if one.damage]

    def table(self) -> tables.Rows:
        """The checkpoints as rows of text, header first."""
        rows = [["run", "step", "MB", "state"]]
        for one in self.checkpoints:
            size = f"{one.bytes / 1e6:.1f}"
            rows.append([str(one.run), str(one.step), size, one.damage or "whole"])
        return rows

    def __repr__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> str:
        return tables.as_html(self.table())


@dataclasses.dataclass(frozen=True, repr=False)
class Content:
    """The arrays of a checkpoint.

    Attributes:
      run: folder of the run.
      step: number of steps done.
      arrays: by their names, as 'params.conv.kernel'.
    """

    run: pathlib.Path
    step: int
    arrays: dict[str, np.ndarray]

    def table(self) -> tables.Rows:
        """Type, shape and L2 norm of the arrays as rows of text, header first."""
        rows = [["array", "type", "shape", "norm"]]
        for name, array in self.arrays.items():
            norm = np.linalg.norm(array.astype(np.float64).ravel())
            rows.append([name, str(array.dtype), str(list(array.shape)), f"{norm:.6g}"])
        return rows

    def __repr__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> str:
        return tables.as_html(self.table())


def list_checkpoints(folder: str | pathlib.Path) -> Listing:
    """The checkpoints of all runs in a folder, latest first in each run.

    Raises:
      InputError: there is no run with checkpoints.
    """
    found = []
    for run in _runs(folder):
        with _opened(run) as checkpoints:
            for step in checkpoints.steps:
                size = checkpoints.size(step)
                damage = checkpoints.damage(step) or ""
                found.append(Checkpoint(run, step, size, damage))
    return Listing(tuple(found))


def read_checkpoint(folder: str | pathlib.Path, step: int | None = None) -> Content:
    """The arrays of a checkpoint, on this machine, whatever mesh it was saved from.

    Args:
      folder: folder of one run, or one in which there is only one.
      step: number of steps done; None for the last whole checkpoint.

    Raises:
      InputError: no such checkpoint, a damaged one, or several runs.
    """
    limits.require(step=(step, limits.OrNone(limits.COUNT_OR_NONE)))
    run = _run(folder)
    with _opened(run) as checkpoints:
        chosen = checkpoints.last_whole if step is None else step
        if chosen not in checkpoints.steps:
            raise InputError(
                f"expected a step of the checkpoints in {checkpoints.folder},"
                f" {', '.join(map(str, checkpoints.steps))}, got {chosen}.",
                field="step",
            )
        if damage := checkpoints.damage(chosen):
            raise InputError(
                f"The checkpoint of step {chosen} in {checkpoints.folder} is damaged"
                f" ({damage}). Choose another step, or restore it from a copy."
            )
        arrays = model_files.named(checkpoints.arrays(chosen))
    return Content(run, chosen, arrays)


def export_checkpoint(
    folder: str | pathlib.Path,
    output: str | pathlib.Path,
    *,
    format: str = "safetensors",
    step: int | None = None,
) -> pathlib.Path:
    """Writes the weights of a checkpoint.

    Args:
      folder: as in `read_checkpoint`.
      output: folder for what is written.
      format: 'safetensors', a file of the arrays `EXPORTED` by their names, which `train`
        takes as ``start``; or 'model', the folder of a model, of a training.
      step: as in `read_checkpoint`; the last one for 'model'.

    Returns:
      The file or folder.

    Raises:
      InputError: as `read_checkpoint`; an unknown format; a model of a search, or of
        another step than the last.
    """
    limits.require(format=(format, limits.OneOf(FORMATS)))
    output = pathlib.Path(output)
    if format == "model":
        if step is not None:
            raise InputError(
                f"expected None for a model, which is that of the last checkpoint, got"
                f" {step}; the format 'safetensors' takes any step.",
                field="step",
            )
        trained_model(_run(folder)).save(output)
        return output
    content = read_checkpoint(folder, step)
    arrays = {
        name: np.asarray(array, order="C")
        for name, array in content.arrays.items()
        if name.partition(".")[0] in EXPORTED
    }
    with files.writing(output):
        output.mkdir(parents=True, exist_ok=True)
        with files.whole(path := output / f"step{content.step}.safetensors") as part:
            part.write_bytes(safetensors.numpy.save(arrays))
    return path


def _runs(folder: str | pathlib.Path) -> list[pathlib.Path]:
    """Folders of runs in a folder, itself included."""
    limits.require(folder=(folder, limits.PATH))
    found = pathlib.Path(folder).rglob("checkpoints")
    runs = sorted(path.parent for path in found if path.is_dir())
    if not runs:
        raise InputError(
            f"There are no checkpoints in {folder}. Train or search into this folder"
            " first, or give the folder of a run."
        )
    return runs


def _run(folder: str | pathlib.Path) -> pathlib.Path:
    runs = _runs(folder)
    if len(runs) > 1:
        names = ", ".join(str(run.relative_to(folder)) for run in runs)
        raise InputError(
            f"{folder}: expected one run, got several: {names}. Choose one of them."
        )
    return runs[0]


@contextlib.contextmanager
def _opened(run: pathlib.Path) -> Iterator[Any]:
    with runtime.Checkpoints(run) as checkpoints:
        yield checkpoints
