"""``nasfas doctor``: what is wrong with an installation or a folder, and what to do."""

import sys

from nasfas_jax.commands import settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.workflows import doctor as workflow


def run(*, workdir: Path = settings.WORKDIR, data_dir: Path | None = None) -> None:
    """Prints one line for each thing checked; exit status 1 if any is wrong."""
    found = workflow.doctor(workdir, data_dir)
    for one in found.findings:
        print(f"{'wrong' if one.advice else 'right'}  {one.name}: {one.found}")
        if one.advice:
            print(f"       {one.advice}")
    if found.wrong:
        sys.exit(1)
