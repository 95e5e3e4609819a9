"""Scoring prepared clips, and the error rates of a model on held-out data."""

import dataclasses
import html
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nasfas_jax import evaluation, limits, nets, tables
from nasfas_jax.data.loading import pipeline, prepared, provenance
from nasfas_jax.data.preparation import recipe
from nasfas_jax.evaluation.scores import SELECTED_ON
from nasfas_jax.report import figures
from nasfas_jax.workflows import calibrate
from nasfas_jax.workflows.data import Tested, domains, tested
from nasfas_jax.workflows.model import Model, Threshold

#: Rates that a table shows, beside the AUC.
RATES = ("hter", "acer", "apcer", "bpcer")
#: Fields of the recipe that training and test data must share.
SHARED = (
    *("image_size", "frames", "interval", "method", "peak", "margin", "align"),
    "version",
)

MODELS = limits.Kind(Model, "a model, as nf.train or nf.load returns")
SELECTIONS = limits.OrNone(limits.OneOf(SELECTED_ON))


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scores of development and test clips.

    Attributes:
      table: a row for each clip.
      maps: predicted map of each clip of the test split, by the clip's name.
    """

    table: evaluation.ScoreTable
    maps: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, repr=False)
class Evaluated:
    """Error rates of a model.

    Attributes:
      result: threshold, error rates, AUC, intervals and warnings.
      model: the model with this threshold and these results.
      scores: a row for each clip.
      maps: predicted map of each clip of the test split, by the clip's name.
      tested: what was tested.
    """

    result: evaluation.Result
    model: Model
    scores: evaluation.ScoreTable
    maps: dict[str, np.ndarray]
    tested: Tested

    def table(self) -> list[list[str]]:
        """Error rates in percent with their 95 % intervals; the header row first."""
        result, intervals = self.result, self.result.intervals
        rates = {name: getattr(result.test, name) for name in RATES} | {
            "auc": result.auc
        }
        rows = [["rate", "%", "95 % interval"]]
        for name, rate in rates.items():
            found = intervals.get(name)
            span = f"{100 * found.low:.1f} to {100 * found.high:.1f}" if found else ""
            rows.append([name.upper(), f"{100 * rate:.1f}", span])
        return rows

    def __repr__(self) -> str:
        table = tables.as_text(self.table())
        return "\n".join([self._heading(), table, *self._warnings()])

    def _repr_html_(self) -> str:
        """HTML for notebooks: the table of rates and the ROC curve."""
        lines = "".join(
            f"<p>{html.escape(line)}</p>"
            for line in [self._heading(), *self._warnings()]
        )
        return f"{lines}{tables.as_html(self.table())}{self.roc().html}"

    def _heading(self) -> str:
        counts, threshold = self.result.test_counts, self.model.threshold
        assert threshold is not None  # of an evaluated model
        return (
            f"{self.model.name} on {', '.join(self.tested.domains)}: {counts.videos}"
            f" videos of {counts.subjects} subjects; threshold {threshold.value:.4f} by"
            f" {threshold.rule} on the {threshold.split} split of"
            f" {', '.join(threshold.domains)}"
        )

    def _warnings(self) -> list[str]:
        return [f"warning: {warning}" for warning in self.result.warnings]

    def calibrate(self) -> calibrate.Calibration:
        """Probabilities of live, by a temperature from the development videos."""
        return calibrate.calibrate(self.scores, self.result.threshold, self.model.name)

    def by_domain(self) -> dict[str, evaluation.Result]:
        """Results on each tested domain alone, at the same threshold."""
        return evaluation.by_domain(self.scores, rule=self.result.rule)

    def roc(self) -> figures.Picture:
        """ROC curve of the tested videos, with the operating point."""
        table = self.scores.take(self.scores.split == "test")
        test = evaluation.by_video(table)
        curve = evaluation.metrics.roc_curve(test.score, test.label)
        point = self.result.test.far, 1 - self.result.test.frr
        name = self.model.name
        return figures.roc({name: (curve.far, curve.tpr)}, {name: point})


def score(
    predict: Callable[[np.ndarray], np.ndarray],
    data: prepared.Prepared,
    *,
    rule: nets.Scorer,
    sources: Sequence[str],
    tested: Tested,
    view: pipeline.View,
    batch_size: int = 16,
    selected_on: str | None = None,
) -> Scored:
    """Scores the development clips of the sources and the tested clips.

    Args:
      predict: images [B, S, S, C] to maps [B, h, w].
      data: prepared data.
      rule: function from maps to scores.
      sources: source domains.
      tested: what is tested.
      view: input of the network.
      batch_size: clips per prediction.
      selected_on: what the network was selected by, see `evaluation.ScoreTable`.

    Raises:
      InputError: a subject or a video is in two of training, development and test.
    """
    columns, maps = [], {}
    for split, batch, about in clips(
        data, sources=sources, tested=tested, view=view, batch_size=batch_size
    ):
        predicted = predict(batch["image"])[batch["valid"]]
        columns.append({**about, "score": np.asarray(rule(predicted))})
        if split == "test":
            maps |= dict(zip(about["clip"], predicted, strict=True))
    return Scored(score_table(columns, selected_on), maps)


def score_table(
    columns: Sequence[pipeline.Batch], selected_on: str | None = None
) -> evaluation.ScoreTable:
    """The score table of batches.

    Args:
      columns: arrays of each batch, by `evaluation.COLUMNS`.
      selected_on: as in `score`.
    """
    joined = {
        name: np.concatenate([one[name] for one in columns])
        for name in evaluation.COLUMNS
    }
    return evaluation.ScoreTable(**joined, selected_on=selected_on)


def clips(
    data: prepared.Prepared,
    *,
    sources: Sequence[str],
    tested: Tested,
    view: pipeline.View,
    batch_size: int,
) -> Iterator[tuple[str, pipeline.Batch, pipeline.Batch]]:
    """Batches of the development clips of the sources and of the tested clips.

    Arguments as in `score`.

    Yields:
      The split of the data, and a batch and its columns as `pipeline.eval_batches` yields
      them; the column ``split`` is "development" or "test".

    Raises:
      InputError: a subject or a video is in two of training, development and test.
    """
    used = [("development", "development", sources)]
    used += [(split, "test", tested.domains) for split in tested.splits]
    require_disjoint(data, [("train", "train", sources), *used])
    for split, purpose, names in used:
        batches = pipeline.eval_batches(
            data, domains=names, split=split, batch_size=batch_size, view=view
        )
        for batch, about in batches:
            purposes = np.full(len(about["split"]), purpose)
            yield split, batch, {**about, "split": purposes}


def require_disjoint(
    data: prepared.Prepared, used: Sequence[tuple[str, str, Sequence[str]]]
) -> None:
    """Requires that no subject or video is used for two purposes.

    Args:
      data: prepared data.
      used: splits of the data, each with its purpose ('train', 'development' or 'test')
        and the domains that are used of it.

    Raises:
      InputError: a subject or a video is.
    """
    columns = {"video": [], "subject": [], "split": []}
    for split, purpose, names in used:
        table = data.splits[split].table
        rows = data.splits[split].rows(names)
        columns["video"].append(table["video"][rows])
        columns["subject"].append(table["subject"][rows])
        columns["split"].append(np.full(len(rows), purpose))
    evaluation.check_leakage({k: np.concatenate(v) for k, v in columns.items()})


def testable(
    model: Model, data: prepared.Prepared, target: str
) -> tuple[Sequence[str], Tested]:
    """Source domains and test data of a model, which must not have learned from these.

    Args:
      model: a trained model.
      data: prepared data, by the model's recipe.
      target: as in `evaluate`.

    Raises:
      InputError: data of another recipe, or a tested subject or domain was learned from.
    """
    prepared_by = {name: getattr(model.recipe, name) for name in SHARED}
    recipe.require_same(data.recipe, prepared_by, data.data_dir)
    sources, _ = domains(data, target)
    plan = tested(data, target)
    for learned, what in (
        (model.learned, f"The model {model.name}"),
        (model.searched, f"The search that found the architecture of {model.name}"),
    ):
        if learned is not None:
            provenance.require_unseen(learned, data, plan._asdict(), what=what)
    return sources, plan


def evaluate(
    model: Model,
    data: prepared.Prepared,
    *,
    target: str = "",
    rule: str = "eer",
    oracle: Sequence[str] = (),
    batch_size: int = 16,
    seed: int = 0,
    selected_on: str | None = None,
) -> Evaluated:
    """Error rates on the target, at the threshold from source development data.

    Args:
      model: a trained model.
      data: prepared data, by the model's recipe.
      target: domain held out; '' tests the test split of all domains, or of the
        protocol that the data were opened with.
      rule: threshold rule, see `evaluation.thresholds.find`.
      oracle: evaluators whose numbers are computed too, see `evaluation.compat`.
      batch_size: clips per prediction.
      seed: seed of the bootstrap intervals.
      selected_on: what the network was selected by, see `evaluation.ScoreTable`;
        'development' where `train` selected its step so.

    Raises:
      InputError: data of another recipe, or a tested subject or domain was learned from.
    """
    limits.require(
        model=(model, MODELS),
        data=(data, prepared.DATA),
        batch_size=(batch_size, limits.COUNT),
        seed=(seed, limits.SEED),
        selected_on=(selected_on, SELECTIONS),
    )
    evaluation.thresholds.find(rule)  # a wrong name shows before the work
    evaluation.compat.check(oracle)
    sources, plan = testable(model, data, target)
    if model.settings.get("train.select", "last") != "last":
        selected_on = model.settings["train.select"]
    scored = score(
        model.maps,
        data,
        rule=model.score,
        sources=sources,
        tested=plan,
        view=model.view,
        batch_size=batch_size,
        selected_on=selected_on,
    )
    result = evaluation.evaluate(scored.table, rule=rule, seed=seed, oracle=oracle)
    development = scored.table.take(scored.table.split == "development")
    threshold = Threshold(
        value=result.threshold,
        rule=result.rule,
        domains=list(sources),
        split="development",
        videos=len(set(development.video.tolist())),
    )
    name = data.dataset if data.lists is not None else target or data.dataset
    evaluated = model.with_evaluation(threshold, {name: result.columns()})
    return Evaluated(result, evaluated, scored.table, scored.maps, plan)
