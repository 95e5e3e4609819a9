"""``nasfas evaluate``: scores and error rates on the domain held out."""

import json

import numpy as np

from nasfas_jax import evaluation, files, nets
from nasfas_jax.commands import train
from nasfas_jax.commands.run import Run
from nasfas_jax.data import pipeline

#: Clips of every attack type, and as many live ones, kept for the report's pictures.
EXAMPLES = 2


def run(run: Run) -> None:
    """Evaluates ``--network``, or all of config.networks.

    The threshold is chosen by ``--rule`` on the development parts of the source domains
    (where false acceptance and false rejection are equal, if not given), and applied to
    the target: all parts of the target domain, or, without one, the test parts. The last
    checkpoint is tested.
    """
    for name in run.networks:
        evaluate(run, name)
    for note in run.notes:
        print(f"note: {note}")


def evaluate(run: Run, name: str) -> None:
    """Writes ``evaluate/<network>/``: scores.csv, result.json and example maps."""
    rating = run.rating
    predict = train.load(run, name)
    data = run.open_data()
    sources, targets = run.domains(data)
    # No part of an unseen domain was learned from: all of it is the test set.
    tested = list(data.splits) if run.target_domain else ["test"]
    parts = [("development", "development", sources)]
    parts += [(part, "test", targets) for part in tested]
    _require_disjoint(data, [("train", "train", sources), *parts])
    columns, maps = [], {}
    for part, split, domains in parts:
        batches = pipeline.eval_batches(
            data,
            domains=domains,
            split=part,
            batch_size=run.config.train.batch_size,
            **run.view,
        )
        for batch, about in batches:
            predicted = predict(batch["image"])[batch["valid"]]
            score = np.asarray(nets.score(predicted))
            named = np.full(len(score), split)
            columns.append({**about, "score": score, "split": named})
            if part == "test":
                maps |= dict(zip(about["clip"], predicted, strict=True))
    table = evaluation.ScoreTable(
        **{
            name: np.concatenate([part[name] for part in columns])
            for name in evaluation.COLUMNS
        },
        selected_on=run.config.selected_on,
    )
    folder = run.folder("evaluate", name)
    evaluation.write_scores(folder / "scores.csv", table)
    result = evaluation.evaluate(table, seed=run.config.seed, **rating)
    files.write_text(folder / "result.json", result.to_json())
    _save_examples(folder / "examples.npz", data, targets, maps)
    print(
        f"{name}: HTER {100 * result.test.hter:.1f} %, AUC {result.auc:.4f} on "
        f"{', '.join(targets)} ({result.test_counts.videos} videos; threshold "
        f"{result.threshold:.4f} by {result.rule} from the development parts of "
        f"{', '.join(sources)})"
    )
    for warning in result.warnings:
        print(f"{name}: warning: {warning}")


def _require_disjoint(data, parts) -> None:
    """Refuse to test people or videos that were learned from."""
    columns = {"video": [], "subject": [], "split": []}
    for part, split, domains in parts:
        table = data.splits[part].table
        rows = data.splits[part].rows(domains)
        columns["video"].append(table["video"][rows])
        columns["subject"].append(table["subject"][rows])
        columns["split"].append(np.full(len(rows), split))
    evaluation.check_leakage({k: np.concatenate(v) for k, v in columns.items()})


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
    """The results of the networks that were evaluated in this workdir, by name."""
    paths = {
        name: run.workdir / "evaluate" / name / "result.json" for name in run.networks
    }
    return {
        name: json.loads(path.read_text())
        for name, path in paths.items()
        if path.exists()
    }
