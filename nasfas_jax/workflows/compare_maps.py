"""Maps of several models on the same hard clips, as NAS-FAS figure 14."""

import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from nasfas_jax import evaluation, limits
from nasfas_jax.data.loading import pipeline, prepared
from nasfas_jax.errors import InputError
from nasfas_jax.report import explanations
from nasfas_jax.report.picture import Picture
from nasfas_jax.workflows.evaluate import Evaluated


class _Evaluated(limits.Kind):
    """Lists of evaluations; none equals another, and comparing them compares arrays."""

    def __contains__(self, value: Any) -> bool:
        several = isinstance(value, list | tuple) and value
        return bool(several) and all(isinstance(one, self.kind) for one in value)


EVALUATED = _Evaluated(Evaluated, "a list of one or more results of nf.evaluate")


def compare_maps(
    evaluated: Sequence[Evaluated],
    data: prepared.Prepared,
    *,
    attack_types: Sequence[str] | None = None,
    examples: int = 2,
) -> Picture:
    """Face, target map and the map of each model, for the hardest videos.

    Hardest are the videos whose scores are, as the mean over the models, farthest on the
    wrong side of the models' thresholds; a video is shown by its hardest clip. Only clips
    of the test split have maps (`Evaluated.maps`).

    Args:
      evaluated: evaluations of models with equal target maps, on the same videos.
      data: the data that they were evaluated on.
      attack_types: attack types to be shown beside live; all if None.
      examples: number of live videos, and of videos of each attack type.

    Raises:
      InputError: no evaluation, evaluations of other clips or targets, or an attack type
        that was not tested.
    """
    limits.require(
        evaluated=(evaluated, EVALUATED),
        data=(data, prepared.DATA),
        examples=(examples, limits.COUNT),
    )
    tables = [_with_maps(one) for one in evaluated]
    _require_alike(evaluated, tables)
    table = tables[0]
    tested = sorted(set(table.attack_type[table.label == 0].tolist()))
    kinds = tested if attack_types is None else attack_types
    limits.require(attack_types=(kinds, limits.Several(limits.OneOf(tested))))
    thresholds = [one.result.threshold for one in evaluated]
    margins = np.stack(
        [
            one.score - threshold
            for one, threshold in zip(tables, thresholds, strict=True)
        ]
    )
    # Positive on the right side.
    right = np.where(table.label == 1, margins, -margins).mean(0)
    chosen = [
        row
        for kind in ("live", *kinds)
        for row in _hardest(table, right, kind, examples)
    ]
    names = _names(evaluated)
    faces, targets = _loaded(evaluated[0], data, table.clip[chosen])
    return explanations.compared(
        [
            explanations.Compared(
                _caption(table.attack_type[row], table.video[row]),
                faces[i],
                targets[i],
                {
                    name: one.maps[table.clip[row]]
                    for name, one in zip(names, evaluated, strict=True)
                },
                {
                    name: bool(margin[row] >= 0)
                    for name, margin in zip(names, margins, strict=True)
                },
                bool(table.label[row]),
            )
            for i, row in enumerate(chosen)
        ]
    )


def _with_maps(evaluated: Evaluated) -> evaluation.ScoreTable:
    """The rows of the clips with maps, in order of the clips' names."""
    scores = evaluated.scores
    found = scores.take(np.isin(scores.clip, list(evaluated.maps)))
    return found.take(np.argsort(found.clip))


def _require_alike(
    evaluated: Sequence[Evaluated], tables: Sequence[evaluation.ScoreTable]
) -> None:
    first, clips = evaluated[0], tables[0].clip
    for one, table in zip(evaluated, tables, strict=True):
        if not np.array_equal(table.clip, clips):
            raise InputError(
                f"expected evaluations of the same clips, got {one.model.name}"
                f" on {', '.join(one.tested.domains)} and {first.model.name} on"
                f" {', '.join(first.tested.domains)}.",
                field="evaluated",
            )
        if one.model.view.target != first.model.view.target:
            raise InputError(
                "expected models of one target map, got"
                f" {one.model.view.target!r} and {first.model.view.target!r}.",
                field="evaluated",
            )


def _hardest(
    table: evaluation.ScoreTable, right: np.ndarray, kind: str, examples: int
) -> list[int]:
    """Rows of the hardest clip of each of the hardest videos of a type."""
    rows = np.flatnonzero(table.attack_type == kind)
    videos = np.unique(table.video[rows])
    of = {video: rows[table.video[rows] == video] for video in videos.tolist()}
    hardest = sorted(of, key=lambda video: right[of[video]].mean())[:examples]
    return [int(of[video][np.argmin(right[of[video]])]) for video in hardest]


def _caption(attack_type: str, video: str) -> str:
    """Attack type and name of a video, without its folder and suffix."""
    name = pathlib.PurePosixPath(video).stem
    lines = re.findall(".{1,13}(?:_|$)|.{1,14}", name)  # after underscores
    return "\n".join([attack_type, *lines])


def _names(evaluated: Sequence[Evaluated]) -> list[str]:
    """Names of the models, with a number where several have the same."""
    names: list[str] = []
    for one in evaluated:
        count = sum(name.partition(" ")[0] == one.model.name for name in names)
        names.append(one.model.name if not count else f"{one.model.name} {count + 1}")
    return names


def _loaded(
    evaluated: Evaluated, data: prepared.Prepared, clips: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Current frame and target map of each clip."""
    view = evaluated.model.view
    faces, targets = {}, {}
    for name in evaluated.tested.splits:
        split = data.splits[name]
        rows = np.flatnonzero(np.isin(split.table["clip"], clips))
        if not len(rows):
            continue
        columns = ("static", *view.columns)
        records = {**split.load(rows, columns), "label": split.table["label"][rows]}
        maps = pipeline.to_batch(records, view)["target"]
        for i, row in enumerate(rows):
            clip = split.table["clip"][row]
            faces[clip], targets[clip] = records["static"][i], maps[i]
    return [faces[clip] for clip in clips], [targets[clip] for clip in clips]
