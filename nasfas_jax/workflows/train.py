"""Training a network or method on the source domains of prepared data."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from nasfas_jax import files, limits, nets, runtime
from nasfas_jax.data.loading import augment as augmentation
from nasfas_jax.data.loading import pipeline, prepared, provenance, views
from nasfas_jax.data.preparation import faces
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError, renaming
from nasfas_jax.methods.state import schedule
from nasfas_jax.runtime import processes
from nasfas_jax.theta import Weight
from nasfas_jax.workflows import (
    development,
    hand_crafted,
    model_files,
    records,
    registry,
    starts,
)
from nasfas_jax.workflows import steps as steps_of
from nasfas_jax.workflows.data import domains, tested
from nasfas_jax.workflows.model import Model
from nasfas_jax.workflows.training import Training, example_image, model_of

#: Names in the folder of a training.
NETWORK, MODEL = "network.json", "model"
#: Values of arguments that several functions of `workflows` take.
SEARCHED = limits.OrNone(
    limits.Kind(provenance.Provenance, "the attribute 'learned' of a search")
)
FOLDER = limits.OrNone(limits.PATH)


def train(
    data: prepared.Prepared,
    net: nn.Module | str | Mapping[str, Any],
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
    loss: registry.Loss | None = None,
    optimizer: str | None = None,
    episodes: int = 1,
    accumulate: int = 1,
    remat: bool = False,
    compute: str = "float32",
    mesh: str | None = None,
    sharding: str = "replicated",
    seed: int = 0,
    searched: provenance.Provenance | None = None,
    start: str | pathlib.Path | None = None,
    folder: str | pathlib.Path | None = None,
    log_every: int = 10,
    save_every: int = 100,
    development_every: int | None = None,
    select: str = "last",
) -> Model:
    """Trains a network or method on the source domains.

    A network is trained to predict maps, on batches of all domains (NAS-FAS sec. 3.3);
    the methods of `registry.FEATURE_METHODS` train the networks of RFMeta on
    episodes; the features of `registry.HAND_CRAFTED` are fitted in one step.

    Args:
      data: prepared data, see `data.open_data`.
      net: a network of `nets.build` or of a genotype, one of `registry.NAMES`, or a
        description by `registry.describe`.
      target: domain held out for testing; '' learns from all domains, or from the
        training split of the protocol that the data were opened with.
      theta: share of central differences in the convolutions, see `nets.describe`; None
        for the network's own.
      lam: share of central differences in the pooling, likewise.
      steps: number of steps.
      batch_size: clips of a batch, half of them live; of an episode, the same number of
        each domain.
      learning_rate: highest learning rate.
      decay: course of the learning rate, see `methods.state.schedule`.
      weight_decay: L2 coefficient of the weights in Adam; decoupled in Ranger.
      augment: recipe in `data.loading.augment`.
      view: input and target of the batches; a genotype, CDN and EulerNet have their own
        map size. None for the network's own.
      loss: loss of the maps of a network, a key of `losses.BY_NAME` or a function
        (predicted, target); None for the network's own.
      optimizer: key of `registry.OPTIMIZERS`; None for `registry.default_optimizer`.
      episodes: meta-learning episodes per step, distributed over devices; a batch of all
        domains is as many times larger.
      accumulate: parts of a batch of all domains, whose gradients are averaged: each has
        its own statistics in BatchNorm. They are computed one after the other, or on
        the slices of the mesh's axis ``episode``.
      remat: whether the backward pass of a network stores the outputs of convolutions
        alone, and computes the rest again: about half the memory on an accelerator, equal
        up to rounding. Methods of episodes always do so; fitted features have none.
      compute: 'float32', or 'bfloat16' for the networks' arithmetic alone, see
        `methods.state.computed_in`.
      mesh: sizes of the axes of the devices, as 'episode:4,data:8', see
        `runtime.make_mesh`; None: by the number of episodes or parts.
      sharding: 'replicated', the whole state on every device, or 'fsdp', see
        `runtime.devices.state_shardings`.
      seed: seed of weights, order and augmentation.
      searched: training data of the search that found the architecture.
      start: safetensors file of weights to start from, by the names in a saved model's
        weights.safetensors; see `starts`. What it was trained on is not checked. None for
        random weights.
      folder: folder for checkpoints, metrics, ``record.json``, ``network.json``,
        ``summary.json`` and the model (``model/``), from which an interrupted training
        resumes; a temporary one if None.
      log_every: steps between lines of metrics.
      save_every: steps between checkpoints.
      development_every: steps between measurements of the development error, the EER
        on the development videos of the source domains, which the metrics hold as
        ``development_eer``; a multiple of ``log_every``. None for no measurement.
      select: the model that is returned, that of the 'last' step, or of the step with
        the smallest 'development' error, the first of equal ones.

    Raises:
      InputError: a setting out of range, an unknown target, data without live or spoof
        clips, an architecture that was searched on what is tested, or a ``folder`` with
        other settings or data.
      Stopped: by a signal, after a checkpoint.
      Diverged: the loss is not finite.
    """
    limits.require(
        data=(data, prepared.DATA),
        steps=(steps, limits.COUNT),
        batch_size=(batch_size, pipeline.BATCH_SIZES),
        augment=(augment, limits.OneOf(augmentation.RECIPES)),
        view=(view, views.VIEW),
        episodes=(episodes, limits.COUNT),
        accumulate=(accumulate, limits.COUNT),
        remat=(remat, limits.FLAG),
        seed=(seed, limits.SEED),
        searched=(searched, SEARCHED),
        start=(start, FOLDER),
        optimizer=(optimizer, limits.OrNone(limits.OneOf(registry.OPTIMIZERS))),
        folder=(folder, FOLDER),
        log_every=(log_every, limits.COUNT),
        save_every=(save_every, limits.COUNT),
        development_every=(development_every, limits.OrNone(limits.COUNT)),
        select=(select, limits.OneOf(development.SELECTIONS)),
    )
    placement = steps_of.Placement(mesh, sharding, compute)
    development.require_measured(steps, log_every, development_every, select)
    sources, _ = domains(data, target)
    if searched is not None:
        what = "The search that found the architecture"
        plan = tested(data, target)._asdict()
        provenance.require_unseen(searched, data, plan, what=what)
    description = describe(net, len(sources), theta, lam)
    view = view_of(description, view)
    _require_input(description, view, data.recipe)
    optimizer = optimizer or registry.default_optimizer(description)
    rate = schedule(decay, learning_rate, steps=steps)
    transformation = registry.OPTIMIZERS[optimizer](rate, weight_decay=weight_decay)
    registry.loss_of(description, loss)  # a wrong loss is named before the work
    weights = _start(start, description)
    given = {
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "decay": decay,
        "weight_decay": weight_decay,
        "augment": augment,
        "episodes": episodes,
        "view": dataclasses.asdict(view),
        **_differing(description, loss, optimizer),
        **({} if select == "last" else {"select": select}),
        **({} if accumulate == 1 else {"accumulate": accumulate}),
        **({} if compute == "float32" else {"compute": compute}),
        **({} if weights is None else {"start": weights.digest}),
    }
    fitted = "features" in description
    if fitted:
        hand_crafted.require_one_process()
    record = records.Record(
        records.decisive({"seed": seed, "train": given, "network": description}),
        provenance.Provenance.of(data, sources),
        [] if fitted else [steps],
        searched,
    )
    training = Training(data, sources, description, view, record)
    every = {"log_every": log_every, "save_every": save_every}
    measured = {"development_every": development_every}
    if fitted:
        fit = training.of_features
    else:
        method = registry.make_method(description, transformation, loss, remat=remat)
        trained = steps_of.of_training(
            method,
            data,
            sources=sources,
            batch_size=batch_size,
            episodes=episodes,
            accumulate=accumulate,
            placement=placement,
            augment=augment,
            view=view,
            seed=seed,
        )
        begin = training.beginning(trained, weights, seed)
        options = {"steps": steps, "select": select, **every, **measured}
        fit = functools.partial(training.of_steps, trained, begin, **options)
    run = {"mesh": mesh, "sharding": sharding, "remat": remat, **every, **measured}
    with records.opened(folder, record, **run) as path:
        if processes.once(lambda: _finished(path, 0 if fitted else steps)):
            return Model.load(path / MODEL)
        processes.once(lambda: _describe_run(path, description, data.face_model))
        model = fit(path)
        processes.once(lambda: model.save(path / MODEL))
    return model


def _finished(folder: pathlib.Path, steps: int) -> bool:
    """Whether the model of these steps is in the folder of a training, and complete."""
    model = folder / MODEL
    there = model.exists() and not model_files.interrupted(model)
    return there and Model.load(model).steps == steps


def _describe_run(
    folder: pathlib.Path, description: Mapping[str, Any], face_model: bytes | None
) -> None:
    """Writes the network and the face model of a training."""
    files.write_json(folder / NETWORK, description)
    if face_model is not None:
        (folder / faces.FILE).write_bytes(face_model)


def trained_model(folder: pathlib.Path) -> Model:
    """The model of a training: the one it ended with, or else its last whole checkpoint.

    Args:
      folder: ``folder`` of `train`.

    Raises:
      InputError: no training there, or a damaged one.
    """
    described = any((folder / name).exists() for name in (NETWORK, MODEL))
    if not (folder / records.FILE).exists() or not described:
        raise InputError(
            f"There is no trained network in {folder}, and a search leaves none. Train one"
            " first: nasfas train --network=NAME."
        )
    record = records.read(folder)
    if (folder / MODEL).exists():
        model = Model.load(folder / MODEL)
        selected = record.settings.get("train.select", "last") != "last"
        if selected or not record.steps or model.steps == record.steps[-1]:
            return model
    description = json.loads((folder / NETWORK).read_text(encoding="utf-8"))
    view = pipeline.View(**records.section(record.settings, "train.view"))
    recipe = Recipe(**record.learned.recipe)
    # The rates change nothing in the structure of the optimizer's state.
    rate = schedule("constant", 1.0, steps=1)
    name = record.settings.get("train.optimizer")
    optimizer = registry.OPTIMIZERS[name or registry.default_optimizer(description)]
    method = registry.make_method(description, optimizer(rate, weight_decay=0.0))
    image = example_image(recipe, view)
    step, state = _restore(folder, method, image)
    params, batch_stats = jax.device_get((state.params, state.batch_stats))
    kept = folder / faces.FILE
    file = kept.read_bytes() if kept.is_file() else None
    return model_of(record, description, params, batch_stats, view, recipe, step, file)


def _differing(
    description: Mapping[str, Any], loss: registry.Loss | None, optimizer: str
) -> dict[str, str]:
    """Names of a loss and an optimizer that are not the network's own."""
    differing = {}
    if callable(loss):
        differing["loss"] = f"{loss.__module__}.{getattr(loss, '__qualname__', loss)}"
    elif loss is not None:
        differing["loss"] = loss
    if optimizer != registry.default_optimizer(description):
        differing["optimizer"] = optimizer
    return differing


def describe(
    net: nn.Module | str | Mapping[str, Any],
    domains: int,
    theta: Weight | None = None,
    lam: Weight | None = None,
) -> Mapping[str, Any]:
    """The description of what `train` takes as ``net``.

    Args:
      net: network, name or description.
      domains: number of source domains.
      theta: as in `train`.
      lam: as in `train`.

    Raises:
      InputError: an unknown name, another type, or theta or lam where nothing uses it.
    """
    if isinstance(net, str) and net in nets.NAMES:
        net = nets.build(net)
    if isinstance(net, nn.Module):
        return nets.description_of(nets.with_weights(net, theta=theta, lam=lam))
    if theta is not None or lam is not None:
        raise InputError(
            "expected with a network of nets.build or a genotype alone, got"
            " them for a method or a description.",
            field="theta, lam",
        )
    if not isinstance(net, str | Mapping):
        raise InputError(
            "expected a network of nets.build or of a genotype, a name or a"
            f" description, got {net!r}.",
            field="net",
        )
    with renaming({"name": "net", "description": "net"}):
        if isinstance(net, str):
            return registry.describe(net, domains=domains)
        registry.require_description(net)
        return net


def view_of(
    description: Mapping[str, Any], view: pipeline.View | None
) -> pipeline.View:
    """The view with the map size of a network, by default with its input and target."""
    if "network" not in description:
        frames = registry.takes_frames(registry.name_of(description))
        return view or pipeline.View(input="frames" if frames else "static_dynamic")
    net = nets.from_description(description)
    if view is None:
        view = pipeline.View(target=getattr(net, "target", "depth"))
        if getattr(net, "takes_frames", False):
            view = dataclasses.replace(view, input="frames")
        elif branched := getattr(net, "input", None):
            view = dataclasses.replace(view, input=branched)
    return dataclasses.replace(view, map_size=net.map_size)


def _require_input(
    description: Mapping[str, Any], view: pipeline.View, recipe: Recipe
) -> None:
    """Requires a view that the network takes, the data have, and the sizes fit.

    Raises:
      InputError: names the field.
    """
    registry.require_input(description, view)
    view.require_prepared(recipe)
    if "method" in description:
        name = description["method"]
        registry.require_sizes(name, recipe.image_size, view.map_size)


def _start(
    path: str | pathlib.Path | None, description: Mapping[str, Any]
) -> starts.Start | None:
    """The weights of the argument ``start``.

    Raises:
      InputError: hand-crafted features, which have none, or another file.
    """
    if path is not None and "features" in description:
        raise InputError(
            f"expected None for hand-crafted features, which have no weights, got {path}.",
            field="start",
        )
    return None if path is None else starts.read(path)


def _restore(folder: pathlib.Path, method: Any, image: np.ndarray) -> tuple[int, Any]:
    """Step and state of the last whole checkpoint."""
    like = jax.eval_shape(lambda: method.init(jax.random.key(0), image))
    sharding = runtime.replicated(runtime.make_mesh())
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), like
    )
    with runtime.Checkpoints(folder) as checkpoints:
        restored = checkpoints.restore(like)
    return restored.step, restored.state
