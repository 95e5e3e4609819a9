"""``nasfas report``: one HTML page with all results of a run."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nasfas_jax import evaluation, runtime
from nasfas_jax.commands import evaluate, seeds, settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.data.loading import select
from nasfas_jax.data.loading.prepared import Prepared
from nasfas_jax.data.preparation import prepare
from nasfas_jax.errors import InputError
from nasfas_jax.report import cells, figures, page
from nasfas_jax.search import comparison, genotype
from nasfas_jax.workflows import (
    collapse,
    contact_sheets,
    instruments,
    records,
    trade_off,
)

#: Meta-NAS by config.search.by, as NAS-FAS calls it.
AWARE = {
    "domain": "Domain-aware",
    "macro_type": "Type-aware",
    "half": "Half-split",
}


def run(
    config: Any,
    *,
    workdir: Path = settings.WORKDIR,
    data_dir: Path | None = None,
    network: str | None = None,
) -> None:
    """Writes ``report.html`` from what evaluate, train and search left in the workdir."""
    workdir = pathlib.Path(workdir)
    names = settings.networks(config, network)
    results = evaluate.read_results(workdir, names)
    if not results:
        raise InputError(
            f"Nothing in {workdir} was evaluated yet; run nasfas evaluate with "
            f"this --workdir first (networks: {', '.join(names)})."
        )
    prepared = settings.open_data(config, settings.data_folder(workdir, data_dir))
    target = settings.target(config)
    evaluated = {
        name: evaluate.require_current(workdir, name, prepared, target)
        for name in results
    }
    settings.make_folder(workdir / "report")
    sections = [
        *_seeds(config, workdir),
        _curves(workdir, results),
        *_searched(workdir),
        *_agreement(config, workdir),
        *_training(workdir, results),
        *_faces(workdir, results),
        *_dataset(workdir, prepared),
        *_settings(workdir, results),
    ]
    path = workdir / "report.html"
    page.render(
        path,
        title=f"nasfas: {config.get('protocol') or config.title}",
        summary=summarize(evaluated),
        rows=[seeds.row(workdir, *item) for item in results.items()],
        sections=sections,
        facts=_facts(evaluated) | runtime.describe_machine(),
    )
    print(f"report: {path}")


def _facts(evaluated: dict[str, records.Evaluation]) -> dict[str, str]:
    """The protocol's lists and the notes of the evaluations."""
    learned = next(iter(evaluated.values())).learned
    facts = {"protocol": f"{learned.dataset}, lists {learned.lists}"}
    notes: dict[str, list[str]] = {}
    for name, record in evaluated.items():
        for note in record.notes:
            notes.setdefault(note, []).append(name)
    texts = [f"{note} ({', '.join(names)})" for note, names in notes.items()]
    return (facts if learned.lists else {}) | (
        {"note": "; ".join(texts)} if texts else {}
    )


def summarize(evaluated: dict[str, records.Evaluation]) -> str:
    """Sentences on the training and test data of the networks, from their records."""
    first = next(iter(evaluated.values()))
    side = first.learned.recipe["image_size"]
    sentences = [
        f"Dataset {first.learned.dataset}, faces of {side} x {side} pixels.",
        f"Learned on {', '.join(first.learned.domains)};"
        f" tested on {', '.join(first.tested['domains'])}{_unseen(evaluated)}.",
    ]
    differing = _differing_settings(evaluated)
    if len(evaluated) > 1 and not differing:
        sentences.append(
            "Every network was trained for the same steps on the same batches."
        )
    elif differing:
        sentences.append(
            f"The networks were trained with different settings: {', '.join(differing)}."
        )
    return " ".join([*sentences, "The last checkpoint was tested."])


def _unseen(evaluated: dict[str, records.Evaluation]) -> str:
    """Clause on an unseen domain, as far as the records support it; '' if none."""
    if not all(record.tested["unseen"] for record in evaluated.values()):
        return ""
    unknown = evaluated.get("searched")
    if unknown and unknown.genotype is None:
        return (
            ", which no training used (whether the search of the architecture used it"
            " is unknown)"
        )
    return ", which no part of searching or training used"


def _differing_settings(evaluated: dict[str, records.Evaluation]) -> list[str]:
    """Names of the training settings in which the networks differ, and ``steps``."""
    settings = [
        {k: v for k, v in record.settings.items() if not k.startswith("network.")}
        | ({"steps": record.steps} if record.steps else {})
        for record in evaluated.values()
    ]
    names = sorted({name for one in settings for name in one})
    values = {name: [one[name] for one in settings if name in one] for name in names}
    return [name for name, found in values.items() if any(v != found[0] for v in found)]


def _seeds(config: Any, workdir: pathlib.Path) -> list[page.Section]:
    """The table over several seeds, or of random architectures; none without either."""
    found = seeds.read(config, workdir)
    lines = seeds.table(found)
    if len(found) == 1 and len(lines) == 1 + len(next(iter(found.values()))):
        return []
    text = (
        "The mean of several seeds has the lowest and the highest of them in brackets. "
    )
    text += "Random architectures are drawn from the space of the search."
    names = " and ".join(map(str, found))
    if len(found) > 1:
        text += (
            f" All seeds, {names}, were searched and trained alike; the other parts of"
        )
        text += f" this page are of seed {config.seed}."
    return [page.Section("Seeds and random architectures", text, table=lines)]


def _curves(workdir: pathlib.Path, results: dict) -> page.Section:
    curves, errors, points, histograms = {}, {}, {}, []
    for name, result in results.items():
        table = evaluation.read_scores(workdir / "evaluate" / name / "scores.csv")
        test = evaluation.by_video(table.take(table.split == "test"))
        curve = evaluation.metrics.roc_curve(test.score, test.label)
        curves[name] = (curve.far, curve.tpr)
        errors[name] = evaluation.metrics.det_curve(test.score, test.label)[:2]
        points[name] = (result["test"]["far"], result["test"]["frr"])
        histograms.append(
            figures.score_histograms(test, result["threshold"], title=name)
        )
    return page.Section(
        "ROC and DET curves, scores",
        "Videos of the test split. The dots are the operating points at the thresholds "
        "from the development splits.",
        [
            figures.roc(
                curves, {k: (far, 1 - frr) for k, (far, frr) in points.items()}
            ),
            figures.det(errors, points),
            *histograms,
        ],
    )


def _searched(workdir: pathlib.Path) -> list[page.Section]:
    """Sections on the found cells and on the search; none if this run did not search."""
    folder = workdir / "search"
    lines = runtime.read_metrics(folder)
    if not lines or not (folder / "genotype.json").exists():
        return []
    record = records.read(folder)
    found = genotype.load(folder / "genotype.json")
    cells.draw_graph(found.space.graph(found), format="png").save(
        workdir / "report" / "cells.png"
    )
    steps = [line["step"] for line in lines]
    probabilities = {
        name: np.array([line[f"alphas/{name}"] for line in lines])
        for name in found.space.cells
    }
    operations = found.space.legend
    over_time = [
        figures.alphas_over_time(steps, p, operations, f"{name} cell")
        for name, p in probabilities.items()
    ]
    search = records.section(record.settings, "search")
    return [
        page.Section(
            "The found cells",
            f"Search space {found.space.title}: the strongest "
            "operation other than none of every edge.",
            [cells.draw_graph(found.space.graph(found))],
        ),
        page.Section(
            "The search",
            f"{describe_search(search, record.steps[-1])} Below: softmax(alphas) of "
            "every edge, their entropy (1: undecided), and the share of edges where skip is "
            "the strongest operation (collapse shows as a rise to 1)."
            + _signs(
                folder, {name: p[-1] for name, p in probabilities.items()}, operations
            ),
            [figures.search_health(steps, probabilities, operations), *over_time],
        ),
        *_instruments(folder),
        *_trade_off(folder),
    ]


def _agreement(config: Any, workdir: pathlib.Path) -> list[page.Section]:
    """Section on the agreement of several seeds; empty for fewer than two searches."""
    folders = seeds.folders(config, workdir)
    files = {seed: at / "search" / "genotype.json" for seed, at in folders.items()}
    found = {seed: genotype.load(at) for seed, at in files.items() if at.exists()}
    if len(found) < 2 or len({one.space for one in found.values()}) > 1:
        return []
    text = (
        "Edges and operations that the architectures of two seeds have in common. Seeds"
        " that agree hardly more than random architectures do have decided on noise."
    )
    lines = comparison.agreement_table(comparison.agreements(found))
    return [page.Section("Agreement of the searches", text, table=lines)]


def _signs(folder: pathlib.Path, cells: dict[str, np.ndarray], operations: Any) -> str:
    """Paragraphs on an early end of a search and on the signs of a collapse."""
    stopped = records.read_summary(folder).get("stopped", "")
    if health := _health(folder):
        warnings = health.warnings
    else:
        warnings = collapse.warnings(collapse.Choice.of(cells, operations))
    return "".join(f"\n\n{text}" for text in (stopped, *warnings) if text)


def _health(folder: pathlib.Path) -> instruments.Health | None:
    """The instruments of a search; None if not measured, or before its last steps."""
    if not (folder / instruments.FILE).exists():
        return None
    found = instruments.Health.load(folder / instruments.FILE)
    return found if found.steps == records.read_summary(folder).get("steps") else None


def _instruments(folder: pathlib.Path) -> list[page.Section]:
    """Section on the instruments of a search; none if they were not measured."""
    if not (health := _health(folder)):
        return []
    text = (
        "Measured at the last state. Signal to noise: the gradient of the alphas over its"
        " standard error, about 1 without any signal (median over edges, lowest to"
        " highest). Eigenvalue: that of largest magnitude of the Hessian of the query loss"
        " in the alphas. Losses are on source development data."
    )
    facts = {f"{name}, {of}": value for name, of, value in health.table()[1:]}
    title = "Instruments of the search"
    return [page.Section(title, text, [health.picture()], facts)]


def _trade_off(folder: pathlib.Path) -> list[page.Section]:
    """Section on the trade-off with cost; empty if none is stored."""
    if not (folder / trade_off.FILE).exists():
        return []
    curve = trade_off.TradeOff.load(folder / trade_off.FILE)
    if len(curve.points) == 1:
        text = "The found architecture is the best for every weight of the cost."
        return [page.Section("Trade-off", text)]
    text = (
        "Architectures of this search that are the best for some weight of the cost: their"
        " probability under the alphas, and their cost."
    )
    return [page.Section("Trade-off", text, [curve.picture()])]


def describe_search(search: Mapping[str, Any], steps: int) -> str:
    """A sentence on the method of a search.

    Args:
      search: settings by their names in config.search.
      steps: number of steps.
    """
    by, method = search["by"], search.get("method", "meta_nas")
    name = f"{AWARE[by]} Meta-NAS" if method == "meta_nas" else f"{method}, by {by}"
    orders = {"weights": "weight_order", "architecture": "arch_order"}
    texts = [
        f"{what} to {search[field]} order"
        for what, field in orders.items()
        if field in search
    ]
    if first := search.get("exact_from"):
        texts.append(f"first order before step {first}")
    if search.get("shared_alphas"):
        texts.append("alphas shared by all cells")
    if temperature := search.get("sample_temperature"):
        texts.append(f"paths sampled at temperature {temperature:g}")
    fixed = f"alphas fixed before step {search['alphas_from']}"
    return f"{', '.join([name, *texts, f'{steps} steps', fixed])}."


def _training(workdir: pathlib.Path, results: dict) -> list[page.Section]:
    runs = {}
    for name in results:
        lines = runtime.read_metrics(workdir / "train" / name)
        if lines:  # an SVM has no steps
            steps = [line["step"] for line in lines]
            runs[name] = {"loss": (steps, [line["loss"] for line in lines])}
            if measured := [line for line in lines if "development_eer" in line]:
                runs[name]["development EER"] = (
                    [line["step"] for line in measured],
                    [line["development_eer"] for line in measured],
                )
    pictures = [figures.training_curves(runs)] if runs else []
    return [page.Section("Training", pictures=pictures)]


def _faces(workdir: pathlib.Path, results: dict) -> list[page.Section]:
    """Inputs and maps of the first network of the table."""
    name = next(iter(results))
    examples = np.load(workdir / "evaluate" / name / "examples.npz")
    rows = [
        figures.FaceRow(
            f"{caption}\nscore {examples['scores'][i]:.3f}",
            static=examples["static"][i],
            dynamic=examples["dynamic"][i],
            image=examples["input"][i],
            target=examples["target"][i],
            predicted=predicted,
        )
        for i, (caption, predicted) in enumerate(
            zip(examples["captions"], examples["predicted"], strict=True)
        )
    ]
    picture = figures.faces(rows)
    picture.save(workdir / "report" / "faces.png")
    text = f"Clips of the test split: input, target and predicted map of {name}."
    return [page.Section("Faces", text, [picture])]


def _settings(workdir: pathlib.Path, results: dict) -> list[page.Section]:
    """Settings of the search and of the trainings; equal settings are shown once."""
    folders = [workdir / "search", *(workdir / "train" / name for name in results)]
    texts: dict[str, list[str]] = {}
    for folder in folders:
        if (folder / records.FILE).exists():
            record = records.read(folder)
            given = {**record.settings, "steps": record.steps}
            text = "\n".join(f"{k} = {json.dumps(v)}" for k, v in given.items())
            texts.setdefault(text, []).append(folder.name)
    return [
        page.Section(f"Settings of {', '.join(names)}", code=text)
        for text, names in texts.items()
    ]


def _dataset(workdir: pathlib.Path, prepared: Prepared) -> list[page.Section]:
    """A contact sheet: one face for every domain and attack type."""
    picture = contact_sheets.of_prepared(prepared, ("train",))
    picture.save(workdir / "report" / "contact_sheet.png")
    text = "Faces of the training splits, by domain and attack type."
    return [page.Section("The dataset", text + _stills(prepared), [picture])]


def _stills(prepared: Prepared) -> str:
    """Sentence on the still clips of the prepared domains, '' if there are none.

    Manifests of recipe version 2 and before do not count them.
    """
    folder = prepared.data_dir
    alone = (folder / prepare.MANIFEST).is_file()
    folders = [folder] if alone else [path.parent for path in _manifests(folder)]
    rows = [
        row
        for one in folders
        for row in select.read_manifest(one)
        if row["domain"] in prepared.domains
    ]
    if not all("stills" in row for row in rows):
        return ""
    described = prepare.describe_stills(rows)
    return described and f" Of all prepared data, {described}."


def _manifests(folder: pathlib.Path) -> list[pathlib.Path]:
    """Manifests of several prepared datasets, each in a folder of its own."""
    return sorted(folder.glob(f"*/{prepare.MANIFEST}"))
