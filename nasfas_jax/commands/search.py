"""``nasfas search``: an architecture by Domain-aware or Type-aware Meta-NAS."""

import pathlib
from typing import Any

from nasfas_jax.commands import settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.data.loading import prepared
from nasfas_jax.search import spaces
from nasfas_jax.search.space import SearchSpace
from nasfas_jax.workflows import search as workflow
from nasfas_jax.workflows.searchers import MetaNASSettings

#: Fields of config.search that are not settings of the method.
LOOP = ("space", "space_options", "by", "steps", "batch_size", "episodes")
LOGS = ("log_every", "save_every")


def run(
    config: Any, *, workdir: Path = settings.WORKDIR, data_dir: Path | None = None
) -> None:
    """Searches on the source domains; writes ``search/genotype.json`` and its picture.

    With ``config.search.by = 'macro_type'`` each episode holds out one macro type of
    attack instead of one domain.
    """
    search = config.search
    data = settings.open_data(config, settings.data_folder(workdir, data_dir))
    print_notes(data)
    target = settings.target(config)
    drawn = workflow.groups(data, target=target, by=search.by)
    print(f"search by {search.by}: {', '.join(drawn.names)}{_left_out(drawn)}")
    folder = pathlib.Path(workdir) / "search"
    found = workflow.search_architecture(
        data,
        space(search),
        target=target,
        by=search.by,
        steps=search.steps,
        batch_size=search.batch_size,
        episodes=search.get("episodes", 1),
        seed=config.seed,
        folder=folder,
        **{name: search[name] for name in LOGS},
        **_settings(search),
    )
    found.cells().save(folder / "genotype.svg")
    print(f"found {folder / 'genotype.json'}\n{found}")


def space(search: Any) -> SearchSpace:
    """The search space of ``config.search``."""
    return spaces.get(search.space, **search.space_options)


def make_method(search: Any) -> Any:
    """The search method of ``config.search``."""
    return MetaNASSettings.of(**_settings(search)).make_method(space(search))


def print_notes(data: prepared.Prepared) -> None:
    """Prints the protocol and which of its videos are missing."""
    if data.lists:
        print("\n".join([f"protocol {data.dataset}", *data.lists.notes()]))


def _settings(search: Any) -> dict[str, Any]:
    return {k: v for k, v in search.items() if k not in (*LOOP, *LOGS)}


def _left_out(drawn: workflow.Groups) -> str:
    if not drawn.left_out:
        return ""
    return (
        f"; without {', '.join(drawn.left_out)}, since {', '.join(drawn.unseen)} is"
        " tested and not learned"
    )
