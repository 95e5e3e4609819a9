"""``nasfas search``: an architecture by Meta-NAS, by DARTS, or at random."""

import dataclasses
import pathlib
from typing import Any

from nasfas_jax import limits
from nasfas_jax.commands import settings, tables
from nasfas_jax.commands.settings import Path
from nasfas_jax.data.loading import pipeline, prepared
from nasfas_jax.errors import renaming
from nasfas_jax.runtime import processes
from nasfas_jax.search import trials
from nasfas_jax.workflows import instruments, searchers, searches, trade_off
from nasfas_jax.workflows import search as workflow
from nasfas_jax.workflows.plan import Plan, plan_search

#: Fields of config.search that are not settings of the method.
LOOP = (
    *("space", "space_options", "trial", "method", "input"),
    *("by", "steps", "batch_size", "episodes", "skip_limit", "instruments"),
    *("protocol", "compute"),
)
LOGS = ("log_every", "save_every")


def run(
    config: Any,
    *,
    workdir: Path = settings.WORKDIR,
    data_dir: Path | None = None,
    seeds: str | int = 1,
    mesh: str | None = None,
    sharding: str = "replicated",
) -> None:
    """Searches on the source domains; writes ``search/genotype.json`` and its picture.

    Further architectures of the search, down to the cheapest one, are written to
    ``search/trade_off.json`` with their picture. Signs of a collapse are printed, and with
    config.search.instruments the instruments, which are written to ``search/health.json``.

    With ``config.search.by = 'macro_type'`` each episode holds out one macro type of
    attack instead of one domain. Several searches, ``seeds`` from config.seed on, are
    written to ``search/seed<seed>``, and their agreement to ``search/agreement.svg``.

    Raises:
      InputError: a wrong setting, or ``seeds`` is not a number of 1 or more.
    """
    count = int(seeds) if str(seeds).isdigit() else seeds
    limits.require(seeds=(count, limits.COUNT))
    search = config.search
    data = settings.open_data(config, settings.data_folder(workdir, data_dir))
    print_notes(data)
    target = settings.target(config)
    drawn = workflow.groups(data, target=target, by=search.by)
    searched = settings.space(search)
    print(f"search by {search.by}: {', '.join(drawn.names)}{_left_out(drawn)}")
    print(f"space {searched.title}, method {method_of(search)}{_unused(search)}")
    folder = pathlib.Path(workdir) / "search"
    arguments = {
        "target": target,
        "method": method_of(search),
        "view": view(search),
        "by": search.by,
        "steps": search.steps,
        "batch_size": search.batch_size,
        "episodes": search.get("episodes", 1),
        "skip_limit": search.get("skip_limit"),
        "compute": search.get("compute", "float32"),
        "mesh": mesh,
        "sharding": sharding,
        "seed": config.seed,
        "folder": folder,
        **{name: search[name] for name in LOGS},
        **_settings(search),
    }
    with renaming(settings.names(config, "search")):
        if count == 1:
            one = workflow.search_architecture(data, searched, **arguments)
            processes.once(lambda: _write(one, folder, config, data))
            return
        several = searches.search_several(
            data, searched, seeds=int(count), on_start=_print_seed, **arguments
        )

    def write() -> None:
        for seed, one in zip(several.seeds, several.found, strict=True):
            _write(one, folder / f"seed{seed}", config, data)
        several.picture().save(folder / "agreement.svg")
        print(f"agreement {folder / 'agreement.svg'}\n{several}")

    processes.once(write)


def _write(
    found: workflow.Found, folder: pathlib.Path, config: Any, data: prepared.Prepared
) -> None:
    """Writes and prints an architecture, the trade-off of its search and its health."""
    found.cells().save(folder / "genotype.svg")
    print(f"found {folder / 'genotype.json'}\n{found}")
    if not found.alphas:
        return  # a random architecture
    curve = found.trade_off(
        config.search.get("cost", "macs"),
        image_size=config.data.image_size,
        folder=folder,
    )
    curve.save(folder / trade_off.FILE)
    curve.picture().save(folder / "trade_off.svg")
    count = len(curve.points)
    print(
        f"trade-off {folder / trade_off.FILE}, {count} architecture{'s' * (count > 1)}"
        f" by {curve.cost}"
    )
    _inspect(found, folder, config, data)


def _inspect(
    found: workflow.Found, folder: pathlib.Path, config: Any, data: prepared.Prepared
) -> None:
    """Prints an early end, the instruments if asked for, and the signs of a collapse."""
    if found.stopped:
        print(found.stopped)
    warnings = found.warnings
    if config.search.get("instruments"):
        health = instruments.search_health(data, folder, seed=config.seed)
        health.save(folder / instruments.FILE)
        tables.show("instruments of the search", health.table())
        warnings = health.warnings
    for warning in warnings:
        print(f"warning: {warning}")


def _print_seed(seed: int) -> None:
    print(f"search with seed {seed}")


def view(search: Any) -> pipeline.View:
    """The input of the search, that of its trial if it has one."""
    if trial := search.get("trial"):
        return pipeline.View(input=trials.get(trial).view["input"])
    return pipeline.View(input=search.get("input", "static_dynamic"))


def method_of(search: Any) -> str:
    """The name of the search method."""
    return search.get("method", "meta_nas")


def make_method(search: Any) -> Any:
    """The search method of ``config.search``."""
    chosen = searchers.settings_of(method_of(search), **_settings(search))
    return chosen.make_method(settings.space(search), steps=search.steps)


def plan(config: Any, **options: Any) -> Plan:
    """The plan of the configured search; options as those of `plan_search`."""
    search = config.search
    return plan_search(
        settings.space(search),
        settings.recipe(config),
        method=method_of(search),
        view=view(search),
        batch_size=search.batch_size,
        episodes=search.get("episodes", 1),
        compute=search.get("compute", "float32"),
        steps=search.steps,
        **options,
        **_settings(search),
    )


def print_notes(data: prepared.Prepared) -> None:
    """Prints the protocol and which of its videos are missing."""
    if data.lists:
        print("\n".join([f"protocol {data.dataset}", *data.lists.notes()]))


def _settings(search: Any) -> dict[str, Any]:
    """Settings of the configured method, without those of other methods."""
    fields = dataclasses.fields(searchers.METHODS[method_of(search)])
    names = [field.name for field in fields]
    return {k: v for k, v in search.items() if k in names}


def _unused(search: Any) -> str:
    """Clause on the fields of other methods; '' without any."""
    used = {*_settings(search), *LOOP, *LOGS}
    names = [name for name in search if name not in used]
    return f", which does not use {', '.join(names)}" if names else ""


def _left_out(drawn: workflow.Groups) -> str:
    if not drawn.left_out:
        return ""
    return (
        f"; without {', '.join(drawn.left_out)}, since {', '.join(drawn.unseen)} is"
        " tested and not learned"
    )
