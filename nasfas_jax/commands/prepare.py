"""``nasfas prepare``: videos to training records."""

import collections
import pathlib
import shlex
from collections.abc import Iterator, Sequence

from nasfas_jax import synthetic
from nasfas_jax.commands import tables
from nasfas_jax.commands.run import Run
from nasfas_jax.data import datasets
from nasfas_jax.data.datasets import sources
from nasfas_jax.data.preparation import beam, faces, prepare
from nasfas_jax.data.preparation.landmarks import LandmarkModel
from nasfas_jax.errors import InputError
from nasfas_jax.runtime import Progress


def run(run: Run) -> None:
    """Prepares config.data.dataset from ``--manual_dir`` (or makes the synthetic set)."""
    data = run.config.data
    datasets.get(data.dataset)  # a wrong name shows before the work
    models = {
        "detector": faces.YuNet(run.face_model) if run.face_model else None,
        "landmarks": LandmarkModel(run.landmark_model) if run.landmark_model else None,
    }
    source = _synthesize(run) if _makes_its_own(run) else _manual_dir(run)
    run.folder()
    if run.beam is None:
        summary = _on_this_machine(run, source, models)
    else:
        summary = beam.run(
            data.dataset,
            source,
            run.prepared_dir,
            run.recipe,
            **models,
            options=shlex.split(run.beam),
        )
    reasons = [(row["video"], row["reason"]) for row in summary.left_out]
    print("".join(tables.left_out(reasons)), end="")
    print(
        f"{summary.clips} clips of {len(summary.rows) - len(summary.left_out)} videos "
        f"in {run.prepared_dir} ({len(summary.left_out)} left out; see manifest.csv)"
    )
    if summary.stills:
        print(f"{summary.stills}, and their dynamic image is black")
    for line in _missing(summary, datasets.get(data.dataset).splits):
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


def _on_this_machine(run: Run, source: pathlib.Path, models: dict) -> prepare.Summary:
    dataset = run.config.data.dataset
    tools = prepare.make_tools(run.recipe, **models)
    found = sources.list_videos(dataset, source)
    with Progress("prepare", len(found)) as progress:
        return prepare.prepare_videos(
            dataset, found, run.prepared_dir, tools, progress=_ignore_total(progress)
        )


def _makes_its_own(run: Run) -> bool:
    return run.config.data.dataset == "synthetic" and run.manual_dir is None


def _manual_dir(run: Run) -> pathlib.Path:
    if run.manual_dir is None:
        raise InputError(
            "--manual_dir is missing: the folder that holds"
            f" {run.config.data.dataset}. 'nasfas data info"
            f" --dataset={run.config.data.dataset}' says what its tree must look like."
        )
    return pathlib.Path(run.manual_dir)


def _synthesize(run: Run) -> pathlib.Path:
    videos = run.config.synthetic
    folder = run.workdir / "videos"
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
            seed=run.config.seed,
            progress=_ignore_total(progress),
        )
    return folder


def _ignore_total(progress: Progress):
    return lambda done, total, note="": progress(done, note)
