"""Pictures of a sweep: development error, and RFMeta's figures 4 to 6."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from nasfas_jax import evaluation, runtime
from nasfas_jax.commands import attention, parts
from nasfas_jax.data.loading.prepared import Prepared
from nasfas_jax.report import figures, meta_figures
from nasfas_jax.report.picture import Picture
from nasfas_jax.workflows import sweep as workflow
from nasfas_jax.workflows import train as training
from nasfas_jax.workflows.registry import FEATURE_METHODS

Results = Mapping[str, Mapping[str, list[dict[str, float]]]]


class Row(Protocol):
    """A row of the table: see `sweep.Row`."""

    @property
    def variant(self) -> str:
        """Name of the variant."""
        ...

    @property
    def network(self) -> str:
        """Name of the network."""
        ...

    @property
    def title(self) -> str:
        """First cell of the row."""
        ...


def development(
    workdirs: Sequence[pathlib.Path], rows: Sequence[Row]
) -> dict[str, Picture]:
    """Development error over the trainings that measured it, the mean over all of a row."""
    runs = {}
    for row in rows:
        logs = [
            runtime.read_metrics(where / row.variant / "train" / row.network)
            for where in workdirs
        ]
        found = [
            [(x["step"], x["development_eer"]) for x in log if "development_eer" in x]
            for log in logs
        ]
        if all(found):
            steps, rates = np.array(found).mean(0).T
            runs[row.title] = {"development EER": (steps, rates)}
    return {"development.svg": figures.training_curves(runs)} if runs else {}


def draw(
    config: Any, workdir: pathlib.Path, data: Prepared, results: Results
) -> dict[str, Picture]:
    """ROC curves a target (figure 4), components (5), attention (6), directions (eq. 10)."""
    targets, seed = config.sweep.targets, config.sweep.seeds[0]
    drawn = {}
    for target in targets:
        first = parts.at(workdir, target, seed)
        drawn[f"roc_{target}.svg"] = figures.roc(
            {name: _curve(first, name) for name in results}
        )
    means = {
        name: {
            m: np.mean([[one[m] for one in by_target[t]] for t in targets], 0)
            for m in workflow.DEFAULT_METRICS
        }
        for name, by_target in results.items()
    }
    drawn["components.svg"] = meta_figures.components_bars(means)
    last = parts.at(workdir, targets[-1], seed)
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
    return drawn


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
