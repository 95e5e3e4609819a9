"""A small search, as one of several processes or alone; run as a program.

``python worker.py DATA FOLDER [STEPS] [PAUSE] [COORDINATOR COUNT INDEX]``
"""

import functools
import pathlib
import sys
import time

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax

from nasfas_jax import ops, runtime
from nasfas_jax.commands import supervise
from nasfas_jax.data.loading import pipeline
from nasfas_jax.methods import darts
from nasfas_jax.runtime import processes
from nasfas_jax.search import fas, genotype, spaces
from nasfas_jax.search.fas import supernet
from nasfas_jax.workflows import steps as steps_of


class Net(nn.Module):
    """One mixed edge on small images of four channels."""

    space: fas.FASSpace

    @nn.compact
    def __call__(self, x, alphas, *, train):
        x = ops.average_to(x, (8, 8))[:, 1:7, 1:7]
        x = jnp.concatenate([x, x[..., :1]], -1)
        edge = supernet.MixedEdge(self.space)
        x, _ = edge(x, alphas["low"][0], self.space.own_theta, train)
        return ops.max_pool(x).mean(-1)


class Slow:
    """Batches with a pause before each."""

    def __init__(self, batches, pause):
        self.batches, self.pause = batches, pause
        self.get_state, self.set_state = batches.get_state, batches.set_state

    def __next__(self):
        time.sleep(self.pause)
        return next(self.batches)


def search(data, folder, *, steps=24, pause=0.0, placement=None, seed=0):
    """Runs a search of the least net to its end; genotype and alphas."""
    widths = {"stem_channels": 2, "channels": 4, "head_channels": 2, "map_size": 3}
    space, adam = spaces.get("nas_fas", partial=2, **widths), optax.adam(0.01)
    method = darts.DARTS(Net(space), adam, adam, adam, arch_order="first")
    draw = functools.partial(
        pipeline.episodes,
        data,
        domains=["dom_c", "dom_i"],
        seed=seed,
        view=pipeline.View(map_size=3),
    )
    placed = steps_of.of_episodes(
        method, draw, 4, 2, placement or steps_of.Placement(sharding="fsdp")
    )
    placed = placed._replace(batches=Slow(placed.batches, pause))
    folder = pathlib.Path(folder)
    with processes.locked(folder):
        processes.require_same("work", {"seed": seed, "steps": steps})
        state = placed.init(seed, np.zeros((1, 16, 16, 3), np.float32))
        state, _ = placed.fit(
            "search", state, folder=folder, steps=steps, log_every=1, save_every=4
        )
        alphas = runtime.fetch(state.alphas)
        found = space.derive(alphas)
        processes.require_same("genotype", found.as_dict())
        processes.once(lambda: genotype.save(folder / "genotype.json", found))
    return found, alphas


def main(argv):
    supervise.follow()
    data, folder, steps, pause, *joined = argv
    try:
        if joined:
            address, count, index = joined
            processes.start(address, int(count), int(index), wait=60)
        from nasfas_jax.workflows.data import open_data

        search(open_data(data), folder, steps=int(steps), pause=float(pause))
    except runtime.Stopped as error:
        print(error, file=sys.stderr)
        return 128 + error.number
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except Exception as error:
        supervise.leave("search", error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
