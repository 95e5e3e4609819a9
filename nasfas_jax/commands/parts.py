"""Parts of a sweep, which processes or jobs execute side by side."""

import pathlib
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

from nasfas_jax import launch, limits
from nasfas_jax.data.preparation import recipe
from nasfas_jax.errors import InputError, some

#: Flags of a sweep that are not passed on to its parts.
_OWN = ("engine", "parallel", "gpus", "cpus", "hours", "options", "part")


class Test(Protocol):
    """A network that is trained and tested."""

    @property
    def search(self) -> pathlib.Path | None:
        """Folder of the search that it needs."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether it was tested."""
        ...


def at(workdir: pathlib.Path, target: str, seed: int) -> pathlib.Path:
    """Workdir of one target and seed."""
    return workdir / target / f"seed{seed}"


T = TypeVar("T", bound=Test)


def parse(part: str) -> tuple[int, int]:
    """The number and count of 'I/N'.

    Raises:
      InputError: another text, or a number that is not below the count.

    >>> parse("3/16")
    (3, 16)
    """
    found = re.fullmatch(r"(\d+)/(\d+)", part)
    if found is None or int(found[1]) >= int(found[2]):
        raise InputError(
            f"expected I/N with I from 0 to N - 1, as 0/16, or 'data', got {part!r}.",
            field="part",
        )
    return int(found[1]), int(found[2])


def require_engine(
    engine: str | None, part: tuple[int, int] | None, parallel: float
) -> None:
    """Checks that an engine is available and fits the other flags of a sweep.

    Raises:
      InputError: another engine, one part with an engine, or several trainings at the same
        time without.
    """
    limits.require(parallel=(parallel, limits.COUNT))
    if engine is None:
        if parallel > 1:
            raise InputError(
                f"expected an engine for {parallel} trainings at the same time:"
                " --engine=local, or slurm.",
                field="parallel",
            )
        return
    if part:
        raise InputError(
            f"expected no single part beside an engine, which executes all of them, got"
            f" {part[0]}/{part[1]} and {engine!r}.",
            field="part",
        )
    launch.require_engine(engine)


def require_data(folder: pathlib.Path, datasets: Sequence[str]) -> None:
    """Requires prepared data, which several parts cannot prepare at the same time.

    Raises:
      InputError: there are none.
    """
    several = len(datasets) > 1
    for name in datasets:
        place = folder / name if several else folder
        if not (place / recipe.FILE).exists():
            raise InputError(
                f"expected prepared data in {place}, got none: before the parts, once,"
                " nasfas sweep --part=data with the same flags.",
                field="part",
            )


def grouped(tests: Iterable[T]) -> list[list[T]]:
    """Tests in groups without a search in common: one search is run by one process."""
    groups: dict[Any, list[T]] = {}
    for number, test in enumerate(tests):
        groups.setdefault(test.search or number, []).append(test)
    return list(groups.values())


def chosen(groups: Sequence[list[T]], index: int, count: int) -> list[T]:
    """The tests of a part: every ``count``-th group, from ``index`` on."""
    return [test for group in groups[index::count] for test in group]


def passed(argv: Sequence[str]) -> list[str]:
    """The words of a command line without the flags that a part does not have.

    >>> passed(["sweep", "--engine", "slurm", "--config=rfmeta", "--gpus=2"])
    ['sweep', '--config=rfmeta']
    """
    kept, skip = [], False
    for word in argv:
        name, given, _ = word.lstrip("-").partition("=")
        own = word.startswith("-") and name in _OWN
        if not own and not skip:
            kept.append(word)
        skip = own and not given
    return kept


def execute(
    groups: Sequence[Sequence[Test]],
    workdir: pathlib.Path,
    engine: str,
    options: str,
    **resources: Any,
) -> None:
    """Executes the groups that are not done, each as a part of its own.

    Args:
      groups: all groups, see `grouped`.
      workdir: folder of the sweep.
      engine: of `launch.ENGINES`.
      options: further options of the scheduler.
      **resources: other arguments of `launch.execute`.

    Raises:
      InputError: parts that failed, with the folder of their logs.
    """
    open_ = [
        i for i, group in enumerate(groups) if not all(test.is_done for test in group)
    ]
    program = [sys.executable, "-m", "nasfas_jax.main", *passed(sys.argv[1:])]
    lines = [[*program, f"--part={i}/{len(groups)}"] for i in open_]
    logs = workdir / "parts"
    print(f"{len(lines)} of {len(groups)} parts by {engine!r}; logs in {logs}")
    codes = launch.execute(
        lines, folder=logs, engine=engine, options=shlex.split(options), **resources
    )
    failed = [f"{i} ({code})" for i, code in zip(open_, codes, strict=True) if code]
    if failed:
        raise InputError(
            f"{len(failed)} of {len(lines)} parts failed: {some(failed)} (exit codes in"
            f" parentheses). Their logs are in {logs}; the same command goes on with"
            " those that are not done."
        )
