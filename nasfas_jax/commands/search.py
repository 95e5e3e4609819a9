"""``nasfas search``: an architecture by Domain-aware or Type-aware Meta-NAS."""

import dataclasses
import pathlib
import time
from typing import Any

import grain
import jax
import numpy as np
import optax

from nasfas_jax import attack_types, files, report, runtime
from nasfas_jax.commands import train
from nasfas_jax.commands.run import Run
from nasfas_jax.data.loading import pipeline, prepared, provenance
from nasfas_jax.methods import meta_nas
from nasfas_jax.methods.state import adam
from nasfas_jax.search import genotype, spaces
from nasfas_jax.search.space import SearchSpace
from nasfas_jax.workflows import records
from nasfas_jax.workflows import train as workflow


def run(run: Run) -> None:
    """Searches on the source domains; writes ``search/genotype.json`` and its picture.

    With ``config.search.by = 'macro_type'`` each episode holds out one macro type of
    attack instead of one domain; macro types of which the protocol tests an attack type
    that it does not teach take no part.
    """
    config = run.config.search
    data = run.open_data()
    sources, _ = run.domains(data)
    folder = run.folder("search")
    record = records.Record(
        settings=records.decisive(
            {"seed": run.config.seed, "search": config.to_dict()}
        ),
        learned=provenance.Provenance.of(data, sources),
        steps=[config.steps],
    )
    with files.locked(folder):
        records.begin(folder, record, run.config_text)
        _search(run, config, data, folder)


def _search(
    run: Run, config: Any, data: prepared.Prepared, folder: pathlib.Path
) -> None:
    together = config.get("episodes", 1)
    method = make_method(config)
    space = method.net.space
    episodes = _episodes(run, data, folder, space.map_size)
    mesh = runtime.make_mesh(episodes=together)
    if together > 1:
        method = dataclasses.replace(method, mesh=mesh)
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
        extra_metrics=lambda state: probabilities(space, state.alphas),
    )
    found = space.derive(jax.device_get(state.alphas))
    _save(folder, found)
    wall = time.monotonic() - began
    workflow.summarize(folder, {}, config.steps, seconds, wall)


def _save(folder: pathlib.Path, found: genotype.Genotype) -> None:
    """Writes the found architecture and its picture, and prints it."""
    genotype.save(folder / "genotype.json", found)
    report.cells.draw_graph(found.space.graph(found)).save(folder / "genotype.svg")
    print(f"found {folder / 'genotype.json'}")
    for name, cell in zip(found.space.cells, found.cells, strict=True):
        print(f"  {name}: {' -> '.join(cell)}")


def _episodes(
    run: Run, data: prepared.Prepared, folder: pathlib.Path, map_size: int
) -> grain.DatasetIterator:
    """Episodes over domains or macro types; prints and records which."""
    config = run.config.search
    train.print_notes(data)
    sources, _ = run.domains(data)
    parted = {"domains": sources, "by": config.by, "unseen": unseen(run, data)}
    groups = list(pipeline.groups(data, **parted))
    files.write_json(folder / "groups.json", {"by": config.by, "groups": groups})
    print(f"search by {config.by}: {', '.join(groups)}{_left_out(parted)}")
    return pipeline.episodes(
        data,
        **parted,
        batch_size=config.batch_size,
        seed=run.config.seed,
        episodes=config.get("episodes", 1),
        map_size=map_size,
    )


def unseen(run: Run, data: prepared.Prepared) -> list[str]:
    """Attack types that the protocol tests and does not teach; none without a protocol."""
    if not run.config.get("protocol"):
        return []  # an unseen domain is asked for, whatever its attacks
    tables = [data.splits[part].table for part in ("test", "train")]
    tested, learned = (set(t["attack_type"][t["label"] == 0].tolist()) for t in tables)
    return sorted(tested - learned)


def _left_out(parted: dict) -> str:
    if parted["by"] == "domain" or not parted["unseen"]:
        return ""
    kinds = attack_types.macro_types(parted["unseen"])
    return (
        f"; without {', '.join(kinds)}, since {', '.join(parted['unseen'])} is tested"
        " and not learned"
    )


def make_method(config) -> meta_nas.MetaNAS:
    """The search method of ``config.search``."""
    space = spaces.get(config.space, **config.space_options)
    return meta_nas.MetaNAS(
        net=space.supernet(),
        inner_optimizer=optax.sgd(config.inner_learning_rate),
        optimizer=adam(
            config.learning_rate,
            weight_decay=config.weight_decay,
            eps_root=config.eps_root,
        ),
        alpha_optimizer=adam(
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


def probabilities(space: SearchSpace, alphas: Any) -> dict[str, np.ndarray]:
    """Candidates' weights of each cell, [edges, operations], to be logged."""
    found = space.probabilities(alphas)
    return {f"alphas/{cell}": np.asarray(value) for cell, value in found.items()}
