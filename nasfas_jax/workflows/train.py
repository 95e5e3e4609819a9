"""Training one network or method on the source domains of prepared data."""

import contextlib
import dataclasses
import json
import pathlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
import optax

from nasfas_jax import files, nets, runtime
from nasfas_jax.data.loading import pipeline, prepared, provenance
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.methods import supervised
from nasfas_jax.methods.state import adam, schedule
from nasfas_jax.theta import Weight
from nasfas_jax.workflows import records, registry
from nasfas_jax.workflows.data import domains
from nasfas_jax.workflows.model import Model


class Trained(NamedTuple):
    """A trained method.

    Attributes:
      method: what was trained, with ``predict``.
      state: its last state.
      summary: parameters, macs, steps, and the seconds of the steps and of all starts.
      resumed_whole: whether an earlier start had finished the same steps.
    """

    method: Any
    state: Any
    summary: dict[str, Any]
    resumed_whole: bool


def train_method(
    name: str,
    data: prepared.Prepared,
    description: Mapping[str, Any],
    optimizer: optax.GradientTransformation,
    *,
    domains: Sequence[str],
    folder: pathlib.Path,
    steps: int,
    batch_size: int,
    view: pipeline.View,
    augment: str = "standard",
    episodes: int = 1,
    seed: int = 0,
    log_every: int = 10,
    save_every: int = 100,
) -> Trained:
    """Trains what a description describes, or resumes its training in ``folder``.

    Args:
      name: shown with the progress.
      data: prepared data.
      description: as `registry.describe` makes it.
      optimizer: optimizer of all parameters.
      domains: source domains.
      folder: folder for checkpoints, metrics and ``summary.json``.
      steps: total number of steps.
      batch_size: clips of an episode, the same number of each domain; where a method
        takes pooled batches, clips of a batch.
      view: input and target of the batches; a genotype has its own map size.
      augment: recipe in `data.loading.augment`.
      episodes: meta-learning episodes per step, distributed over devices; for pooled
        batches the batch is as many times larger.
      seed: seed of weights, order and augmentation.
      log_every: steps between lines of metrics.
      save_every: steps between checkpoints.

    Raises:
      InputError: a setting out of range, or data without live or spoof clips.
      Stopped: by a signal, after a checkpoint.
      Diverged: the loss is not finite.
    """
    method = registry.make_method(description, optimizer)
    require_images(name, view)
    pooled = method.batches == "pooled"
    mesh = runtime.make_mesh(episodes=1 if pooled else episodes)
    if not pooled and episodes > 1:
        method = dataclasses.replace(method, mesh=mesh)
    if isinstance(method, supervised.Supervised):
        view = dataclasses.replace(view, map_size=method.net.map_size)
    options = {
        "domains": domains,
        "seed": seed,
        "augment": augment,
        **dataclasses.asdict(view),
    }
    if pooled:
        batches = pipeline.train_batches(
            data, batch_size=batch_size * episodes, **options
        )
        batch_axes = runtime.BATCH_AXES
    else:
        size = registry.clips_per_domain(batch_size, len(domains))
        batches = pipeline.episodes(data, batch_size=size, episodes=episodes, **options)
        batch_axes = runtime.episode_axes(episodes)
    image = example_image(data.recipe, view)
    state = jax.jit(method.init)(jax.random.key(seed), image)
    cost = cost_of(method, state, image)
    began = time.monotonic()
    state, seconds = runtime.fit(
        name,
        method.step,
        state,
        batches,
        steps=steps,
        folder=folder,
        log_every=log_every,
        save_every=save_every,
        batch_axes=batch_axes,
        mesh=mesh,
    )
    summary, resumed = summarize(folder, cost, steps, seconds, time.monotonic() - began)
    return Trained(method, state, summary, resumed)


def train(
    data: prepared.Prepared,
    net: nn.Module | str,
    *,
    target: str = "",
    theta: Weight | None = None,
    lam: Weight | None = None,
    steps: int = 1500,
    batch_size: int = 8,
    learning_rate: float = 5e-3,
    decay: str = "cosine",
    weight_decay: float = 5e-5,
    augment: str = "flip",
    view: pipeline.View | None = None,
    seed: int = 0,
    searched: provenance.Provenance | None = None,
    folder: str | pathlib.Path | None = None,
    log_every: int = 10,
    save_every: int = 100,
) -> Model:
    """Trains a network with depth supervision on the source domains.

    Args:
      data: prepared data, see `data.open_data`.
      net: a network of `nets.build` or of a genotype, or a name for `nets.build`.
      target: domain held out for testing; '' learns from all domains, or from the
        training split of the protocol that the data were opened with.
      theta: share of central differences in the convolutions, see `nets.describe`; None
        for the network's own.
      lam: share of central differences in the pooling, likewise.
      steps: number of steps.
      batch_size: clips of a batch, half of them live.
      learning_rate: highest learning rate of Adam.
      decay: course of the learning rate, see `methods.state.schedule`.
      weight_decay: L2 coefficient of the weights.
      augment: recipe in `data.loading.augment`.
      view: input and target of the batches; a genotype and CDN have their own map size.
      seed: seed of weights, order and augmentation.
      searched: training data of the search that found the architecture.
      folder: folder for checkpoints and metrics, from which an interrupted training
        resumes; a temporary one if None.
      log_every: steps between lines of metrics.
      save_every: steps between checkpoints.

    Raises:
      InputError: a setting out of range, an unknown target, or a ``folder`` with other
        settings or data.
      Stopped: by a signal, after a checkpoint.
      Diverged: the loss is not finite.
    """
    net = nets.build(net) if isinstance(net, str) else net
    net = nets.with_weights(net, theta=theta, lam=lam)
    sources, _ = domains(data, target)
    description = nets.description_of(net)
    view = dataclasses.replace(view or pipeline.View(), map_size=net.map_size)
    settings = {
        "seed": seed,
        "train": {
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "decay": decay,
            "weight_decay": weight_decay,
            "augment": augment,
            "view": dataclasses.asdict(view),
        },
        "network": description,
    }
    learned = provenance.Provenance.of(data, sources)
    record = records.Record(records.decisive(settings), learned, [steps], searched)
    rate = schedule(decay, learning_rate, steps=steps)
    with contextlib.ExitStack() as stack:
        path = pathlib.Path(
            folder or stack.enter_context(tempfile.TemporaryDirectory())
        )
        stack.enter_context(files.locked(path))
        records.begin(path, record)
        trained = train_method(
            f"train {description['network']}",
            data,
            description,
            adam(rate, weight_decay=weight_decay),
            domains=sources,
            folder=path,
            steps=steps,
            batch_size=batch_size,
            view=view,
            augment=augment,
            seed=seed,
            log_every=log_every,
            save_every=save_every,
        )
    params, batch_stats = jax.device_get(
        (trained.state.params, trained.state.batch_stats)
    )
    return Model(
        network=description,
        params=params,
        batch_stats=batch_stats,
        recipe=data.recipe,
        view=view,
        learned=learned,
        settings=record.settings,
        steps=steps,
        searched=searched,
    )


def require_images(name: str, view: pipeline.View) -> None:
    """Requires a view of single images, the input of every network of `registry`.

    Raises:
      InputError: a view of the frames of a clip.
    """
    if view.input == "frames":
        raise InputError(
            f"view.input: expected 'static_dynamic', 'static' or 'dynamic' for {name},"
            " whose input is one image, got 'frames'."
        )


def example_image(recipe: Recipe, view: pipeline.View) -> np.ndarray:
    """A black image [1, S, S, C] of the shape of a network's input."""
    return np.zeros((1, *view.input_shape(recipe)), np.float32)


def cost_of(method: Any, state: Any, image: np.ndarray) -> dict[str, int]:
    """Numbers of parameters and of multiply-adds of a prediction."""
    own = {k: v for k, v in state.params.items() if k not in ("tasks", "phi")}
    macs = nets.macs_of(method.predict, state.params, state.batch_stats, image)
    return {"parameters": nets.parameters({"params": own}), "macs": macs}


def summarize(
    folder: pathlib.Path, cost: dict, steps: int, seconds: float, wall: float
) -> tuple[dict[str, Any], bool]:
    """Writes ``summary.json``, unless an earlier start finished the same steps.

    Returns:
      Its content, and whether an earlier start wrote it.
    """
    path = folder / "summary.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    if before.get("steps") == steps:
        return before, True
    wall += before.get("wall_seconds", 0.0)
    summary = {**cost, "steps": steps, "seconds": seconds, "wall_seconds": wall}
    files.write_json(path, summary)
    return summary, False


def restore(
    folder: pathlib.Path,
    description: Mapping[str, Any],
    optimizer: optax.GradientTransformation,
    image: np.ndarray,
) -> tuple[Any, runtime.Restored]:
    """The method of a description and its last whole checkpoint in ``folder``.

    Args:
      folder: folder of the training.
      description: as `registry.describe` makes it.
      optimizer: the optimizer it was trained with.
      image: as `example_image`.

    Raises:
      InputError: no checkpoint, or one that does not fit.
    """
    method = registry.make_method(description, optimizer)
    like = jax.eval_shape(lambda: method.init(jax.random.key(0), image))
    sharding = runtime.replicated(runtime.make_mesh())
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), like
    )
    checkpoints = runtime.Checkpoints(folder)
    try:
        return method, checkpoints.restore(like)
    finally:
        checkpoints.close()
