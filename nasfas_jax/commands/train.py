"""``nasfas train``: networks trained alike on the source domains."""

import json
import time

import jax
import numpy as np

from nasfas_jax import nets, runtime
from nasfas_jax.commands.run import Run, write_json
from nasfas_jax.data import pipeline
from nasfas_jax.errors import InputError
from nasfas_jax.methods import optimizers, supervised


def run(run: Run) -> None:
    """Trains ``--network``, or all of config.networks, into ``train/<network>/``."""
    for name in run.networks:
        train(run, name)


def train(run: Run, name: str) -> None:
    """Trains one network; goes on where an earlier start was stopped."""
    config = run.config.train
    description = nets.describe(
        name,
        width=config.width,
        map_size=config.map_size,
        genotype_file=run.genotype_file,
    )
    data = run.open_data()
    sources, _ = run.domains(data)
    batches = pipeline.train_batches(
        data,
        domains=sources,
        batch_size=config.batch_size,
        seed=run.config.seed,
        augment=config.augment,
    )
    folder = run.folder("train", name)
    _claim(folder / "network.json", description)
    method = make_method(run, description)
    image = _image(run)
    state = jax.jit(method.init)(jax.random.key(run.config.seed), image)
    cost = {
        "parameters": nets.parameters({"params": state.params}),
        "macs": nets.macs(method.net, image.shape),
    }
    began = time.monotonic()
    state, seconds = runtime.fit(
        f"train {name}",
        method.step,
        state,
        batches,
        steps=config.steps,
        folder=folder,
        log_every=config.log_every,
        save_every=config.save_every,
    )
    wall = time.monotonic() - began
    write_json(
        folder / "summary.json", {**cost, "seconds": seconds, "wall_seconds": wall}
    )
    print(f"trained {name}: {cost['parameters']:,} parameters, {wall:.0f} s, {folder}")


def make_method(run: Run, description: dict) -> supervised.Supervised:
    """The training method of ``config.train`` for a network."""
    config = run.config.train
    schedule = optimizers.schedule(
        config.decay, config.learning_rate, steps=config.steps
    )
    return supervised.Supervised(
        net=nets.build(description),
        optimizer=optimizers.adam(schedule, weight_decay=config.weight_decay),
    )


def load(run: Run, name: str) -> tuple[supervised.Supervised, supervised.TrainState]:
    """The trained network of a run, from its last checkpoint."""
    folder = run.workdir / "train" / name
    method = make_method(run, nets.read_description(folder / "network.json"))
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
    return np.zeros((1, size, size, 3), np.float32)


def _claim(path, description: dict) -> None:
    """A folder belongs to one network: its checkpoints fit no other."""
    if path.exists() and json.loads(path.read_text()) != description:
        raise InputError(
            f"{path.parent} holds checkpoints of another network than is now asked for "
            f"({path.name} differs: another genotype or width). Give another --workdir, "
            f"or remove {path.parent} to train anew."
        )
    write_json(path, description)
