"""``nasfas train``: networks trained alike on the source domains."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from nasfas_jax import files, nets, runtime
from nasfas_jax.commands import hand_crafted, records, systems
from nasfas_jax.commands.run import Run
from nasfas_jax.data.loading import pipeline, prepared, provenance
from nasfas_jax.errors import InputError
from nasfas_jax.methods import supervised


def run(run: Run) -> None:
    """Trains ``--network``, or all of config.networks, into ``train/<network>/``."""
    for name in run.networks:
        train(run, name)


def train(run: Run, name: str) -> None:
    """Trains one network, or resumes its training."""
    systems.describe(run, name)  # a missing genotype is reported before any work
    data = run.open_data()
    record = make_record(run, name, data)
    if record.genotype:
        require_unseen(run, data, record.genotype, f"The search of {run.genotype_file}")
    folder = run.folder("train", name)
    with files.locked(folder):
        records.begin(run, folder, record)
        print_notes(data)
        if name in hand_crafted.NAMES:
            hand_crafted.train(run, name, data, folder)
        else:
            _train_network(run, name, data, folder)


def make_record(run: Run, name: str, data: prepared.Prepared) -> records.Record:
    """The record of training a network with the settings and data of a run."""
    sources, _ = run.domains(data)
    description = systems.describe(run, name, len(sources))
    return records.Record(
        settings=records.settings_of(run.config, "train", network=description),
        learned=provenance.Provenance.of(data, sources),
        steps=[] if name in hand_crafted.NAMES else [run.config.train.steps],
        genotype=(
            records.genotype_provenance(run.genotype_file)
            if name == "searched"
            else None
        ),
    )


def require_unseen(
    run: Run, data: prepared.Prepared, learned: provenance.Provenance, what: str
) -> None:
    """Requires that what a run tests was not learned from."""
    tested = records.tested(run, data)
    provenance.require_unseen(learned, data, tested, what=what)


def print_notes(data: prepared.Prepared) -> None:
    """Prints the protocol and which of its videos are missing."""
    if data.lists:
        print("\n".join([f"protocol {data.dataset}", *data.lists.notes()]))


def _train_network(
    run: Run, name: str, data: prepared.Prepared, folder: pathlib.Path
) -> None:
    config = run.config.train
    sources, _ = run.domains(data)
    description = systems.describe(run, name, len(sources))
    files.write_json(folder / "network.json", description)
    method = systems.make_method(config, description)
    episodes = 1 if method.batches == "pooled" else config.get("episodes", 1)
    mesh = runtime.make_mesh(episodes=episodes)
    if episodes > 1:
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
    if not summarize(folder, cost, config.steps, seconds, time.monotonic() - began):
        print(f"{name} was trained before, for {config.steps} steps: {folder}")
        return
    print(
        f"trained {name} for {config.steps} steps: {cost['parameters']:,} parameters,"
        f" {time.monotonic() - began:.0f} s, {folder}"
    )


def summarize(
    folder: pathlib.Path, cost: dict, steps: int, seconds: float, wall: float
) -> bool:
    """Writes ``summary.json``, unless an earlier start finished the same steps."""
    path = folder / "summary.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    if before.get("steps") == steps:
        return False
    wall += before.get("wall_seconds", 0.0)
    times = {"steps": steps, "seconds": seconds, "wall_seconds": wall}
    files.write_json(path, {**cost, **times})
    return True


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
    if isinstance(method, supervised.Supervised):
        options["map_size"] = method.net.map_size  # a genotype has its own
    if method.batches == "pooled":
        size = config.batch_size * together
        batches = pipeline.train_batches(data, batch_size=size, **options)
        return batches, runtime.BATCH_AXES
    size = systems.clips_per_domain(config.batch_size, len(sources))
    batches = pipeline.episodes(data, batch_size=size, episodes=together, **options)
    return batches, runtime.episode_axes(together)


def load(run: Run, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """The trained network of a run, from its last checkpoint: images to maps.

    The mean of a map [h, w] is the score.

    Raises:
      InputError: no trained network, or one that learned from other inputs than the
        config describes.
    """
    require_same_inputs(run, name)
    if name in hand_crafted.NAMES:
        return hand_crafted.load(run, name)
    method, state = _restore(run, name)
    predict = jax.jit(method.predict)
    return lambda image: np.asarray(predict(state.params, state.batch_stats, image))


def load_attention(run: Run, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Images to the attention of a network of `systems.FEATURE_METHODS`."""
    require_same_inputs(run, name)
    method, state = _restore(run, name)
    attend = jax.jit(method.nets.attention)
    return lambda image: np.asarray(attend(state.params, state.batch_stats, image))


def require_same_inputs(run: Run, name: str) -> None:
    """Requires that the config makes the inputs that the network was trained on.

    The face detector may be another one: where it is used depends on the video.

    Raises:
      InputError: no trained network, or other inputs.
    """
    folder = run.workdir / "train" / name
    if not (folder / records.FILE).exists():
        raise InputError(
            f"There is no trained network in {folder}. Train it first: nasfas train"
            f" --network={name} with this --workdir."
        )
    record = records.read(folder)
    asked = {f"train.{key}": value for key, value in _flat_view(run).items()}
    records.require_settings(folder, record.settings, asked)
    recipe = dataclasses.asdict(run.recipe)
    for free in ("detector", "landmarks"):
        del recipe[free]
    asked = {f"data.{key}": value for key, value in recipe.items()}
    recorded = {f"data.{key}": value for key, value in record.learned.recipe.items()}
    records.require_settings(folder, recorded, asked)


def last_step(run: Run, name: str) -> int | None:
    """Step of the checkpoint that `load` restores; None for a method without steps."""
    if name in hand_crafted.NAMES:
        return None
    checkpoints = runtime.Checkpoints(run.workdir / "train" / name)
    try:
        return checkpoints.last_whole
    finally:
        checkpoints.close()


def _flat_view(run: Run) -> dict[str, Any]:
    view = run.config.train.view.to_dict()
    return {f"view.{key}": v for key, v in view.items()} | {
        "map_size": run.config.train.map_size
    }


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
        return method, checkpoints.restore(like).state
    finally:
        checkpoints.close()


def _image(run: Run) -> np.ndarray:
    size = run.config.data.image_size
    channels = pipeline.View(**run.view).channels
    return np.zeros((1, size, size, channels), np.float32)
