"""``nasfas train``: networks trained alike on the source domains."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from nasfas_jax import files, runtime
from nasfas_jax.commands import hand_crafted, systems
from nasfas_jax.commands.run import Run
from nasfas_jax.data.loading import pipeline, prepared, provenance
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import records
from nasfas_jax.workflows import train as workflow


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
        records.begin(folder, record, run.config_text)
        print_notes(data)
        if name in hand_crafted.NAMES:
            hand_crafted.train(run, name, data, folder)
        else:
            _train_network(run, name, data, folder)


def make_record(run: Run, name: str, data: prepared.Prepared) -> records.Record:
    """The record of training a network with the settings and data of a run."""
    sources, _ = run.domains(data)
    description = systems.describe(run, name, len(sources))
    config = run.config
    return records.Record(
        settings=records.decisive(
            {
                "seed": config.seed,
                "train": config.train.to_dict(),
                "network": description,
            }
        ),
        learned=provenance.Provenance.of(data, sources),
        steps=[] if name in hand_crafted.NAMES else [config.train.steps],
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
    tested = run.tested(data)
    provenance.require_unseen(learned, data, tested._asdict(), what=what)


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
    try:
        trained = workflow.train_method(
            f"train {name}",
            data,
            description,
            systems.make_optimizer(config),
            domains=sources,
            folder=folder,
            steps=config.steps,
            batch_size=config.batch_size,
            view=pipeline.View(**run.view),
            augment=config.augment,
            episodes=config.get("episodes", 1),
            seed=run.config.seed,
            log_every=config.log_every,
            save_every=config.save_every,
        )
    except InputError as error:
        if str(error).startswith("batch_size"):
            raise InputError(f"config.train.{error}") from None
        raise
    if trained.resumed_whole:
        print(f"{name} was trained before, for {config.steps} steps: {folder}")
        return
    summary = trained.summary
    print(
        f"trained {name} for {config.steps} steps: {summary['parameters']:,} parameters,"
        f" {summary['wall_seconds']:.0f} s, {folder}"
    )


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
    method, restored = workflow.restore(
        folder,
        systems.read(folder / "network.json"),
        systems.make_optimizer(run.config.train),
        workflow.example_image(run.recipe, pipeline.View(**run.view)),
    )
    return method, restored.state
