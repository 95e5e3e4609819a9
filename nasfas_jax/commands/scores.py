"""``nasfas scores``: error rates, folds and comparisons from score files."""

import dataclasses
import itertools
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from nasfas_jax import evaluation, files, limits
from nasfas_jax.commands import settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.errors import InputError
from nasfas_jax.report import figures

SHOWN = ("apcer", "bpcer", "acer", "hter")
#: Letters of a file's name in a line of a table or legend.
NAME = 36
#: Letters of a line that no table reaches: each is as wide as it is, and none is cut.
WIDTH = 10_000


def run(
    *,
    input: str | None = None,
    output: Path | None = None,
    rule: str = "eer",
    oracle: str | None = None,
    seed: str | int = 0,
) -> None:
    """Rates the score files of ``--input=A.csv,B.csv``; a '+' merges files into one.

    Several systems with equal test clips are compared with the first (paired bootstrap
    over subjects); several folds, without a test attack in common, are averaged. Prints
    tables, in percent; ``output`` is a folder for ``scores.json`` (fractions from 0 to
    1), ``roc.svg`` and ``det.svg``.
    """
    tables = read(input)
    oracles = oracle.split(",") if oracle else []
    rating = {"rule": rule, "oracle": oracles, "seed": _seed(seed)}
    evaluation.thresholds.find(rule)  # a wrong name shows before the work
    evaluation.compat.check(oracles)
    results = {}
    for name, table in tables.items():
        try:
            results[name] = evaluation.evaluate(table, **rating)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
    content: dict = {"results": {name: r.columns() for name, r in results.items()}}
    console = Console(width=WIDTH, highlight=False, markup=False, emoji=False)
    for group in _by_selection(results):
        console.print(_rates(group), _types(group))
    if len(tables) > 1 and evaluation.are_folds(tables):
        content["folds"] = _folds(console, results)
    elif len(tables) > 1:
        content["differences"] = _differences(console, tables, rating)
    if oracles:
        console.print(_oracles(results))
    for name, result in results.items():
        print(_counts(name, result))
        for warning in result.warnings:
            print(f"warning: {name}: {warning}")
    if output:
        _write(settings.make_folder(output, "--output"), content, tables, results)
    else:
        print("no file is written: --output=FOLDER adds scores.json, roc.svg, det.svg")


def _seed(given: str | int) -> int:
    """The seed as an integer.

    Raises:
      InputError: it is none, or negative.
    """
    value = int(given) if str(given).isdigit() else given
    limits.require(seed=(value, limits.SEED))
    return int(value)


def read(inputs: str | None) -> dict[str, evaluation.ScoreTable]:
    """The score tables of ``--input``, by the text that names them there.

    Raises:
      InputError: nothing is named, something twice, or a file cannot be read or merged.
    """
    if not inputs:
        raise InputError(
            "--input is missing: score files, separated by commas, or by + to merge."
        )
    tables = {}
    for names in split(inputs):
        name = "+".join(names)
        if name in tables:
            raise InputError(
                f"--input: expected every file once, got {name!r} again. Name each once."
            )
        parts = {one: evaluation.read_scores(one) for one in names}
        tables[name] = evaluation.merge(parts) if len(parts) > 1 else parts[names[0]]
    return tables


def split(inputs: str) -> list[list[str]]:
    """The files of ``--input``: one list for each system, of the files to merge.

    A name may itself contain ',' and '+': of all names that begin at one place the
    longest that exists is taken. A line is printed where shorter ones exist as well.

    Raises:
      InputError: a name is that of no file.
    """
    words = re.split("([,+])", inputs)  # names and separators in turn
    systems: list[list[str]] = [[]]
    start = 0
    while start < len(words):
        ends = range(start + 1, len(words) + 1, 2)
        existing = [end for end in ends if _is_file("".join(words[start:end]))]
        if not existing:
            raise InputError(
                f"{words[start] or inputs!r}: no such score file. --input names files "
                "separated by , (systems) or + (to merge); a file whose own name "
                "contains these is found by its whole name. Check the path."
            )
        end = existing[-1]
        name, parts = "".join(words[start:end]), words[start:end:2]
        if len(parts) > 1 and all(map(_is_file, parts)):
            print(
                f"--input: {name!r} is read as one file, though {' and '.join(parts)} "
                "exist too; write ./ before the second name to read those"
            )
        systems[-1].append(name)
        if words[end : end + 1] == [","]:
            systems.append([])
        start = end + 1
    return systems


def _is_file(name: str) -> bool:
    """Whether there is a file or pipe of this name, which may be too long for one."""
    return os.path.exists(name) and not os.path.isdir(name)


def _by_selection(results: Mapping[str, evaluation.Result]) -> Iterator[dict]:
    """Results that estimate performance, then those of models selected on test data."""
    for chosen in (False, True):
        group = {
            k: r for k, r in results.items() if (r.selected_on == "test") is chosen
        }
        if group:
            yield group


def _rates(results: Mapping[str, evaluation.Result]) -> Table:
    """A row per file, with 95 % intervals over test subjects."""
    rule = next(iter(results.values())).rule
    table = Table(title=f"Test videos, threshold by {rule} on development")
    table.add_column("scores", overflow="fold", max_width=NAME)
    prefix = _prefix(results)
    table.add_column(f"{prefix}threshold, score", justify="right")
    for name in (*SHOWN, "auc"):
        table.add_column(f"{prefix}{name}, %", justify="right")
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
    table = Table(title=f"{_prefix(results)}apcer by attack type (of so many videos)")
    table.add_column("scores", overflow="fold", max_width=NAME)
    types = sorted({name for r in results.values() for name in r.test.apcer_by_type})
    for name in types:
        table.add_column(f"{name}, %", justify="right")
    for name, result in results.items():
        rates, counts = result.test.apcer_by_type, result.test_counts.by_type
        cells = [
            f"{100 * rates[one]:.2f} ({counts[one]})" if one in rates else "-"
            for one in types
        ]
        table.add_row(name, *cells)
    return table


def _counts(name: str, result: evaluation.Result) -> str:
    """Numbers of clips, videos and subjects of each split."""
    splits = {"development": result.development, "test": result.test_counts}
    texts = [
        f"{split} {one.clips:,} clips of {one.videos:,} videos of {one.subjects:,} people"
        for split, one in splits.items()
    ]
    return f"{name}: {', '.join(texts)}"


def _oracles(results: Mapping[str, evaluation.Result]) -> Table:
    """A row per quantity and a column per file."""
    table = Table(title="Oracles: no estimates of performance")
    for name in ("column, unit", *results):
        table.add_column(name, overflow="fold")
    for column in next(iter(results.values())).oracle:
        values = [result.oracle[column] for result in results.values()]
        if column.endswith("_threshold"):
            table.add_row(f"{column}, score", *(f"{value:.6g}" for value in values))
        else:
            table.add_row(f"{column}, %", *(f"{100 * value:.2f}" for value in values))
    return table


def _folds(console: Console, results: Mapping[str, evaluation.Result]) -> dict:
    spreads = evaluation.folds(list(results.values()))
    table = Table(title=f"{len(results)} folds (no test attack in common)")
    for name in ("rate", "mean, %", "sample deviation, points of %"):
        table.add_column(name, justify="left" if name == "rate" else "right")
    for name, spread in spreads.items():
        table.add_row(name, f"{100 * spread.mean:.2f}", f"{100 * spread.deviation:.2f}")
    console.print(table)
    return {name: dataclasses.asdict(spread) for name, spread in spreads.items()}


def _differences(
    console: Console,
    tables: Mapping[str, evaluation.ScoreTable],
    rating: Mapping[str, Any],
) -> dict:
    first = next(iter(tables))
    table = Table(title="Differences from the first on the same clips")
    content: dict = {"from": first, "to": {}}
    for name in itertools.islice(tables, 1, None):
        found = evaluation.compare(
            tables[first], tables[name], seed=rating["seed"], rule=rating["rule"]
        )
        if not table.columns:
            table.add_column("scores", overflow="fold", max_width=NAME)
            for column in found:
                table.add_column(f"{column}, points of %", justify="right")
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


def _write(
    folder: pathlib.Path, content: dict, tables: Mapping, results: Mapping
) -> None:
    roc, det, points = {}, {}, {}
    for index, (file, table) in enumerate(tables.items()):
        name = f"{index + 1}. {file if len(file) <= NAME else '...' + file[-NAME:]}"
        test = evaluation.by_video(table.take(table.split == "test"))
        curve = evaluation.metrics.det_curve(test.score, test.label)
        roc[name], det[name] = (curve.far, 1 - curve.frr), (curve.far, curve.frr)
        points[name] = (results[file].test.far, results[file].test.frr)
    with files.writing(folder, "Give another --output."):
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        files.write_text(folder / "scores.json", text)
        accepted = {name: (far, 1 - frr) for name, (far, frr) in points.items()}
        figures.roc(roc, accepted).save(folder / "roc.svg")
        figures.det(det, points).save(folder / "det.svg")
    print(f"wrote scores.json, roc.svg and det.svg in {folder}")
