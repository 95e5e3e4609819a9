"""``nasfas prepare``: videos to training records."""

import collections
import pathlib
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from nasfas_jax import synthetic
from nasfas_jax.commands import settings, tables
from nasfas_jax.commands.settings import Path
from nasfas_jax.data import datasets
from nasfas_jax.data.datasets import sources
from nasfas_jax.data.preparation import beam as pipeline
from nasfas_jax.data.preparation import prepare
from nasfas_jax.data.preparation.landmarks import LandmarkModel
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.runtime import Progress


def run(
    config: Any,
    *,
    workdir: Path = settings.WORKDIR,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    landmark_model: Path | None = None,
    face_model: Path | None = None,
    beam: str | None = None,
) -> None:
    """Prepares config.data.dataset from ``manual_dir`` (or makes the synthetic set).

    Args:
      config: sections ``data`` and, for the synthetic set, ``synthetic``.
      workdir: folder of the run.
      data_dir: folder of the records; ``data/`` in ``workdir`` if None.
      manual_dir: folder of the dataset's files.
      landmark_model: file of the landmark model for depth maps.
      face_model: file of YuNet; Haar if None.
      beam: options of an Apache Beam pipeline; this machine alone if None.
    """
    name = config.data.dataset
    dataset = datasets.get(name)  # a wrong name shows before the work
    models = {
        "detector": settings.detector(face_model),
        "landmarks": LandmarkModel(str(landmark_model)) if landmark_model else None,
    }
    if name == "synthetic" and manual_dir is None:
        source = _synthesize(config, pathlib.Path(workdir) / "videos")
    else:
        source = _manual_dir(name, manual_dir)
    settings.make_folder(workdir)
    folder = settings.data_folder(workdir, data_dir)
    recipe = settings.recipe(config)
    if beam is None:
        summary = _on_this_machine(name, source, folder, recipe, models)
    else:
        options = shlex.split(beam)
        summary = pipeline.run(name, source, folder, recipe, **models, options=options)
    reasons = [(row["video"], row["reason"]) for row in summary.left_out]
    print("".join(tables.left_out(reasons)), end="")
    print(
        f"{summary.clips} clips of {len(summary.rows) - len(summary.left_out)} videos "
        f"in {folder} ({len(summary.left_out)} left out; see manifest.csv)"
    )
    if summary.stills:
        print(f"{summary.stills}, and their dynamic image is black")
    for line in _missing(summary, dataset.splits):
        print(line)


def _missing(summary: prepare.Summary, splits: Sequence[str]) -> Iterator[str]:
    """A line for each of the dataset's own splits that lacks live or spoof clips."""
    clips = collections.Counter()
    for row in summary.rows:
        clips[row["split"], row["label"]] += row["clips"]
    for split in splits:
        lacking = [
            kind
            for kind, label in (("live", 1), ("spoof", 0))
            if not clips[split, label]
        ]
        if lacking:
            yield (
                f"warning: no {' and no '.join(lacking)} clip for {split}; 'nasfas train'"
                " and 'nasfas evaluate' need both where they use it"
            )


def _on_this_machine(
    dataset: str,
    source: pathlib.Path,
    folder: pathlib.Path,
    recipe: Recipe,
    models: dict,
) -> prepare.Summary:
    tools = prepare.make_tools(recipe, **models)
    found = sources.list_videos(dataset, source)
    with Progress("prepare", len(found)) as progress:
        return prepare.prepare_videos(
            dataset, found, folder, tools, progress=_ignore_total(progress)
        )


def _manual_dir(dataset: str, manual_dir: Path | None) -> pathlib.Path:
    if manual_dir is None:
        raise InputError(
            f"--manual_dir is missing: the folder that holds {dataset}. 'nasfas data info"
            f" --dataset={dataset}' says what its tree must look like."
        )
    return pathlib.Path(manual_dir)


def _synthesize(config: Any, folder: pathlib.Path) -> pathlib.Path:
    videos = config.synthetic
    total = len(
        synthetic.plan(
            subjects_per_domain=videos.subjects_per_domain,
            live_videos=videos.live_videos,
        )
    )
    with Progress("render", total) as progress:
        synthetic.write_videos(
            folder,
            subjects_per_domain=videos.subjects_per_domain,
            live_videos=videos.live_videos,
            frames=videos.frames,
            face_size=videos.face_size,
            seed=config.seed,
            progress=_ignore_total(progress),
        )
    return folder


def _ignore_total(progress: Progress):
    return lambda done, total, note="": progress(done, note)
