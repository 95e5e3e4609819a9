"""Several score files: merged into one, averaged as folds, or compared as systems."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasfas_jax.errors import InputError
from nasfas_jax.evaluation.evaluate import Result, evaluate, of_split
from nasfas_jax.evaluation.intervals import Interval, paired_bootstrap
from nasfas_jax.evaluation.scores import COLUMNS, ScoreTable, by_video

RATES = ("apcer", "bpcer", "acer", "far", "frr", "hter")


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean and sample deviation (ddof 1) over folds, with the values in order."""

    mean: float
    deviation: float
    values: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Difference:
    """Second minus first, and its interval (None with fewer than two subjects)."""

    value: float
    interval: Interval | None


def merge(tables: Mapping[str, ScoreTable]) -> ScoreTable:
    """The rows of all tables, by name of their files, in one.

    Raises:
      InputError: a clip in two of them, or different values of ``selected_on``.
    """
    selected = {name: table.selected_on for name, table in tables.items()}
    if len(set(selected.values())) > 1:
        raise InputError(
            "merge: expected score files of one model, got different lines selected_on: "
            f"{', '.join(f'{name}: {said}' for name, said in selected.items())}. Merge "
            "what one model gave, and state the same in each file."
        )
    owner: dict[str, str] = {}
    for name, table in tables.items():
        for clip in table.clip.tolist():
            if owner.setdefault(clip, name) != name:
                raise InputError(
                    f"{name}: expected clips that no other merged file has, got "
                    f"{clip!r}, which is also in {owner[clip]}. Merge files of "
                    "different clips; compare systems by a comma between their files."
                )
    columns = {
        column: np.concatenate([getattr(table, column) for table in tables.values()])
        for column in COLUMNS
    }
    return ScoreTable(**columns, selected_on=next(iter(selected.values())))


def are_folds(tables: Mapping[str, ScoreTable]) -> bool:
    """Whether tables are folds (no test attack in common) or systems (equal test clips).

    Live test clips may recur over folds, as in protocols that leave one attack type out.

    Raises:
      InputError: the tables are neither.
    """
    tests = [table.take(table.split == "test") for table in tables.values()]
    clips = [set(test.clip.tolist()) for test in tests]
    spoofs = [set(test.clip[test.label == 0].tolist()) for test in tests]
    if all(other == clips[0] for other in clips):
        return False
    if len(set().union(*spoofs)) == sum(map(len, spoofs)):
        return True
    name, odd = next(
        (name, other)
        for name, other in zip(tables, clips, strict=True)
        if other != clips[0]
    )
    raise InputError(
        f"{name}: expected either the same test clips as {next(iter(tables))} (two "
        "systems to compare) or no test attack in common (two folds), got "
        f"{len(odd & clips[0])} clips in common, {len(clips[0] - odd)} missing and "
        f"{len(odd - clips[0])} more. Score the same clips with every system, or call "
        "once for each."
    )


def folds(results: Sequence[Result]) -> dict[str, Spread]:
    """Mean and deviation of every rate over the results of a protocol's folds.

    The mean ACER is the mean of the folds' ACERs, which is the mean of the mean APCER
    and the mean BPCER; each fold's APCER is that of its own worst attack type.

    Raises:
      InputError: fewer than two results, or different rules, levels or oracles.
    """
    kinds = {(result.rule, result.level, *result.oracle) for result in results}
    if len(results) < 2 or len(kinds) > 1:
        raise InputError(
            "folds: expected two or more results of one rule, one level and the same "
            f"oracles, got {len(results)} of {len(kinds)} kinds. Evaluate every fold "
            "alike."
        )
    prefix = "oracle_" * any(result.selected_on == "test" for result in results)
    rows = [_numbers(result, prefix) for result in results]
    return {
        name: Spread(
            mean=float(np.mean([row[name] for row in rows])),
            deviation=float(np.std([row[name] for row in rows], ddof=1)),
            values=tuple(row[name] for row in rows),
        )
        for name in rows[0]
    }


def _numbers(result: Result, prefix: str) -> dict[str, float]:
    rates = {name: getattr(result.test, name) for name in RATES}
    rates |= {"auc": result.auc, "development_eer": result.development_eer}
    return {prefix + name: value for name, value in rates.items()} | {
        name: value
        for name, value in result.oracle.items()
        if not name.endswith("_threshold")
    }


def compare(
    first: ScoreTable,
    second: ScoreTable,
    *,
    seed: int = 0,
    samples: int = 1000,
    **settings: Any,
) -> dict[str, Difference]:
    """Differences of two systems on the same test clips: second - first.

    Each is rated at the threshold from its own development scores. The intervals come
    from resampled test subjects, the same ones for both systems (paired).

    Args:
      first: scores of a system.
      second: scores of another.
      seed: seed of the bootstrap.
      samples: number of resamples of the bootstrap.
      **settings: ``rule`` and ``level`` of ``evaluate``.

    Returns:
      Differences of hter, acer and auc; their names start with ``oracle_`` if a model
      was selected on test data.

    Raises:
      InputError: different test clips, labels or attack types, or as ``evaluate``.
    """
    results, sides = [], []
    for table in (first, second):
        result = evaluate(table, samples=0, **settings)
        rows = by_video(table) if result.level == "video" else table
        test = of_split(rows, "test")
        test = test.take(np.argsort(test.clip))
        results.append(result)
        sides.append((test, result.threshold))
    _check_same(sides[0][0], sides[1][0])
    intervals = paired_bootstrap(sides[0], sides[1], seed=seed, samples=samples)
    prefix = "oracle_" * any(result.selected_on == "test" for result in results)
    one, other = (_numbers(result, "") for result in results)
    return {
        prefix + name: Difference(other[name] - one[name], intervals.get(name))
        for name in ("hter", "acer", "auc")
    }


def _check_same(first: ScoreTable, second: ScoreTable) -> None:
    for name in ("clip", "subject", "attack_type"):
        one, other = getattr(first, name), getattr(second, name)
        if not np.array_equal(one, other):
            where = sorted(set(one.tolist()) ^ set(other.tolist()))
            raise InputError(
                f"compare: expected the same {name} in every test row of both systems, "
                f"got {len(one)} and {len(other)} rows that differ"
                f"{f' ({where[0]} in one only)' if where else ''}. Score the same clips "
                "with both, and name people and attacks alike."
            )
