"""Comparison of exported programs with their models."""

import dataclasses
import html
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nasfas_jax import limits, tables
from nasfas_jax.data.preparation import faces
from nasfas_jax.errors import InputError
from nasfas_jax.timing import medians
from nasfas_jax.workflows import predict
from nasfas_jax.workflows.export import Exported

if TYPE_CHECKING:
    from nasfas_jax.workflows.model import Model

#: Number of runs whose median is the latency of a clip.
REPEATS = 20
#: Number of clips of a file that are compared.
CLIPS = 8
#: Rows of the report about the properties of a program.
COUNTED = {
    "convolutions": "convolutions",
    "folded": "sums and products folded into them",
}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Parity:
    """Differences between an exported program and its model on the same clips.

    Attributes:
      exported: the program.
      clips: number of clips.
      score: largest difference of the scores.
      map: largest difference of the maps.
      changed: number of clips whose decision at the threshold is another one; None without
        a threshold.
      seconds: median time of one clip in the program.
      model_seconds: median time of one clip in the model: its preparation with NumPy, and
        its network with JAX.
    """

    exported: Exported
    clips: int
    score: float
    map: float
    changed: int | None
    seconds: float
    model_seconds: float

    def table(self) -> list[list[str]]:
        """Rows of the report, the header first."""
        changed = "no threshold" if self.changed is None else str(self.changed)
        properties = self.exported.properties
        counted = [k for k in ("convolutions", "folded") if k in properties]
        return [
            ["of the program", self.exported.file.name],
            *[[COUNTED[k], str(properties[k])] for k in counted],
            ["clips", str(self.clips)],
            ["largest difference of scores", f"{self.score:.2g}"],
            ["largest difference of maps", f"{self.map:.2g}"],
            ["changed decisions", changed],
            ["ms a clip", f"{1e3 * self.seconds:.2f}"],
            ["ms a clip in JAX", f"{1e3 * self.model_seconds:.2f}"],
        ]

    def __repr__(self) -> str:
        rows = ", ".join(f"{name}: {value}" for name, value in self.table()[1:])
        return f"<Parity {rows}>"

    def __str__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> str:
        name = html.escape(repr(self.exported)[1:-1])
        return f"<p>{name}</p>{tables.as_html(self.table())}"


def parity(
    model: "Model",
    exported: Exported,
    sources: Sequence[str | os.PathLike | np.ndarray],
    *,
    detector: faces.Detector | None = None,
) -> Parity:
    """Compares a program with its model on clips of files.

    Args:
      model: the model.
      exported: the program, of `export` or `open_exported`.
      sources: videos, pictures and folders of frames, or arrays of clips, as
        `Model.predict` takes them.
      detector: as of `Model.predict`.

    Raises:
      InputError: no source, or as `Model.predict`.
    """
    limits.require(exported=(exported, limits.Kind(Exported, "of model.export")))
    if not len(sources):
        raise InputError("expected one clip or more, got none.", field="sources")
    clips = np.concatenate([_clips(model, source, detector) for source in sources])
    inputs = model.preprocess(clips)
    maps = np.concatenate([model.maps(one[None]) for one in inputs])
    scores = model.score(maps)
    frames = clips[:, -exported.properties["frames"] :]
    found = [exported.run(one[None]) for one in frames]
    own_scores, own_maps = (np.concatenate(parts) for parts in zip(*found, strict=True))
    changed = None
    if model.threshold is not None:
        live = [x >= model.threshold.value for x in (scores, own_scores)]
        changed = int((live[0] != live[1]).sum())
    calls = [
        lambda: exported.run(frames[:1]),
        lambda: model.maps(model.preprocess(clips[:1])),
    ]
    return Parity(
        exported,
        len(clips),
        float(np.abs(scores - own_scores).max()),
        float(np.abs(maps - own_maps).max()),
        changed,
        *medians(calls, REPEATS),
    )


def _clips(model: "Model", source: Any, detector: faces.Detector | None) -> np.ndarray:
    """Face crops of a source, uint8 [n, K, S, S, 3]."""
    if isinstance(source, np.ndarray):
        return source.reshape(-1, *source.shape[-4:])
    found, _ = predict.sampled(
        source, model.recipe, detector or model.default_detector(), CLIPS
    )
    return np.stack([sample.frames for sample in found])
