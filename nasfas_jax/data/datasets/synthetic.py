"""Rendered heads and their recaptures, written by `synthetic`."""

import json
import pathlib
import zipfile

from nasfas_jax import synthetic
from nasfas_jax.data.datasets import base
from nasfas_jax.data.datasets.annotations import Annotation
from nasfas_jax.data.media.video import VideoError
from nasfas_jax.errors import InputError


def list_videos(root: pathlib.Path) -> list[base.VideoSource]:
    """Lists a complete set of `synthetic.write_videos`.

    Raises:
      InputError: a missing folder, or an incomplete set.
    """
    base.require_folder(root, "synthetic", DATASET.layout)
    paths = synthetic.read_index(root)
    index = json.loads((root / "index.json").read_text("utf-8"))["videos"]
    names = ("subject", "domain", "attack_type", "label", "split")
    return [
        base.VideoSource(
            path=path,
            video=base.video_id(path.relative_to(root).as_posix()),
            annotation=read_annotation,
            **{name: entry[name] for name in names},
        )
        for path, entry in zip(paths, index, strict=True)
    ]


def read_annotation(path: pathlib.Path) -> Annotation:
    """The annotation that was rendered with the video.

    Raises:
      VideoError: the file cannot be read.
    """
    try:
        known = synthetic.read_annotation(path)
    except (InputError, EOFError, zipfile.BadZipFile) as error:
        raise VideoError(f"the annotation cannot be read: {error}") from error
    return Annotation(
        boxes=known.boxes,
        eyes=known.eyes,
        depth=known.depth,
        face=known.contour,
        map_box=known.depth_box,
    )


DATASET = base.Dataset(
    name="synthetic",
    title="Synthetic heads",
    list_videos=list_videos,
    attack_types=(),
    splits=base.SPLITS,
    polarity="index.json: label 1 live, 0 spoof",
    layout="a set of synthetic videos and its index.json",
    request="None: `nasfas prepare --dataset=synthetic` renders it.",
    version=synthetic.FORMAT["version"],
)
