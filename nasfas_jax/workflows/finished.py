"""A finished search, restored from its folder."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from nasfas_jax import limits, runtime
from nasfas_jax.compilation import run_once
from nasfas_jax.data.loading import pipeline, prepared, provenance
from nasfas_jax.errors import InputError
from nasfas_jax.methods import instruments
from nasfas_jax.methods.meta_nas import SearchMethod, SearchState
from nasfas_jax.runtime import devices
from nasfas_jax.runtime.checkpoints import Checkpoints
from nasfas_jax.search import spaces
from nasfas_jax.workflows import records, searchers
from nasfas_jax.workflows.data import unseen


@dataclasses.dataclass(frozen=True)
class FinishedSearch:
    """The last state of a search, with the method and data that led to it.

    Attributes:
      data: prepared data of the search.
      sources: source domains.
      space: the search space.
      method: the search method, without the mesh of several episodes.
      state: the last state.
      view: input of the batches.
      by: what the query of an episode is drawn from.
      batch_size: clips of each group in an episode.
      episodes: episodes per step.
    """

    data: prepared.Prepared
    sources: list[str]
    space: Any
    method: SearchMethod
    state: SearchState
    view: pipeline.View
    by: str
    batch_size: int
    episodes: int

    def draw(self, count: int, split: str, *, seed: int, episodes: int = 1) -> list:
        """Batches of episodes of a split, augmented if it is the training split.

        Args:
          count: number of batches.
          split: name of the split.
          seed: seed of the order and the augmentation.
          episodes: episodes in a batch; on a leading axis if above 1.

        Raises:
          InputError: a split without the clips for an episode.
        """
        drawn = pipeline.episodes(
            self.data,
            domains=self.sources,
            split=split,
            batch_size=self.batch_size,
            seed=seed,
            augment="standard" if split == "train" else "none",
            episodes=episodes,
            by=self.by,
            unseen=unseen(self.data),
            view=self.view,
        )
        return [next(drawn) for _ in range(count)]

    def alpha_gradient(self, batch: dict) -> Any:
        """Gradient by the alphas that a step on a batch of episodes follows, on the host."""
        mesh = runtime.make_mesh(jax.local_devices(), episodes=self.episodes)
        placed = devices.place(batch, runtime.episode_axes(self.episodes), mesh)
        state = jax.device_put(self.state, devices.replicated(mesh))
        return jax.device_get(run_once(self._gradient, state, placed)[1])

    @functools.cached_property
    def _gradient(self) -> Any:
        method: Any = self.method
        if self.episodes > 1:
            mesh = runtime.make_mesh(jax.local_devices(), episodes=self.episodes)
            method = dataclasses.replace(method, mesh=mesh)
        return method.alpha_gradient

    def curvature_product(self, batch: dict, direction: np.ndarray) -> np.ndarray:
        """Hessian of the query loss in the alphas times a vector of all of them, float64.

        Args:
          batch: query of an episode.
          direction: [alphas], in the order of `ravel_pytree`.
        """
        return np.asarray(self._curvature(self.state, batch, direction), np.float64)

    @functools.cached_property
    def _curvature(self) -> Any:
        _, unravel = ravel_pytree(self.state.alphas)

        def product(state: SearchState, batch: dict, direction: jax.Array) -> jax.Array:
            along = unravel(direction.astype(ravel_pytree(state.alphas)[0].dtype))
            found = instruments.curvature_product(self.method, state, batch, along)
            return ravel_pytree(found)[0]

        return jax.jit(product)

    def loss(self, alphas: Any, batches: Sequence[dict]) -> float:
        """Mean loss of the supernet at these alphas, one program for all of them.

        Args:
          alphas: like those of the state.
          batches: queries of episodes.
        """
        given = jax.tree.map(
            lambda own, x: np.asarray(x, own.dtype), self.state.alphas, alphas
        )
        params, stats = self.state.params, self.state.batch_stats
        losses = [self._loss(params, given, stats, batch) for batch in batches]
        return float(np.mean([float(one) for one in losses]))

    @functools.cached_property
    def _loss(self) -> Any:
        return jax.jit(self.method.supernet_loss)


def restore(data: prepared.Prepared, folder: str | pathlib.Path) -> FinishedSearch:
    """Restores the search of a folder that `search_architecture` wrote.

    Args:
      data: prepared data of the search.
      folder: its folder.

    Raises:
      InputError: no search, one that is not finished or has no steps, or other data.
    """
    limits.require(data=(data, prepared.DATA), folder=(folder, limits.PATH))
    path = pathlib.Path(folder)
    record, steps = records.read(path), _steps(path)
    sources = record.learned.domains
    records.require_data(path, record, provenance.Provenance.of(data, sources))
    given = records.nested(record.settings)["search"]
    space = spaces.get(given["space"], **given.get("space_options", {}))
    names = {f.name for f in dataclasses.fields(searchers.METHODS[given["method"]])}
    chosen = {name: value for name, value in given.items() if name in names}
    settings = searchers.settings_of(given["method"], **chosen)
    method, view = settings.make_method(space, steps=steps), given["view"]
    view = pipeline.View(**view)
    image = np.zeros((1, *view.input_shape(data.recipe)), np.float32)
    like = jax.eval_shape(method.init, jax.random.key(0), image)
    return FinishedSearch(
        data,
        list(sources),
        space,
        method,
        _last_state(path, like, steps),
        view,
        given["by"],
        given["batch_size"],
        given["episodes"],
    )


def _steps(folder: pathlib.Path) -> int:
    """Number of steps of a finished search.

    Raises:
      InputError: it is not finished, or had no steps.
    """
    files = (records.SUMMARY, "genotype.json")
    if missing := [name for name in files if not (folder / name).exists()]:
        raise InputError(
            f"{folder}: expected a finished search, whose last state is inspected, got one"
            f" without {' and '.join(missing)}. Start the same search again to finish it; a"
            " random architecture is not searched and has no state."
        )
    return records.read_summary(folder)["steps"]


def _last_state(folder: pathlib.Path, like: Any, steps: int) -> SearchState:
    """The state of the last checkpoint, on one device.

    Raises:
      InputError: no whole checkpoint of the last step.
    """
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    placed = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), like
    )
    checkpoints = Checkpoints(folder)
    try:
        restored = checkpoints.restore(placed)
    finally:
        checkpoints.close()
    if restored.step != steps:
        raise InputError(
            f"{folder}: expected a whole checkpoint of the last step, {steps}, got one of"
            f" step {restored.step}. Start the same search again to finish it."
        )
    return restored.state
