"""``nasfas metagrad``: what each mode of `bilevel` costs a method, and throws away."""

import dataclasses
import math
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from nasfas_jax import files
from nasfas_jax.commands import search, systems, tables
from nasfas_jax.commands.run import Run
from nasfas_jax.data.loading import pipeline
from nasfas_jax.methods import instrument, subjects
from nasfas_jax.report import meta_figures

DOMAINS = 3  # of an episode of noise


def run(run: Run) -> None:
    """Measures the config's method, Meta-NAS where it searches, RFMeta where it has `meta`.

    Writes ``metagrad.json``, ``metagrad.md`` and ``metagrad.svg`` to ``--output``, or to
    ``metagrad/`` in ``--workdir`` or in the current folder. With ``--data_dir`` on an
    episode of these data (at their image size), otherwise on noise.
    """
    config = run.config.metagrad
    folder = run.output_folder("metagrad")
    subject, episodes = _subject(run)
    load = os.getloadavg()[0]
    panel = instrument.sweep(
        subject,
        settings(config),
        lambda done: print(*done.costs, sep="\n"),
        rates=config.rates,
        repeats=config.repeats,
    )
    about = {
        "subject": subject.name,
        "episodes": episodes,
        "machine": {
            "device": jax.devices()[0].device_kind,
            "cores": os.cpu_count(),
            "jax": jax.__version__,
            "load before": round(load, 1),
        },
        "repeats": config.repeats,
        "costs": [dataclasses.asdict(cost) for cost in panel.costs],
        "agreements": [_finite(dataclasses.asdict(a)) for a in panel.agreements],
    }
    files.write_json(folder / "metagrad.json", about)
    found = {
        f"{subject.name}: costs": cost_rows(panel),
        f"{subject.name}: agreement with the exact derivative": agreement_rows(panel),
    }
    for title, rows in found.items():
        tables.show(title, rows)
    files.write_text(folder / "metagrad.md", _markdown(found, about))
    meta_figures.mode_curves(curves(panel)).save(folder / "metagrad.svg")
    print(f"wrote {folder / 'metagrad.json'}, metagrad.md and metagrad.svg")


def settings(config: Any) -> list[instrument.Setting]:
    """The first batch size and number of steps in all modes; then each varied alone."""
    batch, steps = config.batch_sizes[0], config.steps[0]
    return [
        (batch, steps, config.modes),
        *[(batch, k, config.sweep_modes) for k in config.steps[1:]],
        *[(b, steps, config.sweep_modes) for b in config.batch_sizes[1:]],
    ]


def _subject(run: Run) -> tuple[instrument.Subject, str]:
    """What is measured, and on what."""
    if "search" in run.config:
        method = search.make_method(run.config.search)
        episode, about = _episodes(run, {"map_size": method.net.space.map_size})
        return subjects.of_meta_nas(method, episode, run.config.seed), about
    episode, about = _episodes(run, run.view)
    description = {**systems.describe(run, "rfmeta"), "domains": DOMAINS}
    method = systems.make_method(run.config.train, description)
    return subjects.of_rfmeta(method, episode, run.config.seed), about


def _episodes(run: Run, view: dict) -> tuple[Callable, str]:
    """A function from a batch size to an episode, and the episode's description."""
    if run.data_dir:
        data = run.open_data()
        sources, _ = run.domains(data)

        def drawn(batch_size: int) -> dict:
            options = {"domains": sources, "seed": run.config.seed, **view}
            return next(pipeline.episodes(data, batch_size=batch_size, **options))

        return drawn, f"an episode of {', '.join(sources)}"
    side, shown = run.config.metagrad.image_size, pipeline.View(**view)

    def noise(batch_size: int) -> dict:
        random = np.random.default_rng(run.config.seed)

        def batch(*shape: int) -> dict:
            live = np.arange(batch_size) % 2
            image = random.uniform(-1, 1, (*shape, side, side, shown.channels))
            target = random.random((*shape, *[shown.map_size] * 2), np.float32)
            return {
                "image": image.astype(np.float32),
                "target": target * live[:, None, None].astype(np.float32),
                "label": np.broadcast_to(live.astype(np.int32), shape).copy(),
            }

        return {"support": batch(DOMAINS - 1, batch_size), "query": batch(batch_size)}

    return noise, f"noise of {side} x {side}, in the shape of three domains"


def cost_rows(panel: instrument.Panel) -> list[list[str]]:
    """Head and rows of the table of costs."""
    rows = [["batch", "k", "mode", "seconds", "compile s", "temporary MB"]]
    for cost in panel.costs:
        rows.append(
            [
                f"{cost.batch_size}",
                f"{cost.steps}",
                cost.mode,
                f"{cost.seconds:.3f}",
                f"{cost.compile_seconds:.1f}",
                f"{cost.temporary_bytes / 1e6:.1f}",
            ]
        )
    return rows


def agreement_rows(panel: instrument.Panel) -> list[list[str]]:
    """Head and rows: cosine and norm ratio by each derivative, a column a rate."""
    rates = list(dict.fromkeys(a.rate for a in panel.agreements))
    found: dict[tuple, dict[float, str]] = {}
    for a in panel.agreements:
        row = found.setdefault((a.batch_size, a.steps, a.by, a.mode), {})
        row[a.rate] = f"{a.cosine:.4f} / {a.norm_ratio:.3g}"
    head = ["batch", "k", "by", "mode", *(f"rate {rate:g}" for rate in rates)]
    return [head] + [
        [*map(str, key), *(row[rate] for rate in rates)] for key, row in found.items()
    ]


def curves(panel: instrument.Panel) -> list[meta_figures.Curves]:
    """Cosines against the rate, costs against inner steps and batch, by mode."""
    first = panel.costs[0]
    base = (first.batch_size, first.steps)
    drawn = []
    for by in dict.fromkeys(a.by for a in panel.agreements):
        points = [
            (a.mode, a.rate, a.cosine)
            for a in panel.agreements
            if (a.batch_size, a.steps) == base and a.by == by
        ]
        title = f"cosine to the exact derivative by {by}"
        drawn.append(meta_figures.Curves(title, "inner learning rate", points, "log"))
    for x, name, other in (
        ("steps", "inner steps k", "batch_size"),
        ("batch_size", "batch size", "steps"),
    ):
        line = [c for c in panel.costs if getattr(c, other) == getattr(first, other)]
        if len({getattr(c, x) for c in line}) < 2:
            continue
        for y, title, unit in (
            ("temporary_bytes", "temporary MB", 1e6),
            ("seconds", "seconds a step", 1.0),
        ):
            points = [(c.mode, getattr(c, x), getattr(c, y) / unit) for c in line]
            drawn.append(meta_figures.Curves(title, name, points))
    return drawn


def _markdown(found: dict[str, list[list[str]]], about: dict) -> str:
    machine = ", ".join(f"{k} {v}" for k, v in about["machine"].items())
    lines = [f"On {about['episodes']}; {machine}; medians of {about['repeats']}.", ""]
    for title, rows in found.items():
        lines += [f"**{title}**", "", tables.markdown(rows)]
    return "\n".join(lines)


def _finite(row: dict) -> dict:
    """JSON has no NaN: null instead."""
    return {
        key: None if isinstance(x, float) and not math.isfinite(x) else x
        for key, x in row.items()
    }
