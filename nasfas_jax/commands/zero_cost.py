"""``nasfas zero_cost``: random architectures of the search space, ranked without training."""

import pathlib
from typing import Any

from nasfas_jax import files, limits
from nasfas_jax.commands import search, settings, tables
from nasfas_jax.commands.settings import Path
from nasfas_jax.errors import renaming
from nasfas_jax.search import genotype
from nasfas_jax.workflows import zero_cost as workflow


def run(
    config: Any,
    *,
    workdir: Path = settings.WORKDIR,
    data_dir: Path | None = None,
    count: str | int = 20,
) -> None:
    """Writes ``zero_cost/ranking.csv``, ``correlations.csv`` and all genotypes.

    The space, the input and the seed are those of a search; ``nasfas train
    --genotype=WORKDIR/zero_cost/seed<seed>.json`` trains one of the architectures.

    Raises:
      InputError: a wrong setting, or ``count`` is not a number of 2 or more.
    """
    number = int(count) if str(count).isdigit() else count
    limits.require(count=(number, limits.TWO_OR_MORE))
    data = settings.open_data(config, settings.data_folder(workdir, data_dir))
    with renaming(settings.names(config, "search")):
        found = workflow.zero_cost(
            data,
            settings.space(config.search),
            target=settings.target(config),
            view=search.view(config.search),
            count=int(number),
            seed=config.seed,
        )
    folder = settings.make_folder(pathlib.Path(workdir) / "zero_cost")
    for seed, one in zip(found.seeds, found.genotypes, strict=True):
        genotype.save(folder / f"seed{seed}.json", one)
    for name, rows in (
        ("ranking", found.table()),
        ("correlations", found.correlations()),
    ):
        cells = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
        files.write_text(folder / f"{name}.csv", files.csv_text(rows[0], cells))
        tables.show(f"{name} of {len(found.seeds)} architectures", rows)
    print(f"best mean rank: {folder / f'seed{found.seeds[found.order[0]]}.json'}")
