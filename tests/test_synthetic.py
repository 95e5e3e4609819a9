"""The synthetic set: physics that tells live from spoof, and nothing else that does."""

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

from nasfas_jax import files, synthetic
from nasfas_jax.errors import InputError
from nasfas_jax.synthetic import (
    dataset,
    disguise,
    encode,
    geometry,
    live,
    scene,
    stage,
)
from nasfas_jax.synthetic.head import build_head
from nasfas_jax.synthetic.stage import person, set_stage

TINY = {
    "subjects_per_domain": (1, 0, 0),
    "live_videos": 1,
    "frames": 3,
    "face_size": 40,
}


KINDS = ("print", "replay", "mannequin")


def specs_of(attack_type, **settings):
    specs = synthetic.plan(**{**TINY, **settings})
    return [spec for spec in specs if spec.attack_type == attack_type]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic")
    return root, synthetic.write_videos(root, workers=1, **TINY)


@pytest.fixture(scope="module")
def moving():
    """One clip of each type, long enough to blink and to move."""
    settings = {"frames": 24, "face_size": 48, "attacks": KINDS}
    specs = {kind: specs_of(kind, **settings)[0] for kind in ("live", *KINDS)}
    specs["print"] = dataclasses.replace(specs["print"], variant="flat")
    return {kind: synthetic.render(spec) for kind, spec in specs.items()}


def test_people_are_in_one_domain_and_one_split():
    specs = synthetic.plan(subjects_per_domain=(3, 2, 2))
    homes = {(s.subject, s.domain, s.split) for s in specs}
    assert len(homes) == len({s.subject for s in specs}) == 4 * 7
    assert len({s.subject_seed for s in specs}) == len(homes)
    assert len({s.video for s in specs}) == len({s.seed for s in specs}) == len(specs)
    assert {s.split for s in specs} == set(synthetic.SPLITS)
    kinds = {s.attack_type for s in specs}
    masks = set(synthetic.BY_MACRO_TYPE["mask"])
    assert kinds == {"live", "print", "replay"} | masks
    several = synthetic.plan(attacks=("makeup", "cosmetic"), **TINY)
    assert sum(s.label == 0 for s in several) == 8


def test_macro_types_hold_every_attack_once():
    held = [kind for kinds in synthetic.BY_MACRO_TYPE.values() for kind in kinds]
    assert sorted(held) == sorted(synthetic.ATTACKS) and len(held) == 13


def test_the_same_person_sits_in_every_video_of_a_subject():
    specs = synthetic.plan(**TINY)
    people = {s.subject: repr(person(s)) for s in specs}
    assert all(repr(person(s)) == people[s.subject] for s in specs)
    assert len(set(people.values())) == len(people)


def test_rendering_depends_on_the_spec_alone():
    for kind in ("live", *KINDS):
        spec = specs_of(kind, attacks=KINDS)[1]
        first, second = synthetic.render(spec), synthetic.render(spec)
        for field in dataclasses.fields(first):
            a, b = getattr(first, field.name), getattr(second, field.name)
            np.testing.assert_array_equal(a, b)
        other = synthetic.render(dataclasses.replace(spec, seed=spec.seed + 1))
        assert (other.frames != first.frames).any()


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


def test_writing_goes_on_where_it_stopped(tmp_path, monkeypatch):
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


def test_live_and_spoof_files_differ_in_nothing_but_pictures(written):
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
        assert (
            len(
                {
                    set(json.loads(n.path.with_suffix(".json").read_text()))
                    == set(json.loads(mine[0].path.with_suffix(".json").read_text()))
                    for n in mine
                }
            )
            == 1
        )


def test_the_box_goes_alike_for_live_and_every_attack():
    """Its size, place and motion follow the clip's seed, whatever is filmed."""
    ask = {"domain": "dom_c", "subject_seed": 5, "seed": 8, "frames": 4}
    kinds = ("live", *synthetic.ATTACKS)
    clips = [
        synthetic.render(synthetic.VideoSpec(attack_type=kind, face_size=32, **ask))
        for kind in kinds
    ]
    for clip in clips:
        boxes = clip.boxes
        np.testing.assert_allclose(boxes[:, 3], clips[0].boxes[:, 3], rtol=2e-3)
        middle = boxes[:, :2] + boxes[:, 2:] / 2
        wanted = clips[0].boxes[:, :2] + clips[0].boxes[:, 2:] / 2
        np.testing.assert_allclose(middle, wanted, atol=0.1)
    pictures = [clip.frames[0].astype(float) for clip in clips]
    for one, kind in zip(pictures[1:], kinds[1:], strict=True):
        assert np.abs(one - pictures[0]).mean() > 0.5, kind


@pytest.mark.parametrize("kind", list(synthetic.ATTACKS))
def test_every_way_of_an_attack_is_another_picture(kind):
    ask = {"domain": "dom_m", "subject_seed": 3, "seed": 4, "face_size": 32}
    ways = [
        synthetic.render(
            synthetic.VideoSpec(attack_type=kind, variant=way, frames=1, **ask)
        ).frames
        for way in synthetic.ATTACKS[kind]
    ]
    assert len({way.tobytes() for way in ways}) == len(ways)
    drawn = synthetic.VideoSpec(attack_type=kind, frames=1, **ask)
    assert any((synthetic.render(drawn).frames == way).all() for way in ways)


def homography_residual(marks):
    """Mean distance, in face widths, of landmarks from their best plane motion."""
    spread = np.ptp(marks, axis=(0, 1)).mean()
    worst = 0.0
    for later in marks[1:]:
        matrix, _ = cv2.findHomography(marks[0], later)
        moved = cv2.perspectiveTransform(marks[:1], matrix)[0]
        worst = max(worst, float(np.linalg.norm(moved - later, axis=1).mean()))
    return worst / spread


def test_live_has_parallax_and_a_print_moves_as_a_plane(moving):
    flat = homography_residual(moving["print"].landmarks)
    for kind in ("live", "mannequin"):
        assert homography_residual(moving[kind].landmarks) > 5 * flat + 0.002


def test_live_blinks_and_a_mannequin_does_not(moving):
    assert moving["live"].open_.min() < 0.3 < 0.8 < moving["live"].open_.max()
    for kind in ("print", "mannequin"):
        assert np.ptp(moving[kind].open_) == 0


def test_skin_has_a_pulse_and_a_mannequin_none():
    """Blood takes green light at the heart's pace, where living skin is seen."""
    who = person(specs_of("live")[0])
    head = build_head(who, 20.0)
    cheek = tuple(np.round([head.chart.rows(0.5), head.chart.columns(0.5)]).astype(int))
    assert head.blood[cheek][1] > 4 * head.blood[cheek][0] > 0
    behavior = scene.behave(np.random.default_rng(0), np.arange(50) / 25)
    rate = np.argmax(np.abs(np.fft.rfft(behavior.pulse))) / 2.0
    assert 40 <= 60 * rate <= 130
    assert 0.002 < 0.55 * np.ptp(behavior.pulse) < 0.05  # of the green light
    masked, under = disguise.put_on("resin", head, behavior, np.random.default_rng(1))
    assert masked.blood[cheek].max() < 1e-6  # nothing of the skin is seen
    assert not under.mouth.any() and np.ptp(under.open_) == 0
    painted, under = disguise.put_on("paint", head, behavior, np.random.default_rng(1))
    assert under is behavior and painted.blood.sum() < head.blood.sum()
    np.testing.assert_array_equal(painted.height, head.height)


def test_a_silicone_mask_bends_less_than_a_face():
    head = build_head(person(specs_of("live")[0]), 16.0)
    behavior = scene.behave(np.random.default_rng(3), np.arange(50) / 25)
    _, under = disguise.put_on("silicone", head, behavior, np.random.default_rng(1))
    assert 0 < np.ptp(under.smile) < np.ptp(behavior.smile)
    np.testing.assert_array_equal(under.open_, behavior.open_)  # holes: eyes blink


def test_depth_is_true_and_only_of_live(moving):
    clip = moving["live"]
    for kind in KINDS:
        assert not moving[kind].depth.any()
    for depth, contour in zip(clip.depth, clip.contour, strict=True):
        assert ((depth > 0) == (contour > 0)).all()
        assert depth.max() == 255 and depth[depth > 0].min() == 26
    cells = clip.depth.shape[1]
    scale = cells / clip.depth_box[0, 2]
    nose, cheek, brow = (
        np.round(
            (clip.landmarks[0, live.LANDMARKS.index(name)] - clip.depth_box[0, :2])
            * scale
        ).astype(int)
        for name in ("nose_tip", "cheek_left", "forehead")
    )
    depth = clip.depth[0].astype(int)
    assert depth[nose[1], nose[0]] > 190
    assert depth[nose[1], nose[0]] > depth[cheek[1], cheek[0]] + 20
    assert depth[nose[1], nose[0]] > depth[brow[1], brow[0]] + 10


def test_contours_fill_the_box(moving):
    for clip in moving.values():
        rows = (clip.contour > 0).any(2).sum(1) / clip.contour.shape[1]
        expected = clip.boxes[:, 3] / clip.depth_box[:, 3]
        np.testing.assert_allclose(rows, expected, atol=0.04)
        inside = (clip.eyes > clip.boxes[:, None, :2]) & (
            clip.eyes < clip.boxes[:, None, :2] + clip.boxes[:, None, 2:]
        )
        assert inside.all()
        assert (clip.eyes[:, 0, 0] < clip.eyes[:, 1, 0]).all()


def test_a_ray_sees_the_point_that_projects_to_it():
    """Projection and its inverse agree on a curved surface, where nothing hides."""
    times = np.zeros(1)
    rotation = geometry.rotations(times + 0.2, times - 0.1, times + 0.05)
    shift = np.array([[0.1, -0.2, 0.0]], np.float32)
    track = geometry.Track(rotation, shift, 30.0, (128, 128))

    def height(x, y):
        return 1.0 - 0.3 * x * x - 0.2 * y * y

    grid = geometry.Grid(left=40, top=38, columns=9, rows=10, side=5)
    columns, rows = np.meshgrid(42 + 5 * np.arange(9), 40 + 5 * np.arange(10))
    for search in (True, False):
        x, y, _ = track.see(0, height, grid, search=search)
        points = np.stack([x, y, height(x, y)], -1).reshape(-1, 3)
        pixel = track.project(points)[0].reshape(10, 9, 2)
        np.testing.assert_allclose(pixel[..., 0], columns, atol=0.2)
        np.testing.assert_allclose(pixel[..., 1], rows, atol=0.2)


def test_a_map_of_blocks_is_interpolated_to_their_pixels():
    track = geometry.at_rest(np.eye(3, dtype=np.float32)[None], (30, 20))
    grid = geometry.Grid(left=-4, top=2, columns=9, rows=7, side=4)
    u, v = grid.rays(track)  # one pixel a head unit: pixel coordinates from the center
    coarse = np.dstack(np.broadcast_arrays(u + 14.5, v + 9.5))
    rows, columns = np.mgrid[grid.window(track)].astype(np.float32)
    assert rows.shape == (18, 30)  # from row 2 on, all columns
    inside = (
        slice(None, -2),
        slice(None, -2),
    )  # half a block is extrapolated at its end
    fine = grid.spread(coarse, track)
    np.testing.assert_allclose(fine[..., 0][inside], columns[inside], atol=1e-4)
    np.testing.assert_allclose(fine[..., 1][inside][2:], rows[inside][2:], atol=1e-4)
    sampled = grid.sample(coarse, columns, rows)
    np.testing.assert_allclose(sampled, fine, atol=0.05)
    assert geometry.whole((30, 20), 4).spread(np.zeros((7, 10)), track).shape == (
        20,
        30,
    )


def test_most_live_faces_are_found_by_the_bundled_detector():
    name = cv2.data.haarcascades + "haarcascade_frontalface_default.xml"
    detector = cv2.CascadeClassifier(name)
    found = []
    specs = specs_of("live", subjects_per_domain=(7, 0, 0), frames=1, face_size=64)
    for spec in specs:
        clip = synthetic.render(spec)
        gray = cv2.cvtColor(clip.frames[0], cv2.COLOR_RGB2GRAY)
        x, y, w, h = clip.boxes[0]
        hits = detector.detectMultiScale(gray, 1.1, 3, minSize=(32, 32))
        found.append(
            any(x < a + c / 2 < x + w and y < b + d / 2 < y + h for a, b, c, d in hits)
        )
    assert np.mean(found) >= 0.6


def test_faces_of_any_size():
    for size in (32, 180):
        spec = specs_of("live", face_size=size, frames=1)[0]
        clip = synthetic.render(spec)
        assert clip.frames.shape[1:3] == spec.size[::-1]
        assert clip.boxes[0, 3] == pytest.approx(size, rel=0.1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subjects_per_domain", (0, 0, 0)),
        ("frames", 0),
        ("face_size", 3),
        ("fps", 0),
        ("attacks", ("mask", "voodoo")),
    ],
)
def test_numbers_that_make_no_set_are_named(field, value):
    with pytest.raises(InputError, match=field):
        synthetic.plan(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("domain", "dom_x"), ("attack_type", "mask"), ("variant", "bent")],
)
def test_a_video_that_cannot_be_asked_for_is_named(field, value):
    ask = {"domain": "dom_o", "attack_type": "replay", "subject_seed": 0, "seed": 0}
    with pytest.raises(InputError, match=field):
        synthetic.VideoSpec(**{**ask, field: value})


@pytest.mark.parametrize(("codec", "suffix"), list(encode.TAGS))
def test_a_clip_goes_into_every_container(tmp_path, codec, suffix):
    spec = specs_of("live")[0]
    clip = synthetic.render(spec)
    path = synthetic.write_clip(clip, tmp_path / f"clip{suffix}", codec=codec)
    reader = cv2.VideoCapture(str(path))
    good, frame = reader.read()
    assert good and reader.get(cv2.CAP_PROP_FPS) == pytest.approx(spec.fps)
    assert np.abs(frame[..., ::-1].astype(int) - clip.frames[0]).mean() < 12
    assert encode.count_frames(path) == spec.frames
    assert list(tmp_path.iterdir()) == [path]


def test_a_codec_that_no_container_takes_is_named(tmp_path):
    clip = synthetic.render(specs_of("live")[0])
    with pytest.raises(InputError, match="codec 'H264'"):
        synthetic.write_clip(clip, tmp_path / "clip.mp4", codec="H264")


def test_a_device_asked_for_stays_the_same():
    """`camera_seed` sets the device; the clip's own seed all else."""
    ask = {"domain": "dom_o", "attack_type": "live", "subject_seed": 1}
    one, two, other = (
        set_stage(synthetic.VideoSpec(seed=seed, camera_seed=device, **ask))
        for seed, device in ((1, 7), (2, 7), (1, 8))
    )
    assert one.camera == two.camera != other.camera
    assert (one.way.heights != two.way.heights).any()


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
    expected = "format version 2; this renderer writes version 4"
    with pytest.raises(InputError, match=expected):
        synthetic.write_videos(tmp_path, workers=1, **TINY)
    with pytest.raises(InputError, match=expected):
        synthetic.read_index(tmp_path)


def test_large_sensor_pixels_of_a_small_video():
    """The sensor resolves a face with 190 pixels; the video and its boxes are smaller."""
    sizes = {24: 4, 64: 3, 95: 2, 128: 2, 190: 1, 230: 1}
    assert {size: stage.sensor_scale(size) for size in sizes} == sizes
    spec = specs_of("live", frames=1, face_size=64)[0]
    seat = set_stage(spec)
    assert seat.size == tuple(3 * side for side in spec.size)
    clip = synthetic.render(spec)
    assert clip.frames.shape[1:3] == spec.size[::-1]
    wanted = seat.way.heights[0] / 3
    assert clip.boxes[0, 3] == pytest.approx(wanted, rel=1e-3)
    middle = clip.boxes[0, :2] + clip.boxes[0, 2:] / 2
    # Center of pixel x of the sensor: (x + 1/2) / 3 - 1/2 in the video.
    np.testing.assert_allclose(middle, (seat.way.centers[0] + 0.5) / 3 - 0.5, atol=0.05)


def test_too_little_room_is_said_before_work(tmp_path, monkeypatch):
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
