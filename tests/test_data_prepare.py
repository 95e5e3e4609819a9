"""From source files to records: manifest, resume, and every kind of bad input."""

import csv
import dataclasses
import errno
import json
import pathlib
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import smoke

import nasfas_jax as nf
from nasfas_jax import ops, synthetic
from nasfas_jax.data.datasets import sources
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.preparation import builder, extract, extracted, faces, prepare
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]
RECIPE = Recipe(image_size=16, clips_per_video=3)
BOX = np.array([20.0, 10, 24, 30])


class Fake:
    """Sees a face in every picture that is not black."""

    name = "fake"

    def __init__(self):
        self.calls = 0

    def __call__(self, image):
        self.calls += 1
        return faces.Face(BOX) if image.mean() > 20 else None


def write_video(path, seed=0, count=20):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48)
    )
    base = random.integers(60, 200, (6, 8, 3), dtype=np.uint8)
    for _ in range(count):
        noise = random.integers(0, 40, base.shape, dtype=np.uint8)
        writer.write(cv2.resize(base + noise, (64, 48)))
    writer.release()


@pytest.fixture
def collection(tmp_path):
    root = tmp_path / "own"
    for i, name in enumerate(["live/ann", "live/bob", "live/cat"]):
        write_video(root / f"{name}.avi", i)
    for i, name in enumerate(["print/dan", "print/eve", "replay/fay"]):
        write_video(root / f"spoof/{name}.avi", 10 + i)
    return root


def run(collection, out, **kwargs):
    kwargs.setdefault("detector", Fake())
    return prepare.prepare("own_data", collection, out, RECIPE, **kwargs)


def records(out):
    opened = pipeline.open_dataset(out)
    return [record for split in opened.splits.values() for record in split.source]


def assert_same_records(left, right):
    assert len(left) == len(right) > 0
    for a, b in zip(left, right, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_records_hold_what_the_brief_of_a_record_says(collection, tmp_path):
    out = tmp_path / "out"
    summary = run(collection, out)
    assert summary.clips == 18 and not summary.left_out
    assert "tensorflow" not in sys.modules
    found = {record["clip"].decode(): record for record in records(out)}
    live, spoof = found["live/ann.avi#12"], found["spoof/replay/fay.avi#19"]
    for record, kind, label in ((live, b"live", 1), (spoof, b"replay", 0)):
        assert (record["attack_type"], record["label"]) == (kind, label)
        assert record["domain"] == b"own_data" and record["face"].any()
        assert bool(record["depth"].any()) == bool(label)
        for name in ("static", "dynamic", "image"):
            assert record[name].shape == (16, 16, 3) and record[name].dtype == np.uint8
    assert (live["subject"], live["frame"]) == (b"ann", 12)


@pytest.mark.parametrize("peak", [0.0, 0.5])
@pytest.mark.parametrize("method", ["ranksvm", "harmonic", "linear"])
def test_images_are_those_of_the_operators(collection, method, peak):
    source = sources.list_videos("own_data", collection)[0]
    settings = dataclasses.replace(RECIPE, method=method, peak=peak)
    [sample, *_] = extract.sample_video(source.path, settings, Fake(), 3)
    made = extract.extract(source, settings, Fake()).arrays
    pixels = sample.frames.astype(np.float32) / 255
    expected = ops.static_dynamic(pixels, method, peak=peak or None)
    assert np.abs(made["image"][0] - np.asarray(expected) * 255).max() < 0.55
    dynamic = np.asarray(ops.rank_pool(pixels, method))
    dynamic = (dynamic - dynamic.min()) / np.ptp(dynamic) * 255
    assert np.abs(made["dynamic"][0] - dynamic).max() < 0.55
    np.testing.assert_array_equal(made["static"][0], sample.frames[-1])


def test_a_picture_has_no_dynamic_image(tmp_path):
    path = tmp_path / "own/live/a.png"
    write_video(tmp_path / "own/spoof/print/b.avi")
    path.parent.mkdir()
    cv2.imwrite(str(path), np.random.default_rng(0).integers(60, 255, (48, 64, 3)))
    [source] = [s for s in sources.list_videos("own_data", tmp_path / "own") if s.label]
    made = extract.extract(source, Recipe(image_size=16), Fake())
    assert made.frames == len(made.arrays["frame"]) == 1
    assert not made.arrays["dynamic"].any() and made.arrays["image"].max() == 255


def test_stills_are_counted(collection, tmp_path, monkeypatch, capsys):
    """A picture and frozen frames; a network may learn to tell them from videos."""
    cv2.imwrite(
        str(collection / "spoof/print/gus.png"),
        np.random.default_rng(0).integers(60, 255, (48, 64, 3)),
    )
    writer = cv2.VideoWriter(
        str(collection / "live/hal.avi"),
        cv2.CAP_FFMPEG,
        cv2.VideoWriter_fourcc(*"MJPG"),
        25,
        (64, 48),
    )
    picture = np.random.default_rng(1).integers(60, 255, (48, 64, 3), np.uint8)
    for _ in range(9):
        writer.write(picture)
    writer.release()
    monkeypatch.setattr(faces, "Haar", Fake)
    config = smoke.config("own_data")
    config.data.update(image_size=16, clips_per_video=3)
    smoke.execute("prepare", tmp_path / "run", config, manual_dir=collection)
    said = (
        "3 of 12 live clips and 1 of 10 spoof clips are stills: nothing moves in them"
    )
    assert said in capsys.readouterr().out
    with (tmp_path / "run/data/manifest.csv").open(newline="") as file:
        stills = {row["video"]: row["stills"] for row in csv.DictReader(file)}
    assert stills.pop("live/hal.avi") == "3"
    assert stills.pop("spoof/print/gus.png") == "1" and set(stills.values()) == {"0"}


def test_an_annotation_replaces_detector_and_analytic_depth(collection):
    boxes = np.repeat(BOX[None], 20, 0)
    boxes[:8] = 0  # no face in the first frames
    depth = np.zeros((20, 32, 32), np.uint8)
    depth[:, 8:24, 8:24] = np.arange(20)[:, None, None] + 100
    annotation = sources.Annotation(
        boxes,
        depth=depth,
        face=np.where(depth > 0, 255, 0),
        map_box=np.repeat([[16.0, 5, 32, 40]], 20, 0),
    )
    detector = Fake()
    source = dataclasses.replace(
        sources.list_videos("own_data", collection)[0], annotation=lambda _: annotation
    )
    made = extract.extract(source, RECIPE, detector)
    assert detector.calls == 0
    assert made.arrays["frame"].tolist() == [12, 19]
    assert made.arrays["depth"].max((1, 2)).tolist() == [112, 119]
    about = (made.box_source, made.depth_source, made.map_source)
    assert about == ("annotation",) * 3
    spoof = extract.extract(dataclasses.replace(source, label=0), RECIPE, detector)
    assert not spoof.arrays["depth"].any() and spoof.depth_source == "zeros"


def test_bad_files_are_listed_with_their_reason_and_the_rest_goes_on(
    collection, tmp_path
):
    content = (collection / "live/ann.avi").read_bytes()
    (collection / "live/half.avi").write_bytes(content[: len(content) // 2])
    (collection / "live/empty.mp4").touch()
    (collection / "spoof/print/text.mp4").write_text("no video")
    cv2.imwrite(str(collection / "spoof/print/dark.png"), np.zeros((48, 64, 3)))
    summary = run(collection, tmp_path / "out")
    assert summary.clips == 18
    with (tmp_path / "out/manifest.csv").open(newline="") as file:
        rows = {row["video"]: row for row in csv.DictReader(file)}
    assert len(rows) == 10
    for name, reason in {
        "live/half.avi": "truncated",
        "live/empty.mp4": "empty",
        "spoof/print/text.mp4": "no video",
        "spoof/print/dark.png": "no face found in 1 clips (by detector fake)",
    }.items():
        assert rows[name]["status"] == "left out" and reason in rows[name]["reason"]
    good = rows["live/ann.avi"]
    assert (good["status"], good["reason"], good["clips"]) == ("ok", "", "3")
    assert (good["frames"], good["box_source"], good["label"]) == ("20", "fake", "1")
    assert (
        good["split_source"] == "by subject" and good["recipe"] == summary.recipe.hash
    )


def test_an_interrupted_run_goes_on_and_ends_with_the_same_records(
    collection, tmp_path
):
    class Interrupted(Exception):
        pass

    def stop(done, total, text):
        if done == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        run(collection, tmp_path / "a", workers=1, progress=stop)
    with pytest.raises(InputError, match="No prepared data"):
        pipeline.open_dataset(tmp_path / "a")
    folder = tmp_path / "a/extracted"
    kept = {p: p.stat().st_mtime_ns for p in folder.rglob("*.clips")}
    assert 3 <= len(kept) < 6 and not list(folder.rglob(".part-*"))
    seen = []
    run(collection, tmp_path / "a", progress=lambda *step: seen.append(step))
    assert seen[-1] == (6, 6, "spoof/replay/fay.avi") and len(seen) == 6
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    run(collection, tmp_path / "b", workers=3)
    assert_same_records(records(tmp_path / "a"), records(tmp_path / "b"))


def test_a_second_run_does_nothing_and_a_changed_file_is_done_again(
    collection, tmp_path
):
    out, detector = tmp_path / "out", Fake()
    first = run(collection, out, detector=detector)
    calls, packed = detector.calls, (out / "clips.csv").stat().st_mtime_ns
    assert run(collection, out, detector=detector).rows == first.rows
    assert detector.calls == calls and (out / "clips.csv").stat().st_mtime_ns == packed
    write_video(collection / "live/ann.avi", seed=99, count=9)
    run(collection, out, detector=detector)
    assert detector.calls == calls + 9
    clips = pipeline.open_dataset(out).splits
    names = [name for split in clips.values() for name in split.table["clip"]]
    assert "live/ann.avi#8" in names and "live/ann.avi#12" not in names


HOLD = """
import pathlib, sys, time
from nasfas_jax import files
with files.locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_processes_do_not_prepare_into_one_folder(collection, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", HOLD, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        detector = Fake()
        with pytest.raises(InputError, match=f"Another process is writing to {out}"):
            run(collection, out, detector=detector)
        assert detector.calls == 0 and [path.name for path in out.iterdir()] == [
            ".lock"
        ]
        other.kill()  # as a user or a full memory would
    assert run(collection, out).clips == 18


def test_another_recipe_is_refused_by_name(collection, tmp_path):
    run(collection, tmp_path)
    with pytest.raises(InputError, match="image_size: 16 in the folder, 32 requested"):
        pipeline.open_dataset(tmp_path, image_size=32)
    with pytest.raises(InputError, match="detector: 'fake' in the folder, 'haar' req"):
        run(collection, tmp_path, detector=faces.Haar())
    with pytest.raises(InputError, match=r"recipe field: expected one of .*got 'size'"):
        pipeline.open_dataset(tmp_path, size=16)
    path = tmp_path / "recipe.json"
    content = json.loads(path.read_text())
    content["recipe"]["version"] = 2
    path.write_text(json.dumps(content))
    for repeat in (pipeline.open_dataset, lambda out: run(collection, out)):
        with pytest.raises(
            InputError, match=r"version 2 of the preparation.*version 3"
        ):
            repeat(tmp_path)
    path.write_text("{")
    with pytest.raises(InputError, match=r"recipe\.json is damaged"):
        pipeline.open_dataset(tmp_path)


@pytest.mark.parametrize("version", [4, None])
def test_records_of_another_format_of_the_set_are_refused(folder, tmp_path, version):
    """Until they are prepared again, which changes nothing if the videos are the same."""
    digest = pipeline.open_dataset(folder / "data").digest
    shutil.copytree(folder / "data", tmp_path / "data")
    path = tmp_path / "data/recipe.json"
    content = json.loads(path.read_text())
    assert content.pop("source_version") == synthetic.FORMAT["version"]
    path.write_text(
        json.dumps(content | ({"source_version": version} if version else {}))
    )
    found = f"version {version}" if version else "no recorded format version"
    with pytest.raises(InputError, match=f"of {found}, .* 'nasfas prepare' into this"):
        nf.open_data(tmp_path / "data")
    settings = Recipe(**content["recipe"])
    prepare.prepare("synthetic", folder / "videos", tmp_path / "data", settings)
    assert nf.open_data(tmp_path / "data").digest == digest


@pytest.mark.parametrize(("field", "value"), [("margin", 0), ("method", "svm")])
def test_an_impossible_recipe_is_refused(field, value):
    with pytest.raises(InputError, match=f"{field}: expected"):
        Recipe(**{field: value})


def test_a_full_disk_while_extracting(collection, tmp_path, monkeypatch):
    write = extracted.write
    written = []

    def full(path, *content):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        write(path, *content)

    monkeypatch.setattr(extracted, "write", full)
    with pytest.raises(InputError, match=f"disk that holds {tmp_path / 'out'} is full"):
        run(collection, tmp_path / "out", workers=1)
    monkeypatch.undo()
    detector = Fake()
    assert run(collection, tmp_path / "out", detector=detector).clips == 18
    assert detector.calls == 4 * 9


def test_a_full_disk_while_packing(collection, tmp_path, monkeypatch):
    def full(*_):
        raise RuntimeError("write() failed: No space left on device; at byte 0")
        yield

    monkeypatch.setattr(builder, "examples", full)
    with pytest.raises(InputError, match=f"disk that holds {tmp_path / 'out'} is full"):
        run(collection, tmp_path / "out")
    with pytest.raises(InputError, match="No prepared data"):
        pipeline.open_dataset(tmp_path / "out")
    monkeypatch.undo()
    detector = Fake()
    assert run(collection, tmp_path / "out", detector=detector).clips == 18
    assert detector.calls == 0


def test_nothing_usable_is_an_error_that_says_what_was_expected(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.* does not exist.*live/"):
        run(tmp_path / "nowhere", tmp_path / "out")
    root = tmp_path / "own"
    (root / "stuff").mkdir(parents=True)
    with pytest.raises(InputError, match=r"Expected live/ and.*it holds stuff"):
        run(root, tmp_path / "out")
    write_video(root / "live/a.avi")
    with pytest.raises(InputError, match="No usable spoof clip among the 1 files"):
        run(root, tmp_path / "out")
    (root / "spoof/print").mkdir(parents=True)
    (root / "spoof/print/b.avi").touch()
    with pytest.raises(InputError, match=r"spoof/print/b\.avi: the file is empty"):
        run(root, tmp_path / "out")
    with pytest.raises(InputError, match="There is no dataset 'oulu'"):
        sources.list_videos("oulu", root)


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_folders_name_subject_attack_type_and_split(tmp_path):
    touch(
        tmp_path,
        "train/live/ann/day/1.mp4",
        "test/spoof/mask/bob/2.JPG",
        "development/spoof/print/c.avi",
        "development/spoof/d.png",
        "train/live/notes.txt",
    )
    *found, note = sources.list_videos("own_data", tmp_path)
    assert note.problem == "files ending in '.txt' are not read"
    assert {s.video: (s.subject, s.attack_type, s.label, s.split) for s in found} == {
        "train/live/ann/day/1.mp4": ("ann", "live", 1, "train"),
        "test/spoof/mask/bob/2.JPG": ("bob", "mask", 0, "test"),
        "development/spoof/print/c.avi": ("c", "print", 0, "development"),
        "development/spoof/d.png": ("d", "spoof", 0, "development"),
    }


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (4, (2, 1, 1)), (20, (12, 4, 4))],
)
def test_subjects_are_dealt_out_once(tmp_path, count, sizes):
    touch(tmp_path, *(f"live/{i}/{k}.mp4" for i in range(count) for k in "ab"))
    touch(tmp_path, *(f"spoof/print/s{i}.mp4" for i in range(count)))
    found = sources.list_videos("own_data", tmp_path)
    for label in (1, 0):
        parts = [
            {s.subject for s in found if s.split == name and s.label == label}
            for name in sources.SPLITS
        ]
        assert tuple(map(len, parts)) == sizes
        assert len(set.union(*parts)) == count
    assert found == sources.list_videos("own_data", tmp_path)


def test_the_synthetic_set_takes_the_same_road(tmp_path):
    root, out = tmp_path / "set", tmp_path / "out"
    synthetic.write_videos(
        root, subjects_per_domain=(1, 0, 0), frames=8, face_size=32, workers=1
    )
    first, second, *_ = sources.list_videos("synthetic", root)
    first.path.unlink()
    second.path.with_suffix(".npz").write_bytes(b"")
    summary = prepare.prepare("synthetic", root, out, RECIPE)
    missing, broken = summary.left_out
    assert (missing["video"], missing["reason"]) == (first.video, "the file is missing")
    assert (
        broken["video"] == second.video
        and "the annotation cannot be" in broken["reason"]
    )
    good = [row for row in summary.rows if row["status"] == "ok"]
    assert len(good) == 18 and {row["box_source"] for row in good} == {"annotation"}
    opened = pipeline.open_dataset(out)
    assert len(opened.domains) == 4 and opened.dataset == "synthetic"
    for record in opened.splits["train"].source:
        assert record["depth"].any() == bool(record["label"]) and "mask" not in record
        assert 100 < (record["face"] > 0).sum() < 700
    episode = next(pipeline.episodes(opened, domains=opened.domains[1:], batch_size=4))
    assert episode["support"]["image"].shape == (2, 4, 16, 16, 3)


def test_the_recipe_file_describes_the_folder(collection, tmp_path):
    summary = run(collection, tmp_path / "out")
    about = json.loads((tmp_path / "out/recipe.json").read_text())
    assert about["recipe"] == dataclasses.asdict(summary.recipe)
    assert about["dataset"] == "own_data" and about["hash"] == summary.recipe.hash


def test_real_videos_and_pictures(samples, tmp_path):
    summary = run(samples / "own_data", tmp_path, detector=None)
    assert not summary.left_out and summary.clips == 3 * 3 + 3
    opened = pipeline.open_dataset(tmp_path)
    for record in opened.splits["train"].source:
        skin = record["static"][record["face"][::2, ::2] > 0]
        assert skin.mean(0).argmax() == 0  # red: the crop shows a face, as RGB


def test_the_digest_of_equal_records_is_equal(collection, tmp_path):
    run(collection, tmp_path / "one")
    run(collection, tmp_path / "two", workers=1)
    one, two = (pipeline.open_dataset(tmp_path / name) for name in ("one", "two"))
    assert one.digest == two.digest and len(one.digest) == 64
    write_video(collection / "live/ann.avi", seed=77)
    run(collection, tmp_path / "two")
    assert pipeline.open_dataset(tmp_path / "two").digest != one.digest
