"""Where depth and location maps come from, alignment, and the landmark model."""

import dataclasses

import cv2
import numpy as np
import pytest

from nasfas_jax.data.datasets import sources
from nasfas_jax.data.datasets.annotations import Annotation
from nasfas_jax.data.datasets.sources import VideoSource
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import extract, faces, labels, landmarks, maps, prepare
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError

BOX = np.array([20.0, 10, 24, 30])
EYES = np.array([[27.0, 22], [37, 22]])
RECIPE = Recipe(image_size=16, clips_per_video=3, method="harmonic")


class Detector:
    name = "fixed"

    def __call__(self, image):
        return faces.Face(BOX)


class Landmarks:
    """A flat nose: 468 points on a sphere's front within the box."""

    name = "sphere"

    def __call__(self, image, face):
        return sphere(face.box)


def sphere(box, turn=0.0):
    """Landmarks on a ball's front, turned about the vertical axis."""
    random = np.random.default_rng(0)
    radius, angle = np.sqrt(random.random(468)), 2 * np.pi * random.random(468)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    for at, point in {33: (-0.5, -0.3), 133: (-0.2, -0.3), 362: (0.2, -0.3)}.items():
        x[at], y[at] = point
    (x[263], y[263]), (x[10], y[10]), (x[152], y[152]) = (0.5, -0.3), (0, -1), (0, 1)
    z = -np.sqrt(np.maximum(1 - x**2 - y**2, 0))
    x, z = np.cos(turn) * x - np.sin(turn) * z, np.sin(turn) * x + np.cos(turn) * z
    half = box[2:] / 2
    flat = box[:2] + half + np.stack([x, y], 1) * half
    return np.concatenate([flat, z[:, None] * half[0]], 1)


def write_video(path, count=20):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48)
    )
    for i in range(count):
        writer.write(np.full((48, 64, 3), 60 + 5 * i, np.uint8))
    writer.release()
    return path


def source(path, label=1, **kwargs):
    kind = "live" if label else "print"
    return VideoSource(path, path.name, "ann", "own", kind, label, "train", **kwargs)


def test_the_rule_is_the_splits_own(tmp_path):
    one = source(write_video(tmp_path / "a.avi", 40))
    recipe = dataclasses.replace(RECIPE, sampling="ssdg", eval_sampling="cdcn_test")
    train = extract.extract(one, recipe, Detector())
    assert train.arrays["frame"].tolist() == [6, 19, 32] and train.frames == 40
    test = extract.extract(dataclasses.replace(one, split="test"), recipe, Detector())
    assert test.arrays["frame"].tolist() == [6, 9, 13, 17, 21, 25, 29]


def test_depth_comes_from_the_first_source_that_has_it(tmp_path):
    path = write_video(tmp_path / "a.avi")
    one = source(path)
    plain = extract.extract(one, RECIPE, Detector())
    assert (plain.depth_source, plain.map_source) == ("analytic", "ellipse")
    ball = extract.extract(one, RECIPE, Detector(), Landmarks())
    assert (ball.depth_source, ball.map_source) == ("landmarks", "landmarks")
    whole = np.repeat([[0.0, 0, 64, 48]], 20, 0)
    kinect = np.broadcast_to(np.uint8(77), (20, 12, 16))
    known = Annotation(np.repeat(BOX[None], 20, 0), depth=kinect, map_box=whole)
    given = dataclasses.replace(one, annotation=lambda _: known)
    said = extract.extract(given, RECIPE, Detector(), Landmarks())
    assert said.depth_source == "annotation" and said.map_source == "landmarks"
    assert set(np.unique(said.arrays["depth"])) <= {0, *range(1, 78)}
    folder = tmp_path / "a_depth"
    folder.mkdir()
    gray = np.full((24, 32), 200, np.uint8)
    for name in ("6_3_20_5_006_depth1D.jpg", "0019.png", "mean.png"):
        cv2.imwrite(str(folder / name), gray)
    some = extract.extract(given, RECIPE, Detector(), Landmarks())
    assert some.arrays["frame"].tolist() == [6, 12, 19]
    assert some.depth_source == "file:2 annotation:1"
    assert some.arrays["depth"][:, 16, 16].tolist() == [200, 77, 200]


def test_a_spoof_has_no_depth_wherever_it_might_come_from(tmp_path):
    path = write_video(tmp_path / "a.avi")
    (tmp_path / "a_depth").mkdir()
    made = extract.extract(source(path, label=0), RECIPE, Detector(), Landmarks())
    assert made.depth_source == "zeros" and made.map_source == "landmarks"
    assert not made.arrays["depth"].any() and "mask" not in made.arrays
    assert made.arrays["face"].any()


def test_a_picture_has_its_depth_beside_it(tmp_path):
    path = tmp_path / "a.b.jpg"
    cv2.imwrite(str(path), np.full((48, 64, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "a.b_depth.png"), np.full((48, 64), 50, np.uint8))
    made = extract.extract(source(path), RECIPE, Detector())
    assert made.depth_source == "file" and made.arrays["depth"].max() == 50


def test_an_empty_depth_folder_is_told(tmp_path):
    path = write_video(tmp_path / "a.avi")
    (tmp_path / "a_depth").mkdir()
    with pytest.raises(video.VideoError, match=r"folder a_depth .* no depth picture"):
        extract.extract(source(path), RECIPE, Detector())


def test_new_depth_files_are_noticed(tmp_path):
    path = write_video(tmp_path / "a.avi")
    before = maps.depth_stamp(path)
    (tmp_path / "a_depth").mkdir()
    assert maps.depth_stamp(path) != before


def leaning(angle):
    """A picture of a bright line through both eyes, turned about the box's center."""
    center = BOX[:2] + BOX[2:] / 2
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    eyes = (EYES - center) @ turn + center
    image = np.zeros((48, 64, 3), np.uint8)
    left, right = np.round(eyes * 16).astype(int)
    cv2.line(image, tuple(left), tuple(right), (255, 255, 255), 2, shift=4)
    return image, eyes


@pytest.mark.parametrize("angle", [-0.4, 0.0, 0.7])
def test_alignment_makes_the_eyes_level(angle):
    image, eyes = leaning(angle)
    where, roll = faces.square(BOX, 1.3), faces.roll_of(eyes)
    assert roll == pytest.approx(angle)
    upright = faces.crop(image, where, 39, roll)[..., 0].astype(float)
    rows = np.flatnonzero(upright.mean(1) > 20)
    assert np.ptp(rows) <= 3  # the line lies in a few rows
    at = faces.into_crop(where, eyes, roll)
    np.testing.assert_allclose(at[0, 1], at[1, 1], atol=1e-9)
    np.testing.assert_allclose(faces.out_of_crop(where, at, roll), eyes)
    assert abs(rows.mean() + 0.5 - 39 * at[0, 1]) < 1
    depth = labels.analytic_depth(where, BOX, eyes, roll).astype(int)
    straight = labels.analytic_depth(where, BOX, EYES).astype(int)
    assert np.abs(depth - straight).mean() < 12


def test_alignment_is_an_option_that_needs_eyes(tmp_path):
    path = tmp_path / "a.png"
    image, eyes = leaning(0.5)
    cv2.imwrite(str(path), image)
    known = Annotation(BOX[None], eyes[None])
    recipe = dataclasses.replace(RECIPE, align=True)
    one = source(path, annotation=lambda _: known)
    turned = extract.extract(one, recipe, Detector())
    assert turned.arrays["roll"] == pytest.approx(0.5)
    assert extract.extract(one, RECIPE, Detector()).arrays["roll"] == 0
    with pytest.raises(video.VideoError, match="the detector fixed gives no eyes"):
        extract.extract(source(path), recipe, Detector())


@pytest.mark.parametrize("turn", [0.0, 0.5])
def test_landmark_depth_is_the_surface_in_front(turn):
    box = np.array([100.0, 50, 64, 64])
    where = np.array([90, 40, 84])
    depth = labels.landmark_depth(where, sphere(box, turn)).astype(float)
    outline = labels.hull(where, sphere(box, turn)) > 0
    x, y = np.meshgrid(*[(np.arange(32) + 0.5) / 32 * 84 - 42] * 2)
    inside = x**2 + y**2 < 28**2
    height = np.sqrt(np.maximum(32**2 - x**2 - y**2, 0))
    # Cells at the rim are partly background.
    seen = inside & (cv2.erode(depth, np.ones((3, 3))) > 0)
    assert seen.sum() > (0.9 if not turn else 0.7) * inside.sum()
    assert np.corrcoef(depth[seen], height[seen])[0, 1] > 0.95
    around = cv2.dilate(outline.astype(np.uint8), np.ones((3, 3))) > 0
    assert depth.max() > 245 and not depth[~around].any()


def test_a_landmark_model_must_be_one(tmp_path):
    with pytest.raises(InputError, match=r"missing\.tflite does not exist"):
        landmarks.LandmarkModel(tmp_path / "missing.tflite")
    (tmp_path / "text.tflite").write_text("no network at all")
    with pytest.raises(InputError, match="cannot be used: OpenCV cannot run it"):
        landmarks.LandmarkModel(tmp_path / "text.tflite")


def test_landmarks_lie_on_real_faces(samples):
    model = landmarks.LandmarkModel(samples / "models/face_landmark.tflite")
    yunet = faces.YuNet(samples / "models/yunet_detector.onnx")
    for path in sorted((samples / "own_data").rglob("*.jpg")):
        image = video.read_picture(path)
        face = yunet(image)
        assert face is not None and face.eyes is not None
        for known in (face, faces.Face(face.box)):  # with the eyes, and in two runs
            points = model(image, known)
            assert points is not None and points.shape == (468, 3)
            distance = np.linalg.norm(face.eyes[1] - face.eyes[0])
            off = np.linalg.norm(landmarks.eyes_of(points) - face.eyes, axis=1)
            assert off.max() < 0.25 * distance
        where = faces.square(face.box, 1.3)
        depth = labels.landmark_depth(where, points)
        nose = faces.into_crop(where, points[1, :2]) * 32
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        assert np.hypot(row + 0.5 - nose[1], column + 0.5 - nose[0]) < 5
    assert model(np.full((100, 100, 3), 128, np.uint8), faces.Face(BOX)) is None


def test_preparing_with_a_landmark_model(samples, tmp_path):
    model = landmarks.LandmarkModel(samples / "models/face_landmark.tflite")
    recipe = dataclasses.replace(RECIPE, clips_per_video=1)
    root = tmp_path / "own"
    for kind in ("live", "spoof"):
        for path in (samples / "own_data" / kind).rglob("*.jpg"):
            target = root / path.relative_to(samples / "own_data")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    summary = prepare.prepare(
        "own_data", root, tmp_path / "out", recipe, landmarks=model
    )
    assert summary.recipe.landmarks == model.name != Recipe().landmarks
    assert {row["map_source"] for row in summary.rows} == {"landmarks"}
    assert {row["depth_source"] for row in summary.rows} == {"landmarks", "zeros"}


def test_depth_files_are_no_pictures_of_their_own(tmp_path):
    gray = np.zeros((8, 8), np.uint8)
    for name in ("live/a.png", "live/a_depth.png", "spoof/print/b_depth/0007.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), gray)
    found = sources.list_videos("own_data", tmp_path)
    assert {one.video: one.problem for one in found} == {
        "live/a.png": "",
        # There is no video b to belong to: it is named, not lost.
        "spoof/print/b_depth/0007.png": "named as a depth map, but not of a file beside it",
    }
