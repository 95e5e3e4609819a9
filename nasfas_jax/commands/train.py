"""``nasfas train``: networks trained alike on the source domains."""

import pathlib
from typing import Any

from nasfas_jax import nets
from nasfas_jax.commands import settings
from nasfas_jax.commands.search import print_notes
from nasfas_jax.commands.settings import Path
from nasfas_jax.errors import renaming
from nasfas_jax.workflows import data as workflow_data
from nasfas_jax.workflows import hand_crafted, records
from nasfas_jax.workflows import train as workflow
from nasfas_jax.workflows.model import Model


def run(
    config: Any,
    *,
    workdir: Path = settings.WORKDIR,
    data_dir: Path | None = None,
    network: str | None = None,
    genotype: Path | None = None,
    mesh: str | None = None,
    sharding: str = "replicated",
) -> None:
    """Trains ``network``, or all of config.networks, into ``train/<network>/``."""
    names = settings.networks(config, network)
    hand_crafted.require_libraries(names)  # before hours of training the others
    for name in names:
        train(
            config,
            name,
            workdir=workdir,
            data_dir=data_dir,
            genotype=genotype,
            mesh=mesh,
            sharding=sharding,
        )


def train(
    config: Any,
    name: str,
    *,
    workdir: Path,
    data_dir: Path | None = None,
    genotype: Path | None = None,
    mesh: str | None = None,
    sharding: str = "replicated",
) -> Model:
    """Trains one network, or resumes its training."""
    found = settings.genotype_file(workdir, genotype)
    settings.describe(config, name, genotype_file=found)  # checks the genotype file
    data = settings.open_data(config, settings.data_folder(workdir, data_dir))
    target = settings.target(config)
    sources, _ = workflow_data.domains(data, target)
    folder = pathlib.Path(workdir) / "train" / name
    finished = (folder / workflow.MODEL).exists()
    print_notes(data)
    options = config.train
    with renaming(settings.names(config, "train")):
        model = workflow.train(
            data,
            settings.describe(config, name, len(sources), found),
            target=target,
            steps=options.steps,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            decay=options.decay,
            weight_decay=options.weight_decay,
            augment=options.augment,
            view=settings.view(config),
            loss=options.get("loss"),
            optimizer=options.get("optimizer"),
            episodes=options.get("episodes", 1),
            accumulate=options.get("accumulate", 1),
            remat=options.get("remat", False),
            compute=options.get("compute", "float32"),
            mesh=mesh,
            sharding=sharding,
            seed=config.seed,
            searched=(
                records.genotype_provenance(found) if name == "searched" else None
            ),
            folder=folder,
            log_every=options.log_every,
            save_every=options.save_every,
            development_every=options.get("development_every"),
            select=options.get("select", "last"),
        )
    _print_summary(name, model, folder, "was trained before" if finished else "trained")
    return model


def _print_summary(name: str, model: Model, folder: pathlib.Path, what: str) -> None:
    """Prints steps, size, time and folder of a network, and warnings of its filters."""
    summary = records.read_summary(folder)
    print(
        f"{name}: {what}, {model.steps:,} steps, {summary['parameters']:,} parameters,"
        f" {summary['wall_seconds']:.0f} s, {folder}"
    )
    for layer, radius in nets.unstable_filters(model.params).items():
        print(
            f"{name}: warning: the filter {layer} is unstable, with pole radius"
            f" {radius:.3f}: its output grows without bound on long streams;"
            " config.eulernet.filters='stable' prevents it"
        )
