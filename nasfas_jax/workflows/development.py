"""The development error over a training, and the model with the smallest one."""

import json
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from nasfas_jax import evaluation, files, nets, runtime
from nasfas_jax.data.loading import pipeline, prepared
from nasfas_jax.errors import InputError
from nasfas_jax.workflows.evaluate import score_table
from nasfas_jax.workflows.model import Model

#: Steps whose model a training returns.
SELECTIONS = ("last", "development")
#: Name of the file with the smallest error and its step, beside the files of the model.
SMALLEST = "development.json"


def require_measured(
    steps: int, log_every: int, development_every: int | None, select: str
) -> None:
    """Requires measurements at logged steps, and one of them before a selection.

    Arguments as in `train.train`.

    Raises:
      InputError: of ``development_every``.
    """
    if development_every is None:
        if select != "last":
            raise InputError(
                f"expected steps between measurements for select={select!r}, got None.",
                field="development_every",
            )
        return
    if development_every % log_every:
        raise InputError(
            f"expected a multiple of log_every, {log_every}, got {development_every}.",
            field="development_every",
        )
    if select != "last" and development_every > steps:
        raise InputError(
            f"expected {steps} or less, the number of steps, got {development_every}.",
            field="development_every",
        )


def development_error(
    predict: Callable[[np.ndarray], np.ndarray],
    data: prepared.Prepared,
    *,
    score: nets.Scorer,
    sources: Sequence[str],
    view: pipeline.View,
    batch_size: int = 16,
) -> float:
    """Equal error rate on the development videos of the sources, from 0 to 1.

    Args:
      predict: images [B, S, S, C] to maps [B, h, w].
      data: prepared data.
      score: function from maps to scores.
      sources: source domains.
      view: input of the network.
      batch_size: clips per prediction.

    Raises:
      InputError: no development clips, or none that are live or spoof.
    """
    batches = pipeline.eval_batches(
        data, domains=sources, split="development", batch_size=batch_size, view=view
    )
    columns = []
    for batch, about in batches:
        predicted = predict(batch["image"])[batch["valid"]]
        columns.append({**about, "score": np.asarray(score(predicted))})
    videos = evaluation.by_video(score_table(columns))
    return evaluation.metrics.equal_error_rate(videos.score, videos.label)


class Watch:
    """Measures the development error, and saves the model with the smallest one.

    Args:
      every: steps between measurements.
      data: prepared data.
      sources: source domains.
      view: input of the network.
      predict: function (params, batch_stats, images) to maps.
      score: function from maps to scores.
      model: function from ``params``, ``batch_stats`` and ``steps`` to the model.
      folder: folder of the model with the smallest error.

    Raises:
      InputError: no development clips.
    """

    def __init__(
        self,
        every: int,
        data: prepared.Prepared,
        *,
        sources: Sequence[str],
        view: pipeline.View,
        predict: Callable[..., Any],
        score: nets.Scorer,
        model: Callable[..., Model],
        folder: pathlib.Path,
    ):
        # Data without development clips are refused before any step.
        pipeline.eval_batches(data, domains=sources, split="development", view=view)
        self._every, self._model, self._folder = every, model, folder
        self._data, self._sources, self._view = data, sources, view
        self._predict, self._score = jax.jit(predict), score

    def __call__(self, state: Any) -> dict[str, float]:
        """``development_eer`` of a state, at the steps of a measurement."""
        step = int(runtime.fetch(state.step))
        if step % self._every:
            return {}
        params, stats = runtime.fetch((state.params, state.batch_stats))
        if not runtime.processes.is_first():
            return {}
        error = development_error(
            lambda image: np.asarray(self._predict(params, stats, image)),
            self._data,
            score=self._score,
            sources=self._sources,
            view=self._view,
        )
        if error < self._smallest():
            model = self._model(params=params, batch_stats=stats, steps=step)
            model.save(self._folder)
            # Written last: a process that is killed in between measures and saves again.
            files.write_json(self._folder / SMALLEST, {"step": step, "eer": error})
        return {"development_eer": error}

    def _smallest(self) -> float:
        """The smallest error so far, before an interruption too."""
        found = self._folder / SMALLEST
        return json.loads(found.read_text())["eer"] if found.exists() else math.inf
