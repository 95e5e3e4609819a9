"""Preparation of a dataset: extraction of every video in parallel, then packing of records.

A prepared folder holds::

    extracted/<recipe hash>/*.clips  a file for each video, named by a hash of its id; an
                                     interrupted run resumes from these files
    <dataset>/1.0.0/                 the records (TFDS, ArrayRecord)
    manifest.csv                     a row for each source file
    splits.csv                       the split of each person (`splits`)
    clips.csv                        a row for each record, in the order of the records
    face_detector.onnx               YuNet's file, if it found the faces
    recipe.json                      written last, marks the folder as complete

Files get their names only when they are completely written. If the sources have changed,
`recipe.json` is removed first, so that no folder with mixed content is marked as complete.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import cv2
import numpy as np
import tensorflow_datasets as tfds

from nasfas_jax import files, names
from nasfas_jax.data import datasets
from nasfas_jax.data.datasets import sources, splits
from nasfas_jax.data.datasets.base import Sidecar
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import builder, extract, extracted, faces, maps, recipe
from nasfas_jax.data.preparation.landmarks import LandmarkModel
from nasfas_jax.errors import InputError
from nasfas_jax.synthetic import standins

MANIFEST = "manifest.csv"
CLIPS = "clips.csv"
COLUMNS = (
    *("video", "path", "subject", "domain", "attack_type", "label", "split"),
    *("split_source", "attributes", "frames", "clips", "stills"),
    *("status", "reason"),
    *("box_source", "depth_source", "map_source", "recipe"),
)
OK, LEFT_OUT = "ok", "left out"


class Tools(NamedTuple):
    """Arguments of `extract.extract` after the source, in order."""

    recipe: recipe.Recipe
    detector: faces.Detector
    landmarks: LandmarkModel | None


Progress = Callable[[int, int, str], None]


@dataclasses.dataclass(frozen=True)
class Summary:
    """The result of `prepare`.

    Attributes:
      data_dir: the prepared folder.
      recipe: settings of the records.
      rows: rows of the manifest.
    """

    data_dir: pathlib.Path
    recipe: recipe.Recipe
    rows: list[dict]

    @property
    def left_out(self) -> list[dict]:
        """Rows of the files without records, with the reasons."""
        return [row for row in self.rows if row["status"] != OK]

    @property
    def clips(self) -> int:
        """Number of records."""
        return sum(row["clips"] for row in self.rows)

    @property
    def stills(self) -> str:
        """`describe_stills` of the manifest."""
        return describe_stills(self.rows)


def describe_stills(rows: Iterable[Mapping[str, Any]]) -> str:
    """Number of stills among the live and spoof clips of manifest rows; '' for none.

    >>> row = {"label": 1, "stills": 1, "clips": 9}
    >>> describe_stills([row, row, row | {"label": 0, "stills": 0}])
    '2 of 18 live clips and 0 of 9 spoof clips are stills: nothing moves in them'
    """
    clips, stills = Counter(), Counter()
    for row in rows:
        clips[int(row["label"])] += int(row["clips"])
        stills[int(row["label"])] += int(row["stills"])
    if not stills.total():
        return ""
    counts = [
        f"{stills[label]} of {clips[label]} {kind} clips"
        for label, kind in ((1, "live"), (0, "spoof"))
    ]
    return f"{' and '.join(counts)} are stills: nothing moves in them"


def prepare(
    dataset: str,
    source_dir: str | pathlib.Path,
    data_dir: str | pathlib.Path,
    settings: recipe.Recipe | None = None,
    *,
    detector: faces.Detector | None = None,
    landmarks: LandmarkModel | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Prepares the files of a dataset for training; resumes an interrupted run.

    Args:
      dataset: a name in `datasets.REGISTRY`.
      source_dir: the dataset's folder.
      data_dir: the prepared folder, one for each dataset and recipe.
      settings: the recipe (`Recipe()` if None); its `detector` and `landmarks` are replaced
        by the names of the arguments below.
      detector: face detector for videos without annotated boxes; Haar if None.
      landmarks: landmark model for depth and location maps without a better source
        (`maps`).
      workers: number of threads; one per core if None.
      progress: function of (number of finished videos, number of videos, id of the last
        video).

    Raises:
      InputError: no source files, no usable live or spoof clip, a folder prepared with
        another recipe, or a full disk.
    """
    found = sources.list_videos(dataset, pathlib.Path(source_dir))
    tools = make_tools(settings, detector, landmarks)
    return prepare_videos(
        dataset, found, data_dir, tools, workers=workers, progress=progress
    )


def make_tools(
    settings: recipe.Recipe | None = None,
    detector: faces.Detector | None = None,
    landmarks: LandmarkModel | None = None,
) -> Tools:
    """The detector, the landmark model, and the recipe with their names."""
    detector = detector or faces.Haar()
    name = landmarks.name if landmarks else ""
    settings = dataclasses.replace(
        settings or recipe.Recipe(), detector=detector.name, landmarks=name
    )
    return Tools(settings, detector, landmarks)


def prepare_videos(
    dataset: str,
    found: Sequence[sources.VideoSource],
    data_dir: str | pathlib.Path,
    tools: Tools,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    config: tfds.download.DownloadConfig | None = None,
) -> Summary:
    """`prepare` of listed files; `config` is the configuration of TFDS (`builder.pack`)."""
    data_dir = pathlib.Path(data_dir)
    with claim(data_dir, dataset, tools.recipe):
        found = keep_splits(found, data_dir)
        rows = extract_all(found, tools, data_dir, workers, progress)
        return finish(dataset, found, rows, data_dir, tools, config)


def keep_splits(
    found: Sequence[sources.VideoSource], data_dir: pathlib.Path
) -> list[sources.VideoSource]:
    """The sources with the splits recorded in `data_dir` for their subjects."""
    return splits.keep(found, *_split_tables(data_dir))


def _split_tables(data_dir: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    return data_dir / splits.FILE, data_dir / MANIFEST


def finish(
    dataset: str,
    found: Sequence[sources.VideoSource],
    rows: list[dict],
    data_dir: pathlib.Path,
    tools: Tools,
    config: tfds.download.DownloadConfig | None = None,
) -> Summary:
    """Writes the manifest, the splits and the records of extracted files.

    Args:
      dataset: name of the dataset.
      found: source files, with the splits of `keep_splits`.
      rows: rows of the manifest, one for each file.
      data_dir: the prepared folder.
      tools: recipe of the extracted files, and the detector, whose file is kept.
      config: configuration of TFDS (`builder.pack`).
    """
    settings = tools.recipe
    folder = extracted_folder(data_dir, settings)
    usable = [
        (source, _extracted_path(source, folder))
        for source, row in zip(found, rows, strict=True)
        if row["status"] == OK
    ]
    table = files.csv_text((*builder.TEXTS, *builder.NUMBERS), _clips(usable))
    marks = json.dumps([_fingerprint(source) for source, _ in usable])
    content = hashlib.sha256((table + marks).encode()).hexdigest()
    complete = data_dir / recipe.FILE
    before = recipe.read(data_dir) if complete.exists() else {}
    version = datasets.get(dataset).version or standins.version_of(found[0].path)
    packed = before.get("content") == content and "digest" in before
    packed = packed and before.get("source_version") == version
    if not packed:
        complete.unlink(missing_ok=True)
    if content_of_model := getattr(tools.detector, "content", None):
        with files.whole(data_dir / faces.FILE) as part:
            part.write_bytes(content_of_model)
    splits.write(found, *_split_tables(data_dir))
    files.write_text(data_dir / MANIFEST, files.csv_text(COLUMNS, rows))
    _require_usable(rows, data_dir / MANIFEST)
    if not packed:
        shutil.rmtree(data_dir / dataset, ignore_errors=True)
        records = builder.pack(dataset, usable, data_dir, settings, config)
        files.write_text(data_dir / CLIPS, table)
        about = {
            "dataset": dataset,
            "records": records.relative_to(data_dir).as_posix(),
            "recipe": dataclasses.asdict(settings),
            "hash": settings.hash,
            "content": content,
            "digest": _digest(table, usable),
            "source_version": version,
        }
        files.write_json(complete, about)
    _remove_others(found, folder)
    return Summary(data_dir, settings, rows)


def _digest(table: str, usable: builder.Videos) -> str:
    """SHA-256 of the content of all records.

    The bytes of their files are not reproducible: TFDS writes the fields of a record in an
    order that changes from run to run.
    """
    total = hashlib.sha256(table.encode())
    for _, path in usable:
        assert path is not None
        total.update(extracted.read(path).tobytes())
    return total.hexdigest()


def _clips(usable: builder.Videos) -> list[dict]:
    clips = []
    for source, path in usable:
        about = path and extracted.read_about(path)
        assert about is not None  # its row was read
        clips += builder.clips_of(source, about["ends"])
    return clips


def _remove_others(found: Sequence[sources.VideoSource], folder: pathlib.Path) -> None:
    """Removes extracted files without a source, and incomplete ones."""
    wanted = {_extracted_path(source, folder) for source in found}
    for path in folder.iterdir():
        if path not in wanted:
            path.unlink()


@contextmanager
def claim(
    data_dir: pathlib.Path, dataset: str, settings: recipe.Recipe
) -> Iterator[None]:
    """Locks the folder for this process, and reports a full disk as an InputError.

    Raises:
      InputError: the folder holds another dataset or recipe, or another process is
        preparing into it.
    """
    with files.locked(data_dir), files.writing(data_dir):
        _require_same(data_dir, dataset, settings)
        yield


def _require_same(data_dir, dataset: str, settings: recipe.Recipe) -> None:
    if not (data_dir / recipe.FILE).exists():
        return
    previous = recipe.read(data_dir)
    recipe.require_same(previous["recipe"], dataclasses.asdict(settings), data_dir)
    if previous["dataset"] != dataset:
        raise InputError(
            f"{data_dir} holds the prepared dataset '{previous['dataset']}', not"
            f" '{dataset}'. Prepare each dataset into a folder of its own."
        )


def extract_all(
    found: Sequence[sources.VideoSource],
    tools: Tools,
    data_dir: pathlib.Path,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[dict]:
    """Extracts the remaining files; returns rows of the manifest, ordered as `found`."""
    folder = extracted_folder(data_dir, tools.recipe)
    if not all(one.problem or _extracted_path(one, folder).exists() for one in found):
        warm_up(tools.recipe)

    def one(source):
        return read_row(source, folder) or extract_one(source, tools, folder)

    rows = []
    executor = ThreadPoolExecutor(workers or os.cpu_count())
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the threads of the executor run in parallel
    try:
        for row, source in zip(executor.map(one, found), found, strict=True):
            rows.append(_describe(source, tools.recipe) | row)
            if progress:
                progress(len(rows), len(found), source.video)
    finally:
        executor.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)
    return rows


def extracted_folder(data_dir: pathlib.Path, settings: recipe.Recipe) -> pathlib.Path:
    """The folder of the files extracted with a recipe."""
    return data_dir / "extracted" / settings.hash


def warm_up(settings: recipe.Recipe) -> None:
    """Compiles once, before the threads start."""
    extract.pool_clip(np.zeros((settings.frames, 1, 1, 3), np.uint8), settings)


def extract_one(source, tools: Tools, folder: pathlib.Path) -> dict:
    """Extracts one file into the folder; returns its row of the manifest."""
    arrays = {}
    try:
        result = extract.extract(source, *tools)
    except video.VideoError as error:
        row = _left_out(str(error))
    else:
        arrays = result.arrays
        row = {"frames": result.frames, "clips": len(arrays["frame"]), "status": OK}
        row |= {"stills": result.stills, "reason": "", "box_source": result.box_source}
        row |= {"depth_source": result.depth_source, "map_source": result.map_source}
    about = {"of": _fingerprint(source), "row": row}
    about["ends"] = [int(end) for end in arrays.get("frame", ())]
    extracted.write(_extracted_path(source, folder), about, arrays)
    return row


def read_row(source, folder: pathlib.Path) -> dict | None:
    """The manifest row of an extracted file; None if it is not extracted or has changed.

    Files with a `problem` are not opened.
    """
    if source.problem:
        return _left_out(source.problem)
    about = extracted.read_about(_extracted_path(source, folder))
    fresh = about is not None and about["of"] == _fingerprint(source)
    return about["row"] if about is not None and fresh else None


def _left_out(reason: str) -> dict:
    row = {"frames": 0, "clips": 0, "stills": 0, "status": LEFT_OUT}
    row |= {"reason": names.printable(reason)}
    return row | {"box_source": "", "depth_source": "", "map_source": ""}


def _fingerprint(source) -> list:
    """Properties of the source that determine its extracted file, given the recipe."""
    beside = source.annotation
    annotation = beside.path if isinstance(beside, Sidecar) else None
    return [
        *(*_stamp(source.path), source.label, source.split == "train", source.rotate),
        *maps.depth_stamp(source.path),
        *(_stamp(annotation) if annotation else ()),
    ]


def _stamp(path: pathlib.Path) -> tuple[int, int] | tuple[None, None]:
    """Size and modification time of a file; None if it is missing."""
    if not path.exists():
        return None, None
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _extracted_path(source, folder: pathlib.Path) -> pathlib.Path:
    """Path with a short name; the source's name may have the longest length allowed."""
    digest = hashlib.sha256(source.video.encode()).hexdigest()
    return folder / (digest[:32] + extracted.SUFFIX)


def _describe(source, settings) -> dict:
    facts = ("video", "subject", "domain", "attack_type", "label", "split")
    row = {name: getattr(source, name) for name in (*facts, "split_source")}
    row["attributes"] = json.dumps(dict(source.attributes), sort_keys=True)
    return row | {"path": names.printable(str(source.path)), "recipe": settings.hash}


def _require_usable(rows: Sequence[dict], manifest) -> None:
    """Requires live and spoof clips."""
    live, spoof = (
        sum(row["clips"] for row in rows if row["label"] == label) for label in (1, 0)
    )
    if live and spoof:
        return
    missing = " and ".join(
        name for name, count in (("live", live), ("spoof", spoof)) if not count
    )
    reasons = [f"{r['video']}: {r['reason']}" for r in rows if r["status"] != OK]
    raise InputError(
        f"No usable {missing} clip among the {len(rows)} files under {_common(rows)}."
        " Expected at least one live and one spoof video or picture with a visible"
        f" face. {'Left out: ' if reasons else ''}{'; '.join(reasons[:3])}"
        f"{' ...' if len(reasons) > 3 else ''} (all reasons are in {manifest})."
    )


def _common(rows: Sequence[dict]) -> str:
    """The deepest folder that contains all files."""
    return os.path.commonpath([os.path.dirname(row["path"]) for row in rows])
