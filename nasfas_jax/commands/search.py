"""``nasfas search``: an architecture by Domain-aware Meta-NAS."""

import dataclasses
import time

import jax
import numpy as np
import optax

from nasfas_jax import report, runtime
from nasfas_jax.commands.run import Run
from nasfas_jax.data import pipeline
from nasfas_jax.errors import InputError
from nasfas_jax.files import write_json
from nasfas_jax.methods import meta_nas, optimizers
from nasfas_jax.search import genotype, spaces, supernet


def run(run: Run) -> None:
    """Searches on the source domains; writes ``search/genotype.json`` and its picture."""
    config = run.config.search
    data = run.open_data()
    sources, _ = run.domains(data)
    together = config.get("episodes", 1)
    episodes = pipeline.episodes(
        data,
        domains=sources,
        batch_size=config.batch_size,
        seed=run.config.seed,
        episodes=together,
    )
    mesh = runtime.make_mesh(episodes=together)
    method = make_method(config)
    if together > 1:
        method = dataclasses.replace(method, mesh=mesh)
    folder = run.folder("search")
    size = run.config.data.image_size
    state = jax.jit(method.init)(
        jax.random.key(run.config.seed), np.zeros((1, size, size, 3), np.float32)
    )
    began = time.monotonic()
    state, seconds = runtime.fit(
        "search",
        method.step,
        state,
        episodes,
        steps=config.steps,
        folder=folder,
        log_every=config.log_every,
        save_every=config.save_every,
        batch_axes=runtime.episode_axes(together),
        mesh=mesh,
        extra_metrics=probabilities,
    )
    found = genotype.derive(method.net.space, jax.device_get(state.alphas))
    genotype.save(folder / "genotype.json", found)
    report.cells.draw_genotype(found.as_dict()).save(folder / "genotype.svg")
    write_json(
        folder / "summary.json",
        {"seconds": seconds, "wall_seconds": time.monotonic() - began},
    )
    print(f"found {folder / 'genotype.json'}")
    for name, cell in zip(spaces.CELLS, found.cells, strict=True):
        print(f"  {name}: {' -> '.join(cell)}")


def make_method(config) -> meta_nas.MetaNAS:
    """The search method of ``config.search``."""
    try:
        space = spaces.get(config.space, **config.space_options)
        return meta_nas.MetaNAS(
            net=supernet.Supernet(space),
            inner_optimizer=optax.sgd(config.inner_learning_rate),
            optimizer=optimizers.adam(
                config.learning_rate,
                weight_decay=config.weight_decay,
                eps_root=config.eps_root,
            ),
            alpha_optimizer=optimizers.adam(
                config.alpha_learning_rate,
                weight_decay=config.alpha_weight_decay,
                b1=0.5,
            ),
            inner_steps=config.inner_steps,
            weight_order=config.weight_order,
            arch_order=config.arch_order,
            mode=config.mode,
            alphas_from=config.alphas_from,
            cost_weight=config.cost_weight,
        )
    except ValueError as error:
        raise InputError(f"config.search: {error}") from None


def probabilities(state: meta_nas.SearchState) -> dict:
    """``softmax(alphas)`` of each cell, [edges, operations], to be logged."""
    return {
        f"alphas/{cell}": np.asarray(jax.nn.softmax(value))
        for cell, value in state.alphas.items()
    }
