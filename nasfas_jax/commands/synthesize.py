"""``nasfas synthesize``: a synthetic dataset on disk in a real one's layout."""

import pathlib
from typing import Any

from nasfas_jax.commands import settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.errors import InputError
from nasfas_jax.runtime import Progress
from nasfas_jax.synthetic import standins


def run(config: Any, *, layout: str | None = None, output: Path | None = None) -> None:
    """Writes a stand-in of ``layout`` to ``output``, ``standins/LAYOUT`` if it is None."""
    if layout is None:
        raise InputError(
            f"--layout is missing: one of {', '.join(standins.LAYOUTS)}, the dataset "
            "whose tree is to be written."
        )
    folder = output or pathlib.Path("standins") / layout
    print(
        f"{write(config, layout, folder)} synthetic videos in the layout of {layout} in"
        f" {folder}; continue with: nasfas prepare --config=protocol:small"
        f" --dataset={layout} --manual_dir={folder} --workdir=runs/{layout}"
    )


def write(config: Any, layout: str, folder: Path) -> int:
    """Writes a stand-in with the settings of a config; returns the number of videos."""
    standin = config.standin
    few = standin.subjects or None
    total = len(standins.plan(layout, subjects=few, empty=standin.empty))
    folder = settings.make_folder(folder, "--output")
    with Progress("synthesize", total) as progress:
        standins.write(
            layout,
            folder,
            subjects=few,
            frames=standin.frames,
            face_size=standin.face_size,
            distinct=standin.distinct or None,
            seed=config.seed,
            empty=standin.empty,
            progress=lambda done, _: progress(done),
        )
    return total
