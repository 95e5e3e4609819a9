"""Eye files, face files in every dialect, Kinect recordings: good, odd and broken."""

import pathlib
import re

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasfas_jax.data.datasets import annotations
from nasfas_jax.data.media.video import VideoError
from nasfas_jax.data.preparation import labels

READERS = {
    "eyes": (annotations.read_eyes, 5),
    "boxes": (annotations.read_boxes, 5),
    "corners": (annotations.read_corners, 4),
    "corners_and_eyes": (annotations.read_corners_and_eyes, 9),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("annotations")


def read(folder, kind, text):
    path = folder / "a.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return READERS[kind][0](path)


def same(found, expected):
    np.testing.assert_allclose(found, np.asarray(expected, float))


def test_eyes_come_out_left_in_the_image_first(folder):
    # OULU: the subject's right eye, of the smaller x, stands first; MSU: the left one.
    oulu = read(folder, "eyes", "0,40,50,60,52\n1,41,50,61,52\n")
    same(oulu.eyes, [[[40, 50], [60, 52]], [[41, 50], [61, 52]]])
    msu = read(folder, "corners_and_eyes", "0,30,20,70,90,60,52,40,50\n")
    same(msu.eyes, [[[40, 50], [60, 52]]])
    same(msu.boxes, [[30, 20, 40, 70]])


def test_a_box_is_built_on_the_eyes(folder):
    boxes = read(folder, "eyes", "0,40,50,60,50\n").boxes
    same(boxes, [[25, 50 - 0.4 * 64, 50, 64]])
    # The eyes lie in the box where the maps expect them.
    eyes = boxes[0, :2] + labels.USUAL_EYES * boxes[0, 2:]
    same(eyes, [[40, 50], [60, 50]])


def test_dialects(folder):
    same(
        read(folder, "boxes", "0 1 2 30 40\r\n1 0 0 0 0\r\n").boxes,
        [[1, 2, 30, 40], [0] * 4],
    )
    same(read(folder, "boxes", "\ufeff0, 1 ,2,30,40\n\n").boxes, [[1, 2, 30, 40]])
    found = read(folder, "corners", "10 20 40 60\n0 0 0 0\n1.5 2 3 4\n")
    same(found.boxes, [[10, 20, 30, 40], [0] * 4, [1.5, 2, 1.5, 2]])
    assert found.eyes is None and found.depth is None


def test_frames_without_a_face(folder):
    # Zeros, no row at all, a box turned inside out: three ways to say it.
    boxes = read(folder, "boxes", "0 9 9 9 9\n3 5 5 0 5\n4 5 5 -3 5\n").boxes
    same(boxes, [[9] * 4, [0] * 4, [0] * 4, [0] * 4, [0] * 4])
    eyes = read(folder, "eyes", "0,0,0,0,0\n1,4,5,6,5\n")
    assert eyes.boxes[:, 2].tolist() == [0, 5]
    msu = read(folder, "corners_and_eyes", "0,0,0,0,0,0,0,0,0\n")
    assert not msu.boxes.any()


def test_frames_may_be_numbered_from_one(folder):
    same(read(folder, "boxes", "1 1 1 1 1\n2 2 2 2 2\n").boxes, [[1] * 4, [2] * 4])
    # Not where the first frame merely shows no face.
    boxes = read(folder, "boxes", "1 1 1 1 1\n3 3 3 3 3\n").boxes
    same(boxes, [[0] * 4, [1] * 4, [0] * 4, [3] * 4])
    same(read(folder, "boxes", "1 1 1 1 1\n0 2 2 2 2\n").boxes, [[2] * 4, [1] * 4])


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("eyes", "", r"line 1: the file has no rows"),
        ("eyes", "\n \n", r"line 1: the file has no rows"),
        (
            "eyes",
            "0,1,2,3,4\n\n1,1,2,3\n",
            r"line 3: expected 5 numbers, found '1,1,2,3'",
        ),
        ("eyes", "0,1,2,,4\n", r"line 1: expected 5 numbers"),
        (
            "boxes",
            "0 1 2 3 4\n1 a 2 3 4\n",
            r"line 2: expected 5 numbers, found '1 a 2",
        ),
        ("boxes", "0 1 2 nan 4\n", r"line 1: expected 5 numbers"),
        ("boxes", "0 1 2 3 1e999\n", r"line 1: expected 5 numbers"),
        ("boxes", "0 1 2 3 4\n\n0 1 2 3 4\n", r"line 3: .* no row above has, found 0"),
        ("boxes", "0.5 1 2 3 4\n", r"line 1: expected the number of a frame"),
        ("boxes", "-1 1 2 3 4\n", r"line 1: .* found -1"),
        ("boxes", "999999999 1 2 3 4\n", r"line 1: expected 5 numbers"),
        ("corners", "0 1 2 3 4\n", r"line 1: expected 4 numbers"),
        ("corners_and_eyes", "0,1,2,3,4\n", r"line 1: expected 9 numbers"),
        ("corners", b"1 2 3 4\n1 2 \xff 4\n", r"line 2: not text"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(folder, kind, text, message):
    with pytest.raises(VideoError, match=r"a\.txt, " + message):
        read(folder, kind, text)


def test_a_file_that_cannot_be_read(folder):
    with pytest.raises(VideoError, match=r"gone\.face cannot be read: No such file"):
        annotations.read_boxes(folder / "gone.face")
    with pytest.raises(VideoError, match="cannot be read"):
        annotations.read_boxes(folder)


FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
NUMBERS = st.one_of(
    st.integers(-3, 300).map(str),
    st.floats(width=32).map(str),
    st.sampled_from(["", "x", "1e400", "-0", "0x1", "1_0", "٣", "nan", "\0", "1;2"]),
)
ROWS = st.lists(
    st.lists(NUMBERS, min_size=3, max_size=10).flatmap(
        lambda row: st.sampled_from([",", " ", "\t", ", ", "\r"]).map(
            lambda divider: divider.join(row)
        )
    ),
    max_size=6,
).map("\n".join)


@pytest.mark.parametrize("kind", READERS)
@FUZZ
@given(content=st.one_of(st.binary(max_size=60), ROWS.map(str.encode)))
def test_any_content_gives_an_annotation_or_a_reason(folder, kind, content):
    try:
        found = read(folder, kind, content)
    except VideoError as error:
        assert re.search(r"a\.txt, line \d+: ", str(error))
        return
    assert np.isfinite(found.boxes).all() and found.boxes.shape[1:] == (4,)
    assert found.eyes is None or found.eyes.shape == (len(found.boxes), 2, 2)


@pytest.mark.parametrize("kind", READERS)
@FUZZ
@given(data=st.data())
def test_what_is_written_is_read(folder, kind, data):
    columns = READERS[kind][1]
    values = st.lists(st.integers(0, 5000), min_size=columns - 1, max_size=columns - 1)
    rows = data.draw(st.lists(values, min_size=1, max_size=5))
    if kind == "corners":
        rows = [[1, *row] for row in rows]
        text = "\n".join(" ".join(map(str, row)) for row in rows)
        rows = [row[0:4] for row in rows]
    else:
        text = "\n".join(f"{i}," + ",".join(map(str, r)) for i, r in enumerate(rows))
    found, rows = read(folder, kind, text), np.array(rows, float)
    if found.eyes is not None:
        eyes = rows[:, -4:].reshape(-1, 2, 2)
        assert (found.eyes[:, 0, 0] <= found.eyes[:, 1, 0]).all()
        same(np.sort(found.eyes[:, :, 1]), np.sort(eyes[:, :, 1]))
    if kind != "eyes":
        size = rows[:, 2:4] if kind == "boxes" else rows[:, 2:4] - rows[:, :2]
        good = (size > 0).all(1)
        same(found.boxes[good], np.concatenate([rows[:, :2], size], 1)[good])
        assert not found.boxes[~good].any()


def head(height=240, width=320, center=(160, 120), distance=24):
    """A Kinect's frame of an ellipsoid before a wall: eyes, and depth in its units."""
    wide, high, above = annotations.EYES_TO_BOX
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    middle = center[1] + distance * high * (0.5 - above)
    r2 = ((x - center[0]) / (wide * distance / 2)) ** 2
    r2 = r2 + ((y - middle) / (high * distance / 2)) ** 2
    depth = np.where(r2 < 1, 800 - 100 * np.sqrt(np.maximum(1 - r2, 0)), 1400)
    eyes = [center[0] - distance / 2, center[1], center[0] + distance / 2, center[1]]
    return eyes, depth.astype(np.uint16)


def write_kinect(path: pathlib.Path, depth, eyes, **more):
    path.unlink(missing_ok=True)
    with h5py.File(path, "w") as file:
        for key, value in {"Depth_Data": depth, "Eye_Pos": eyes, **more}.items():
            file[key] = value
    return path


def test_kinect_depth_is_the_face_alone(folder):
    eyes, depth = head()
    depth[100:104, 150:154] = 2047  # a hole
    depth[:, :100] = 0
    path = write_kinect(folder / "k.hdf5", depth[None, None], np.array([eyes]))
    found = annotations.read_kinect(path)
    same(found.eyes, [[[148, 120], [172, 120]]])
    assert found.map_box is not None and found.depth is not None
    same(found.map_box, found.boxes)
    made = found.depth[0]
    assert made.shape == (64, 64) and made.dtype == np.uint8
    # Nearest in the middle, falling to the rim, nothing outside it.
    across = made[32].astype(int)
    assert across.max() >= 250 and abs(int(across.argmax()) - 31.5) < 6
    assert (np.diff(across[2:30]) >= 0).all() and (np.diff(across[34:62]) <= 0).all()
    assert across[3] > 15 and not made[:4, :4].any() and not made[-4:, -4:].any()
    # The same surface as the analytic one of the same ellipsoid.
    t = (np.arange(64) + 0.5) / 32 - 1
    r2 = t[None] ** 2 + t[:, None] ** 2
    ball = np.where(r2 < 0.9, np.sqrt(np.maximum(1 - r2, 0)), 0)
    inside = r2 < 0.85
    expected = 255 * (1 - 0.9 * (1 - ball[inside]))
    assert np.abs(made[inside] - expected).max() < 30


def test_a_kinect_that_sees_too_little_is_no_flat_face(folder):
    eyes, depth = head()
    depth[:130] = 2047
    far = np.array(eyes) + 1000  # eyes beyond the picture
    path = write_kinect(
        folder / "k.hdf5", np.stack([depth, depth])[:, None], np.array([eyes, far])
    )
    found = annotations.read_kinect(path)
    for frame in (0, 1):
        with pytest.raises(
            VideoError, match=f"too few depth readings of the face in frame {frame}"
        ):
            _ = found.depth[frame]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    high=st.sampled_from([1, 2, 700, 2048]),
)
def test_any_readings_give_a_map_or_none(seed, shape, high):
    raw = np.random.default_rng(seed).integers(0, high, shape, dtype=np.uint16)
    made = annotations.face_depth(raw)
    assert made is None or (made.shape == (64, 64) and made.dtype == np.uint8)


def test_recordings_with_something_else_in_them(folder):
    path, (eyes, depth) = folder / "k.hdf5", head(24, 32, (16, 12), 4)
    good = {"depth": depth[None, None], "eyes": np.array([eyes])}
    bad = {
        r"Eye_Pos is float64\[1, 3\]; expected numbers \['\?', 4\]": {
            "eyes": np.zeros((1, 3))
        },
        r"Depth_Data is uint16\[1, 24, 32\]": {"depth": depth[None]},
        r"Depth_Data is uint16\[2, 1, 24, 32\]": {
            "depth": np.stack([depth] * 2)[:, None]
        },
        "Eye_Pos holds numbers that are not coordinates": {
            "eyes": np.full((1, 4), np.nan)
        },
        r"Eye_Pos is .*expected": {"eyes": np.array([[b"x"] * 4])},
    }
    for message, change in bad.items():
        write_kinect(path, **good | change)
        with pytest.raises(VideoError, match=f"k.hdf5: {message}"):
            annotations.read_kinect(path)
    with h5py.File(path, "w") as file:
        file["Eye_Pos/inner"] = 3
    with pytest.raises(VideoError, match="has no array Eye_Pos; it has Eye_Pos"):
        annotations.read_kinect(path)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_recordings_are_named(folder, data):
    eyes, depth = head(24, 32, (16, 12), 4)
    path = write_kinect(folder / "d.hdf5", depth[None, None], np.array([eyes]))
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    for _ in range(data.draw(st.integers(0, 4))):
        if content:
            where = data.draw(st.integers(0, len(content) - 1))
            content[where] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found = annotations.read_kinect(path)
        assert found.boxes.shape == (1, 4)
        _ = found.depth[0]
    except VideoError as error:
        assert str(error)
