"""The packed form: TFDS builders that write ArrayRecord, without TensorFlow."""

import contextlib
import io
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow_datasets as tfds

from nasfas_jax.data.labels import MAP_SIZE
from nasfas_jax.data.sources import VideoSource

TEXTS = ("clip", "video", "subject", "domain", "attack_type", "split")
NUMBERS = ("label", "frame")
IMAGES = ("static", "dynamic", "image")
MAPS = ("depth", "mask", "face")

Videos = Sequence[tuple[VideoSource, pathlib.Path]]  # a source and its extracted file


class FaceClips(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Records of one clip each, from the files that the extract stage left.

    Features: the texts and numbers that name and label the clip; `static`, `dynamic`,
    `image` [S, S, 3] and `depth`, `mask`, `face` [32, 32], all uint8.  Label: live 1,
    spoof 0.  A split without records is not written.
    """

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = ""
    CITATION = ""

    def __init__(self, *, videos: Videos, image_size: int, **kwargs):
        self._videos = videos
        self._image_size = image_size
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        size = self._image_size
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            citation=self.CITATION,
            features=tfds.features.FeaturesDict(
                {name: tfds.features.Text() for name in TEXTS}
                | {name: tfds.features.Scalar(dtype=np.int32) for name in NUMBERS}
                | {name: _bytes_of((size, size, 3)) for name in IMAGES}
                | {name: _bytes_of((MAP_SIZE, MAP_SIZE)) for name in MAPS}
            ),
            # Records lie in the order of the clips' table.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        by_split: dict[str, list] = {}
        for source, path in self._videos:
            by_split.setdefault(source.split, []).append((source, path))
        return {name: self._generate_examples(part) for name, part in by_split.items()}

    def _generate_examples(self, videos: Videos) -> Iterator[tuple[int, dict]]:
        index = 0
        for source, path in videos:
            with np.load(path) as file:
                arrays = {name: file[name] for name in ("frame", *IMAGES, *MAPS)}
            for i, clip in enumerate(clips_of(source, arrays["frame"])):
                pixels = {name: arrays[name][i] for name in (*IMAGES, *MAPS)}
                yield index, clip | pixels
                index += 1


class OwnData(FaceClips):
    """A user's folder with `live/` and `spoof/<attack type>/`."""

    DESCRIPTION = "A user's own videos and pictures in live/ and spoof/<attack type>/."


class Synthetic(FaceClips):
    """Procedural heads and their recaptures."""

    DESCRIPTION = (
        "Procedural heads filmed live, and recaptured from prints and displays."
    )


BUILDERS: dict[str, type[FaceClips]] = {
    builder.name: builder for builder in (OwnData, Synthetic)
}


def clips_of(source: VideoSource, frames: np.ndarray) -> list[dict]:
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
    dataset: str, videos: Videos, data_dir: pathlib.Path, image_size: int
) -> pathlib.Path:
    """Write the records below `data_dir`; returns the folder that holds them.

    TFDS writes into a folder of another name and renames it when all is there.
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
        builder.download_and_prepare(download_dir=unused)
    return pathlib.Path(builder.data_path)


def _bytes_of(shape: tuple[int, ...]) -> tfds.features.Tensor:
    return tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="zlib")
