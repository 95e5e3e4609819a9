"""``nasfas evaluate``: scores and error rates on the domain held out."""

import dataclasses
import json
from collections.abc import Callable

import numpy as np

from nasfas_jax import evaluation, files
from nasfas_jax.commands import train
from nasfas_jax.commands.run import Run
from nasfas_jax.data.loading import pipeline, prepared
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import evaluate as workflow
from nasfas_jax.workflows import records

#: Clips of every attack type, and as many live ones, kept for the report's pictures.
EXAMPLES = 2


def run(run: Run) -> None:
    """Evaluates ``--network``, or all of config.networks.

    The threshold is chosen by ``--rule`` on the development splits of the source domains
    (where false acceptance and false rejection are equal, if not given), and applied to
    the target: all splits of the target domain, or, without one, the test split. The last
    checkpoint is tested.
    """
    for name in run.networks:
        evaluate(run, name)


def evaluate(run: Run, name: str) -> None:
    """Writes ``evaluate/<network>/``: record, scores.csv, result.json and example maps.

    Raises:
      InputError: the network was trained with other settings or data, or learned from
        what would be tested, or another process evaluates it.
    """
    rating = run.rating
    predict = train.load(run, name)
    with files.locked(run.folder("evaluate", name)):
        _evaluate(run, name, rating, predict)


def _evaluate(run: Run, name: str, rating: dict, predict: Callable) -> None:
    data = run.open_data()
    record = require_same(run, name, data)
    sources, targets = run.domains(data)
    tested = run.tested(data)
    scored = workflow.score(
        predict,
        data,
        sources=sources,
        tested=tested,
        view=pipeline.View(**run.view),
        batch_size=run.config.train.batch_size,
        selected_on=run.config.selected_on,
    )
    folder = run.folder("evaluate", name)
    notes = _notes(run, name, data, record)
    # The result is removed first: it never stands beside the record of another one.
    (folder / "result.json").unlink(missing_ok=True)
    about = records.Evaluation(**vars(record), tested=tested._asdict(), notes=notes)
    files.write_json(folder / records.FILE, dataclasses.asdict(about))
    evaluation.write_scores(folder / "scores.csv", scored.table)
    result = evaluation.evaluate(scored.table, seed=run.config.seed, **rating)
    files.write_text(folder / "result.json", result.to_json())
    _save_examples(folder / "examples.npz", data, targets, scored.maps)
    print(
        f"{name}: HTER {100 * result.test.hter:.1f} %, AUC {100 * result.auc:.1f} % on "
        f"{', '.join(targets)} ({result.test_counts.videos} videos; threshold "
        f"{result.threshold:.4f} by {result.rule} from the development splits of "
        f"{', '.join(sources)})"
    )
    for warning in result.warnings:
        print(f"{name}: warning: {warning}")
    for note in notes:
        print(f"{name}: note: {note}")


def require_same(run: Run, name: str, data: prepared.Prepared) -> records.Record:
    """The record of a trained network, which must be what the run asks for.

    Raises:
      InputError: other settings or data, or it learned from what would be tested.
    """
    folder = run.workdir / "train" / name
    record = records.read(folder)
    asked = train.make_record(run, name, data)
    records.require_same(folder, record, asked)
    for learned, what in (
        (record.learned, f"The network in {folder}"),
        (record.genotype, f"The search that found the architecture of {folder}"),
    ):
        if learned is not None:
            train.require_unseen(run, data, learned, what)
    return record


def require_current(run: Run, name: str, data: prepared.Prepared) -> records.Evaluation:
    """The record of an evaluation, which must be of the network as it is trained now.

    Raises:
      InputError: the network was trained further or anew since, or as `require_same`.
    """
    return _evaluation_of(run, name, require_same(run, name, data))


def read_threshold(run: Run, name: str) -> float | None:
    """The threshold of a network's evaluation; None where it was not evaluated.

    Raises:
      InputError: the network was trained further or anew since.
    """
    result = read_results(run).get(name)
    if result is None:
        return None
    _evaluation_of(run, name, records.read(run.workdir / "train" / name))
    return result["threshold"]


def _evaluation_of(run: Run, name: str, trained: records.Record) -> records.Evaluation:
    folder = run.workdir / "evaluate" / name
    evaluated = records.read_evaluation(folder)
    if any(vars(evaluated)[field] != value for field, value in vars(trained).items()):
        raise InputError(
            f"The results in {folder} are of an earlier training of {name}. Run nasfas"
            f" evaluate --network={name} again with this --workdir."
        )
    return evaluated


def _notes(
    run: Run, name: str, data: prepared.Prepared, record: records.Record
) -> list[str]:
    """What qualifies the numbers: missing videos and steps, an unknown search."""
    notes = data.lists.notes() if data.lists else []
    step = train.last_step(run, name)
    if step is not None and step != record.steps[-1]:
        notes.append(f"trained for {step} of {record.steps[-1]} steps")
    if len(record.steps) > 1:
        extended = ", then ".join(map(str, record.steps))
        notes.append(f"training was extended: {extended} steps")
    if name == "searched" and record.genotype is None:
        notes.append(
            "the data that the architecture was searched on are unknown and may include"
            " tested subjects (no record beside the genotype file)"
        )
    return notes


def _save_examples(path, data, targets, maps) -> None:
    """What the report shows: inputs, target and predicted map of a few test clips."""
    part = data.splits["test"]
    rows = part.rows(targets)
    kinds = part.table["attack_type"][rows]
    chosen = np.concatenate([rows[kinds == kind][:EXAMPLES] for kind in _order(kinds)])
    records = part.load(chosen, ("static", "dynamic", "image", "depth"))
    clips = part.table["clip"][chosen]
    with files.whole(path) as unfinished:
        np.savez_compressed(
            unfinished,
            captions=part.table["attack_type"][chosen],
            predicted=np.stack([maps[clip] for clip in clips]),
            **records,
        )


def _order(kinds) -> list[str]:
    """Live first, then the attack types."""
    return sorted(set(kinds), key=lambda kind: (kind != "live", kind))


def read_results(run: Run) -> dict[str, dict]:
    """The results of the networks that were evaluated in this workdir, by name.

    Fields have their own names (`evaluation.fields_of`); ``selected_on`` tells oracles.
    """
    paths = {
        name: run.workdir / "evaluate" / name / "result.json" for name in run.networks
    }
    return {
        name: evaluation.fields_of(json.loads(path.read_text()))
        for name, path in paths.items()
        if path.exists()
    }
