"""Detectors, crops and label maps."""

import cv2
import numpy as np
import pytest

from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import faces, labels
from nasfas_jax.errors import InputError


def crop_in_loops(image, where, size):
    """Nearest border pixel outside, then the mean of each cell's pixels; BGR to RGB."""
    x, y, side = where
    height, width = image.shape[:2]
    rows = np.clip(np.arange(y, y + side), 0, height - 1)
    columns = np.clip(np.arange(x, x + side), 0, width - 1)
    part = image[rows][:, columns].astype(float)
    cell = side // size
    out = np.zeros((size, size, 3))
    for i in range(size):
        for j in range(size):
            block = part[i * cell : (i + 1) * cell, j * cell : (j + 1) * cell]
            out[i, j] = block.mean((0, 1))[::-1]
    return out


@pytest.mark.parametrize(
    "where", [(3, 2, 24), (-7, -5, 24), (30, 20, 24), (-4, -9, 48)]
)
def test_crop_equals_the_plain_definition(where):
    image = np.random.default_rng(0).integers(0, 255, (36, 40, 3), dtype=np.uint8)
    got = faces.crop(image, np.array(where), 12)
    assert np.abs(got - crop_in_loops(image, where, 12)).max() <= 0.51


def test_the_face_of_a_clip_is_the_median_of_the_frames_where_one_is_seen():
    boxes = {0: (10, 10, 40, 50), 1: None, 2: (14, 10, 44, 50)}

    def detector(image):
        box = boxes[int(image[0, 0, 0])]
        return None if box is None else faces.Face(np.array(box, float))

    frames = [np.full((2, 2, 3), i, np.uint8) for i in range(3)]
    face = faces.find_face(frames, detector)
    assert face is not None and face.box.tolist() == [12, 10, 42, 50]
    assert faces.find_face([frames[1]] * 3, detector) is None


@pytest.mark.parametrize(
    ("box", "usable"),
    [
        ((10, 10, 40, 50), True),
        ((-10, 10, 40, 50), True),
        ((-30, 10, 40, 50), False),
        ((10, 10, 40, 8), False),
        ((10, float("nan"), 40, 50), False),
    ],
)
def test_boxes_that_cannot_be_cropped_are_told(box, usable):
    assert faces.is_usable(np.array(box, float), (100, 100, 3)) == usable


def test_a_detector_file_must_be_one(tmp_path):
    with pytest.raises(InputError, match=r"missing\.onnx does not exist"):
        faces.YuNet(tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputError, match="cannot be run"):
        faces.YuNet(tmp_path / "text.onnx")


def overlap(a, b):
    """Intersection over union of two boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    common = np.prod(np.maximum(high - low, 0))
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def test_both_detectors_agree_on_real_pictures(samples):
    yunet, haar = faces.YuNet(samples / "models/yunet_detector.onnx"), faces.Haar()
    for path in sorted((samples / "own_data").rglob("*.jpg")):
        image = video.read_picture(path)
        first, second = yunet(image), haar(image)
        assert first is not None and second is not None and first.eyes is not None
        assert overlap(first.box, second.box) > 0.6
        assert first.eyes[0, 0] < first.eyes[1, 0]


WHERE, BOX = np.array([100, 50, 64]), np.array([112.0, 58, 40, 48])


def test_the_ellipse_fills_its_box_and_no_more():
    found = labels.ellipse(WHERE, BOX)
    assert set(np.unique(found)) == {0, 255}
    rows, columns = np.nonzero(found)
    assert (rows.min(), rows.max()) == (4, 27) and (columns.min(), columns.max()) == (
        6,
        25,
    )
    area = np.pi / 4 * 20 * 24
    assert abs((found > 0).sum() - area) < 0.03 * area


def test_a_given_outline_is_cut_like_the_picture():
    given = np.zeros((40, 40), np.uint8)
    given[4:14, 6:16] = 255
    found = labels.binary(labels.warp_map(WHERE, given, np.array([100, 50, 80, 80])))
    expected = np.zeros((32, 32), np.uint8)
    expected[4:14, 6:16] = 255
    np.testing.assert_array_equal(found, expected)


def test_analytic_depth_is_a_head_nearest_at_the_nose():
    depth = labels.analytic_depth(WHERE, BOX).astype(int)
    inside = labels.ellipse(WHERE, BOX) > 0
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    assert depth.max() >= 240 and 14 <= row <= 19 and 15 <= column <= 16
    assert depth[inside].min() > 0 and (depth[~inside] > 0).sum() < 60
    np.testing.assert_array_equal(depth, depth[:, ::-1])


def test_eyes_turn_and_shift_the_depth():
    middle = BOX[:2] + BOX[2:] / 2
    eyes = middle + np.array([[-8, -5], [8, -5]])
    aside = labels.analytic_depth(WHERE, BOX, eyes + np.array([6, 0]))
    assert np.unravel_index(aside.argmax(), aside.shape)[1] > 16
    quarter = np.array([[0, 1], [-1, 0]])  # the left eye above the right one
    turned = labels.analytic_depth(
        WHERE, np.array([*(middle - 20), 40, 40]), (eyes - middle) @ quarter + middle
    )
    upright = labels.analytic_depth(WHERE, np.array([*(middle - 20), 40, 40]), eyes)
    np.testing.assert_array_equal(turned, np.rot90(upright, -1))


def test_a_given_depth_map_is_cut_like_the_picture():
    depth = np.zeros((64, 64), np.uint8)
    cv2.circle(depth, (40, 24), 12, 200, -1)
    same = labels.warp_map(np.array([5, 7, 64]), depth, np.array([5, 7, 64, 64]))
    whole = depth.reshape(32, 2, 32, 2).mean((1, 3))
    assert np.abs(same - whole).max() <= 60 and np.abs(same - whole).mean() < 2
    moved = labels.warp_map(np.array([5 + 32, 7, 64]), depth, np.array([5, 7, 64, 64]))
    np.testing.assert_array_equal(moved[:, :16], same[:, 16:])
    assert not moved[:, 17:].any()
