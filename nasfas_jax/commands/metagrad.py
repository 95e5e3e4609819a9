"""``nasfas metagrad``: cost and accuracy of each meta-gradient mode of `bilevel`."""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable
from typing import Any

from nasfas_jax import files
from nasfas_jax.benchmarks import cases, curves, instrument, timing
from nasfas_jax.commands import search, tables
from nasfas_jax.commands import settings as common
from nasfas_jax.commands.settings import Path
from nasfas_jax.data.loading import pipeline
from nasfas_jax.methods.state import adam, schedule
from nasfas_jax.report import meta_figures
from nasfas_jax.workflows import registry
from nasfas_jax.workflows.data import domains


def run(
    config: Any, *, data_dir: Path | None = None, output: Path = "metagrad"
) -> None:
    """Measures the config's method: Meta-NAS if it has ``search``, otherwise RFMeta.

    The episode is drawn from the data of ``data_dir``, at their image size; without it,
    from noise. Writes ``metagrad.json``, ``metagrad.md`` and ``metagrad.svg`` to
    ``output``.
    """
    folder = common.make_folder(output, "--output")
    case, episodes = _case(config, data_dir)
    measured = config.metagrad
    machine = timing.machine("jax")
    panel = instrument.sweep(
        case,
        settings(measured),
        lambda done: print(*map(_line, done.costs), sep="\n"),
        rates=measured.rates,
        repeats=measured.repeats,
    )
    about = {
        "case": case.name,
        "episodes": episodes,
        "machine": machine,
        "repeats": measured.repeats,
        "asymmetry": _finite({"error": panel.asymmetry})["error"],
        "costs": [dataclasses.asdict(cost) for cost in panel.costs],
        "agreements": [_finite(dataclasses.asdict(a)) for a in panel.agreements],
    }
    files.write_json(folder / "metagrad.json", about)
    found = {
        f"{case.name}: costs": cost_rows(panel),
        f"{case.name}: agreement with the exact derivative": agreement_rows(panel),
    }
    for title, rows in found.items():
        tables.show(title, rows)
    print(_symmetry(panel))
    files.write_text(folder / "metagrad.md", _markdown(found, about, panel))
    meta_figures.mode_curves(curves.of_panel(panel)).save(folder / "metagrad.svg")
    print(f"wrote {folder / 'metagrad.json'}, metagrad.md and metagrad.svg")


def _line(cost: instrument.Cost) -> str:
    """One cost, printed as soon as it is measured."""
    return (
        f"batch {cost.batch_size}, k = {cost.steps}, {cost.mode}: {cost.seconds:.3f} s a"
        f" step, {cost.compile_seconds:.1f} s to compile,"
        f" {cost.temporary_bytes / 1e6:.1f} MB temporary"
    )


def settings(config: Any) -> list[instrument.Setting]:
    """The first batch size and steps in all modes, followed by the other values of each."""
    batch, steps = config.batch_sizes[0], config.steps[0]
    return [
        (batch, steps, config.modes),
        *[(batch, k, config.sweep_modes) for k in config.steps[1:]],
        *[(b, steps, config.sweep_modes) for b in config.batch_sizes[1:]],
    ]


def _case(config: Any, data_dir: Path | None) -> tuple[instrument.Case, str]:
    """The measured step, and a description of its episodes."""
    if "search" in config:
        method = search.make_method(config.search)
        view = pipeline.View(map_size=method.net.space.map_size)
        episode, about = _episodes(config, data_dir, view)
        return cases.of_meta_nas(method, episode, config.seed), about
    episode, about = _episodes(config, data_dir, common.view(config))
    train = config.train
    rate = schedule(train.decay, train.learning_rate, steps=train.steps)
    method = registry.make_method(
        common.describe(config, "rfmeta", cases.DOMAINS),
        adam(rate, weight_decay=train.weight_decay),
    )
    return cases.of_rfmeta(method, episode, config.seed), about


def _episodes(
    config: Any, data_dir: Path | None, view: pipeline.View
) -> tuple[Callable, str]:
    """A function from a batch size to an episode, and the episode's description."""
    if data_dir:
        data = common.open_data(config, pathlib.Path(data_dir))
        sources, _ = domains(data, common.target(config))
        options = {"domains": sources, "seed": config.seed, "view": view}

        def drawn(batch_size: int) -> dict:
            return next(pipeline.episodes(data, batch_size=batch_size, **options))

        return drawn, f"an episode of {', '.join(sources)}"
    side = config.metagrad.image_size
    noise = functools.partial(
        cases.noise_episode,
        image_size=side,
        map_size=view.map_size,
        channels=view.channels,
        seed=config.seed,
    )
    return noise, f"noise of {side} x {side}, in the shape of three domains"


def cost_rows(panel: instrument.Panel) -> list[list[str]]:
    """The table of costs, header row first."""
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
    """The table of cosines and norm ratios, header row first, with a column per rate."""
    rates = list(dict.fromkeys(a.rate for a in panel.agreements))
    found: dict[tuple, dict[float, str]] = {}
    for a in panel.agreements:
        row = found.setdefault((a.batch_size, a.steps, a.by, a.mode), {})
        row[a.rate] = f"{a.cosine:.4f} / {a.norm_ratio:.3g}"
    head = ["batch", "k", "by", "mode", *(f"rate {rate:g}" for rate in rates)]
    return [head] + [
        [*map(str, key), *(row[rate] for rate in rates)] for key, row in found.items()
    ]


def _symmetry(panel: instrument.Panel) -> str:
    return (
        "Largest symmetry error of the inner gradients (bilevel.symmetry_error): "
        f"{panel.asymmetry:.1e}. Up to rounding (1e-3 in float32) it is 0 where second "
        "derivatives are symmetric; otherwise forward_over_reverse and "
        "finite_difference are wrong by as much."
    )


def _markdown(
    found: dict[str, list[list[str]]], about: dict, panel: instrument.Panel
) -> str:
    machine = ", ".join(f"{k} {v}" for k, v in about["machine"].items())
    lines = [f"On {about['episodes']}; {machine}; medians of {about['repeats']}.", ""]
    for title, rows in found.items():
        lines += [f"**{title}**", "", tables.markdown(rows)]
    return "\n".join([*lines, _symmetry(panel), ""])


def _finite(row: dict) -> dict:
    """Replaces non-finite numbers by None, since JSON has no NaN."""
    return {
        key: None if isinstance(x, float) and not math.isfinite(x) else x
        for key, x in row.items()
    }
