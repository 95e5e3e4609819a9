"""Augmentation recipes, and what batches can show of the records."""

import colorsys

import numpy as np
import pytest

from nasfas_jax.data.loading import augment, pipeline, views
from nasfas_jax.data.preparation import labels
from nasfas_jax.errors import InputError

SIDE = 64


def batch(count=40, seed=0):
    random = np.random.default_rng(seed)
    return {
        "image": random.uniform(-0.9, 0.9, (count, SIDE, SIDE, 3)).astype(np.float32),
        "target": random.random((count, 32, 32), np.float32),
        "label": np.arange(count, dtype=np.int32) % 2,
    }


def run(recipe, seed=0):
    return augment.augmented(batch(), recipe, np.random.default_rng(seed))


@pytest.mark.parametrize("recipe", augment.RECIPES)
def test_recipes_are_pure_and_keep_shape_range_and_labels(recipe):
    before = batch()
    first, again = (
        augment.augmented(before, recipe, np.random.default_rng(3)) for _ in "ab"
    )
    for name, value in batch().items():
        np.testing.assert_array_equal(before[name], value)
        np.testing.assert_array_equal(first[name], again[name])
        assert first[name].shape == value.shape and first[name].dtype == value.dtype
    assert np.abs(first["image"]).max() <= 1
    np.testing.assert_array_equal(first["label"], before["label"])
    same = np.array_equal(first["image"], before["image"])
    assert same == (recipe in ("none", "rfmeta"))


def test_a_flip_mirrors_image_and_map_of_the_same_clips():
    before, after = batch(), run("flip")
    flipped = [
        np.array_equal(a, b[:, ::-1])
        for a, b in zip(after["image"], before["image"], strict=True)
    ]
    for i, flip in enumerate(flipped):
        turn = np.s_[:, ::-1] if flip else np.s_[:, :]
        np.testing.assert_array_equal(after["image"][i], before["image"][i][turn])
        np.testing.assert_array_equal(after["target"][i], before["target"][i][turn])
    assert 10 < sum(flipped) < 30


def flat(value, count=400):
    """Images of one value in [0, 1], as `augment.change_color` takes them."""
    return {"image": np.full((count, 2, 2, 3), 2 * value - 1, np.float32)}


def recolored(batch):
    """Pixels in [0, 1] after `augment.change_color`, the same random numbers each time."""
    random = np.random.default_rng(5)
    return (
        augment.change_color(batch, random, augment.Clips.of(batch))["image"] + 1
    ) / 2


def test_brightness_is_up_to_40_of_255_for_each_color(monkeypatch):
    monkeypatch.setattr(augment, "GAMMA", (1.0, 1.0))
    added = recolored(flat(0.5)) - 0.5
    np.testing.assert_array_equal(added, np.broadcast_to(added[:, :1, :1], added.shape))
    added = added[:, 0, 0]
    assert -40 / 255 <= added.min() < -39 / 255 and 39 / 255 < added.max() <= 40 / 255
    assert (
        np.abs(np.corrcoef(added.T) - np.eye(3)).max() < 0.2
    )  # colors are independent


def test_gamma_is_from_a_half_to_one_and_a_half_alike_for_all_colors(monkeypatch):
    monkeypatch.setattr(augment, "BRIGHTNESS", 0.0)
    gamma = np.log(recolored(flat(0.25))) / np.log(0.25)
    np.testing.assert_allclose(
        gamma, np.broadcast_to(gamma[:, :1, :1, :1], gamma.shape)
    )
    gamma = gamma[:, 0, 0, 0]
    assert 0.5 <= gamma.min() < 0.51 and 1.49 < gamma.max() <= 1.5
    assert 0.95 < gamma.mean() < 1.05


def test_brightness_comes_before_gamma(monkeypatch):
    both = recolored(flat(0.1))
    monkeypatch.setattr(augment, "GAMMA", (1.0, 1.0))
    brighter = recolored(flat(0.1))
    monkeypatch.undo()
    monkeypatch.setattr(augment, "BRIGHTNESS", 0.0)
    gamma = np.log(recolored(flat(0.25))) / np.log(0.25)
    assert brighter.min() == 0  # clipped
    np.testing.assert_allclose(both, np.maximum(brighter, 0) ** gamma, atol=1e-5)


def test_cdcn_blackens_after_changing_colors_and_standard_never():
    """Colors changed later would lift the holes off black in most images."""
    after = {name: holes(run(name)["image"]).mean((1, 2)) for name in augment.RECIPES}
    assert 0.4 < (after["cdcn"] > 0.008).mean() <= 0.9  # erased, or a large cut-out
    assert max(after[name].max() for name in ("standard", "flip", "rfmeta")) < 0.005


def holes(images):
    return (images == augment.BLACK).all(-1)


def test_erased_patches_are_as_many_and_as_large_as_cdcn_says():
    random = np.random.default_rng(1)
    erased = holes(
        augment.erase(batch(400), random, augment.Clips.of(batch(400)))["image"]
    )
    areas = erased.mean((1, 2))
    assert 0.4 < (areas > 0).mean() < 0.6
    found = areas[areas > 0]
    assert found.min() > 0.008 and 0.05 < found.max() < 0.105  # one patch, and two
    single = [hole for hole in erased[areas > 0] if hole.sum() == box(hole)]
    ratios = [np.ptp(np.nonzero(h)[0] + 0.0) / np.ptp(np.nonzero(h)[1]) for h in single]
    assert 0.4 < min(ratios) < 0.7 and 1.4 < max(ratios) < 2.5


def box(hole):
    rows, columns = np.nonzero(hole)
    return (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_cut_out_squares_are_whole_or_end_at_the_border():
    whole = batch(400), np.random.default_rng(2), augment.Clips.of(batch(400))
    after = augment.cutout(*whole)["image"]
    sides = []
    for hole in holes(after):
        rows, columns = np.nonzero(hole)
        if not len(rows):
            continue  # a side of one pixel at half of CDCN's size is none
        assert hole.sum() == box(hole)
        high, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
        at_border = {rows.min(), columns.min()} & {0} or (
            {rows.max(), columns.max()} & {SIDE - 1}
        )
        assert high == wide or at_border
        sides.append(max(high, wide))
    assert max(sides) == 12 and min(sides) <= 4  # below 50 in 256


def test_an_unknown_recipe_is_refused():
    with pytest.raises(InputError, match=r"augment: .* 'flip'.* got 'autoaugment'"):
        run("autoaugment")


def test_colors_are_those_of_the_definition():
    image = batch(2)["image"][:, :8, :8]
    hsv = views.recolored(image, "hsv")
    for got, rgb in zip(hsv.reshape(-1, 3), image.reshape(-1, 3), strict=True):
        expected = colorsys.rgb_to_hsv(*((rgb.astype(float) + 1) / 2))
        np.testing.assert_allclose((got + 1) / 2, expected, atol=1e-5)
    both = views.recolored(image, "rgb_hsv")
    np.testing.assert_array_equal(both, np.concatenate([image, hsv], -1))
    assert views.recolored(image, "rgb") is image


def mean_of_overlaps(maps, size):
    """Each new cell's mean over the old pixels it covers, on a common finer grid."""
    fine = np.repeat(np.repeat(maps.astype(float), size, 1), size, 2)
    cell = fine.shape[1] // size
    return fine.reshape(len(maps), size, cell, size, cell).mean((2, 4))


@pytest.mark.parametrize("size", [8, 14, 32])
def test_maps_of_other_sizes_are_means_over_area(size):
    random = np.random.default_rng(0)
    maps = random.integers(0, 256, (3, 32, 32)).astype(np.uint8)
    mask = labels.binary(maps)
    got = labels.resized(maps, size, is_binary=False)
    assert got.shape == (3, size, size) and got.dtype == np.uint8
    assert np.abs(got - mean_of_overlaps(maps, size)).max() <= 0.51
    halves = labels.resized(mask, size, is_binary=True)
    assert set(np.unique(halves)) <= {0, 255}
    expected = mean_of_overlaps(mask, size)
    clear = np.abs(expected - 127.5) > 1
    np.testing.assert_array_equal((halves > 0)[clear], (expected > 127.5)[clear])


def test_a_batch_shows_what_the_view_says():
    random = np.random.default_rng(0)
    records = {
        "static": random.integers(0, 256, (4, 8, 8, 3), np.uint8),
        "face": labels.binary(random.integers(0, 256, (4, 32, 32))),
        "label": np.array([1, 0, 1, 0]),
    }
    view = pipeline.View("location", "static", color="rgb_hsv", map_size=14)
    made = pipeline.to_batch(records, view)
    assert made["image"].shape == (4, 8, 8, 6) and made["target"].shape == (4, 14, 14)
    assert made["image"].dtype == made["target"].dtype == np.float32
    assert set(np.unique(made["target"])) == {0.0, 1.0}
    with pytest.raises(InputError, match=r"color: expected .* 'rgb_hsv', got 'lab'"):
        pipeline.View(color="lab")
    with pytest.raises(InputError, match=r"map_size: .* from 1 to 32, got 64"):
        pipeline.View(map_size=64)
