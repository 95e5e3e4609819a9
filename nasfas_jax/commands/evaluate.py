"""``nasfas evaluate``: scores and error rates on the domain held out."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from nasfas_jax import evaluation, files
from nasfas_jax.commands import settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.data.loading import prepared, provenance, views
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import data as workflow_data
from nasfas_jax.workflows import evaluate as workflow
from nasfas_jax.workflows import records
from nasfas_jax.workflows import train as training
from nasfas_jax.workflows.model import Model

#: Clips of every attack type, and as many live ones, kept for the report's pictures.
EXAMPLES = 2


def run(
    config: Any,
    *,
    workdir: Path = settings.WORKDIR,
    data_dir: Path | None = None,
    network: str | None = None,
    rule: str = "eer",
    oracle: str | None = None,
) -> None:
    """Evaluates ``network``, or all of config.networks.

    The threshold is chosen by ``rule`` on the development splits of the source domains,
    and applied to the target: all splits of the target domain, or, without one, the test
    split. The model of the training gets the threshold and the results.
    """
    for name in settings.networks(config, network):
        evaluate(
            config,
            name,
            workdir=workdir,
            data_dir=data_dir,
            rule=rule,
            oracle=oracle.split(",") if oracle else (),
        )


def evaluate(
    config: Any,
    name: str,
    *,
    workdir: Path,
    data_dir: Path | None = None,
    rule: str = "eer",
    oracle: Sequence[str] = (),
) -> None:
    """Writes ``evaluate/<network>/``: record, scores.csv, result.json and example maps.

    Raises:
      InputError: no trained network, or it was trained on other data than these or
        learned from what would be tested, or another process evaluates it.
    """
    trained = pathlib.Path(workdir) / "train" / name
    model = training.trained_model(trained)
    folder = pathlib.Path(workdir) / "evaluate" / name
    with files.locked(folder):
        data = settings.open_data(config, settings.data_folder(workdir, data_dir))
        record = require_same(trained, data, settings.target(config))
        found = workflow.evaluate(
            model,
            data,
            target=settings.target(config),
            rule=rule,
            oracle=oracle,
            batch_size=config.train.batch_size,
            seed=config.seed,
            selected_on=config.selected_on,
        )
        notes = _notes(model, data, record)
        # Removed first, so that a result is never next to the record of another one.
        (folder / "result.json").unlink(missing_ok=True)
        about = records.Evaluation(
            **vars(record), tested=found.tested._asdict(), notes=notes
        )
        files.write_json(folder / records.FILE, dataclasses.asdict(about))
        evaluation.write_scores(folder / "scores.csv", found.scores)
        files.write_text(folder / "result.json", found.result.to_json())
        _save_examples(folder / "examples.npz", data, found)
        found.model.save(trained / training.MODEL)
    _print(name, found, notes)


def require_same(
    folder: pathlib.Path, data: prepared.Prepared, target: str
) -> records.Record:
    """The record of a trained network, which must have learned from these data.

    Raises:
      InputError: other data, or it learned from what would be tested.
    """
    record = records.read(folder)
    sources, _ = workflow_data.domains(data, target)
    records.require_data(folder, record, provenance.Provenance.of(data, sources))
    for learned, what in (
        (record.learned, f"The network in {folder}"),
        (record.genotype, f"The search that found the architecture of {folder}"),
    ):
        if learned is not None:
            tested = workflow_data.tested(data, target)._asdict()
            provenance.require_unseen(learned, data, tested, what=what)
    return record


def require_current(
    workdir: Path, name: str, data: prepared.Prepared, target: str
) -> records.Evaluation:
    """The record of an evaluation, which must be of the network as it is trained now.

    Raises:
      InputError: none, the network was trained further or anew since, or as
        `require_same`.
    """
    folder = pathlib.Path(workdir) / "evaluate" / name
    if not (folder / records.FILE).exists():
        raise InputError(
            f"{name} was not evaluated in {workdir}. Run nasfas evaluate"
            f" --network={name} with this --workdir."
        )
    trained = require_same(pathlib.Path(workdir) / "train" / name, data, target)
    evaluated = records.read_evaluation(folder)
    if any(vars(evaluated)[field] != value for field, value in vars(trained).items()):
        raise InputError(
            f"The results in {folder} are of an earlier training of {name}. Run nasfas"
            f" evaluate --network={name} again with this --workdir."
        )
    return evaluated


def read_results(workdir: Path, names: Sequence[str]) -> dict[str, dict]:
    """The results of those networks that were evaluated in this workdir, by name.

    Fields have their own names (`evaluation.fields_of`); ``selected_on`` tells oracles.
    """
    root = pathlib.Path(workdir) / "evaluate"
    paths = {name: root / name / "result.json" for name in names}
    return {
        name: evaluation.fields_of(json.loads(path.read_text()))
        for name, path in paths.items()
        if path.exists()
    }


def _print(name: str, found: workflow.Evaluated, notes: Sequence[str]) -> None:
    result, threshold = found.result, found.model.threshold
    assert threshold is not None  # of an evaluated model
    print(
        f"{name}: HTER {100 * result.test.hter:.1f} %, AUC {100 * result.auc:.1f} % on "
        f"{', '.join(found.tested.domains)} ({result.test_counts.videos} videos;"
        f" threshold {result.threshold:.4f} by {result.rule} from the development splits"
        f" of {', '.join(threshold.domains)})"
    )
    for warning in result.warnings:
        print(f"{name}: warning: {warning}")
    for note in notes:
        print(f"{name}: note: {note}")


def _notes(model: Model, data: prepared.Prepared, record: records.Record) -> list[str]:
    """Qualifications of the numbers: missing videos or steps, an unknown search."""
    notes = data.lists.notes() if data.lists else []
    if record.settings.get("train.select", "last") != "last":
        notes.append(
            f"step {model.steps} of {record.steps[-1]} was selected by the development"
            " error"
        )
    elif record.steps and model.steps != record.steps[-1]:
        notes.append(f"trained for {model.steps} of {record.steps[-1]} steps")
    if len(record.steps) > 1:
        extended = ", then ".join(map(str, record.steps))
        notes.append(f"training was extended: {extended} steps")
    if model.name == "searched" and record.genotype is None:
        notes.append(
            "the data that the architecture was searched on are unknown and may include"
            " tested subjects (no record beside the genotype file)"
        )
    return notes


def _save_examples(
    path: pathlib.Path, data: prepared.Prepared, found: workflow.Evaluated
) -> None:
    """Saves inputs, target and predicted map of a few test clips for the report."""
    split = data.splits["test"]
    rows = split.rows(found.tested.domains)
    kinds = split.table["attack_type"][rows]
    chosen = np.concatenate([rows[kinds == kind][:EXAMPLES] for kind in _order(kinds)])
    view = found.model.view
    images = {"static", "dynamic", "image"}
    records = split.load(chosen, (*sorted(images), *set(view.columns) - images))
    records["label"] = split.table["label"][chosen]
    # Of frames, the current one stands for the input.
    shown = "static" if view.input == "frames" else view.columns[0]
    clips = split.table["clip"][chosen]
    predicted = np.stack([found.maps[clip] for clip in clips])
    with files.whole(path) as unfinished:
        np.savez_compressed(
            unfinished,
            captions=split.table["attack_type"][chosen],
            static=records["static"],
            dynamic=records["dynamic"],
            input=records[shown],
            target=views.target_map(records, view),
            predicted=predicted,
            scores=found.model.score(predicted),
        )


def _order(kinds: np.ndarray) -> list[str]:
    """Live first, then the attack types."""
    return sorted(set(kinds), key=lambda kind: (kind != "live", kind))
