"""The packed form: TFDS builders that write ArrayRecord, without TensorFlow.

There is one a dataset, made from `datasets.REGISTRY`.  `nasfas prepare` hands them the
files that it has extracted on all cores; TFDS can also be used as everywhere::

    import tensorflow_datasets as tfds
    import nasfas_jax.data.preparation.builder
    builder = tfds.builder("oulu_npu", data_dir="prepared", image_size=128)
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
MAPS = ("depth", "mask", "face")

# TFDS holds a shard's records in memory while it writes them.
SHARD_BYTES = 2**26
UNKNOWN_BYTES = 2**22  # of a video that is not extracted yet

# A source, and the file that holds what was extracted from it; None: not yet.
Videos = Sequence[tuple[VideoSource, pathlib.Path | None]]


class FaceClips(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Records of one clip each, in shards of videos of about `SHARD_BYTES`.

    Without `videos` it lists those in TFDS's manual_dir and extracts them one after the
    other by `Recipe(image_size=image_size)`; a file that gives no clip is logged. The
    splits of a user's own collection then follow from the names alone, without those that
    `prepare` has recorded.

    Features: the texts and numbers that name and label the clip; `static`, `dynamic`,
    `image` [S, S, 3] and `depth`, `mask`, `face` [32, 32], all uint8.  Label: live 1,
    spoof 0.  A split without records is not written.
    """

    VERSION = tfds.core.Version("1.0.0")
    DATASET: datasets.Dataset

    def __init__(
        self,
        *,
        videos: Videos | None = None,
        image_size: int = Recipe.image_size,
        **kwargs,
    ):
        self._videos = videos
        self._image_size = image_size
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        size = self._image_size
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
                | {name: _bytes_of((size, size, 3)) for name in IMAGES}
                | {name: _bytes_of((MAP_SIZE, MAP_SIZE)) for name in MAPS}
            ),
            # Records lie in the order of the clips' table.
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(self, dl_manager):
        videos = self._videos
        if videos is None:
            found = sources.list_videos(self.DATASET.name, str(dl_manager.manual_dir))
            videos = [(source, None) for source in found if _usable(source)]
        by_split: dict[str, list] = {}
        for source, path in videos:
            by_split.setdefault(source.split, []).append((source, path))
        size = self._image_size
        return {
            name: [functools.partial(examples, shard, size) for shard in _shards(part)]
            for name, part in by_split.items()
        }

    def _download_and_prepare(self, dl_manager, download_config=None):
        super()._download_and_prepare(dl_manager, download_config)
        # On Beam, TFDS 4.9.10 sorts the lengths of shards by their number as a text.
        count = file_adapters.ArrayRecordFileAdapter.num_examples
        infos = [
            info.replace(shard_lengths=[count(path) for path in info.filepaths])
            for info in self.info.splits.values()
        ]
        self.info.set_splits(tfds.core.SplitDict(infos))


def examples(videos: Videos, image_size: int) -> Iterator[tuple[int, dict]]:
    """A key and the record of each clip of the videos, in their order."""
    index = 0
    for source, path in videos:
        arrays = (
            _extracted(source, image_size) if path is None else extracted.read(path)
        )
        for i, clip in enumerate(clips_of(source, arrays["frame"])):
            pixels = {name: arrays[name][i] for name in (*IMAGES, *MAPS)}
            yield index, clip | pixels
            index += 1


def _shards(videos: Videos) -> list[list]:
    """Consecutive videos, together about as large as a shard."""
    shards, room = [], 0
    for source, path in videos:
        size = path.stat().st_size if path else UNKNOWN_BYTES
        if room < size or not shards:
            shards.append([])
            room = SHARD_BYTES
        shards[-1].append((source, path))
        room -= size
    return shards


def _extracted(source: VideoSource, image_size: int) -> dict[str, np.ndarray]:
    try:
        recipe = Recipe(image_size=image_size)
        return extract.extract(source, recipe, faces.Haar()).arrays
    except video.VideoError as error:
        logging.warning("left out: %s: %s", source.path, error)
        return {"frame": np.empty(0, np.int32)}


def _builder(dataset: datasets.Dataset) -> type[FaceClips]:
    """The builder of a dataset, known to TFDS by the dataset's name."""
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
    """What names and labels each clip of a video, given their current frames."""
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
    image_size: int,
    config: tfds.download.DownloadConfig | None = None,
) -> pathlib.Path:
    """Write the records below `data_dir`; returns the folder that holds them.

    TFDS writes into a folder of another name and renames it when all is there.

    Args:
      dataset: its name.
      videos: with the files that were extracted from them.
      data_dir: the prepared folder.
      image_size: of the records.
      config: of TFDS; it may name a Beam runner.
    """
    tfds.disable_progress_bar()
    builder = BUILDERS[dataset](
        videos=videos, image_size=image_size, data_dir=str(data_dir)
    )
    # TFDS insists on a download folder and on announcing itself on stdout.
    with (
        tempfile.TemporaryDirectory() as unused,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        builder.download_and_prepare(download_dir=unused, download_config=config)
    return pathlib.Path(builder.data_path)


def _bytes_of(shape: tuple[int, ...]) -> tfds.features.Tensor:
    return tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="bytes")
