"""The same records from Beam's local runner as from the threads of one machine."""

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.preparation import beam, builder, faces, prepare
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError

RECIPE = Recipe(image_size=16, clips_per_video=2, method="harmonic")


class Middle:
    """Sees a face in the middle."""

    name = "middle"

    def __call__(self, image):
        return faces.Face(np.array([20.0, 10, 24, 30]))


@pytest.fixture
def collection(tmp_path):
    random = np.random.default_rng(0)
    for i in range(12):
        folder = tmp_path / "own/train" / ("live" if i % 2 else "spoof/print")
        folder.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(
            str(folder / f"{i}.avi"),
            cv2.CAP_FFMPEG,
            cv2.VideoWriter_fourcc(*"MJPG"),
            25,
            (64, 48),
        )
        for _ in range(7 + i):
            small = random.integers(60, 200, (6, 8, 3), dtype=np.uint8)
            writer.write(cv2.resize(small, (64, 48)))
        writer.release()
    (tmp_path / "own/train/live/empty.mp4").touch()
    return tmp_path / "own"


def records(out):
    splits = pipeline.open_dataset(out).splits
    return [record for split in splits.values() for record in split.source]


def shard_lengths(out):
    made = tfds.builder_from_directory(str(out / "own_data/1.0.0"))
    return made.info.splits["train"].shard_lengths


def test_beam_makes_the_same_records(collection, tmp_path, monkeypatch):
    pytest.importorskip("apache_beam", reason="the extra 'beam' is not installed")
    # A shard for each video, more than ten: TFDS sorts their numbers as texts.
    monkeypatch.setattr(builder, "SHARD_BYTES", 1)
    here = prepare.prepare(
        "own_data", collection, tmp_path / "a", RECIPE, detector=Middle()
    )
    there = beam.run("own_data", collection, tmp_path / "b", RECIPE, detector=Middle())
    assert there.rows == here.rows and there.clips == 23
    assert [row["video"] for row in there.left_out] == ["train/live/empty.mp4"]
    for name in ("manifest.csv", "clips.csv", "recipe.json"):
        assert (tmp_path / "a" / name).read_text() == (
            tmp_path / "b" / name
        ).read_text()
    for one, other in zip(
        records(tmp_path / "a"), records(tmp_path / "b"), strict=True
    ):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    lengths = [shard_lengths(tmp_path / name) for name in "ab"]
    assert lengths[0] == lengths[1] == 6 * [2] + [1] + 5 * [2]
    # People keep their split when the folder that gave it is gone.
    for kind in ("live", "spoof"):
        (collection / "train" / kind).rename(collection / kind)
    again = beam.run("own_data", collection, tmp_path / "b", RECIPE, detector=Middle())
    assert again.clips == 23 and {row["split"] for row in again.rows} == {"train"}


def test_a_missing_beam_is_told(collection, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "apache_beam", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[beam\]'"):
        beam.run("own_data", collection, tmp_path / "b", RECIPE)
