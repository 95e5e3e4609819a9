"""Training of a network, method or features on source domains, up to its model."""

import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from nasfas_jax import nets, runtime
from nasfas_jax.data.loading import pipeline, prepared
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.runtime import processes
from nasfas_jax.workflows import development, hand_crafted, records, registry, starts
from nasfas_jax.workflows import steps as steps_of
from nasfas_jax.workflows.model import Model

#: Folder of the model with the smallest development error, in that of a training.
BEST = "best"


class Training(NamedTuple):
    """One training: its network, data and record, with or without steps.

    Attributes:
      data: prepared data.
      sources: source domains.
      description: description of the network, method or features.
      view: input and target of the batches.
      record: settings, data and steps.
    """

    data: prepared.Prepared
    sources: Sequence[str]
    description: Mapping[str, Any]
    view: pipeline.View
    record: records.Record

    def model(self, params: Any, batch_stats: Any, steps: int) -> Model:
        """The model of parameters and running averages."""
        return model_of(
            self.record,
            self.description,
            params,
            batch_stats,
            self.view,
            self.data.recipe,
            steps,
            self.data.face_model,
        )

    def of_features(self, folder: pathlib.Path) -> Model:
        """The model of hand-crafted features, which are fitted without steps."""
        network, params = hand_crafted.fit(
            self.description["features"], self.data, domains=self.sources, folder=folder
        )
        return self._replace(description=network).model(params, {}, 0)

    def beginning(
        self, trained: steps_of.Steps, weights: starts.Start | None, seed: int
    ) -> Callable[[], Any]:
        """A function that builds the first state.

        Raises:
          InputError: weights that do not fit.
        """
        image = example_image(self.data.recipe, self.view)
        if weights is None:
            return lambda: trained.init(seed, image)
        init = trained.method.init
        weights.applied(jax.eval_shape(init, jax.random.key(0), image))
        return lambda: weights.applied(trained.init(seed, image))

    def of_steps(
        self,
        trained: steps_of.Steps,
        begin: Callable[[], Any],
        folder: pathlib.Path,
        *,
        steps: int,
        select: str,
        development_every: int | None,
        **every: int,
    ) -> Model:
        """The model of a network or method after its steps.

        Args:
          trained: the steps.
          begin: function that builds the first state.
          folder: folder of the training.
          steps: number of steps.
          select: as in `train`.
          development_every: likewise.
          **every: ``log_every`` and ``save_every``.
        """
        method, state = trained.method, begin()
        image = example_image(self.data.recipe, self.view)
        cost = _cost(method, state, image)
        watch = self._watch(method, development_every, folder / BEST)
        began = time.monotonic()
        name = f"train {registry.name_of(self.description)}"
        state, seconds = trained.fit(
            name, state, folder=folder, steps=steps, extra_metrics=watch, **every
        )
        wall = time.monotonic() - began
        processes.once(lambda: records.summarize(folder, cost, steps, seconds, wall))
        params, batch_stats = runtime.fetch((state.params, state.batch_stats))
        if select == "development":
            return Model.load(folder / BEST)
        return self.model(params, batch_stats, steps)

    def _watch(
        self, method: Any, every: int | None, folder: pathlib.Path
    ) -> Callable[[Any], dict[str, float]]:
        """The development error as a metric of states; no metric without ``every``."""
        if not every:
            return lambda state: {}
        return development.Watch(
            every,
            self.data,
            sources=self.sources,
            view=self.view,
            predict=method.predict,
            score=registry.scorer(self.description),
            model=self.model,
            folder=folder,
        )


def example_image(recipe: Recipe, view: pipeline.View) -> np.ndarray:
    """Zeros [1, ...] of the shape of a network's input."""
    return np.zeros((1, *view.input_shape(recipe)), np.float32)


def model_of(
    record: records.Record,
    network: Mapping[str, Any],
    params: Any,
    batch_stats: Any,
    view: pipeline.View,
    recipe: Recipe,
    steps: int,
    face_model: bytes | None,
) -> Model:
    """The model of a record; arguments as the attributes of `Model`."""
    return Model(
        network=dict(network),
        params=params,
        batch_stats=batch_stats,
        recipe=recipe,
        view=view,
        learned=record.learned,
        settings=record.settings,
        steps=steps,
        searched=record.genotype,
        face_model=face_model,
    )


def _cost(method: Any, state: Any, image: np.ndarray) -> dict[str, int]:
    """Parameter count, and multiply-adds of a prediction."""
    macs = nets.macs_of(method.predict, state.params, state.batch_stats, image)
    return {"parameters": registry.parameters(state.params), "macs": macs}
