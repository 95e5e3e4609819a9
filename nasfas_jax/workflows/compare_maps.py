"""Maps and layers of several models on the same hard clips.

NAS-FAS figure 14, EulerNet figures 8 and 9.
"""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nasfas_jax import evaluation, limits
from nasfas_jax.data.loading import pipeline, prepared
from nasfas_jax.errors import InputError
from nasfas_jax.report import explanations
from nasfas_jax.report.picture import Picture
from nasfas_jax.workflows import explain
from nasfas_jax.workflows.evaluate import Evaluated


class _Evaluated(limits.Kind):
    """Lists of evaluations; none equals another, and comparing them compares arrays."""

    def __contains__(self, value: Any) -> bool:
        several = isinstance(value, list | tuple | dict) and value
        found = value.values() if isinstance(value, dict) else value
        return bool(several) and all(isinstance(one, self.kind) for one in found)


EVALUATED = _Evaluated(
    Evaluated, "one or more results of nf.evaluate, in a list or by name"
)
#: Evaluations, or evaluations by the names under which they are shown.
Several = Sequence[Evaluated] | Mapping[str, Evaluated]


class _Hard(NamedTuple):
    """The hardest clips, and what models are given and answer.

    Attributes:
      named: evaluations by name.
      captions: attack type and video of each clip.
      clips: names of the clips.
      live: whether each is live.
      faces: current frame of each.
      batches: input and target of each, by the model's name.
      accepted: whether the verdict on each is live, by the model's name.
    """

    named: dict[str, Evaluated]
    captions: list[str]
    clips: list[str]
    live: list[bool]
    faces: list[np.ndarray]
    batches: dict[str, pipeline.Batch]
    accepted: dict[str, list[bool]]


def compare_maps(
    evaluated: Several,
    data: prepared.Prepared,
    *,
    attack_types: Sequence[str] | None = None,
    examples: int = 2,
) -> Picture:
    """Face, target maps and the map of each model, for the hardest videos.

    Hardest are the videos whose scores are, as the mean over the models, farthest on the
    wrong side of the models' thresholds; a video is shown by its hardest clip. Only clips
    of the test split have maps (`Evaluated.maps`).

    Args:
      evaluated: evaluations of models on the same videos, in a list or by the names to be
        shown. Models of several targets have a column for each target.
      data: the data that they were evaluated on.
      attack_types: attack types to be shown beside live; all if None.
      examples: number of live videos, and of videos of each attack type.

    Raises:
      InputError: no evaluation, evaluations of other clips, or an attack type that was not
        tested.
    """
    found = _hard(evaluated, data, attack_types, examples)
    targets = {
        one.model.view.target: found.batches[name]["target"]
        for name, one in found.named.items()
    }
    several = len(targets) > 1
    return explanations.compared(
        [
            explanations.Compared(
                found.captions[i],
                found.faces[i],
                {
                    f"{k} target" if several else "target": v[i]
                    for k, v in targets.items()
                },
                {name: one.maps[clip] for name, one in found.named.items()},
                {name: accepted[i] for name, accepted in found.accepted.items()},
                found.live[i],
            )
            for i, clip in enumerate(found.clips)
        ]
    )


def compare_layers(
    evaluated: Several,
    data: prepared.Prepared,
    *,
    attack_types: Sequence[str] | None = None,
    examples: int = 1,
    toward: str = "live",
) -> Picture:
    """Grad-CAM maps at each depth by several models, for the hardest videos.

    A row for each model and clip: face, target, Grad-CAM map of the last layer at each
    depth (`nets.last_layers`; of EulerNet those of figure 8) and predicted map.

    Args:
      evaluated: as in `compare_maps`.
      data: as in `compare_maps`.
      attack_types: as in `compare_maps`.
      examples: as in `compare_maps`.
      toward: class of the Grad-CAM maps, 'live' or 'spoof'.

    Raises:
      InputError: as `compare_maps`, a model of hand-crafted features, or another class.
    """
    found = _hard(evaluated, data, attack_types, examples)
    cams = {}
    for name, one in found.named.items():
        explain.require_layers(one.model)
        heads = explain.headings(one.model)
        images = found.batches[name]["image"]
        maps = explain.activation_maps(
            one.model, images, layers=list(heads) or None, toward=toward
        )
        cams[name] = {heads.get(layer, layer): m for layer, m in maps.items()}
    return explanations.layers(
        [
            explanations.Row(
                _answer(found, name, i),
                found.faces[i],
                {head: maps[i] for head, maps in cams[name].items()},
                one.maps[clip],
                found.batches[name]["target"][i],
            )
            for i, clip in enumerate(found.clips)
            for name, one in found.named.items()
        ]
    )


def _answer(found: _Hard, name: str, i: int) -> str:
    """Caption of a model's row: name, true class, score and verdict."""
    one, accepted = found.named[name], found.accepted[name][i]
    score = float(one.model.score(one.maps[found.clips[i]][None])[0])
    wrong = "" if accepted == found.live[i] else " ×"
    kind = found.captions[i].partition("\n")[0]
    return (
        f"{name}\n{kind}\nscore {score:.3f}\n{'live' if accepted else 'spoof'}{wrong}"
    )


def _hard(
    evaluated: Several,
    data: prepared.Prepared,
    attack_types: Sequence[str] | None,
    examples: int,
) -> _Hard:
    """The hardest clips; arguments and errors as in `compare_maps`."""
    limits.require(
        evaluated=(evaluated, EVALUATED),
        data=(data, prepared.DATA),
        examples=(examples, limits.COUNT),
    )
    named = _named(evaluated)
    tables = {name: _with_maps(one) for name, one in named.items()}
    _require_alike(named, tables)
    table = next(iter(tables.values()))
    tested = sorted(set(table.attack_type[table.label == 0].tolist()))
    kinds = tested if attack_types is None else attack_types
    limits.require(attack_types=(kinds, limits.Several(limits.OneOf(tested))))
    margins = {
        name: tables[name].score - one.result.threshold for name, one in named.items()
    }
    mean = np.mean(list(margins.values()), 0)
    right = np.where(table.label == 1, mean, -mean)  # positive on the right side
    rows = [
        row
        for kind in ("live", *kinds)
        for row in _hardest(table, right, kind, examples)
    ]
    faces, batches = _loaded(named, data, table.clip[rows])
    return _Hard(
        named,
        [_caption(table.attack_type[row], table.video[row]) for row in rows],
        table.clip[rows].tolist(),
        [bool(table.label[row]) for row in rows],
        faces,
        batches,
        {name: [bool(m[row] >= 0) for row in rows] for name, m in margins.items()},
    )


def _with_maps(evaluated: Evaluated) -> evaluation.ScoreTable:
    """The rows of the clips with maps, in order of the clips' names."""
    scores = evaluated.scores
    found = scores.take(np.isin(scores.clip, list(evaluated.maps)))
    return found.take(np.argsort(found.clip))


def _require_alike(
    named: Mapping[str, Evaluated], tables: Mapping[str, evaluation.ScoreTable]
) -> None:
    first = next(iter(named))
    for name, table in tables.items():
        if not np.array_equal(table.clip, tables[first].clip):
            raise InputError(
                f"expected evaluations of the same clips, got {name}"
                f" on {', '.join(named[name].tested.domains)} and {first} on"
                f" {', '.join(named[first].tested.domains)}.",
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


def _named(evaluated: Several) -> dict[str, Evaluated]:
    """Evaluations by name, with a number where several models have the same."""
    if isinstance(evaluated, Mapping):
        return dict(evaluated)
    named: dict[str, Evaluated] = {}
    for one in evaluated:
        count = sum(other.model.name == one.model.name for other in named.values())
        named[f"{one.model.name} {count + 1}" if count else one.model.name] = one
    return named


def _loaded(
    named: Mapping[str, Evaluated], data: prepared.Prepared, clips: np.ndarray
) -> tuple[list[np.ndarray], dict[str, pipeline.Batch]]:
    """Current frame of each clip, and the batch of the clips as each model's view shows."""
    views = {name: one.model.view for name, one in named.items()}
    columns = {
        "static",
        *(column for view in views.values() for column in view.columns),
    }
    records: dict[str, dict[str, np.ndarray]] = {}
    for split_name in next(iter(named.values())).tested.splits:
        split = data.splits[split_name]
        rows = np.flatnonzero(np.isin(split.table["clip"], clips))
        if not len(rows):
            continue
        loaded = {
            **split.load(rows, sorted(columns)),
            "label": split.table["label"][rows],
        }
        for i, row in enumerate(rows):
            records[split.table["clip"][row]] = {k: v[i] for k, v in loaded.items()}
    stacked = {
        key: np.stack([records[clip][key] for clip in clips])
        for key in (*columns, "label")
    }
    batches = {name: pipeline.to_batch(stacked, view) for name, view in views.items()}
    return list(stacked["static"]), batches
