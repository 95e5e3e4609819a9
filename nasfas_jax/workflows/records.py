"""The record of a search or a training: its settings, its data and its steps.

It is written when the work starts, as ``record.json`` in the folder of the stage, and
compared by whatever resumes, evaluates, reports or predicts: a run never becomes another
one, and nothing is tested on what it learned from.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any, TypeVar

from nasfas_jax import files
from nasfas_jax.data.loading.provenance import Provenance
from nasfas_jax.errors import InputError
from nasfas_jax.runtime import processes

FILE, SUMMARY = "record.json", "summary.json"
#: Cure of a file that a search left and that cannot be read.
SEARCH_AGAIN = "Search again; a finished search is not repeated."
#: Settings that change no result: how often progress is written down.
FREE = ("development_every", "log_every", "save_every", "steps")


@dataclasses.dataclass(frozen=True)
class Record:
    """Settings, data and steps that produced a network or an architecture.

    Attributes:
      settings: values that decide the result, by the full names of their fields.
      learned: the training data.
      steps: requested numbers of steps: one, and each higher one that a later start
        asked for; empty where the method has no steps.
      genotype: training data of the search that found the architecture; None where the
        network has none or where its search left no record.
    """

    settings: dict[str, Any]
    learned: Provenance
    steps: list[int]
    genotype: Provenance | None = None


def decisive(settings: dict[str, Any]) -> dict[str, Any]:
    """Nested settings by their full names, without those that change no result.

    >>> decisive({"seed": 0, "train": {"decay": "cosine", "log_every": 10}})
    {'seed': 0, 'train.decay': 'cosine'}
    """
    flat = _flat(settings)
    return {k: v for k, v in flat.items() if k.rpartition(".")[2] not in FREE}


def section(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """The settings of a section by their own names.

    >>> section({"seed": 0, "train.view.input": "static"}, "train.view")
    {'input': 'static'}
    """
    prefix = f"{name}."
    found = {k: v for k, v in settings.items() if k.startswith(prefix)}
    return {k.removeprefix(prefix): v for k, v in found.items()}


def nested(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings by their full names as nested dicts, the inverse of `decisive`.

    >>> nested({"seed": 0, "train.view.input": "static"})
    {'seed': 0, 'train': {'view': {'input': 'static'}}}
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        *sections, key = name.split(".")
        within = found
        for one in sections:
            within = within.setdefault(one, {})
        within[key] = value
    return found


@dataclasses.dataclass(frozen=True)
class Evaluation(Record):
    """The record of an evaluated network.

    Attributes:
      tested: fields of `data.Tested`.
      notes: what qualifies the numbers, one sentence each.
    """

    tested: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)


def read(folder: pathlib.Path) -> Record:
    """The record in the folder of a search or a training.

    Raises:
      InputError: there is none, or it is damaged.
    """
    return _read(folder, Record)


def read_evaluation(folder: pathlib.Path) -> Evaluation:
    """The record in the folder of an evaluation.

    Raises:
      InputError: there is none, or it is damaged.
    """
    return _read(folder, Evaluation)


R = TypeVar("R", bound=Record)


def _read(folder: pathlib.Path, kind: type[R]) -> R:
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["learned"] = Provenance(**content["learned"])
        if content["genotype"] is not None:
            content["genotype"] = Provenance(**content["genotype"])
        return kind(**content)
    except FileNotFoundError:
        raise InputError(
            f"There is no {path}, so the training data of {folder} are unknown. Search or"
            f" train into this folder first, or remove {folder} to begin anew."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The record {path} is damaged ({error!r}). Remove {folder} to begin anew."
        ) from None


@contextlib.contextmanager
def opened(
    folder: str | os.PathLike | None, record: Record, **run: Any
) -> Iterator[pathlib.Path]:
    """The locked folder of work whose record is begun, a temporary one for None.

    Process 0 writes; all others must ask for the same work with the same code.

    Args:
      folder: folder of the search or training.
      record: what is requested.
      **run: settings that change no result, and must be the same in all processes.

    Raises:
      InputError: as `begin`; processes that differ, or several of them without a folder.
    """
    if folder is None and processes.count() > 1:
        raise InputError("expected a folder for several processes.", field="folder")
    if processes.count() > 1:
        versions = processes.versions()
        asked = {**dataclasses.asdict(record), "run": run, "versions": versions}
        processes.require_same("work", _flat(asked))
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = pathlib.Path(folder)
        stack.enter_context(processes.locked(path))
        processes.once(lambda: begin(path, record))
        yield path


def begin(folder: pathlib.Path, record: Record) -> None:
    """Writes the record of work that starts; compares with it where the work resumes.

    Args:
      folder: folder of the search or training.
      record: what is requested.

    Raises:
      InputError: the folder holds work with other settings, other data, or more steps.
    """
    if not (folder / FILE).exists():
        if any(folder.glob("checkpoints/*")):
            read(folder)  # the checkpoints of unknown data
        files.write_json(folder / FILE, dataclasses.asdict(record))
        return
    recorded = read(folder)
    require_same(folder, recorded, record)
    if record.steps != recorded.steps[-1:]:
        longer = dataclasses.replace(recorded, steps=[*recorded.steps, *record.steps])
        files.write_json(folder / FILE, dataclasses.asdict(longer))


def require_same(folder: pathlib.Path, recorded: Record, asked: Record) -> None:
    """Requires the recorded settings and data; more steps are allowed.

    Raises:
      InputError: lists the differences.
    """
    phrases = _differences(recorded.settings, asked.settings)
    phrases += recorded.learned.differences(asked.learned)
    if recorded.genotype and asked.genotype:
        found = recorded.genotype.differences(asked.genotype)
        phrases += [f"of the search, {phrase}" for phrase in found]
    if recorded.steps and asked.steps and asked.steps[-1] < recorded.steps[-1]:
        phrases.append(f"steps was {recorded.steps[-1]} and is {asked.steps[-1]}")
    _refuse(folder, phrases)


def require_data(folder: pathlib.Path, recorded: Record, asked: Provenance) -> None:
    """Requires the recorded training data.

    Raises:
      InputError: lists the differences.
    """
    _refuse(folder, recorded.learned.differences(asked))


def read_summary(folder: pathlib.Path) -> dict[str, Any]:
    """Content of ``summary.json``; empty if there is none."""
    path = folder / SUMMARY
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def summarize(
    folder: pathlib.Path, cost: dict[str, Any], steps: int, seconds: float, wall: float
) -> dict[str, Any]:
    """Writes ``summary.json``, unless an earlier start finished the same steps.

    Args:
      folder: folder of the search or training.
      cost: numbers of parameters and multiply-adds, or other facts.
      steps: number of steps.
      seconds: time of the steps of all starts.
      wall: time of this start; that of earlier ones is added.

    Returns:
      Its content: ``cost``, ``steps``, ``seconds`` and ``wall_seconds``.
    """
    before = read_summary(folder)
    if before.get("steps") == steps:
        return before
    wall += before.get("wall_seconds", 0.0)
    summary = {**cost, "steps": steps, "seconds": seconds, "wall_seconds": wall}
    files.write_json(folder / SUMMARY, summary)
    return summary


def genotype_provenance(genotype_file: pathlib.Path) -> Provenance | None:
    """Training data of the search that wrote a genotype file; None if unknown."""
    folder = genotype_file.parent
    return read(folder).learned if (folder / FILE).exists() else None


def _differences(recorded: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    recorded, asked = (json.loads(json.dumps(one)) for one in (recorded, asked))
    return [
        f"{name} was {recorded.get(name)!r} and is {asked.get(name)!r}"
        for name in {**recorded, **asked}
        if recorded.get(name) != asked.get(name)
    ]


def _refuse(folder: pathlib.Path, phrases: list[str]) -> None:
    if phrases:
        raise InputError(
            f"{folder} was made with other settings or data than are requested:"
            f" {'; '.join(phrases)}. Repeat the call with these settings and data, choose"
            f" another folder, or remove {folder} to begin anew."
        )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted names.

    >>> _flat({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
