"""Error rates of a model under corruptions of the frames."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from nasfas_jax import evaluation, limits, tables
from nasfas_jax.data.loading import prepared, views
from nasfas_jax.data.preparation.corruptions import CORRUPTIONS, levels
from nasfas_jax.errors import InputError
from nasfas_jax.report import robustness as pictures
from nasfas_jax.report.picture import Picture
from nasfas_jax.workflows.data import Tested
from nasfas_jax.workflows.evaluate import MODELS, score_table, testable
from nasfas_jax.workflows.model import Model


@dataclasses.dataclass(frozen=True)
class Point:
    """The rates of one level of a corruption, from 0 to 1.

    Attributes:
      corruption: name of the corruption.
      level: value of its parameter.
      hter: HTER at the model's threshold.
      apcer: APCER of the worst attack type.
      bpcer: BPCER.
      auc: AUC.
      live: mean score of the live videos.
      spoof: mean score of the attacks.
    """

    corruption: str
    level: float
    hter: float
    apcer: float
    bpcer: float
    auc: float
    live: float
    spoof: float


@dataclasses.dataclass(frozen=True, repr=False)
class Robustness:
    """Rates of a model under corruptions, at its own threshold.

    Attributes:
      model: the model.
      tested: what was tested.
      points: a point for each level of each corruption.
    """

    model: Model
    tested: Tested
    points: list[Point]

    def table(self) -> list[list[str]]:
        """Rates in percent and mean scores; the header row first."""
        head = ["corruption", "level", "HTER", "APCER", "BPCER", "AUC", "live", "spoof"]
        rows = [
            [
                one.corruption,
                f"{one.level:g}",
                *(
                    f"{100 * rate:.1f}"
                    for rate in (one.hter, one.apcer, one.bpcer, one.auc)
                ),
                f"{one.live:.3g}",
                f"{one.spoof:.3g}",
            ]
            for one in self.points
        ]
        return [head, *rows]

    def picture(self) -> Picture:
        """Rates and mean scores against the levels of each corruption."""
        panels = []
        for name in dict.fromkeys(one.corruption for one in self.points):
            points = [one for one in self.points if one.corruption == name]
            columns = {
                field: np.array([getattr(one, field) for one in points])
                for field in ("hter", "auc", "live", "spoof")
            }
            levels = np.array([one.level for one in points])
            corruption = CORRUPTIONS[name]
            panels.append(
                pictures.Panel(
                    name, corruption.about, levels, corruption.levels[0], **columns
                )
            )
        assert self.model.threshold is not None  # required by `robustness`
        return pictures.curves(panels, self.model.threshold.value)

    def __repr__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> str:
        """HTML for notebooks: the curves and the table."""
        return f"{self.picture().html}{tables.as_html(self.table())}"


def robustness(
    model: Model,
    data: prepared.Prepared,
    *,
    target: str = "",
    corruptions: Sequence[str] | None = None,
    batch_size: int = 16,
) -> Robustness:
    """Error rates under corruptions of the frames, at the model's threshold.

    The frames of the tested clips are corrupted before anything is computed from them.

    Args:
      model: an evaluated model.
      data: prepared data with the frames of the clips (``Recipe.keep_frames``), otherwise
        by the model's recipe.
      target: as in `evaluate`.
      corruptions: names in `corruptions.CORRUPTIONS`; all if None. Their levels are
        `corruptions.levels`.
      batch_size: clips per prediction.

    Raises:
      InputError: a model without a threshold, data without frames, an unknown corruption,
        or as `evaluate`.
    """
    names = list(CORRUPTIONS) if corruptions is None else corruptions
    limits.require(
        model=(model, MODELS),
        data=(data, prepared.DATA),
        corruptions=(names, limits.Several(limits.OneOf(CORRUPTIONS))),
        batch_size=(batch_size, limits.COUNT),
    )
    if model.threshold is None:
        raise InputError(
            "expected a threshold from development data, got none. Evaluate the"
            " model first, and take the `model` of the result.",
            field="model",
        )
    if not data.recipe.keep_frames:
        raise InputError(
            "expected records with the frames of the clips, got none. Prepare them"
            " with the recipe's keep_frames=True (config.data.keep_frames) into another"
            " folder.",
            field="data",
        )
    _, plan = testable(model, data, target)
    points = []
    for name in names:
        for level in levels(name, data.recipe.frames):
            if points and level == CORRUPTIONS[name].levels[0]:  # the frames unchanged
                again = dataclasses.replace(points[0], corruption=name, level=level)
                points.append(again)
            else:
                points.append(_point(model, data, plan, name, level, batch_size))
    return Robustness(model, plan, points)


def _point(
    model: Model,
    data: prepared.Prepared,
    plan: Tested,
    name: str,
    level: float,
    batch_size: int,
) -> Point:
    corrupt = CORRUPTIONS[name].apply
    columns = []
    for frames, about in _clips(data, plan, batch_size):
        images = views.record_images(
            np.stack([corrupt(clip, level) for clip in frames]), data.recipe
        )
        inputs = views.network_input(images, model.view)
        # One shape for all batches: each is compiled once.
        room = [(0, batch_size - len(inputs)), *[(0, 0)] * (inputs.ndim - 1)]
        maps = model.maps(np.pad(inputs, room, mode="edge"))[: len(inputs)]
        columns.append({**about, "score": model.score(maps)})
    videos = evaluation.by_video(score_table(columns))
    assert model.threshold is not None  # required by `robustness`
    rates = evaluation.metrics.error_rates(
        videos.score, videos.label, videos.attack_type, model.threshold.value
    )
    return Point(
        name,
        level,
        hter=rates.hter,
        apcer=rates.apcer,
        bpcer=rates.bpcer,
        auc=evaluation.metrics.auc(videos.score, videos.label),
        live=float(videos.score[videos.label == 1].mean()),
        spoof=float(videos.score[videos.label == 0].mean()),
    )


def _clips(
    data: prepared.Prepared, plan: Tested, batch_size: int
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Frames [B, K, S, S, 3] of the tested clips, and the columns of their scores."""
    for name in plan.splits:
        split = data.splits[name]
        rows = split.rows(plan.domains)
        for start in range(0, len(rows), batch_size):
            chosen = rows[start : start + batch_size]
            about = {
                k: split.table[k][chosen] for k in evaluation.COLUMNS if k != "score"
            }
            about["split"] = np.full(len(chosen), "test")
            yield split.load(chosen, ("frames",))["frames"], about
