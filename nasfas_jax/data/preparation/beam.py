"""Preparing a dataset on a cluster: the stages of `prepare` as Apache Beam pipelines.

The workers must see the source and the prepared folder under the same paths.  Both
stages are spread over them: extracting a video, and writing a shard of records.  What
comes out equals what `prepare.prepare` makes, and either goes on where the other
stopped.
"""

import pathlib
from collections.abc import Sequence

import tensorflow_datasets as tfds

from nasfas_jax.data.datasets import sources
from nasfas_jax.data.preparation import faces, prepare, recipe
from nasfas_jax.data.preparation.landmarks import LandmarkModel
from nasfas_jax.errors import InputError

# This machine, in this process; Beam's own default would first fetch a Go program.
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
      dataset: as in `prepare.prepare`, like the next five.
      source_dir: the dataset's folder.
      data_dir: where the prepared data go.
      settings: how.
      detector: asked where the dataset gives no face box.
      landmarks: the landmark model.
      options: of the pipeline, as Beam's command lines have them, such as
        '--runner=FlinkRunner'; the local runner without that one.

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
            f"Apache Beam cannot be imported ({error}). Install the extra that brings"
            " it: pip install -e '.[beam]' in the checkout; or prepare without it, on this"
            " machine's cores."
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
        return prepare.finish(dataset, found, rows, data_dir, tools.recipe, config)
