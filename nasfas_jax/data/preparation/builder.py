"""TFDS builders that write the records as ArrayRecord files, without TensorFlow.

Each dataset in `datasets.REGISTRY` has one.  `nasfas prepare` passes them the files that it
has extracted on all cores; they can also be used through TFDS alone::

    import tensorflow_datasets as tfds
    from nasfas_jax.data.preparation.recipe import Recipe
    import nasfas_jax.data.preparation.builder
    recipe = Recipe(image_size=128)
    builder = tfds.builder("oulu_npu", data_dir="prepared", recipe=recipe)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir="OULU-NPU")
    )
    builder.as_data_source("train")
"""

import contextlib
import functools
import io
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core import file_adapters

from nasfas_jax.data import datasets
from nasfas_jax.data.datasets import sources
from nasfas_jax.data.datasets.sources import VideoSource
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import extract, extracted, faces
from nasfas_jax.data.preparation.labels import MAP_SIZE
from nasfas_jax.data.preparation.recipe import Recipe

TEXTS = ("clip", "video", "subject", "domain", "attack_type", "split")
NUMBERS = ("label", "frame")
IMAGES = ("static", "dynamic", "image")
MAPS = ("depth", "face")

# TFDS holds the records of a shard in memory while it writes them.
SHARD_BYTES = 2**26
UNKNOWN_BYTES = 2**22  # assumed size of a video that is not extracted yet

# Sources with the files of their extracted clips; None where they are not extracted yet.
Videos = Sequence[tuple[VideoSource, pathlib.Path | None]]


class FaceClips(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Records of one clip each, in shards of about `SHARD_BYTES`.

    Without `videos`, the builder lists the files in TFDS's manual_dir and extracts them one
    after the other; files without clips are logged.  The splits of a user's own collection
    are then determined by the names alone, without those that `prepare` has recorded.

    Features: names and labels of the clip (`TEXTS` and `NUMBERS`); `static`, `dynamic`,
    `image` [S, S, 3] and `depth`, `face` [32, 32], all uint8; `frames`
    [K, S, S, 3] if ``recipe.keep_frames``.  Label: live 1, spoof 0.  A split without
    records is not written.
    """

    VERSION = tfds.core.Version("1.0.0")
    DATASET: datasets.Dataset

    def __init__(
        self,
        *,
        videos: Videos | None = None,
        recipe: Recipe | None = None,
        **kwargs,
    ):
        self._videos = videos
        self._recipe = recipe or Recipe()
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        images = image_shapes(self._recipe)
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                f"{self.DATASET.title}, clips of faces. Label: live 1, spoof 0"
                f" ({self.DATASET.polarity})."
            ),
            homepage=self.DATASET.homepage or None,
            citation=self.DATASET.citation,
            features=tfds.features.FeaturesDict(
                {name: tfds.features.Text() for name in TEXTS}
                | {name: tfds.features.Scalar(dtype=np.int32) for name in NUMBERS}
                | {name: _bytes_of(shape) for name, shape in images.items()}
                | {name: _bytes_of((MAP_SIZE, MAP_SIZE)) for name in MAPS}
            ),
            # Records are stored in the order of the table of clips.
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(self, dl_manager):
        videos = self._videos
        if videos is None:
            listed = sources.list_videos(self.DATASET.name, str(dl_manager.manual_dir))
            videos = [(source, None) for source in listed if _usable(source)]
        by_split: dict[str, list] = {}
        for source, path in videos:
            by_split.setdefault(source.split, []).append((source, path))
        recipe = self._recipe
        return {
            name: [
                functools.partial(examples, shard, recipe) for shard in _shards(split)
            ]
            for name, split in by_split.items()
        }

    def _download_and_prepare(self, dl_manager, download_config=None):
        super()._download_and_prepare(dl_manager, download_config)
        # On Beam, TFDS 4.9.10 sorts the lengths of shards by their number as text.
        count = file_adapters.ArrayRecordFileAdapter.num_examples
        infos = [
            info.replace(shard_lengths=[count(path) for path in info.filepaths])
            for info in self.info.splits.values()
        ]
        self.info.set_splits(tfds.core.SplitDict(infos))


def image_shapes(recipe: Recipe) -> dict[str, tuple[int, ...]]:
    """Shapes of the images of a record, by their names."""
    image = (recipe.image_size, recipe.image_size, 3)
    frames = {"frames": (recipe.frames, *image)} if recipe.keep_frames else {}
    return dict.fromkeys(IMAGES, image) | frames


def examples(videos: Videos, recipe: Recipe) -> Iterator[tuple[int, dict]]:
    """Keys and records of the clips of the videos, in order."""
    index = 0
    images = image_shapes(recipe)
    for source, path in videos:
        arrays = _extracted(source, recipe) if path is None else extracted.read(path)
        for i, clip in enumerate(clips_of(source, arrays["frame"])):
            pixels = {name: arrays[name][i] for name in (*images, *MAPS)}
            yield index, clip | pixels
            index += 1


def _shards(videos: Videos) -> list[list]:
    """Groups of consecutive videos, each about the size of a shard."""
    shards, room = [], 0
    for source, path in videos:
        size = path.stat().st_size if path else UNKNOWN_BYTES
        if room < size or not shards:
            shards.append([])
            room = SHARD_BYTES
        shards[-1].append((source, path))
        room -= size
    return shards


def _extracted(source: VideoSource, recipe: Recipe) -> dict[str, np.ndarray]:
    try:
        return extract.extract(source, recipe, faces.Haar()).arrays
    except video.VideoError as error:
        logging.warning("left out: %s: %s", source.path, error)
        return {"frame": np.empty(0, np.int32)}


def _builder(dataset: datasets.Dataset) -> type[FaceClips]:
    """The builder of a dataset, registered with TFDS under the name of the dataset."""
    camel = "".join(part.capitalize() for part in dataset.name.split("_"))
    return type(
        camel,
        (FaceClips,),
        {
            "__doc__": f"{dataset.title}: {dataset.polarity}.",
            "__module__": __name__,
            "name": dataset.name,
            "DATASET": dataset,
            "MANUAL_DOWNLOAD_INSTRUCTIONS": (
                f"{dataset.title}: {dataset.request} {dataset.homepage}\n"
                f"The folder holds {dataset.layout}."
            ),
        },
    )


BUILDERS: dict[str, type[FaceClips]] = {
    name: _builder(dataset) for name, dataset in datasets.REGISTRY.items()
}


def _usable(source: VideoSource) -> bool:
    if source.problem:
        logging.warning("left out: %s: %s", source.path, source.problem)
    return not source.problem


def clips_of(source: VideoSource, frames: Iterable[int]) -> list[dict]:
    """Names and labels of the clips of a video with these current frames."""
    return [
        {
            "clip": f"{source.video}#{frame}",
            "video": source.video,
            "subject": source.subject,
            "domain": source.domain,
            "attack_type": source.attack_type,
            "split": source.split,
            "label": source.label,
            "frame": int(frame),
        }
        for frame in frames
    ]


def pack(
    dataset: str,
    videos: Videos,
    data_dir: pathlib.Path,
    recipe: Recipe,
    config: tfds.download.DownloadConfig | None = None,
) -> pathlib.Path:
    """Writes the records below `data_dir`; returns their folder.

    TFDS writes into a folder of another name and renames it when all records are written.

    Args:
      dataset: name of the dataset.
      videos: sources with the files of their extracted clips.
      data_dir: the prepared folder.
      recipe: settings of the records.
      config: configuration of TFDS; it may specify a Beam runner.
    """
    tfds.disable_progress_bar()
    builder = BUILDERS[dataset](videos=videos, recipe=recipe, data_dir=str(data_dir))
    # TFDS requires a download folder, and prints to stdout.
    with (
        tempfile.TemporaryDirectory() as unused,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        builder.download_and_prepare(download_dir=unused, download_config=config)
    return pathlib.Path(builder.data_path)


def _bytes_of(shape: tuple[int, ...]) -> tfds.features.Tensor:
    return tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="bytes")
