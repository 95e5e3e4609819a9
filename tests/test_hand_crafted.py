"""Hand-crafted features: sizes, invariances, slow references, and a toy they learn."""

import importlib.util
import math

import ml_collections
import numpy as np
import pytest
from scipy import ndimage
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from nasfas_jax import hand_crafted
from nasfas_jax.commands import demo, sweep, train
from nasfas_jax.errors import InputError
from nasfas_jax.hand_crafted import FEATURES, HandCrafted

SIZES = {"ms_lbp": 833, "color_texture": 354, "ida": 121}


def noise(side=64, seed=0, low=0, high=256):
    shape = (side, side, 3)
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.uint8)


def slow_lbp(gray, points, radius):
    """One pixel, one neighbor at a time; patterns listed in the order of their codes."""
    height, width = gray.shape
    codes = np.zeros((height - 2 * radius, width - 2 * radius), int)
    for y in range(radius, height - radius):
        for x in range(radius, width - radius):
            bits = []
            for p in range(points):
                angle = 2 * math.pi * p / points
                row = y - round(radius * math.sin(angle), 5)
                column = x + round(radius * math.cos(angle), 5)
                bits.append(int(bilinear(gray, row, column) >= gray[y, x]))
            codes[y - radius, x - radius] = slow_code(bits)
    return codes


def bilinear(gray, row, column):
    y, x = math.floor(row), math.floor(column)
    value = 0.0
    for i in (y, y + 1):
        for j in (x, x + 1):
            weight = (1 - abs(row - i)) * (1 - abs(column - j))
            if weight > 0:
                value += weight * gray[i, j]
    return value


def slow_code(bits):
    """0 for no bit; then by number of bits and place of the first; last, not uniform."""
    points = len(bits)
    changes = sum(bits[p] != bits[p - 1] for p in range(points))
    if changes > 2:
        return points * (points - 1) + 2
    ones = sum(bits)
    if ones in (0, points):
        return 0 if ones == 0 else points * (points - 1) + 1
    first = next(p for p in range(points) if bits[p] and not bits[p - 1])
    return 1 + (ones - 1) * points + first


@pytest.mark.parametrize(("points", "radius"), [(8, 1), (8, 2), (16, 2)])
def test_lbp_counts_the_patterns_of_the_slow_one(points, radius):
    """Codes may be numbered in another order, so only up to one renaming of codes."""
    gray = ndimage.gaussian_filter(noise(40)[..., 0] / 1.0, 1).astype(np.uint8)
    fast, slow = hand_crafted.lbp(gray, points, radius), slow_lbp(gray, points, radius)
    assert fast.shape == slow.shape == (40 - 2 * radius,) * 2
    assert fast.min() >= 0 and fast.max() == points * (points - 1) + 2
    pairs = set(zip(fast.ravel().tolist(), slow.ravel().tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert (fast == fast.max()).sum() == (slow == points * (points - 1) + 2).sum() > 0


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("side", [48, 64])
def test_sizes(name, side):
    vector = FEATURES[name](noise(side))
    assert vector.shape == (SIZES[name],) and np.isfinite(vector).all()


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("value", [0, 90, 255])
def test_a_flat_face_is_no_accident(name, value):
    vector = FEATURES[name](np.full((64, 64, 3), value, np.uint8))
    assert vector.shape == (SIZES[name],) and np.isfinite(vector).all()


@pytest.mark.parametrize("name", ["ms_lbp", "color_texture"])
def test_each_histogram_sums_to_one(name):
    vector, bins = FEATURES[name](noise()), [59] * 9 + [59, 243]
    if name == "color_texture":
        bins = [59] * 6
    for part in np.split(vector, np.cumsum(bins)[:-1]):
        assert part.sum() == pytest.approx(1)


def test_blocks_are_those_of_the_face():
    """Nine overlapping 30 x 30 blocks of 62 x 62 codes, row by row."""
    image = np.repeat(noise()[..., :1], 3, axis=2)
    codes = hand_crafted.lbp(image[..., 0], 8, 1)
    vector = hand_crafted.ms_lbp(image).reshape(-1)[: 9 * 59].reshape(3, 3, 59)
    for row, top in enumerate((0, 16, 32)):
        for column, left in enumerate((0, 16, 32)):
            block = codes[top : top + 30, left : left + 30]
            share = [np.mean(block == code) for code in range(59)]
            np.testing.assert_allclose(vector[row, column], share)
    assert top + 30 == left + 30 == len(codes)
    whole = hand_crafted.ms_lbp(image)[9 * 59 :]
    for points, part in ((8, whole[:59]), (16, whole[59:])):
        codes = hand_crafted.lbp(image[..., 0], points, 2)
        np.testing.assert_allclose(part, hand_crafted.lbp_histogram(codes, points))


def test_ms_lbp_ignores_brightness_and_contrast():
    dark = np.repeat(noise(high=100)[..., :1], 3, axis=2)
    np.testing.assert_array_equal(
        hand_crafted.ms_lbp(dark), hand_crafted.ms_lbp(2 * dark + 30)
    )
    assert np.abs(hand_crafted.ms_lbp(dark) - hand_crafted.ms_lbp(255 - dark)).max() > 0


def test_on_the_axes_lbp_sees_only_the_order_of_greys():
    """Under any rising curve; bilinear samples between pixels would follow its bends."""
    gray = noise()[..., 0]
    curve = np.sort(np.random.default_rng(1).choice(65536, 256, replace=False))
    before = hand_crafted.lbp(gray, 4, 1)
    np.testing.assert_array_equal(before, hand_crafted.lbp(curve[gray], 4, 1))


def test_color_texture_sees_what_grey_does_not():
    """Equal luminance, other chroma: the Y histogram stays, Cb and Cr do not."""
    gray = noise(low=90, high=160)[..., :1]
    plain = np.repeat(gray, 3, axis=2)
    tinted = plain.copy()
    tinted[..., 2] += noise(seed=5, high=40)[..., 0]
    one, two = map(hand_crafted.color_texture, (plain, tinted))
    assert np.abs(one[4 * 59 : 5 * 59] - two[4 * 59 : 5 * 59]).max() > 0.1


def body_and_highlight():
    """A matt disc of one hue under uneven light, and a round highlight on it."""
    y, x = np.mgrid[:48, :48] - 23.5
    light = 0.6 + 0.3 * x[..., None] / 24
    body = light * np.array([200.0, 140.0, 110.0])
    highlight = 60 * np.exp(-(x**2 + y**2) / 32)
    return body, highlight


def test_specular_part_is_the_highlight():
    body, highlight = body_and_highlight()
    image = np.rint(body + highlight[..., None]).astype(np.uint8)
    found = hand_crafted.specular_part(image)
    # Rounding to whole grays moves the body color's chromaticity by about 1 %.
    np.testing.assert_allclose(found, highlight, atol=4)
    assert np.corrcoef(found.ravel(), highlight.ravel())[0, 1] > 0.99


def test_specular_part_stays_within_its_surface():
    """Beside a more colorful surface of another hue nothing changes; gray is diffuse."""
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, :20], image[:, 20:] = (180, 140, 120), (10, 40, 220)
    assert np.abs(hand_crafted.specular_part(image)).max() < 1e-9
    image[:, 20:] = 180
    assert np.abs(hand_crafted.specular_part(image)).max() < 1e-9


def test_specular_features_by_hand():
    body, highlight = body_and_highlight()
    matt = np.rint(body).astype(np.uint8)
    shiny = np.rint(body + highlight[..., None]).astype(np.uint8)
    part = hand_crafted.specular_part(shiny) / 255
    low, high = 1.5 * part.mean(), 4 * part.mean()
    chosen = [v for v in part.ravel().tolist() if low < v < high]
    share, mean, deviation = hand_crafted.specular(shiny)
    assert share == pytest.approx(len(chosen) / part.size)
    assert (mean, deviation) == pytest.approx((np.mean(chosen), np.std(chosen)))
    assert mean > 3 * hand_crafted.specular(matt)[1]


def slow_edge_width(gray, edges):
    """Walk from each edge as long as the row goes on rising (or falling)."""
    widths = []
    for y, x in edges:
        row = gray[y].astype(int)
        sign = 1 if row[x + 1] > row[x - 1] else -1
        left = right = x
        while left > 0 and sign * (row[left] - row[left - 1]) > 0:
            left -= 1
        while right < len(row) - 1 and sign * (row[right + 1] - row[right]) > 0:
            right += 1
        widths.append(right - left)
    return np.mean(widths) / gray.shape[1]


@pytest.mark.parametrize("ramp", [2, 6, 12])
@pytest.mark.parametrize("falling", [False, True])
def test_edge_width_is_the_length_of_the_ramp(ramp, falling):
    """A smooth rise over ``ramp`` pixels, steepest in its middle."""
    t = np.clip((np.arange(40) - 14) / ramp, 0, 1)
    row = np.rint(200 * (1 - np.cos(math.pi * t)) / 2).astype(np.uint8)
    gray = np.tile(row[::-1] if falling else row, (20, 1))
    middle = int(
        np.argmax(np.abs(np.convolve(gray[0] / 1.0, [1, 0, -1], "same"))[1:-1])
    )
    expected = slow_edge_width(gray, [(10, middle + 1)])
    assert expected == pytest.approx(ramp / 40)
    assert hand_crafted.edge_width(gray) == pytest.approx(expected)


def test_blur_raises_both_measures():
    sharp = ndimage.gaussian_filter(noise(96) / 1.0, (1, 1, 0)) * 1.0
    measures = [
        hand_crafted.blurriness(
            ndimage.gaussian_filter(sharp, (s, s, 0)).astype(np.uint8)
        )
        for s in (0, 1.5, 3)
    ]
    assert np.all(np.diff(measures, axis=0) > 0)
    assert np.all((np.array(measures) > 0) & (np.array(measures) <= 1))


def test_chromatic_by_hand():
    """Half pure red, a quarter white, a quarter black: hue, saturation, value."""
    face = np.zeros((4, 4, 3), np.uint8)
    face[:2], face[2] = (255, 0, 0), 255
    hue, saturation, value = hand_crafted.chromatic(face).reshape(3, 5)
    np.testing.assert_allclose(hue, [0.5, 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(saturation, [0.5, 0.5, 0, 0.5, 0.5], atol=1e-12)
    skewness = (0.75 * 0.25**3 - 0.25 * 0.75**3) / (3 / 16) ** 1.5
    expected = [0.75, math.sqrt(3 / 16), skewness, 0.25, 0.75]
    np.testing.assert_allclose(value, expected, atol=1e-12)


def test_diversity_by_hand():
    face = np.zeros((4, 4, 3), np.uint8)
    face[0], face[1, :2] = (8, 0, 0), (0, 255, 0)
    face[3, 3] = 7  # the same step as black
    vector = hand_crafted.diversity(face)
    np.testing.assert_allclose(vector[:4], [10 / 16, 4 / 16, 2 / 16, 0])
    assert vector[-1] == 3 and vector[:-1].sum() == pytest.approx(1)
    assert hand_crafted.diversity(noise())[-1] > 3000


def toy(count, seed):
    """Live: fine texture. Spoof: the same blurred, paler, with fewer colors."""
    faces, labels = [], np.arange(count) % 2
    for index, live in enumerate(labels):
        face = noise(48, seed + index, 60, 200) / 1.0
        if not live:
            face = ndimage.gaussian_filter(face, (0.7, 0.7, 0)) * 0.9 + 20
        faces.append(face.astype(np.uint8))
    return np.stack(faces), labels


@pytest.mark.parametrize("name", FEATURES)
def test_learns_a_toy(name):
    method = HandCrafted(name)
    fitted = method.fit(*toy(16, 0))
    images, labels = toy(10, 100)
    scores = fitted.score(images)
    assert scores.shape == (10,)
    assert scores[labels == 1].min() > 0 > scores[labels == 0].max()
    np.testing.assert_array_equal(scores, method.fit(*toy(16, 0)).score(images))
    assert method.weights is None


def moving(count, seed):
    """Live: another face in every frame. Spoof: one face, still."""
    labels = np.arange(count) % 2
    clips = [
        [noise(16, 9 * (seed + i) + (t if live else 0)) for t in range(4)]
        for i, live in enumerate(labels)
    ]
    return np.array(clips), labels


def test_lbp_top_is_lbp_of_every_plane():
    clip = np.stack([noise(64, seed) for seed in range(4)])
    volume = np.stack([hand_crafted._gray(face) for face in clip])
    found = hand_crafted.lbp_top(clip)
    assert found.shape == (177,)
    planes = {
        0: [volume[t] for t in range(1, 3)],
        1: [volume[:, y] for y in range(1, 63)],
        2: [volume[:, :, x] for x in range(1, 63)],
    }
    for axis, part in enumerate(np.split(found, 3)):
        codes = [slow_lbp(plane, 8, 1).ravel() for plane in planes[axis]]
        expected = np.bincount(np.concatenate(codes), minlength=59)
        # Codes may be numbered in another order.
        np.testing.assert_allclose(np.sort(part), np.sort(expected / expected.sum()))


def test_lbp_top_learns_motion_and_names_wrong_clips():
    fitted = HandCrafted("lbp_top").fit(*moving(12, 0))
    clips, labels = moving(8, 50)
    scores = fitted.score(clips)
    assert scores[labels == 1].min() > 0 > scores[labels == 0].max()
    for bad in (clips[:, :2], clips[0], clips / 255):
        with pytest.raises(InputError, match=r"expected clips \[N, T, S, S, 3\]"):
            fitted.score(bad)


def test_wrong_input_is_named():
    images, labels = toy(4, 0)
    method = HandCrafted("ms_lbp")
    with pytest.raises(InputError, match="expected one of ms_lbp, color_texture, ida"):
        HandCrafted("lbp_tip")
    for bad in (images / 255, images[0], images[:, :40], images[..., :2], images[:0]):
        with pytest.raises(InputError, match=r"expected faces \[N, S, S, 3\]"):
            method.features(bad)
    for bad in (labels[:3], labels * 0, labels + 1):
        with pytest.raises(InputError, match="1 for live and 0 for spoof"):
            method.fit(images, bad)
    with pytest.raises(InputError, match="expected a fitted classifier"):
        method.score(images)


def test_color_texture_codes_its_channels_as_documented(monkeypatch):
    """H, S, V from 0 to 255; Y from 16 to 235, Cb and Cr from 16 to 240 (BT.601)."""
    planes = []
    monkeypatch.setattr(
        hand_crafted, "lbp", lambda plane, p, r: planes.append((plane, p, r)) or plane
    )
    monkeypatch.setattr(hand_crafted, "lbp_histogram", lambda codes, points: [0.0])
    face = np.zeros((64, 64, 3), np.uint8)
    colors = [(255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 0, 255)]
    for row, color in enumerate(colors):
        face[row] = color
    hand_crafted.color_texture(face)
    assert all(part[1:] == (8, 1) and part[0].dtype == np.uint8 for part in planes)
    np.testing.assert_array_equal(
        [[int(plane[row, 0]) for plane, *_ in planes] for row in range(4)],
        [
            [0, 0, 255, 235, 128, 128],
            [0, 0, 0, 16, 128, 128],
            [0, 255, 255, 81, 90, 240],
            [170, 255, 255, 41, 240, 110],
        ],
    )


def test_grey_is_weighted_as_rec_709():
    face = 255 * np.eye(3, dtype=np.uint8)[None]
    np.testing.assert_array_equal(hand_crafted._gray(face), [[54, 182, 18]])


def test_the_classifier_is_the_documented_one():
    """Standardized features, a Gaussian kernel with gamma 1 / 833, cost 1."""
    images, labels = toy(12, 0)
    method = HandCrafted("ms_lbp").fit(images, labels)
    x = method.features(images)
    svm = make_pipeline(StandardScaler(), SVC(C=1, gamma=1 / 833)).fit(x, labels)
    unseen, _ = toy(5, 1)
    expected = svm.decision_function(method.features(unseen))
    np.testing.assert_allclose(method.score(unseen), expected, rtol=1e-9)
    assert np.abs(method.weights["coefficients"]).max() <= 1


def shiny_row(length, hidden):
    """Body color (180, 120, 90) at the first pixel, a highlight of ``hidden`` on all
    others: [1, length, 3]."""
    row = np.full((1, length, 3), (180, 120, 90), np.uint8)
    row[:, 1:] += np.uint8(hidden)
    return row


def test_body_chromaticity_travels_ten_pixels():
    part = hand_crafted.specular_part(shiny_row(16, 30))[0]
    np.testing.assert_allclose(part[0], 0, atol=1e-9)
    np.testing.assert_allclose(part[1:11], 30, atol=1e-9)
    np.testing.assert_allclose(part[11:], 0, atol=1e-9)


@pytest.mark.parametrize(
    ("pixel", "usable"),
    [
        ((21, 12, 12), True),  # R + G + B is 45
        ((21, 12, 11), False),  # 44
        ((105, 100, 100), False),  # 3 max - sum is 10
        ((108, 101, 100), True),  # 15
        ((108, 101, 101), False),  # 14
    ],
)
def test_dark_and_grey_pixels_count_as_diffuse(pixel, usable):
    """The neighbor of the same hue has no highlight, so a usable pixel shows its own."""
    color = np.array(pixel, float)
    total, top = color.sum(), color.max()
    free = color - (total - 2 * (3 * top - total)) / 3  # its body color by hand
    image = np.array([[pixel, pixel]], np.uint8)
    found = hand_crafted.specular_part(image.astype(np.float64))
    np.testing.assert_allclose(found, 0, atol=1e-9)
    image = np.stack([free * 20, color])[None]
    part = hand_crafted.specular_part(image)[0, 1]
    expected = (total - 2 * (3 * top - total)) / 3 if usable else 0
    np.testing.assert_allclose(part, expected, atol=1e-6)


@pytest.mark.parametrize("command", [train.run, sweep.run, demo.run])
def test_missing_libraries_are_named_before_any_work(command, monkeypatch, tmp_path):
    """Not after the networks that are listed before the hand-crafted features."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    config = ml_collections.ConfigDict({"networks": ("rfmeta", "ms_lbp")})
    with pytest.raises(InputError, match=r"found no skimage, sklearn: .*baselines"):
        command(config, workdir=tmp_path)
    assert not list(tmp_path.iterdir())
