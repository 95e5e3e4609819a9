"""``nasfas plan``: memory, operations and traffic of a step before anything is run."""

from typing import Any

import jax

from nasfas_jax import limits
from nasfas_jax.commands import checks, search, settings, tables
from nasfas_jax.commands.settings import Path
from nasfas_jax.errors import renaming
from nasfas_jax.workflows import plan as workflow

#: Steps that are planned, by the command that runs them.
PLANNED = ("search", "train")


def run(
    config: Any,
    *,
    command: str = "train",
    network: str | None = None,
    genotype: Path | None = None,
    topology: str = "",
    platform: str = "",
    memory_gb: str | float | None = None,
    modes: str | None = None,
    groups: str | int | None = None,
    mesh: str | None = None,
    sharding: str = "replicated",
) -> None:
    """Prints the plan of the config's search, or of each network's training.

    Raises:
      InputError: an unknown command, or as `workflows.plan.plan_step`.
    """
    limits.require(command=(command, limits.OneOf(PLANNED)))
    checks.check(config, command=command, network=network)
    if topology or platform:  # a TPU of this machine may be in use, and is not needed
        jax.config.update("jax_platforms", "cpu")
    options = {
        "topology": topology,
        "platform": platform,
        "memory": None if memory_gb is None else _number(memory_gb) * 2**30,
        "modes": None if modes is None else [m for m in modes.split(",") if m],
        "groups": _groups(config, command) if groups is None else _whole(groups),
        "mesh": mesh,
        "sharding": sharding,
    }
    with renaming({"topology": "--topology", "memory": "--memory_gb"}):
        if command == "search":
            with renaming(settings.names(config, "search")):
                _show(search.plan(config, **options))
            return
        for name in settings.networks(config, network):
            with renaming(settings.names(config, "train")):
                _show(_of_training(config, name, genotype, options))


def _groups(config: Any, command: str) -> int:
    """Number of groups of an episode: two halves, or three source domains."""
    return 2 if command == "search" and config.search.by == "half" else 3


def _whole(text: str | int) -> Any:
    return int(text) if str(text).isdigit() else text


def _of_training(
    config: Any, name: str, genotype: Path | None, options: dict[str, Any]
) -> workflow.Plan:
    train = config.train
    found = settings.genotype_file(settings.WORKDIR, genotype)
    return workflow.plan_training(
        settings.describe(config, name, options["groups"], found),
        settings.recipe(config),
        view=settings.view(config),
        batch_size=train.batch_size,
        episodes=train.get("episodes", 1),
        accumulate=train.get("accumulate", 1),
        remat=train.get("remat", False),
        compute=train.get("compute", "float32"),
        loss=train.get("loss"),
        optimizer=train.get("optimizer"),
        **options,
    )


def _number(text: str | float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = text
    limits.require(memory_gb=(number, limits.POSITIVE))
    return float(number)


def _show(plan: workflow.Plan) -> None:
    """Prints a plan, with what its figures rest on."""
    tables.show(plan.step.name, plan.table())
    if plan.memory is None:
        print("Lowered, not compiled: operations alone, and no memory.")
    if plan.seconds:
        chip, compute = plan.chip, plan.step.placement.compute
        assert chip is not None
        print(
            "Times are estimates by published figures of a chip:"
            f" {chip.flops[compute] / 1e12:.0f} TFLOP/s in {compute},"
            f" {chip.bandwidth / 1e9:,.0f} GB/s of memory,"
            f" {chip.interconnect / 1e9:,.0f} GB/s to other chips ({chip.source})."
        )
