"""Faces of streams: equal to predictions on files, tracked, and in bounded memory."""

import dataclasses
import json
import weakref

import cv2
import media
import numpy as np
import pytest
from models import RECIPE, THRESHOLD, make_model

from nasfas_jax import synthetic
from nasfas_jax.commands import predict, recording
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.media import streams, video
from nasfas_jax.data.preparation import faces
from nasfas_jax.errors import InputError
from nasfas_jax.synthetic.dataset import write_one
from nasfas_jax.workflows.model import Model
from nasfas_jax.workflows.watch import Watcher, verdict

VIEWS = {
    "static_dynamic": (pipeline.View(map_size=4), RECIPE),
    "static": (pipeline.View(input="static", color="rgb_hsv", map_size=4), RECIPE),
    "frames": (
        pipeline.View(input="frames", map_size=4),
        dataclasses.replace(RECIPE, frames=4, interval=2, keep_frames=True),
    ),
}
BOX = np.array([20.0, 8, 24, 30])


class Given:
    """A detector that is told the boxes of each frame, by the gray level of its corner."""

    name = "haar"

    def __init__(self, boxes):
        self.boxes, self.asked = boxes, []

    def all(self, image):
        index = int(image[0, 0, 0])
        self.asked.append(index)
        return [faces.Face(np.array(box, float)) for box in self.boxes(index)]

    def __call__(self, image):
        return next(iter(self.all(image)), None)


def frame(index, size=(48, 64)):
    """A frame of noise that shows its index in the corner."""
    image = np.random.default_rng(index).integers(0, 255, (*size, 3), np.uint8)
    image[:2, :2] = index
    return image


@pytest.fixture
def model(monkeypatch):
    """A function from views to models whose score is the mean of the input."""

    def maps(self, images):
        return images.reshape(len(images), -1).mean(1)[:, None, None] * np.ones(
            (1, 2, 2)
        )

    def make(name="static_dynamic"):
        view, recipe = VIEWS[name]
        base = make_model().with_evaluation(THRESHOLD, {})
        return dataclasses.replace(base, view=view, recipe=recipe)

    monkeypatch.setattr(Model, "maps", maps)
    return make


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory):
    """A synthetic live video of 14 frames."""
    spec = synthetic.plan(
        subjects_per_domain=(1, 0, 0), live_videos=1, attacks=("print",), frames=14
    )[0]
    path = tmp_path_factory.mktemp("clip") / f"live{spec.suffix}"
    write_one(spec, path)
    return path


@pytest.mark.parametrize("name", VIEWS)
def test_watch_and_predict_give_the_same_scores(clip_file, model, name):
    model = model(name)
    expected = model.predict(clip_file)
    seen = list(model.watch(clip_file, every=1, smooth=1))
    assert len(seen) == 14 and expected.frames.tolist() == list(range(6, 14))
    found = [face for s in seen[6:] for face in s.faces]
    assert {face.track for face in found} == {1}
    np.testing.assert_array_equal([f.score for f in found], expected.scores)
    np.testing.assert_array_equal([f.map for f in found], expected.maps)
    np.testing.assert_array_equal([f.box for f in found], expected.boxes)
    np.testing.assert_array_equal([f.crop for f in found], expected.crops)
    np.testing.assert_array_equal([f.still for f in found], expected.still)
    assert [f.verdict for f in found] == expected.verdicts
    np.testing.assert_allclose([s.second for s in seen[6:]], expected.seconds)
    early = [face.score for s in seen[:6] for face in s.faces]
    assert len(early) == 6 and all((s is not None) == (name == "static") for s in early)


@pytest.mark.parametrize("name", VIEWS)
def test_missed_faces_change_nothing_in_what_is_scored(tmp_path, model, name):
    """Faces that come late, flicker, and are away for longer than a window."""
    there = [0, 0, 1, 0, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    for i in range(len(there)):
        cv2.imwrite(str(tmp_path / f"{i}.png"), frame(i))
    model = model(name)
    detector = Given(lambda i: [BOX + i % 3] if there[i] else [])
    expected = model.predict(tmp_path, detector=detector)
    seen = model.watch(tmp_path, detector=detector, every=1, patience=7)
    scores = {s.frame: s.faces[0].score for s in seen if s.faces}
    assert (
        all(score is None for i, score in scores.items() if i < 6) or name == "static"
    )
    scores = {i: score for i, score in scores.items() if i >= 6}
    assert list(scores) == expected.frames.tolist() and len(scores) < 19
    np.testing.assert_array_equal(list(scores.values()), expected.scores)


def test_a_network_gives_the_same_scores(clip_file):
    model = make_model()
    expected = model.predict(clip_file, clips=3)
    seen = {s.frame: s.faces[0] for s in model.watch(clip_file, every=1)}
    found = [seen[int(frame)].score for frame in expected.frames]
    np.testing.assert_array_equal(found, expected.scores)


def test_between_detections_the_box_is_held(clip_file, model):
    seen = list(model("static").watch(clip_file, every=5))
    single = [faces.Haar()(s.image).box for s in seen]
    np.testing.assert_array_equal(seen[4].faces[0].box, single[0])
    np.testing.assert_array_equal(seen[5].faces[0].box, single[0])  # the median
    held = [single[5 * (t // 5)] for t in (7, 10, 13)]  # of the last window
    np.testing.assert_array_equal(seen[13].faces[0].box, faces.median(np.array(held)))


def two_faces(index):
    """One face that stays, and one that is there from frame 3 to 20, away at 10 and 11."""
    there = 3 <= index <= 20 and index not in (10, 11)
    return [(4, 4, 20, 24), *[(36 + index % 2, 12, 20, 24)] * there]


def test_several_faces_are_followed(model):
    detector = Given(two_faces)
    watcher = Watcher(model(), detector=detector, every=1, patience=4)
    seen = [watcher.step(frame(i)) for i in range(40)]
    tracks = [[face.track for face in s.faces] for s in seen]
    assert tracks[:4] == [[1], [1], [1], [1, 2]] and tracks[15] == [1, 2]
    assert tracks[26:] == [[1]] * 14
    second = {s.frame: f.score for s in seen for f in s.faces if f.track == 2}
    assert second[5] is None and second[6] is not None  # 7 frames are there
    boxes = [f.box for s in seen for f in s.faces if f.track == 1]
    assert len(boxes) == 40 and (np.array(boxes) == [4, 4, 20, 24]).all()


def test_the_detector_runs_every_few_frames_and_while_a_face_is_lost(model):
    detector = Given(lambda i: [] if 10 <= i <= 13 else [BOX])
    watcher = Watcher(model(), detector=detector, every=5, patience=9)
    for i in range(22):
        watcher.step(frame(i))
    assert detector.asked == [0, 5, 10, 11, 12, 13, 14, 15, 20]


def test_a_face_that_returns_late_has_a_new_number(model):
    detector = Given(lambda i: [BOX] if i < 3 or i > 20 else [])
    watcher = Watcher(model("static"), detector=detector, every=1, patience=5)
    seen = [watcher.step(frame(i)) for i in range(24)]
    assert [[f.track for f in s.faces] for s in seen[:3]] == [[1]] * 3
    assert all(s.faces == () for s in seen[9:21]) and seen[21].faces[0].track == 2
    assert repr(seen[15]) == "<Seen frame 15: no face>"
    assert repr(seen[22]).startswith("<Seen frame 22: SeenFace 2: ")


def test_no_more_faces_than_asked_for_are_followed(model):
    many = Given(lambda _: [(22 * i, 4, 20, 24) for i in range(9)])
    seen = Watcher(model(), detector=many, most=2).step(frame(0, (48, 240)))
    assert [face.box[0] for face in seen.faces] == [0, 22]
    double = Given(lambda _: [BOX, BOX + 1])
    assert len(Watcher(model(), detector=double).step(frame(0)).faces) == 1


def test_verdicts_follow_the_mean_and_the_band(model):
    model = model("static")
    scores = [THRESHOLD.value + d for d in (-0.1001, -0.05, 0.0, 0.05, 0.1001)]
    words = [verdict(score, model, 0.1) for score in scores]
    assert words == ["spoof", "unsure", "unsure", "unsure", "live"]
    assert [verdict(s, model) for s in scores[1:3]] == ["spoof", "live"]
    no_threshold = dataclasses.replace(model, threshold=None)
    assert verdict(0.5, no_threshold, 0.1) is None
    watcher = Watcher(model, detector=Given(lambda _: [BOX]), smooth=3, stride=2)
    seen = [watcher.step(frame(i)).faces[0] for i in range(9)]
    scored = [face.score for face in seen if face.score is not None]
    assert len(scored) == 5 and seen[1].score is None
    assert seen[8].mean == seen[7].mean or seen[8].mean == np.mean(scored[-3:])
    assert seen[8].mean == np.mean(scored[2:])
    assert seen[7].mean == seen[6].mean == np.mean(scored[1:4])


def test_memory_does_not_grow(model):
    alive: list[weakref.ref] = []

    def endless():
        while True:
            image = frame(len(alive) % 200)
            alive.append(weakref.ref(image))
            yield image

    stream = model().watch(endless(), detector=Given(lambda _: [BOX]))
    for _ in range(300):
        seen = next(stream)
    assert seen.frame == 299
    assert sum(one() is not None for one in alive) <= RECIPE.span + 2


def test_another_frame_size_starts_anew(model):
    watcher = Watcher(model("static"), detector=Given(lambda _: [BOX]), every=9)
    first = watcher.step(frame(0)).faces[0]
    second = watcher.step(frame(1, (64, 80))).faces[0]
    assert (first.track, second.track) == (1, 2) and second.score is not None


def test_wrong_arguments_are_refused(model):
    for name, value in (("every", 0), ("smooth", 0), ("abstain", -1), ("most", 1.5)):
        with pytest.raises(InputError, match=rf"{name}: expected"):
            Watcher(model(), **{name: value})
    watcher = Watcher(model())
    for image in (frame(0)[..., 0], frame(0).astype(float), "a"):
        with pytest.raises(InputError, match=r"image: expected a BGR frame"):
            watcher.step(image)
    with pytest.raises(InputError, match="source: expected a path, the number of"):
        next(model().watch(1.5))
    with pytest.raises(InputError, match=r"There is no .*nowhere\.mp4; expected a"):
        next(model().watch("nowhere.mp4"))
    aligned = dataclasses.replace(RECIPE, align=True)
    still = dataclasses.replace(model("static"), recipe=aligned)
    watcher = Watcher(still, detector=Given(lambda _: [BOX]))
    with pytest.raises(InputError, match="cannot be aligned: the detector haar gives"):
        watcher.step(frame(0))


def save(path, image, **options):
    """Writes a picture by Pillow; its path."""
    image.save(path, **options)
    return path


def pictures_of(folder):
    """Pictures of unusual kinds, by name."""
    from PIL import Image

    base = cv2.resize(frame(7, (12, 16)), (64, 48), interpolation=cv2.INTER_CUBIC)
    rgb = Image.fromarray(base)
    exif = Image.Exif()
    exif[274] = 6
    upright = Image.fromarray(np.ascontiguousarray(np.rot90(base)))
    deep = folder / "deep.png"
    cv2.imwrite(str(deep), base[..., ::-1].astype(np.uint16) * 257)
    yield save(folder / "rgb.png", rgb), base
    yield save(folder / "gray.png", rgb.convert("L")), None
    yield save(folder / "alpha.png", rgb.convert("RGBA")), base
    yield save(folder / "cmyk.jpg", rgb.convert("CMYK"), quality=95), base
    yield save(folder / "turned.jpg", upright, exif=exif, quality=95), base
    yield deep, base


def test_pictures_of_every_kind_are_read(tmp_path, model):
    model = model("static")
    for path, expected in pictures_of(tmp_path):
        [seen] = model.watch(path, detector=Given(lambda _: [BOX]))
        assert seen.image.shape == (48, 64, 3) and seen.faces[0].score is not None, path
        assert seen.faces[0].still and seen.second is None
        if expected is not None:
            difference = np.abs(seen.image[..., ::-1].astype(int) - expected)
            assert difference.mean() < 12, path  # JPEG of noise


def test_pictures_that_cannot_be_read_are_refused(tmp_path, model):
    empty = tmp_path / "empty.jpg"
    empty.touch()
    with pytest.raises(InputError, match=r"empty\.jpg: the file is empty \(0 bytes\)"):
        next(model().watch(empty))
    bomb = tmp_path / "bomb.png"
    size = (20_000).to_bytes(4, "big") * 2
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + size + bytes(100))
    with pytest.raises(InputError, match="too large: 20000 x 20000 pixels, more than"):
        next(model().watch(bomb))
    wide = tmp_path / "wide.jpg"
    for high in (1, 20, 100):
        cv2.imwrite(str(wide), np.full((high, 20_000, 3), 90, np.uint8))
        assert video.pictures.size_of(wide.read_bytes()) == (20_000, high)
        [seen] = model().watch(wide)
        assert seen.faces == () and seen.image.shape == (high, 20_000, 3)
        assert recording.drawn(seen).shape == (high, 20_000, 3)
    dynamic = dataclasses.replace(model(), view=pipeline.View(input="dynamic"))
    with pytest.raises(InputError, match=r"wide\.jpg: nothing moves in it"):
        next(dynamic.watch(wide))


def turned(path):
    """The mp4 of a phone held upright: a matrix that turns its frames by 90 degrees."""
    numbers = [0, 1 << 16, 0, (1 << 32) - (1 << 16), 0, 0, 0, 0, 1 << 30]
    matrix = b"".join(number.to_bytes(4, "big") for number in numbers)

    def change(old):
        return old[:40] + matrix + old[76:]

    path.write_bytes(media.edit(path.read_bytes(), {b"tkhd": change}))
    return path


def test_phone_videos_are_upright_and_variable_rates_keep_their_times(tmp_path, model):
    model, detector = model("static"), Given(lambda _: [BOX])
    path = turned(media.write_video(tmp_path / "turned.mp4", 4))
    assert [s.image.shape for s in model.watch(path, detector=detector)] == [
        (64, 48, 3)
    ] * 4
    durations = [512] * 3 + [5120] * 3
    path = media.time(media.write_video(tmp_path / "slow.mp4", 6), durations)
    times = [s.second for s in model.watch(path, detector=detector)]
    expected = np.cumsum([0, *durations[:-1]]) / (512 * 25)
    np.testing.assert_allclose(times, expected, atol=1e-3)


def test_a_video_of_one_frame_is_scored_where_one_frame_is_enough(tmp_path, model):
    path = media.write_video(tmp_path / "one.mp4", 1)
    detector = Given(lambda _: [BOX])
    [seen] = model("static").watch(path, detector=detector)
    assert seen.faces[0].score is not None
    [seen] = model().watch(path, detector=detector)
    assert seen.faces[0].score is None and seen.faces[0].verdict is None


class Capture:
    """A camera that gives some frames and vanishes; `promised` is the count it announces."""

    def __init__(self, count, promised=0):
        self.left, self.promised = count, promised

    def get(self, name):
        return self.promised if name == cv2.CAP_PROP_FRAME_COUNT else 0

    def isOpened(self):
        return self.left > 0

    def read(self):
        self.left -= 1
        return self.left >= 0, frame(self.left % 200)

    def release(self):
        self.left = 0


@pytest.fixture
def cameras(monkeypatch):
    """A function that sets the captures that opening a camera gives, one after the other."""

    def prepare(*captures):
        left = list(captures)
        monkeypatch.setattr(
            streams, "_open", lambda _: left.pop(0) if left else Capture(0)
        )

    monkeypatch.setattr(streams, "PAUSES", (0.0, 0.0))
    return prepare


def test_a_camera_that_vanishes_is_opened_again_and_given_up_at_last(cameras, model):
    cameras(Capture(3), Capture(0), Capture(2))
    stream = model("static").watch(0, detector=Given(lambda _: [BOX]))
    seen = []
    with (
        pytest.warns(UserWarning, match="to open it again follows") as told,
        pytest.raises(
            InputError, match=r"camera 0 gave no frame in 3 .*after 5 frames"
        ),
    ):
        while True:
            seen.append(next(stream))
    attempts = [str(one.message).partition("; ")[2][:14] for one in told]
    assert attempts == [f"attempt {n} of 2" for n in (1, 2, 1, 2)]
    assert [s.frame for s in seen] == list(range(5))
    assert all(s.second is not None for s in seen)


def test_a_camera_that_is_not_there_is_given_up_at_once(cameras):
    cameras(Capture(0), Capture(5))
    with pytest.raises(InputError, match="camera 3 gave no frame; check that it is"):
        next(streams.frames(3))
    cameras(Capture(0), Capture(5))
    with pytest.warns(UserWarning, match="attempt 1 of 2"):
        next(streams.frames("rtsp://host/a"))


def test_an_address_of_a_file_ends_with_it(cameras):
    cameras(Capture(20, promised=20))
    address = "http://ann:secret@host:80/a.mp4?key=1"
    assert len(list(streams.frames(address))) == 20
    assert streams.name_of(address) == "http://host:80/a.mp4"


@pytest.fixture
def command(tmp_path, model, monkeypatch):
    """`predict.run` with a saved model and a detector of one face, into tmp_path/out."""
    model().save(tmp_path / "model")
    monkeypatch.setattr(
        Model, "default_detector", lambda self: Given(lambda _: [(8, 8, 24, 30)])
    )

    def run(**flags):
        predict.run(model=tmp_path / "model", output=tmp_path / "out", **flags)
        return tmp_path / "out"

    return run


def test_a_file_in_a_folder_that_cannot_be_read_is_reported(tmp_path, command, capsys):
    videos = tmp_path / "videos"
    media.write_video(videos / "b" / "good.mp4", 9)
    (videos / "a.mp4").write_bytes(b"")
    out = command(input=videos, abstain="0.5", every="2", smooth="4")
    said = capsys.readouterr().out
    assert "a.mp4: the file is empty (0 bytes)" in said
    assert "1 of 2 sources left out" in said and "verdict: unsure" in said
    assert "b/good.mp4: 9 frames, 0 without a face, 1 face\n" in said
    assert "frames/s, latency" in said and "ms a frame: detection" in said
    lines = (out / "b_good_mp4.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["frame"] for row in rows] == list(range(9))
    assert rows[8]["second"] == pytest.approx(0.32) and len(rows[8]["faces"]) == 1
    assert (
        rows[8]["faces"][0]["verdict"] == "unsure"
        and rows[0]["faces"][0]["score"] is None
    )
    with pytest.raises(InputError, match="holds no video and no picture"):
        (tmp_path / "none").mkdir()
        command(input=tmp_path / "none")
    for flag, value in (("every", "0"), ("abstain", "x"), ("camera", "a")):
        with pytest.raises(InputError, match=f"{flag}: expected"):
            command(input=videos, **{flag: value})


def test_cameras_are_recorded_until_they_end(command, cameras, capsys):
    cameras(Capture(9))
    with pytest.warns(UserWarning, match="camera 0 gave no frame after 9 frames"):
        out = command(camera="0")
    said = capsys.readouterr().out
    assert (
        "camera 0: 9 frames" in said
        and "it ended early: camera 0 gave no frame" in said
    )
    assert len((out / "camera 0.csv").read_text().splitlines()) == 2 + 9
    assert (out / "camera 0.mp4").stat().st_size > 500
    cameras(Capture(10**9))
    command(camera="0", seconds="0.2")
    assert "camera 0: " in capsys.readouterr().out


def test_the_file_of_yunet_is_kept_in_the_model(samples, tmp_path):
    detector = faces.YuNet(samples / "models" / "yunet_detector.onnx", 320)
    recipe = dataclasses.replace(RECIPE, detector=detector.name)
    model = make_model(recipe=recipe, face_model=detector.content)
    model.save(tmp_path)
    found = Model.load(tmp_path).default_detector()
    assert isinstance(found, faces.YuNet) and found.name == detector.name
    image = video.read_picture(samples / "own_data" / "live" / "image_T1.jpg")
    np.testing.assert_array_equal(found(image).box, detector(image).box)
    assert found.all(image)[0].eyes.shape == (2, 2)
    assert not found.all(np.zeros((1, 20_000, 3), np.uint8))
    (tmp_path / faces.FILE).write_bytes(b"other")
    with pytest.raises(InputError, match=r"face_detector\.onnx was cut or changed"):
        Model.load(tmp_path)


def test_detectors_have_names():
    assert faces.Haar(240).name == "haar@240" and faces.Haar().name == "haar"
    found = faces.of_name("haar@240", None)
    assert found is not None and found.name == "haar@240"
    assert faces.of_name("yunet:0123abcd", None) is None
    assert faces.of_name("other", None) is None
