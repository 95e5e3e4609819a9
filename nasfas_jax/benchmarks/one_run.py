"""A search that times itself: ``python -m nasfas_jax.benchmarks.one_run FOLDER ...``.

Arguments are the folder of the run, in the folder of its data, the numbers of steps, of
steps between checkpoints and of episodes, the mesh, '' for its default, and for one of
several processes the coordinator's address, their number and this one's index. Process 0
writes ``times.json``.
"""

import functools
import pathlib
import sys
import time
from typing import Any

import numpy as np

from nasfas_jax import files, runtime
from nasfas_jax.data.loading import pipeline
from nasfas_jax.runtime import processes
from nasfas_jax.search import genotype, spaces
from nasfas_jax.workflows import searchers
from nasfas_jax.workflows import steps as steps_of
from nasfas_jax.workflows.data import open_data

#: Side of the faces, clips of each domain, and channels of the search.
SIZE, BATCH, CHANNELS = 32, 4, 8


class Timed:
    """Batches, and when they were asked for and had."""

    def __init__(self, batches: Any):
        self._batches = batches
        self.get_state, self.set_state = batches.get_state, batches.set_state
        #: Pairs of the moments before and after each batch, in seconds.
        self.moments: list[tuple[float, float]] = []

    def __next__(self) -> Any:
        before = time.monotonic()
        batch = next(self._batches)
        self.moments.append((before, time.monotonic()))
        return batch


def run(
    folder: pathlib.Path, steps: int, save_every: int, episodes: int, mesh: str | None
) -> None:
    """Searches, and writes the moments of its batches."""
    data = open_data(folder.parent / "data")
    widths = {
        "stem_channels": CHANNELS,
        "channels": CHANNELS,
        "head_channels": CHANNELS,
    }
    space = spaces.get("nas_fas", partial=2, map_size=8, **widths)
    settings = searchers.settings_of("darts", arch_order="first")
    view = pipeline.View(map_size=8)
    draw = functools.partial(pipeline.episodes, data, view=view)
    method = settings.make_method(space, steps=steps)
    placed = steps_of.of_episodes(
        method, draw, BATCH, episodes, steps_of.Placement(mesh)
    )
    timed = Timed(placed.batches)
    placed = placed._replace(batches=timed)
    image = np.zeros((1, SIZE, SIZE, 3), np.float32)
    with processes.locked(folder):
        state, _ = placed.fit(
            "search",
            placed.init(0, image),
            folder=folder,
            steps=steps,
            log_every=1,  # steps are waited for
            save_every=save_every,
        )
        found = space.derive(runtime.fetch(state.alphas))
        moments = [*timed.moments, (time.monotonic(), 0.0)]

        def write() -> None:
            genotype.save(folder / "genotype.json", found)
            files.write_json(folder / "times.json", moments)

        processes.once(write)


def main(argv: list[str]) -> None:
    """Joins the other processes, if there are any, and runs."""
    folder, steps, save_every, episodes, mesh, *joined = argv
    runtime.cache_compiles()
    if joined:
        address, count, index = joined
        processes.start(address, int(count), int(index))
    run(pathlib.Path(folder), int(steps), int(save_every), int(episodes), mesh or None)


if __name__ == "__main__":
    main(sys.argv[1:])
