"""The nine datasets' containers: turned videos, recordings, folders of frames."""

import csv
import struct

import cv2
import h5py
import numpy as np
import pytest
import tensorflow_datasets as tfds

from nasfas_jax.data import datasets
from nasfas_jax.data.datasets.sources import list_videos
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import builder, prepare
from nasfas_jax.data.preparation.recipe import Recipe


def frame(index, size=(48, 64)):
    """Blue above red; the gray of the left half tells the index."""
    image = np.zeros((*size, 3), np.uint8)
    image[: size[0] // 2, :, 0] = image[size[0] // 2 :, :, 2] = 200
    image[:, : size[1] // 2] = 6 * index
    return image


def write_video(path, count=10, codec="MJPG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    fourcc = cv2.VideoWriter_fourcc(*codec)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, 25, (64, 48))
    for index in range(count):
        writer.write(frame(index))
    writer.release()
    return path


def say_upside_down(path):
    """Write a turn by 180 degrees into the track's header, as a phone does."""
    content = bytearray(path.read_bytes())
    # 'tkhd', then 40 bytes of version 0, then the display matrix.
    start = content.index(b"tkhd") + 44
    one = 1 << 16
    content[start : start + 36] = struct.pack(
        ">9i", -one, 0, 0, 0, -one, 0, 0, 0, 1 << 30
    )
    path.write_bytes(content)


def last_frame(path, rotate=0):
    [(_, images)] = video.read_clips(path, lambda total: [total - 1], 3, rotate)
    return images[-1]


def levels(path, ends, frames=3):
    """The index of each frame of each clip, by its gray."""
    clips = video.read_clips(path, lambda _: ends, frames)
    return [[round(float(x[:, :20].mean()) / 6) for x in images] for _, images in clips]


def close(found, expected):
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 12


@pytest.mark.parametrize("name", ["a.avi", "a.mov", "a.mp4"])
@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_frames_are_turned_clockwise(tmp_path, name, rotate):
    codec = "MJPG" if name.endswith("avi") else "mp4v"
    path = write_video(tmp_path / name, codec=codec)
    close(last_frame(path, rotate), np.rot90(frame(9), -rotate // 90))


def test_a_file_that_says_how_it_was_held_is_turned_once(tmp_path):
    path = write_video(tmp_path / "a.mp4", codec="mp4v")
    say_upside_down(path)
    upright = np.rot90(frame(9), 2)
    close(last_frame(path), upright)
    close(last_frame(path, 180), upright)


def test_msu_mfsd_and_hkbu_mars_come_out_upright(tmp_path):
    stem = "scene01/real/real_client00{}_android_SD_scene01.mp4"
    for client in (1, 5, 6):
        write_video(tmp_path / "msu" / stem.format(client), codec="mp4v")
    say_upside_down(tmp_path / "msu" / stem.format(5))
    found = {s.subject[-1]: s for s in list_videos("msu_mfsd", tmp_path / "msu")}
    for client, turned in {"1": 0, "5": 2, "6": 2}.items():
        source = found[client]
        close(last_frame(source.path, source.rotate), np.rot90(frame(9), turned))
    for camera in "3456":
        write_video(tmp_path / f"hkbu/real/01/0{camera}_01_01.avi")
    for source in list_videos("hkbu_mars", tmp_path / "hkbu"):
        quarters = {"3": 0, "4": -1, "5": 1, "6": 1}[source.attributes["camera"]]
        close(last_frame(source.path, source.rotate), np.rot90(frame(9), quarters))


def test_a_folder_of_frames_is_a_video(tmp_path):
    folder = tmp_path / "Real/0927_021/17.d"
    folder.mkdir(parents=True)
    for index in range(12):
        cv2.imwrite(str(folder / f"f{index + 1}.png"), frame(index))
    (folder / "notes.txt").touch()
    assert video.count_frames(folder) == 12
    assert levels(folder, [2, 11]) == [[0, 1, 2], [9, 10, 11]]
    close(last_frame(folder, 90), np.rot90(frame(11), -1))
    (folder / "f10.png").write_bytes(b"no picture")
    with pytest.raises(
        video.VideoError, match=r"frame f10\.png: no picture that OpenCV"
    ):
        levels(folder, [2, 11])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(video.VideoError, match="the folder holds no pictures"):
        video.count_frames(empty)


def write_recording(path, count=10, *, spoof=False, size=(96, 128)):
    """A recording of 3DMAD: a textured face with eyes before a far wall."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(len(path.name) + spoof)
    color = random.integers(60, 200, (count, 3, *size), dtype=np.uint8)
    color[:, 0] = np.arange(count)[:, None, None]  # red tells the index
    y, x = np.mgrid[: size[0], : size[1]]
    r2 = ((x - 64) / 25) ** 2 + ((y - 50) / 32) ** 2
    depth = np.where(r2 < 1, 700 + 100 * r2, 1500).astype(np.uint16)
    with h5py.File(path, "w") as file:
        file.create_dataset("Color_Data", data=color, chunks=(1, 3, *size))
        file["Depth_Data"] = np.repeat(depth[None, None], count, 0)
        file["Eye_Pos"] = np.repeat([[54.0, 44, 74, 44]], count, 0)
    return path


def test_a_recording_is_read_frame_by_frame(tmp_path, monkeypatch):
    path = write_recording(tmp_path / "01_1_01.hdf5", count=30)
    assert video.count_frames(path) == 30
    read = []
    get = h5py.Dataset.__getitem__

    def counted(self, where, **kwargs):
        read.append(where)
        return get(self, where, **kwargs)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    clips = dict(video.read_clips(path, lambda _: [4, 6, 29], 3))
    assert read == [2, 3, 4, 5, 6, 27, 28, 29]
    for end, images in clips.items():
        assert images[0].shape == (96, 128, 3) and images[0].flags["C_CONTIGUOUS"]
        # OpenCV's order: red is the last channel.
        assert [int(image[0, 0, 2]) for image in images] == [end - 2, end - 1, end]
    close(last_frame(path, 90), np.rot90(clips[29][-1], -1))


def test_recordings_that_are_none(tmp_path):
    (tmp_path / "empty.hdf5").touch()
    (tmp_path / "text.hdf5").write_text("no recording")
    half = write_recording(tmp_path / "half.hdf5")
    half.write_bytes(half.read_bytes()[:20000])
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["Color_Data"] = np.zeros((3, 48, 64, 3), np.uint8)
    for name, reason in {
        "gone": "the file is missing",
        "empty": r"the file is empty \(0 bytes\)",
        "text": "not an HDF5 file, damaged or cut off",
        "half": "not an HDF5 file, damaged or cut off",
        "other": r"Color_Data is uint8\[3, 48, 64, 3\]; expected numbers \['\?', 3",
    }.items():
        with pytest.raises(video.VideoError, match=reason):
            list(video.read_clips(tmp_path / f"{name}.hdf5", lambda _: [2], 3))


@pytest.fixture(scope="module")
def mad(tmp_path_factory):
    root = tmp_path_factory.mktemp("3dmad")
    write_recording(root / "Data/01_1_01.hdf5")
    write_recording(root / "Data/02_3_01.hdf5", spoof=True)
    write_recording(root / "Data/03_2_01.hdf5", count=3)  # too short
    write_recording(root / "Data/holiday.hdf5")
    return root


RECIPE = Recipe(image_size=16)


@pytest.fixture(scope="module")
def prepared(mad, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    prepare.prepare("three_dmad", mad, out, RECIPE)
    return out


def test_a_name_that_is_none_is_a_row_of_the_manifest(prepared):
    with (prepared / "manifest.csv").open(newline="") as file:
        rows = {row["video"]: row for row in csv.DictReader(file)}
    assert rows["Data/01_1_01.hdf5"]["status"] == "ok"
    stray = rows["Data/holiday.hdf5"]
    assert (
        stray["status"] == "left out"
        and "does not belong to three_dmad" in stray["reason"]
    )
    assert "3 frames, but a clip needs 7" in rows["Data/03_2_01.hdf5"]["reason"]


def test_live_depth_is_the_kinects_and_a_mask_has_none(prepared):
    records = list(pipeline.open_dataset(prepared).splits["test"].source)
    assert {r["subject"] for r in records} == {b"three_dmad/01", b"three_dmad/02"}
    for record in records:
        assert record["face"].any()
        if not record["label"]:
            assert not record["depth"].any() and record["attack_type"] == b"mask"
            continue
        depth = record["depth"].astype(int)
        assert depth.max() > 240 and abs(depth.argmax() // 32 - 15.5) < 5
        assert not depth[0].any() and not depth[:, 0].any()


def test_tfds_makes_the_same_records_from_manual_dir(mad, prepared, tmp_path):
    made = tfds.builder("three_dmad", data_dir=str(tmp_path / "tfds"), recipe=RECIPE)
    assert made.info.citation == datasets.REGISTRY["three_dmad"].citation
    tfds.disable_progress_bar()
    made.download_and_prepare(
        download_dir=str(tmp_path / "unused"),
        download_config=tfds.download.DownloadConfig(manual_dir=str(mad)),
    )
    records = made.as_data_source("test")
    expected = pipeline.open_dataset(prepared).splits["test"].source
    assert len(records) == len(expected) == 8
    for one, other in zip(records, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_tfds_says_where_to_ask_for_the_data(tmp_path):
    for name, kind in builder.BUILDERS.items():
        said = kind.MANUAL_DOWNLOAD_INSTRUCTIONS
        dataset = datasets.REGISTRY[name]
        assert dataset.request in said and dataset.layout in said
    made = tfds.builder("oulu_npu", data_dir=str(tmp_path))
    (tmp_path / "manual").mkdir()
    with pytest.raises(AssertionError, match="signed agreement"):
        made.download_and_prepare(
            download_dir=str(tmp_path / "unused"),
            download_config=tfds.download.DownloadConfig(
                manual_dir=str(tmp_path / "manual")
            ),
        )
