"""Results of a config with one seed or several, in one table."""

import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nasfas_jax.commands import evaluate
from nasfas_jax.commands.settings import Path
from nasfas_jax.report import page
from nasfas_jax.workflows import records, registry

#: After the name of a network that is not shown to be better than chance.
MARK = " *"

#: Networks of each seed, by name.
Found = Mapping[int, Mapping[str, page.Row]]


def folders(config: Any, workdir: Path) -> dict[int, pathlib.Path]:
    """The folder of each seed: ``workdir`` of config.seed, ``seed<seed>`` in it of others."""
    workdir, first = pathlib.Path(workdir), config.seed
    others = range(first + 1, first + config.get("seeds", 1))
    return {first: workdir} | {seed: workdir / f"seed{seed}" for seed in others}


def at(config: Any, seed: int) -> Any:
    """The config with another seed."""
    one = config.copy_and_resolve_references()
    one.seed = seed
    return one


def read(config: Any, workdir: Path) -> Found:
    """The networks that were evaluated with each seed; seeds without any are left out."""
    found = {}
    for seed, folder in folders(config, workdir).items():
        results = evaluate.read_results(folder, config.networks)
        rows = {name: row(folder, name, one) for name, one in results.items()}
        found |= {seed: rows} if rows else {}
    return found


def row(workdir: Path, name: str, result: dict) -> page.Row:
    """A network's line in the result table."""
    cost = records.read_summary(pathlib.Path(workdir) / "train" / name)
    return page.Row(
        name, result, cost["parameters"], cost["macs"], cost["wall_seconds"]
    )


def table(found: Found) -> list[list[str]]:
    """Header and rows of all networks, and of random architectures together.

    With one seed a rate has its interval over test subjects, with several it is the mean
    and has the lowest and highest of the seeds. Of two or more random architectures there
    is the mean, and the one with the smallest error on development data: what as many
    trainings find without a search.
    """
    rates = f"{len(found)} seeds" if len(found) > 1 else "95 %"
    header = ["network", f"HTER, % ({rates})", f"AUC, % ({rates})"]
    header += ["EER on development, %", "parameters", "MACs", "training, s"]
    networks = [
        [one[name] for one in found.values()]
        for name in next(iter(found.values()))
        if all(name in one for one in found.values())
    ]
    return [header, *map(_line, networks), *_random(networks)]


def _line(rows: Sequence[page.Row]) -> list[str]:
    """Cells of a network, of its row with each seed."""
    results = [one.result for one in rows]
    chance = any(t.startswith("chance:") for one in results for t in one["warnings"])
    rates = {"hter": [*map(_hter, results)], "auc": [*map(_auc, results)]}
    intervals = results[0]["intervals"] if len(rows) == 1 else {}
    cells = [
        _with_interval(rate[0], intervals[name]) if name in intervals else _cell(rate)
        for name, rate in rates.items()
    ]
    return [
        rows[0].label + MARK * chance,
        *cells,
        page.percent(statistics.fmean(map(_development, results))),
        f"{rows[0].parameters:,}",
        page.count(rows[0].macs),
        f"{statistics.fmean(one.seconds for one in rows):.0f}",
    ]


def _random(networks: Sequence[Sequence[page.Row]]) -> list[list[str]]:
    """Rows of random architectures: their mean, and the best of them on development."""
    drawn = [
        [one.result for one in rows]
        for rows in networks
        if registry.random_seed(rows[0].network) is not None
    ]
    if len(drawn) < 2:
        return []
    by_seed = list(zip(*drawn, strict=True))

    def cells(of: Callable[[Sequence[dict], Callable], float]) -> list[str]:
        rates = (_hter, _auc)
        return [_cell([of(one, rate) for one in by_seed]) for rate in rates] + [
            page.percent(statistics.fmean(of(one, _development) for one in by_seed))
        ]

    mean = cells(lambda several, rate: statistics.fmean(map(rate, several)))
    best = cells(lambda several, rate: rate(min(several, key=_development)))
    rest = [""] * 3
    return [
        [f"random, mean of {len(drawn)}", *mean, *rest],
        [f"random, best of {len(drawn)} on development", *best, *rest],
    ]


def _hter(result: Mapping[str, Any]) -> float:
    return result["test"]["hter"]


def _auc(result: Mapping[str, Any]) -> float:
    return result["auc"]


def _development(result: Mapping[str, Any]) -> float:
    return result["development_eer"]


def _cell(rates: Sequence[float]) -> str:
    """The mean of rates in percent, with the lowest and highest of several."""
    text = page.percent(statistics.fmean(rates))
    return text if len(rates) == 1 else f"{text} ({_range(min(rates), max(rates))})"


def _with_interval(rate: float, interval: Mapping[str, float]) -> str:
    return f"{page.percent(rate)} ({_range(interval['low'], interval['high'])})"


def _range(low: float, high: float) -> str:
    return f"{page.percent(low)} to {page.percent(high)}"
