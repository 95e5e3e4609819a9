"""``nasfas sweep``: every network of a config for several targets and seeds."""

import pathlib
from typing import Any

import numpy as np

from nasfas_jax import evaluation, files, runtime
from nasfas_jax.commands import (
    attention,
    evaluate,
    prepare,
    settings,
    tables,
    train,
)
from nasfas_jax.commands.settings import Path
from nasfas_jax.data.loading.prepared import Prepared
from nasfas_jax.data.preparation import recipe
from nasfas_jax.errors import renaming
from nasfas_jax.files import write_json
from nasfas_jax.report import figures, meta_figures
from nasfas_jax.workflows import hand_crafted
from nasfas_jax.workflows import sweep as workflow
from nasfas_jax.workflows import train as training
from nasfas_jax.workflows.data import domains
from nasfas_jax.workflows.registry import FEATURE_METHODS

Results = dict[str, dict[str, list[dict[str, float]]]]


def run(
    config: Any,
    *,
    workdir: Path = settings.WORKDIR,
    data_dir: Path | None = None,
    network: str | None = None,
    **of_prepare: Any,
) -> None:
    """Trains and tests networks for all of config.sweep's targets and seeds.

    The data are prepared once, where they are not yet. Each pair has a workdir of its
    own, ``<target>/seed<seed>/``, so that what is done is not done again. Writes
    ``sweep.json`` (each test), ``sweep.md`` (the table) and the pictures of RFMeta's
    figures 4 to 6.

    Args:
      config: section ``sweep`` and those of the stages.
      workdir: folder of the run.
      data_dir: folder of the records; ``data/`` in ``workdir`` if None.
      network: the one network; all of config.networks if None.
      **of_prepare: other arguments of `prepare.run`.

    Raises:
      InputError: a target that the prepared data do not have.
    """
    workdir = pathlib.Path(workdir)
    folder = settings.data_folder(workdir, data_dir)
    names = settings.networks(config, network)
    hand_crafted.require_libraries(names)  # before hours of training the others
    if not (folder / recipe.FILE).exists():
        prepare.run(config, workdir=workdir, data_dir=folder, **of_prepare)
    data = settings.open_data(config, folder)
    with renaming({"target": "config.sweep.targets"}):
        for target in config.sweep.targets:
            domains(data, target)  # a wrong one shows before the work
    results: Results = {name: {t: [] for t in config.sweep.targets} for name in names}
    for target in config.sweep.targets:
        for seed in config.sweep.seeds:
            one = _config(config, target, seed)
            for name in names:
                where = at(workdir, target, seed)
                results[name][target].append(_test(one, name, where, folder))
    settings.make_folder(workdir)
    write_json(workdir / "sweep.json", results)
    lines = workflow.table(results, list(config.sweep.targets))
    title = f"Tested on the unseen domain; {len(config.sweep.seeds)} seeds"
    title += "; oracles: selected on test data" * (config.selected_on == "test")
    tables.show(title, lines)
    files.write_text(workdir / "sweep.md", tables.markdown(lines))
    for picture in _draw(config, workdir, data, results):
        print(f"wrote {picture}")


def at(workdir: pathlib.Path, target: str, seed: int) -> pathlib.Path:
    """Workdir of one target and seed."""
    return workdir / target / f"seed{seed}"


def _config(config: Any, target: str, seed: int) -> Any:
    one = config.copy_and_resolve_references()
    one.update(target_domain=target, seed=seed)
    return one


def _test(
    config: Any, name: str, workdir: pathlib.Path, data_dir: pathlib.Path
) -> dict[str, float]:
    """Error rates of a network, which is trained and evaluated if it was not.

    ``within`` is the EER on the development splits of the source domains.
    """
    where: dict[str, Any] = {"workdir": workdir, "data_dir": data_dir}
    train.train(config, name, **where)  # compares the settings where it was trained
    if (workdir / "evaluate" / name / "result.json").exists():
        data = settings.open_data(config, data_dir)
        evaluate.require_current(workdir, name, data, settings.target(config))
    else:
        evaluate.evaluate(config, name, **where)
    result = evaluate.read_results(workdir, [name])[name]
    return {
        "hter": result["test"]["hter"],
        "auc": result["auc"],
        "within": result["development_eer"],
    }


def _draw(
    config: Any, workdir: pathlib.Path, data: Prepared, results: Results
) -> list[pathlib.Path]:
    """ROC curves a target (figure 4), components (5), attention (6), directions (eq. 10)."""
    targets, seed = config.sweep.targets, config.sweep.seeds[0]
    folder = settings.make_folder(workdir / "pictures")
    drawn = {}
    for target in targets:
        first = at(workdir, target, seed)
        drawn[f"roc_{target}.svg"] = figures.roc(
            {name: _curve(first, name) for name in results}
        )
    means = {
        name: {
            m: np.mean([[one[m] for one in by_target[t]] for t in targets], 0)
            for m in workflow.METRICS
        }
        for name, by_target in results.items()
    }
    drawn["components.svg"] = meta_figures.components_bars(means)
    last = at(workdir, targets[-1], seed)
    if curves := _directions(last, results):
        window = max(1, min(len(steps) for steps, _ in curves.values()) // 10)
        drawn["directions.svg"] = meta_figures.learning_directions(curves, window)
    models = {
        name: training.trained_model(last / "train" / name)
        for name in results
        if name in FEATURE_METHODS
    }
    if models:
        drawn["attention.png"] = attention.picture(models, data, targets[-1])
    for name, picture in drawn.items():
        picture.save(folder / name)
    return [folder / name for name in drawn]


def _curve(workdir: pathlib.Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    scores = evaluation.read_scores(workdir / "evaluate" / name / "scores.csv")
    test = evaluation.by_video(scores.take(scores.split == "test"))
    curve = evaluation.metrics.roc_curve(test.score, test.label)
    return curve.far, curve.tpr


def _directions(workdir: pathlib.Path, results: Results) -> dict:
    """Steps and cosines of the methods that log them."""
    curves = {}
    for name in results:
        lines = runtime.read_metrics(workdir / "train" / name)
        found = [(line["step"], line["cosine"]) for line in lines if "cosine" in line]
        if found:
            curves[name] = tuple(np.array(found).T)
    return curves
