"""``nasfas demo``: the whole pipeline, from videos to the report."""

import pathlib
import time
from typing import Any

from nasfas_jax.commands import (
    evaluate,
    prepare,
    report,
    search,
    seeds,
    settings,
    tables,
    train,
)
from nasfas_jax.commands.settings import Path
from nasfas_jax.report import page
from nasfas_jax.workflows import hand_crafted

#: The stages after `prepare`.
STAGES = {
    "search": search.run,
    "train": train.run,
    "evaluate": evaluate.run,
    "report": report.run,
}


def run(
    config: Any,
    *,
    workdir: Path = settings.WORKDIR,
    data_dir: Path | None = None,
    **of_prepare: Any,
) -> None:
    """Prepares, searches, trains, evaluates, reports; prints the table of results.

    With ``config.seeds`` above 1 all stages but the first are run for as many seeds, from
    config.seed on: the first in ``workdir``, the others in ``seed<seed>/`` there.

    Args:
      config: sections of all these commands.
      workdir: folder of the run.
      data_dir: folder of the records; ``data/`` in ``workdir`` if None.
      **of_prepare: other arguments of `prepare.run`.
    """
    hand_crafted.require_libraries(config.networks)
    for name in config.networks:  # an impossible budget is named before the work
        if name != "searched":
            settings.describe(config, name)
    data_dir = settings.data_folder(workdir, data_dir)
    began = time.monotonic()
    print("== prepare", flush=True)
    prepare.run(config, workdir=workdir, data_dir=data_dir, **of_prepare)
    folders = seeds.folders(config, workdir)
    for name, stage in STAGES.items():
        for seed, folder in folders.items():
            text = f", seed {seed}" if len(folders) > 1 else ""
            print(f"== {name}{text}", flush=True)
            stage(seeds.at(config, seed), workdir=folder, data_dir=data_dir)
    print_table(config, workdir)
    page_path = pathlib.Path(workdir).absolute() / "report.html"
    print(f"{page.duration(time.monotonic() - began)} in all; the report: {page_path}")


def print_table(config: Any, workdir: Path) -> None:
    """Prints the results of all networks, and which of them may be at chance."""
    target = settings.target(config) or "the test split"
    lines = seeds.table(seeds.read(config, workdir))
    tables.show(f"Tested on {target}, threshold from source development data", lines)
    if any(line[0].endswith(seeds.MARK) for line in lines):
        mark = seeds.MARK.strip()
        print(f"{mark} not shown to be better than chance on development data")
