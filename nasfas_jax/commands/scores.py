"""``nasfas scores``: error rates, folds and comparisons from score files."""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.table import Table

from nasfas_jax import evaluation, files
from nasfas_jax.commands.run import Run
from nasfas_jax.errors import InputError
from nasfas_jax.report import figures

SHOWN = ("apcer", "bpcer", "acer", "hter")
#: Letters of a file's name in a line of a table or legend.
NAME = 36


def run(run: Run) -> None:
    """Rates the score files of ``--input=A.csv,B.csv``; a '+' merges files into one.

    Several systems with equal test clips are compared with the first (paired bootstrap
    over subjects); several folds, without a test attack in common, are averaged. Writes
    ``scores.json``, ``roc.svg`` and ``det.svg`` into ``--output``.
    """
    tables = read(run.input)
    rating = {**run.rating, "seed": run.config.seed}
    results = {}
    for name, table in tables.items():
        try:
            results[name] = evaluation.evaluate(table, **rating)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
    content: dict = {"results": {name: r.columns() for name, r in results.items()}}
    console = Console(width=120, highlight=False, markup=False, emoji=False)
    for group in _by_selection(results):
        console.print(_rates(group), _types(group))
    if len(tables) > 1 and evaluation.are_folds(tables):
        content["folds"] = _folds(console, results)
    elif len(tables) > 1:
        content["differences"] = _differences(console, tables, run)
    if run.oracle:
        console.print(_oracles(results))
    for name, result in results.items():
        for warning in result.warnings:
            print(f"warning: {name}: {warning}")
    _write(run, content, tables, results)


def read(inputs: str | None) -> dict[str, evaluation.ScoreTable]:
    """The score tables of ``--input``, by what was written for each.

    Raises:
      InputError: nothing is named, something twice, or a file cannot be read or merged.
    """
    if not inputs:
        raise InputError(
            "--input is missing: score files, separated by commas, or by + to merge."
        )
    tables = {}
    for name in inputs.split(","):
        if name in tables:
            raise InputError(
                f"--input: expected every file once, got {name!r} again. Name each once."
            )
        parts = {one: evaluation.read_scores(one) for one in name.split("+")}
        tables[name] = evaluation.merge(parts) if len(parts) > 1 else parts[name]
    return tables


def _by_selection(results: Mapping[str, evaluation.Result]) -> Iterator[dict]:
    """Results that estimate performance, then those of models selected on test data."""
    for chosen in (False, True):
        group = {
            k: r for k, r in results.items() if (r.selected_on == "test") is chosen
        }
        if group:
            yield group


def _rates(results: Mapping[str, evaluation.Result]) -> Table:
    """A line for each file; intervals are of 95 %, over test subjects."""
    rule = next(iter(results.values())).rule
    table = Table(title=f"Test videos, threshold by {rule} on development, %")
    table.add_column("scores", overflow="fold", max_width=NAME)
    prefix = _prefix(results)
    for name in ("threshold", *SHOWN, "auc"):
        table.add_column(f"{prefix}{name}", justify="right")
    for name, result in results.items():
        values = {one: getattr(result.test, one) for one in SHOWN} | {"auc": result.auc}
        cells = [
            f"{100 * value:.2f}" + _interval(result.intervals.get(one))
            for one, value in values.items()
        ]
        cells[0] += f"\n({result.test.worst_type})"
        table.add_row(name, f"{result.threshold:.4g}", *cells)
    return table


def _types(results: Mapping[str, evaluation.Result]) -> Table:
    """APCER of every attack type, and the number of its test videos."""
    table = Table(title=f"{_prefix(results)}apcer by attack type, % (videos)")
    table.add_column("scores", overflow="fold", max_width=NAME)
    kinds = sorted({kind for r in results.values() for kind in r.test.apcer_by_type})
    for kind in kinds:
        table.add_column(kind, justify="right")
    for name, result in results.items():
        rates, counts = result.test.apcer_by_type, result.test_counts.by_type
        cells = [
            f"{100 * rates[kind]:.2f} ({counts[kind]})" if kind in rates else "-"
            for kind in kinds
        ]
        table.add_row(name, *cells)
    return table


def _oracles(results: Mapping[str, evaluation.Result]) -> Table:
    """A line for each quantity, a column for each file."""
    table = Table(title="Oracles: no estimates of performance; rates, not %")
    for name in ("column", *results):
        table.add_column(name, overflow="fold")
    for column in next(iter(results.values())).oracle:
        table.add_row(column, *(f"{r.oracle[column]:.6g}" for r in results.values()))
    return table


def _folds(console: Console, results: Mapping[str, evaluation.Result]) -> dict:
    spreads = evaluation.folds(list(results.values()))
    table = Table(title=f"{len(results)} folds (no test attack in common), %")
    for name in ("rate", "mean", "sample deviation"):
        table.add_column(name, justify="left" if name == "rate" else "right")
    for name, spread in spreads.items():
        table.add_row(name, f"{100 * spread.mean:.2f}", f"{100 * spread.deviation:.2f}")
    console.print(table)
    return {name: dataclasses.asdict(spread) for name, spread in spreads.items()}


def _differences(
    console: Console, tables: Mapping[str, evaluation.ScoreTable], run: Run
) -> dict:
    first = next(iter(tables))
    table = Table(title="Differences from the first on the same clips, points of %")
    content: dict = {"from": first, "to": {}}
    for name in itertools.islice(tables, 1, None):
        found = evaluation.compare(
            tables[first], tables[name], seed=run.config.seed, rule=run.rating["rule"]
        )
        if not table.columns:
            table.add_column("scores", overflow="fold", max_width=NAME)
            for column in found:
                table.add_column(column, justify="right")
        cells = [
            f"{100 * one.value:+.2f}{_interval(one.interval)}" for one in found.values()
        ]
        table.add_row(name, *cells)
        content["to"][name] = {k: dataclasses.asdict(v) for k, v in found.items()}
    console.print(table)
    return content


def _prefix(results: Mapping[str, evaluation.Result]) -> str:
    chosen = any(result.selected_on == "test" for result in results.values())
    return "oracle_" * chosen


def _interval(interval) -> str:
    if interval is None:
        return ""
    return f"\n{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def _write(run: Run, content: dict, tables: Mapping, results: Mapping) -> None:
    folder = pathlib.Path(run.output or run.workdir / "scores")
    roc, det, points = {}, {}, {}
    for index, (file, table) in enumerate(tables.items()):
        name = f"{index + 1}. {file if len(file) <= NAME else '...' + file[-NAME:]}"
        test = evaluation.by_video(table.take(table.split == "test"))
        curve = evaluation.metrics.det_curve(test.score, test.label)
        roc[name], det[name] = (curve.far, 1 - curve.frr), (curve.far, curve.frr)
        points[name] = (results[file].test.far, results[file].test.frr)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        files.write_text(folder / "scores.json", text)
        accepted = {name: (far, 1 - frr) for name, (far, frr) in points.items()}
        figures.roc(roc, accepted).save(folder / "roc.svg")
        figures.det(det, points).save(folder / "det.svg")
    except OSError as error:
        raise InputError(
            f"The folder {folder} cannot be written ({error.strerror}). Give another "
            "--output."
        ) from None
    print(f"wrote scores.json, roc.svg and det.svg in {folder}")
