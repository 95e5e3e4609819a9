"""The files of the synthetic set: writing, reading, and the errors of both."""

import dataclasses
import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from small_videos import TINY, specs_of

from nasfas_jax import files, synthetic
from nasfas_jax.errors import InputError
from nasfas_jax.synthetic import dataset, encode


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic")
    return root, synthetic.write_videos(root, workers=1, **TINY)


def test_files_decode_to_what_was_planned(written):
    root, paths = written
    assert synthetic.read_index(root) == paths
    assert len(paths) == 16
    for spec, path in zip(synthetic.plan(**TINY), paths, strict=True):
        reader = cv2.VideoCapture(str(path))
        decoded = []
        while True:
            good, frame = reader.read()
            if not good:
                break
            decoded.append(frame)
        assert len(decoded) == spec.frames
        assert decoded[0].shape[1::-1] == spec.size
        assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(spec.fps)
        clip = synthetic.render(spec)
        error = np.abs(decoded[0][..., ::-1].astype(int) - clip.frames[0])
        assert error.mean() < 12  # the codec's loss; colors are not swapped
        note = synthetic.read_annotation(path)
        for name in ("video", "subject", "domain", "attack_type", "label", "split"):
            assert getattr(note, name) == getattr(spec, name)
        np.testing.assert_allclose(note.boxes, clip.boxes, atol=0.01)
        np.testing.assert_allclose(note.eyes, clip.eyes, atol=0.01)
        np.testing.assert_array_equal(note.depth, clip.depth)
        np.testing.assert_array_equal(note.contour, clip.contour)
        np.testing.assert_array_equal(note.depth_box, clip.depth_box)


def test_two_workers_write_the_same_files(written, tmp_path):
    _, paths = written
    calls = []
    again = synthetic.write_videos(
        tmp_path, workers=2, progress=lambda *at: calls.append(at), **TINY
    )
    for one, two in zip(paths, again, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name
        assert one.with_suffix(".json").read_bytes() == (
            two.with_suffix(".json").read_bytes()
        )
    assert calls[0] == (0, 16) and calls[-1] == (16, 16)


def test_an_interrupted_call_resumes(tmp_path, monkeypatch):
    made = []

    def stop_after_two(spec):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(spec.video)
        return render(spec)

    render = dataset.render
    monkeypatch.setattr(dataset, "render", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        synthetic.write_videos(tmp_path, workers=1, **TINY)
    with pytest.raises(InputError, match="no complete synthetic set"):
        synthetic.read_index(tmp_path)
    monkeypatch.setattr(
        dataset, "render", lambda spec: (made.append(spec.video), render(spec))[1]
    )
    paths = synthetic.write_videos(tmp_path, workers=1, **TINY)
    assert made == [p.stem for p in paths]  # each once
    assert not list(tmp_path.rglob(".part-*"))


def test_live_and_spoof_files_have_equal_properties(written):
    _, paths = written
    notes = [synthetic.read_annotation(path) for path in paths]
    for domain in synthetic.DOMAINS:
        mine = [n for n in notes if n.domain == domain]
        readers = [cv2.VideoCapture(str(n.path)) for n in mine]
        for field in (
            cv2.CAP_PROP_FRAME_COUNT,
            cv2.CAP_PROP_FPS,
            cv2.CAP_PROP_FRAME_WIDTH,
            cv2.CAP_PROP_FRAME_HEIGHT,
            cv2.CAP_PROP_FOURCC,
        ):
            assert len({reader.get(field) for reader in readers}) == 1
        assert len({n.path.suffix for n in mine}) == 1
        annotations = [
            json.loads(n.path.with_suffix(".json").read_text()) for n in mine
        ]
        assert len({frozenset(fields) for fields in annotations}) == 1


@pytest.mark.parametrize(("codec", "suffix"), list(encode.TAGS))
def test_a_clip_is_written_to_every_container(tmp_path, codec, suffix):
    spec = specs_of("live")[0]
    clip = synthetic.render(spec)
    path = synthetic.write_clip(clip, tmp_path / f"clip{suffix}", codec=codec)
    reader = cv2.VideoCapture(str(path))
    good, frame = reader.read()
    assert good and reader.get(cv2.CAP_PROP_FPS) == pytest.approx(spec.fps)
    assert np.abs(frame[..., ::-1].astype(int) - clip.frames[0]).mean() < 12
    assert encode.count_frames(path) == spec.frames
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("face_size", [32, 64])
def test_small_files_have_a_quality_between_the_limits(tmp_path, face_size):
    specs = synthetic.plan(**TINY | {"face_size": face_size})
    for domain in ("dom_o", "dom_c", "dom_i"):
        spec = next(spec for spec in specs if spec.domain == domain)
        clip = synthetic.render(spec)
        for rate in synthetic.DOMAINS[domain].rate:
            quality = encode.quality_for(tmp_path / "clip.avi", clip, rate)
            assert 5 < quality < 97, (domain, rate)


def test_an_unknown_codec_is_named(tmp_path):
    clip = synthetic.render(specs_of("live")[0])
    with pytest.raises(InputError, match="codec 'H264'"):
        synthetic.write_clip(clip, tmp_path / "clip.mp4", codec="H264")


def test_a_root_that_cannot_be_a_folder_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(
        InputError, match=r"file/set cannot be read or written: .*is a file"
    ):
        synthetic.write_videos(file / "set", workers=1, **TINY)


def test_a_folder_with_another_set_is_refused(written):
    root, _ = written
    with pytest.raises(InputError, match="other settings"):
        synthetic.write_videos(root, workers=1, **{**TINY, "seed": 7})


def test_a_set_of_another_version_is_refused(written, tmp_path):
    for name in ("plan.json", "index.json"):
        old = {**json.loads((written[0] / name).read_text()), "version": 2}
        (tmp_path / name).write_text(json.dumps(old))
    expected = "format version 2; this renderer writes version 5"
    with pytest.raises(InputError, match=expected):
        synthetic.write_videos(tmp_path, workers=1, **TINY)
    with pytest.raises(InputError, match=expected):
        synthetic.read_index(tmp_path)


def test_a_full_disk_is_reported_before_rendering(tmp_path, monkeypatch):
    usage = dataset.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(dataset.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="too full"):
        synthetic.write_videos(tmp_path, workers=1, **TINY)


@pytest.mark.parametrize("where", ["video", "maps"])
def test_a_disk_that_fills_up_leaves_nothing_half_written(tmp_path, monkeypatch, where):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if where == "maps":
        monkeypatch.setattr(dataset.np, "savez_compressed", full)
    else:
        monkeypatch.setattr(encode, "count_frames", lambda path: 1)
    with pytest.raises(InputError, match=f"disk that holds {tmp_path}.* is full"):
        synthetic.write_videos(tmp_path, workers=1, **TINY)
    left = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {"plan.json", files.LOCK}


def test_workers_end_when_their_parent_is_killed():
    code = """
import multiprocessing, os, time
from concurrent import futures
from nasfas_jax.synthetic import dataset

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = futures.ProcessPoolExecutor(1, context, initializer=dataset._begin_worker)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    stat = pathlib.Path(f"/proc/{worker}/stat")
    for _ in range(600):
        if not stat.exists() or ") Z " in stat.read_text():
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    raise AssertionError("the worker outlived its parent by 60 s")


def test_a_missing_codec_is_named(tmp_path, monkeypatch):
    domain = dataclasses.replace(synthetic.DOMAINS["dom_c"], codec="ZZZZ")
    monkeypatch.setitem(synthetic.DOMAINS, "dom_c", domain)
    spec = next(s for s in synthetic.plan(**TINY) if s.domain == "dom_c")
    with pytest.raises(InputError, match="codec 'ZZZZ'"):
        dataset.write_one(spec, tmp_path / "video.avi")
    assert not list(tmp_path.iterdir())


def test_a_video_without_its_annotation_is_named(tmp_path):
    with pytest.raises(InputError, match=r"lost\.json"):
        synthetic.read_annotation(tmp_path / "lost.avi")
