"""``nasfas train``: networks trained alike on the source domains."""

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from nasfas_jax import nets, runtime
from nasfas_jax.commands import hand_crafted, systems
from nasfas_jax.commands.run import Run
from nasfas_jax.data import pipeline, prepared
from nasfas_jax.errors import InputError
from nasfas_jax.files import write_json


def run(run: Run) -> None:
    """Trains ``--network``, or all of config.networks, into ``train/<network>/``."""
    for name in run.networks:
        train(run, name)


def train(run: Run, name: str) -> None:
    """Trains one network; goes on where an earlier start was stopped."""
    if name in hand_crafted.NAMES:
        return hand_crafted.train(run, name)
    config = run.config.train
    description = systems.describe(run, name)
    data = run.open_data()
    sources, _ = run.domains(data)
    if "method" in description:
        description["domains"] = len(sources)
    folder = run.folder("train", name)
    _claim(folder / "network.json", description)
    method = systems.make_method(config, description)
    together = 1 if method.batches == "pooled" else config.get("episodes", 1)
    mesh = runtime.make_mesh(episodes=together)
    if together > 1:
        method = dataclasses.replace(method, mesh=mesh)
    batches, batch_axes = _batches(run, method, data, sources)
    image = _image(run)
    state = jax.jit(method.init)(jax.random.key(run.config.seed), image)
    trained = {k: v for k, v in state.params.items() if k not in ("tasks", "phi")}
    cost = {
        "parameters": nets.parameters({"params": trained}),
        "macs": nets.macs_of(method.predict, state.params, state.batch_stats, image),
    }
    began = time.monotonic()
    _, seconds = runtime.fit(
        f"train {name}",
        method.step,
        state,
        batches,
        steps=config.steps,
        folder=folder,
        log_every=config.log_every,
        save_every=config.save_every,
        batch_axes=batch_axes,
        mesh=mesh,
    )
    wall = time.monotonic() - began
    write_json(
        folder / "summary.json", {**cost, "seconds": seconds, "wall_seconds": wall}
    )
    print(f"trained {name}: {cost['parameters']:,} parameters, {wall:.0f} s, {folder}")


def _batches(run: Run, method: Any, data: prepared.Prepared, sources: list[str]):
    """What the method learns from, and the axes of its arrays that devices share.

    ``config.train.batch_size`` clips an episode, as many of each domain, and
    ``config.train.episodes`` a step; what is pooled has as many clips in one batch.
    """
    config = run.config.train
    together = config.get("episodes", 1)
    options = {
        "domains": sources,
        "seed": run.config.seed,
        "augment": config.augment,
        **run.view,
    }
    if method.batches == "pooled":
        size = config.batch_size * together
        batches = pipeline.train_batches(data, batch_size=size, **options)
        return batches, runtime.BATCH_AXES
    size = config.batch_size // len(sources)
    batches = pipeline.episodes(data, batch_size=size, episodes=together, **options)
    return batches, runtime.episode_axes(together)


def load(run: Run, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """The trained network of a run, from its last checkpoint: images to maps.

    Its mean over a map [h, w] is the score.
    """
    if name in hand_crafted.NAMES:
        return hand_crafted.load(run, name)
    method, state = _restore(run, name)
    predict = jax.jit(method.predict)
    return lambda image: np.asarray(predict(state.params, state.batch_stats, image))


def load_attention(run: Run, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Images to the attention of a network of `systems.FEATURE_METHODS`."""
    method, state = _restore(run, name)
    attend = jax.jit(method.nets.attention)
    return lambda image: np.asarray(attend(state.params, state.batch_stats, image))


def _restore(run: Run, name: str) -> tuple[Any, Any]:
    """A trained network's method and its last state."""
    folder = run.workdir / "train" / name
    method = systems.read(folder / "network.json", run.config.train)
    like = jax.eval_shape(lambda: method.init(jax.random.key(0), _image(run)))
    sharding = runtime.replicated(runtime.make_mesh())
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), like
    )
    checkpoints = runtime.Checkpoints(folder)
    try:
        return method, checkpoints.restore(like)[0]
    finally:
        checkpoints.close()


def _image(run: Run) -> np.ndarray:
    size = run.config.data.image_size
    channels = pipeline.View(**run.view).channels
    return np.zeros((1, size, size, channels), np.float32)


def _claim(path, description: dict) -> None:
    """A folder belongs to one network: its checkpoints fit no other."""
    if path.exists() and json.loads(path.read_text()) != description:
        raise InputError(
            f"{path.parent} holds checkpoints of another network than is now asked for "
            f"({path.name} differs: another genotype or width). Give another --workdir, "
            f"or remove {path.parent} to train anew."
        )
    write_json(path, description)
