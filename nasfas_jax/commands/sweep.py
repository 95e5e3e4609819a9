"""``nasfas sweep``: every network of a config for several targets and seeds."""

import dataclasses
import pathlib

import numpy as np

from nasfas_jax import evaluation, files, runtime
from nasfas_jax.commands import attention, evaluate, prepare, systems, tables, train
from nasfas_jax.commands.run import Run
from nasfas_jax.data.preparation import recipe
from nasfas_jax.files import write_json
from nasfas_jax.report import figures, meta_figures

METRICS = ("hter", "auc")
Results = dict[str, dict[str, list[dict[str, float]]]]


def run(run: Run) -> None:
    """Trains and tests config.networks for all of config.sweep's targets and seeds.

    The data are prepared once, where they are not yet. Each pair has a workdir of its
    own, ``<target>/seed<seed>/``, so that what is done is not done again. Writes
    ``sweep.json`` (each test), ``sweep.md`` (the table) and the pictures of RFMeta's
    figures 4 to 6.

    Raises:
      InputError: a target that the prepared data do not have.
    """
    sweep = run.config.sweep
    if not (run.prepared_dir / recipe.FILE).exists():
        prepare.run(run)
    _require_targets(run)
    results: Results = {name: {t: [] for t in sweep.targets} for name in run.networks}
    for target in sweep.targets:
        for seed in sweep.seeds:
            one = at(run, target, seed)
            for name in run.networks:
                results[name][target].append(_test(one, name))
    files.write_text(run.folder() / "config.json", run.config_text)
    write_json(run.workdir / "sweep.json", results)
    lines = table(results, list(sweep.targets))
    title = f"Tested on the unseen domain; {len(sweep.seeds)} seeds"
    title += "; oracles: selected on test data" * (run.config.selected_on == "test")
    tables.show(title, lines)
    files.write_text(run.workdir / "sweep.md", tables.markdown(lines))
    for picture in _draw(run, results):
        print(f"wrote {picture}")


def at(run: Run, target: str, seed: int) -> Run:
    """The run of one target and seed, on the same prepared data."""
    config = run.config.copy_and_resolve_references()
    config.update(target_domain=target, seed=seed)
    return dataclasses.replace(
        run,
        config=config,
        workdir=run.workdir / target / f"seed{seed}",
        data_dir=str(run.prepared_dir),
    )


def _require_targets(run: Run) -> None:
    """Checks all targets against the domains of the prepared data."""
    targets, seeds = run.config.sweep.targets, run.config.sweep.seeds
    data = at(run, targets[0], seeds[0]).open_data()
    for target in targets:
        at(run, target, seeds[0]).domains(data)


def _test(run: Run, name: str) -> dict[str, float]:
    """Error rates of a network, which is trained and evaluated if it was not.

    ``within`` is the EER on the development parts of the source domains.
    """
    if (run.workdir / "evaluate" / name / "result.json").exists():
        evaluate.require_current(run, name, run.open_data())
    else:
        train.train(run, name)
        evaluate.evaluate(run, name)
    result = evaluate.read_results(dataclasses.replace(run, network=name))[name]
    return {
        "hter": result["test"]["hter"],
        "auc": result["auc"],
        "within": result["development_eer"],
    }


def table(results: Results, targets: list[str]) -> list[list[str]]:
    """Header and rows: HTER / AUC in % of each target and of their mean; EER within.

    The last column is the mean over targets of the EER on development data of the source
    domains. Each is the mean and, over more than one seed, the sample deviation (ddof 1).
    """
    heads = [f"{name}: HTER / AUC, %" for name in (*targets, "mean")]
    rows = [["method", *heads, "within: EER, %"]]
    for name, by_target in results.items():
        across, within = (
            np.array(
                [[[one[m] for m in names] for one in by_target[t]] for t in targets]
            )
            for names in (METRICS, ("within",))
        )  # [targets, seeds, metrics]
        cells = [*across, across.mean(0), within.mean(0)]
        rows.append([name, *(_cell(100 * cell) for cell in cells)])
    return rows


def _cell(values: np.ndarray) -> str:
    """[seeds, metrics] in %."""
    means = values.mean(0)
    if len(values) == 1:
        return " / ".join(f"{mean:.1f}" for mean in means)
    spread = values.std(0, ddof=1)
    pairs = zip(means, spread, strict=True)
    return " / ".join(f"{mean:.1f} ± {sd:.1f}" for mean, sd in pairs)


def _draw(run: Run, results: Results) -> list[pathlib.Path]:
    """ROC curves a target (figure 4), components (5), attention (6), directions (eq. 10)."""
    sweep = run.config.sweep
    folder = run.folder("pictures")
    drawn = {}
    for target in sweep.targets:
        first = at(run, target, sweep.seeds[0])
        drawn[f"roc_{target}.svg"] = figures.roc(
            {name: _curve(first, name) for name in results}
        )
    means = {
        name: {
            m: np.mean([[one[m] for one in by_target[t]] for t in sweep.targets], 0)
            for m in METRICS
        }
        for name, by_target in results.items()
    }
    drawn["components.svg"] = meta_figures.components_bars(means)
    first = at(run, sweep.targets[-1], sweep.seeds[0])
    if curves := _directions(first, results):
        window = max(1, min(len(steps) for steps, _ in curves.values()) // 10)
        drawn["directions.svg"] = meta_figures.learning_directions(curves, window)
    if looking := [name for name in results if name in systems.FEATURE_METHODS]:
        drawn["attention.png"] = attention.picture(first, looking)
    for name, picture in drawn.items():
        picture.save(folder / name)
    return [folder / name for name in drawn]


def _curve(run: Run, name: str) -> tuple[np.ndarray, np.ndarray]:
    scores = evaluation.read_scores(run.workdir / "evaluate" / name / "scores.csv")
    test = evaluation.by_video(scores.take(scores.split == "test"))
    curve = evaluation.metrics.roc_curve(test.score, test.label)
    return curve.far, curve.tpr


def _directions(run: Run, results: Results) -> dict:
    """Steps and cosines of the methods that log them."""
    curves = {}
    for name in results:
        lines = runtime.read_metrics(run.workdir / "train" / name)
        found = [(line["step"], line["cosine"]) for line in lines if "cosine" in line]
        if found:
            curves[name] = tuple(np.array(found).T)
    return curves
