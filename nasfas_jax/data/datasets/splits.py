"""The split of each person of a user's collection, recorded in the prepared folder.

`splits.csv` beside the records has a line for each person with the split and its source.
People keep their split when others are added, removed or renamed, and when they are removed
and added again, so that nobody in the training set becomes a test person later.
"""

import csv
import dataclasses
import pathlib
from collections.abc import Iterable, Sequence

from nasfas_jax import files
from nasfas_jax.data.datasets.base import (
    BY_FOLDER,
    BY_SUBJECT,
    SPLITS,
    VideoSource,
    identity,
    split_by_subject,
)
from nasfas_jax.errors import InputError

FILE = "splits.csv"
COLUMNS = ("subject", "split", "split_source")
# Datasets that define their own splits have no such file.
DECIDED = (BY_SUBJECT, BY_FOLDER)

#: Split and its source, by subject.
Assignment = dict[str, tuple[str, str]]


def keep(found: Sequence[VideoSource], *tables: pathlib.Path) -> list[VideoSource]:
    """The sources with the splits recorded for their subjects.

    Only sources that were split by subject change; new subjects are assigned by
    `split_by_subject`, given the recorded ones.

    Args:
      found: all sources of a dataset, as its reader lists them.
      *tables: arguments of `read`.

    Raises:
      InputError: as `read`.
    """
    if not any(one.split_source == BY_SUBJECT for one in found):
        return list(found)
    known = read(*tables)
    assigned = split_by_subject(
        found, {name: split for name, (split, _) in known.items()}
    )
    return [
        dataclasses.replace(one, split_source=known[one.subject][1])
        if one.subject in known and not one.problem
        else one
        for one in assigned
    ]


def write(
    found: Iterable[VideoSource], table: pathlib.Path, *others: pathlib.Path
) -> None:
    """Adds the subjects of the sources to the table, unless the dataset defines its splits.

    Args:
      found: the sources, with their final splits.
      table: the file; its lines of other subjects are kept.
      *others: tables to `read` if the file does not exist.
    """
    new = {
        one.subject: (one.split, one.split_source)
        for one in found
        if one.split_source in DECIDED
    }
    if new:
        rows = [
            {"subject": subject, "split": split, "split_source": source}
            for subject, (split, source) in sorted((read(table, *others) | new).items())
        ]
        files.write_text(table, files.csv_text(COLUMNS, rows))


def read(*tables: pathlib.Path) -> Assignment:
    """The recorded splits, from the first of the tables that exists.

    The manifest has the same columns and replaces a lost `splits.csv`. If two spellings of
    a person were recorded as two people, the split nearer to training is used.

    Raises:
      InputError: a table cannot be read, or a split in it is unknown.
    """
    table = next((path for path in tables if path.exists()), None)
    if table is None:
        return {}
    known: Assignment = {}
    for number, row in enumerate(_rows(table), 2):
        if row["split_source"] not in DECIDED or not row["split"]:
            continue
        if row["split"] not in SPLITS:
            raise _damaged(table, f"row {number} has the split {row['split']!r}")
        subject = identity(row["subject"])
        decided = (row["split"], row["split_source"])
        known[subject] = min(
            known.get(subject, decided), decided, key=lambda one: SPLITS.index(one[0])
        )
    return known


def _rows(table: pathlib.Path) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise _damaged(table, str(error)) from error
    if any(not isinstance(row.get(name), str) for row in rows for name in COLUMNS):
        raise _damaged(table, f"a row lacks one of the columns {', '.join(COLUMNS)}")
    return rows


def _damaged(table: pathlib.Path, problem: str) -> InputError:
    return InputError(
        f"The splits of people cannot be read from {table}: {problem}. Expected the columns"
        f" {','.join(COLUMNS)}, with {', '.join(SPLITS)} as splits. Restore the file: if"
        " it is deleted, people may change their split, and networks must be trained"
        " anew."
    )
