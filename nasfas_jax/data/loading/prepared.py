"""Opening a prepared folder: tables without decoding, records by random access."""

import csv
import dataclasses
import html
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from nasfas_jax import limits, synthetic, tables
from nasfas_jax.data import datasets
from nasfas_jax.data.datasets.sources import SPLITS
from nasfas_jax.data.preparation import builder, faces, recipe
from nasfas_jax.data.preparation.prepare import CLIPS
from nasfas_jax.data.protocols import Lists
from nasfas_jax.errors import InputError

# Arrays of a split are kept decoded if they fit in this many bytes.
CACHE_BYTES = 2**30
#: Columns of a split's table whose different values `Prepared.table` counts.
COUNTED = ("video", "subject")


class Split:
    """Clips of one split.

    Attributes:
      table: column name to array [n]: clip, video, subject, domain, attack_type, split
        (texts), label and frame (int32); row i describes record i.
      source: random access to whole records, decoded on access.
    """

    def __init__(self, table: dict[str, np.ndarray], source):
        self.table = table
        self.source = source
        self._cache: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.table["clip"])

    def rows(self, domains: Sequence[str] | None = None) -> np.ndarray:
        """Indices of the clips in these domains; of all clips if None."""
        if domains is None:
            return np.arange(len(self))
        return np.flatnonzero(np.isin(self.table["domain"], list(domains)))

    def load(self, rows: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Stacked arrays [len(rows), ...] uint8 of the named images and maps.

        The first call decodes the whole split and keeps the named arrays in memory if
        they fit in `CACHE_BYTES`; else every call decodes its records.
        """
        missing = [name for name in names if name not in self._cache]
        if missing and len(self):
            first = self.source[0]
            size = sum(first[name].nbytes for name in names) * len(self)
            if size > CACHE_BYTES:
                return self._decode(rows, names)
            self._cache |= self._decode(range(len(self)), missing)
        return {name: self._cache[name][rows] for name in names}

    def _decode(self, rows, names) -> dict[str, np.ndarray]:
        """Decoded records in arrays that are filled one by one, which bounds memory."""
        arrays = {}
        for i, row in enumerate(rows):
            record = self.source[int(row)]
            for name in names:
                if not i:
                    arrays[name] = np.empty((len(rows), *record[name].shape), np.uint8)
                arrays[name][i] = record[name]
        return arrays


@dataclasses.dataclass(frozen=True, repr=False)
class Prepared:
    """A prepared dataset, as its own splits or a protocol divide it.

    Attributes:
      data_dir: the folder, or the folder of several prepared datasets.
      dataset: name of the dataset or of the protocol.
      recipe: how its videos were prepared.
      splits: train, development and test; some may be empty.
      digest: SHA-256 of the packed records, as hexadecimal digits.
      lists: the protocol's lists; None without a protocol.
    """

    data_dir: pathlib.Path
    dataset: str
    recipe: recipe.Recipe
    splits: dict[str, Split]
    digest: str = ""
    lists: Lists | None = None

    @property
    def domains(self) -> list[str]:
        """All domains, sorted."""
        columns = [split.table["domain"] for split in self.splits.values()]
        return sorted({str(name) for column in columns for name in column})

    @property
    def face_model(self) -> bytes | None:
        """Content of YuNet's file, if it found the faces and was kept; else None."""
        paths = [self.data_dir / faces.FILE, *self.data_dir.glob(f"*/{faces.FILE}")]
        contents = (path.read_bytes() for path in paths if path.is_file())
        detector = self.recipe.detector
        return next((c for c in contents if faces.of_name(detector, c)), None)

    def table(self) -> list[list[str]]:
        """Numbers of clips, videos and subjects of each split; the header row first."""
        rows = [["split", "live clips", "spoof clips", "videos", "subjects", "domains"]]
        for name, split in self.splits.items():
            live = int(split.table["label"].sum())
            counts = [live, len(split) - live]
            counts += [len(set(split.table[key].tolist())) for key in COUNTED]
            found = ", ".join(sorted(set(split.table["domain"].tolist())))
            rows.append([name, *(f"{count:,}" for count in counts), found])
        return rows

    def __repr__(self) -> str:
        return f"{self._heading()}\n{tables.as_text(self.table())}"

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        heading = html.escape(self._heading())
        return f"<p>{heading}</p>{tables.as_html(self.table())}"

    def _heading(self) -> str:
        """Name, folder and size of the images."""
        size, frames = self.recipe.image_size, self.recipe.frames
        return (
            f"{self.dataset} in {self.data_dir}: faces of {size} x {size} pixels, clips"
            f" of {frames} frames"
        )


#: Values of the argument ``data`` or ``prepared`` of all functions.
DATA = limits.Kind(Prepared, "prepared data, as nf.open_data returns")


def open_dataset(data_dir: str | os.PathLike, **expected) -> Prepared:
    """Opens what `prepare` wrote; no record is decoded.

    Args:
      data_dir: the prepared folder.
      **expected: fields of the recipe that must have these values, as
        `image_size=128`.

    Raises:
      InputError: nothing prepared there, prepared with another recipe (the message names
        the fields that differ), or from files of another format version.
    """
    data_dir = pathlib.Path(data_dir)
    about = recipe.read(data_dir)
    _require_version(data_dir, about)
    recipe.require_same(about["recipe"], expected, data_dir)
    tables = _read_tables(data_dir)
    packed = tfds.builder_from_directory(str(data_dir / about["records"]))
    records: Any = packed.as_data_source()  # by split; TFDS gives no useful type
    splits = {}
    for name in SPLITS:
        table, source = tables[name], records.get(name, ())
        if len(source) != len(table["clip"]):
            raise InputError(
                f"{data_dir / CLIPS} lists {len(table['clip'])} clips in '{name}', but"
                f" {len(source)} records are there. Delete {data_dir / recipe.FILE} and"
                " run 'nasfas prepare' again."
            )
        splits[name] = Split(table, source)
    return Prepared(
        data_dir, about["dataset"], about["recipe"], splits, about["digest"]
    )


def _require_version(data_dir: pathlib.Path, about: dict) -> None:
    """Requires records of the format version that the renderer writes today."""
    found, dataset = about.get("source_version"), datasets.get(about["dataset"])
    standin = dataset.version is None and found is not None
    expected = synthetic.FORMAT["version"] if standin else dataset.version
    if found != expected:
        version = "no recorded format version" if found is None else f"version {found}"
        again = "write the stand-in into another folder and " if standin else ""
        raise InputError(
            f"The records in {data_dir} were prepared from files of"
            f" {'a stand-in of ' * standin}'{dataset.name}' of {version}, whose pictures"
            f" may differ from those of version {expected}, which is expected;"
            f" {again}run 'nasfas prepare' into this folder again."
        )


def _read_tables(data_dir: pathlib.Path) -> dict[str, dict[str, np.ndarray]]:
    with (data_dir / CLIPS).open(newline="") as file:
        clips = list(csv.DictReader(file))
    tables = {}
    for name in SPLITS:
        rows = [clip for clip in clips if clip["split"] == name]
        tables[name] = {
            column: np.array([clip[column] for clip in rows], dtype=str)
            for column in builder.TEXTS
        } | {
            column: np.array([clip[column] for clip in rows], dtype=np.int32)
            for column in builder.NUMBERS
        }
    return tables
