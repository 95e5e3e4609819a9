"""Source files of a dataset: a `VideoSource` for each file of a folder."""

import pathlib

from nasfas_jax.data import datasets
from nasfas_jax.data.datasets.annotations import Annotation
from nasfas_jax.data.datasets.base import LIVE, SPLITS, VideoSource

__all__ = ["LIVE", "SPLITS", "Annotation", "VideoSource", "list_videos"]


def list_videos(dataset: str, root: str | pathlib.Path) -> list[VideoSource]:
    """All source files of a dataset, sorted by id; files with a `problem` come last.

    Raises:
      InputError: an unknown dataset, a missing folder, or no file where expected.
    """
    found = datasets.get(dataset).list_videos(pathlib.Path(root))
    return sorted(found, key=lambda source: (bool(source.problem), source.video))
