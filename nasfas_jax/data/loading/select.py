"""The clips of a protocol, from the records of one or several prepared folders.

A dataset is prepared once. A protocol makes its lists from the videos in the manifest and
refers to their records. The folder for a protocol of several datasets has one prepared
folder for each, of the dataset's name.
"""

import collections
import csv
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from nasfas_jax.data.datasets.sources import SPLITS, VideoSource
from nasfas_jax.data.loading.prepared import Prepared, Split, open_dataset
from nasfas_jax.data.preparation import prepare, recipe
from nasfas_jax.data.protocols import Lists, Protocol
from nasfas_jax.errors import InputError, some

Place = tuple[str, str, int]  # dataset, its split, row in that split


class Rows:
    """Random access to records in several splits of several datasets."""

    def __init__(self, sources: Sequence, rows: Sequence[tuple[int, int]]):
        """Records as pairs: index of the source, and of the record in it."""
        self._sources = sources
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int):
        source, row = self._rows[index]
        return self._sources[source][row]


def open_protocol(
    data_dir: str | os.PathLike, protocol: Protocol, **expected
) -> Prepared:
    """The prepared data in the splits of a protocol; no record is decoded.

    Args:
      data_dir: a prepared folder, or a folder with one for each dataset, of its name.
      protocol: see `protocols.get`.
      **expected: fields of the recipe, as in `open_dataset`.

    Returns:
      The prepared data, whose splits are those of the protocol and whose `lists` are
      set. With several datasets, names of clips and videos begin with the dataset's.

    Raises:
      InputError: a dataset is missing or has another recipe, the lists are wrong (see
        `Protocol.lists`), or a split has no live clip, no spoof clip, or a clip twice.
    """
    folders = find(data_dir, protocol.datasets)
    opened = {name: open_dataset(path, **expected) for name, path in folders.items()}
    _require_named(opened)
    first = next(iter(opened.values()))
    for data in opened.values():
        recipe.require_same(
            data.recipe, dataclasses.asdict(first.recipe), data.data_dir
        )
    lists = protocol.lists({name: listed(path) for name, path in folders.items()})
    places = _places(opened)
    splits, without = {}, {}
    for split in SPLITS:
        limit = lists.first_frames if split != "test" else 0
        chosen = [
            place
            for one in lists.of(split)
            for place in places.get((one.domain, one.video), ())
            if not limit or _frame(opened, place) < limit
        ]
        splits[split] = _view(opened, chosen, split)
        _require_clips(splits[split], lists, split, data_dir)
        if missing := _without(opened, lists.of(split), chosen, limit):
            without[split] = missing
    lists = dataclasses.replace(lists, without_clips=without)
    return Prepared(
        pathlib.Path(data_dir),
        protocol.name,
        first.recipe,
        splits,
        digest="+".join(data.digest for data in opened.values()),
        lists=lists,
    )


def _without(
    opened: dict[str, Prepared],
    videos: Sequence[VideoSource],
    chosen: Sequence[Place],
    limit: int,
) -> list[tuple[str, str]]:
    """Ids of the videos of which no clip was chosen, with the reasons."""
    tables = {
        (dataset, split): opened[dataset].splits[split].table
        for dataset, split in {place[:2] for place in chosen}
    }
    have = {
        (str(table["domain"][row]), str(table["video"][row]))
        for dataset, split, row in chosen
        for table in [tables[dataset, split]]
    }
    missing = [one for one in videos if (one.domain, one.video) not in have]
    if not missing:
        return []
    reasons = {
        (row["domain"], row["video"]): row["reason"]
        for data in opened.values()
        for row in read_manifest(data.data_dir)
        if row["status"] != prepare.OK
    }
    late = f"no clip within its first {limit} frames" if limit else "no clip"
    return [(one.video, reasons.get((one.domain, one.video), late)) for one in missing]


def find(
    data_dir: str | os.PathLike, datasets: Sequence[str]
) -> dict[str, pathlib.Path]:
    """The prepared folder of each dataset: `data_dir` itself, or one below it.

    Raises:
      InputError: a folder is missing.
    """
    data_dir = pathlib.Path(data_dir)
    if (data_dir / recipe.FILE).is_file() and len(datasets) == 1:
        return {datasets[0]: data_dir}
    folders = {name: data_dir / name for name in datasets}
    missing = [n for n, path in folders.items() if not (path / recipe.FILE).is_file()]
    if missing:
        raise InputError(
            f"No prepared {' and no '.join(missing)} in {data_dir}. Expected a prepared"
            f" folder for each of {', '.join(datasets)} in it, of the dataset's name;"
            f" run 'nasfas prepare --dataset={missing[0]}"
            f" --data_dir={folders[missing[0]]}'."
        )
    return folders


def listed(data_dir: pathlib.Path) -> list[VideoSource]:
    """All source files of a prepared folder, by its manifest.

    Raises:
      InputError: no manifest, or one without a required column.
    """
    try:
        return [
            VideoSource(
                path=pathlib.Path(row["path"]),
                label=int(row["label"]),
                attributes=json.loads(row["attributes"]),
                video=row["video"],
                subject=row["subject"],
                domain=row["domain"],
                attack_type=row["attack_type"],
                split=row["split"],
                # Files of no split were left out because of their names.
                problem="" if row["split"] else row["reason"] or "no split",
            )
            for row in read_manifest(data_dir)
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(data_dir, error) from None


def read_manifest(data_dir: pathlib.Path) -> list[dict[str, str]]:
    """Rows of a prepared folder's manifest, one for each source file.

    Raises:
      InputError: no manifest, or a damaged one.
    """
    try:
        with (data_dir / prepare.MANIFEST).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError) as error:
        raise _damaged(data_dir, error) from None


def _damaged(data_dir: pathlib.Path, error: Exception) -> InputError:
    return InputError(
        f"The manifest {data_dir / prepare.MANIFEST} cannot be read ({error!r})."
        " Expected the one that 'nasfas prepare' writes; delete"
        f" {data_dir / recipe.FILE} and run it again (extracted videos are kept)."
    )


def _require_named(opened: dict[str, Prepared]) -> None:
    for name, data in opened.items():
        if data.dataset != name:
            raise InputError(
                f"{data.data_dir} holds the prepared dataset '{data.dataset}', but the"
                f" protocol needs '{name}' there. Give the folder of {name}."
            )


def _places(opened: dict[str, Prepared]) -> dict[tuple[str, str], list[Place]]:
    """Records of each video, by its domain and id, in the order of the tables."""
    places: dict[tuple[str, str], list[Place]] = {}
    for dataset, data in opened.items():
        for split, clips in data.splits.items():
            columns = (clips.table["domain"].tolist(), clips.table["video"].tolist())
            for row, key in enumerate(zip(*columns, strict=True)):
                places.setdefault(key, []).append((dataset, split, row))
    return places


def _frame(opened: dict[str, Prepared], place: Place) -> int:
    dataset, split, row = place
    return int(opened[dataset].splits[split].table["frame"][row])


def _view(opened: dict[str, Prepared], places: Sequence[Place], split: str) -> Split:
    """One split with these records."""
    keys = [(dataset, split) for dataset in opened for split in SPLITS]
    tables = [_named(opened, *key, several=len(opened) > 1) for key in keys]
    starts = np.cumsum([0, *(len(table["clip"]) for table in tables)])
    index = {key: i for i, key in enumerate(keys)}
    rows = [(index[dataset, split], row) for dataset, split, row in places]
    flat = np.array([starts[source] + row for source, row in rows], dtype=int)
    table = {
        name: np.concatenate([one[name] for one in tables])[flat] for name in tables[0]
    }
    table["split"] = np.full(len(rows), split)
    sources = [opened[dataset].splits[split].source for dataset, split in keys]
    return Split(table, Rows(sources, rows))


def _named(opened, dataset: str, split: str, *, several: bool) -> dict[str, np.ndarray]:
    """The table of a split; of several datasets, ids begin with the dataset's name."""
    table = dict(opened[dataset].splits[split].table)
    if several:
        for name in ("clip", "video"):
            table[name] = np.char.add(f"{dataset}/", table[name].astype(str))
    return table


def _require_clips(clips: Split, lists: Lists, split: str, data_dir) -> None:
    labels = set(clips.table["label"].tolist())
    if labels != {0, 1}:
        kinds = {0: "spoof", 1: "live"}
        missing = " and no ".join(kinds[label] for label in {0, 1} - labels)
        advice = "The manifest lists the files that were left out, with the reasons."
        if lists.first_frames and split != "test":
            advice = (
                f"Only clips within the first {lists.first_frames} frames may be used"
                " there; prepare again with the recipe's sampling='siw_first_60'"
                " (config.data.sampling) into another folder."
            )
        raise InputError(
            f"The protocol {lists.protocol} finds no {missing} clip for {split} in"
            f" {data_dir}, though its list has {len(lists.of(split))} videos. {advice}"
        )
    twice = _twice(clips.table["clip"].tolist())
    if twice:
        raise InputError(
            f"The prepared data in {data_dir} hold {len(twice)} clips twice in {split} of"
            f" {lists.protocol}: {some(twice)}. Prepare the folder again."
        )


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, count in collections.Counter(names).items() if count > 1]
