"""What the source files are: one `VideoSource` a file, listed from a folder."""

import pathlib

from nasfas_jax.data.annotations import Annotation
from nasfas_jax.data.datasets import REGISTRY
from nasfas_jax.data.datasets.base import (
    LIVE,
    SPLITS,
    VideoSource,
    split_by_subject,
    video_id,
)
from nasfas_jax.errors import InputError

__all__ = [
    "LIVE",
    "SPLITS",
    "Annotation",
    "VideoSource",
    "list_videos",
    "split_by_subject",
    "video_id",
]


def list_videos(dataset: str, root: str | pathlib.Path) -> list[VideoSource]:
    """All source files of a dataset, in the order of their ids.

    Raises:
      InputError: an unknown dataset, a missing folder, or no file where expected.
    """
    if dataset not in REGISTRY:
        raise InputError(
            f"Unknown dataset '{dataset}'; expected {' or '.join(REGISTRY)}."
        )
    found = REGISTRY[dataset].list_videos(pathlib.Path(root))
    return sorted(found, key=lambda source: source.video)
