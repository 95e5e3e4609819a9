"""Preparation of a dataset on a cluster: the stages of `prepare` as Apache Beam pipelines.

The source and the prepared folder must have the same paths on all workers.  Extracting
videos and writing shards of records are distributed.  The result equals that of
`prepare.prepare`, and each resumes what the other has started.
"""

import pathlib
from collections.abc import Sequence

import tensorflow_datasets as tfds

from nasfas_jax.data.datasets import sources
from nasfas_jax.data.preparation import faces, prepare, recipe
from nasfas_jax.data.preparation.landmarks import LandmarkModel
from nasfas_jax.errors import InputError

# Runs in this process; Beam's default runner would download a Go program.
RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def run(
    dataset: str,
    source_dir: str | pathlib.Path,
    data_dir: str | pathlib.Path,
    settings: recipe.Recipe | None = None,
    *,
    detector: faces.Detector | None = None,
    landmarks: LandmarkModel | None = None,
    options: Sequence[str] = (),
) -> prepare.Summary:
    """`prepare.prepare` on Beam.

    Args:
      dataset: name of the dataset.
      source_dir: the dataset's folder.
      data_dir: the prepared folder.
      settings: the recipe.
      detector: face detector for videos without annotated boxes.
      landmarks: the landmark model.
      options: options of the pipeline as on Beam's command lines, such as
        '--runner=FlinkRunner'; without a runner, the pipeline runs in this process.

    Raises:
      InputError: as `prepare.prepare`, or Beam is not installed.
    """
    try:
        import apache_beam as beam  # pyright: ignore[reportMissingImports]
        from apache_beam.options import (  # pyright: ignore[reportMissingImports]
            pipeline_options,
        )
    except ImportError as error:
        raise InputError(
            f"Apache Beam cannot be imported ({error}). Install it with the extra"
            " 'beam', pip install -e '.[beam]' in the checkout, or prepare without"
            " --beam, on the cores of this machine."
        ) from error
    data_dir = pathlib.Path(data_dir)
    found = sources.list_videos(dataset, source_dir)
    tools = prepare.make_tools(settings, detector, landmarks)
    parsed = pipeline_options.PipelineOptions(list(options))
    runner = parsed.view_as(pipeline_options.StandardOptions).runner or RUNNER
    config = tfds.download.DownloadConfig(beam_options=parsed, beam_runner=runner)
    with prepare.claim(data_dir, dataset, tools.recipe):
        found = prepare.keep_splits(found, data_dir)
        folder = prepare.extracted_folder(data_dir, tools.recipe)
        missing = [one for one in found if prepare.read_row(one, folder) is None]
        with beam.Pipeline(runner=runner, options=parsed) as pipeline:
            _ = (
                pipeline
                | "Videos" >> beam.Create(missing)
                | "Spread" >> beam.Reshuffle()
                | "Extract" >> beam.Map(prepare.extract_one, tools, folder)
            )
        rows = prepare.extract_all(found, tools, data_dir)
        return prepare.finish(dataset, found, rows, data_dir, tools, config)
