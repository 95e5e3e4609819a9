"""Corruptions against their definitions, and the rates of a model under them."""

import dataclasses

import cv2
import numpy as np
import pytest

import nasfas_jax as nf
from nasfas_jax import evaluation
from nasfas_jax.data.preparation import corruptions, prepare
from nasfas_jax.data.preparation.corruptions import CORRUPTIONS
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import compare_maps

CLIP = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def data(folder, tmp_path_factory):
    """Records with frames, and without."""
    root = tmp_path_factory.mktemp("robustness")
    for keep in (True, False):
        recipe = Recipe(
            image_size=16, clips_per_video=1, method="harmonic", keep_frames=keep
        )
        prepare.prepare("synthetic", folder / "videos", root / str(keep), recipe)
    return nf.open_data(root / "True"), nf.open_data(root / "False")


@pytest.fixture(scope="module")
def evaluated(data):
    net = nf.nets.build("cdn", width=1 / 32, map_size=8)
    model = nf.train(data[0], net, target="dom_m", steps=2, batch_size=4)
    return nf.evaluate(model, data[0], target="dom_m")


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_first_level_changes_nothing_and_the_others_do(name):
    one = CORRUPTIONS[name]
    np.testing.assert_array_equal(one.apply(CLIP, one.levels[0]), CLIP)
    distances = []
    for level in one.levels[1:]:
        found = one.apply(CLIP, level)
        assert found.shape == CLIP.shape and found.dtype == np.uint8
        distances.append(np.abs(found.astype(int) - CLIP).mean())
    assert min(distances) > 0
    assert len(set(distances)) == len(distances)


def test_frames_are_held_until_the_next_one():
    frames = np.arange(7, dtype=np.uint8)[:, None, None, None]
    held = {n: corruptions.hold(frames, n).ravel().tolist() for n in (1, 2, 3, 4, 6)}
    assert held == {
        1: [0, 1, 2, 3, 4, 5, 6],
        2: [0, 0, 2, 2, 4, 4, 6],
        3: [0, 0, 0, 3, 3, 3, 6],
        4: [0, 0, 2, 2, 2, 2, 6],
        6: [0, 0, 0, 0, 0, 0, 6],
    }


def test_the_others_are_their_definitions():
    found = corruptions.brighten(CLIP, 1.5)
    np.testing.assert_array_equal(found, np.minimum(np.rint(CLIP * 1.5), 255))
    found = corruptions.shift(CLIP, 0.25)
    np.testing.assert_array_equal(found[:, 4:, 4:], CLIP[:, :12, :12])
    np.testing.assert_array_equal(found[:, 0, 4:], CLIP[:, 0, :12])
    found = corruptions.downsample(CLIP, 0.5)
    small = CLIP.reshape(7, 8, 2, 8, 2, 3).mean((2, 4))
    inside = found[:, 1:-1, 1:-1].reshape(7, 7, 2, 7, 2, 3).mean((2, 4))
    middle = (small[:, :-1] + small[:, 1:]) / 2
    middle = (middle[:, :, :-1] + middle[:, :, 1:]) / 2
    np.testing.assert_allclose(inside, middle, atol=1.5)
    red = np.zeros((1, 16, 16, 3), np.uint8)
    red[..., 0] = 200
    coded = corruptions.jpeg(red, 90)
    assert abs(coded.astype(int) - red).max() < 12  # colors keep their order
    spot = np.zeros((1, 17, 17, 3), np.uint8)
    spot[0, 8, 8] = 255
    np.testing.assert_array_equal(
        corruptions.blur(spot, 1.0)[0], cv2.GaussianBlur(spot[0], (0, 0), 1.0)
    )


def test_the_clean_point_is_the_evaluation(data, evaluated):
    names = ["frame_rate", "brightness"]
    found = nf.robustness(
        evaluated.model, data[0], target="dom_m", corruptions=names, batch_size=5
    )
    assert [p.corruption for p in found.points] == [
        name for name in names for _ in CORRUPTIONS[name].levels
    ]
    table = evaluated.scores.take(evaluated.scores.split == "test")
    videos = evaluation.by_video(table)
    for name in names:
        clean = next(p for p in found.points if p.corruption == name)
        assert clean.hter == evaluated.result.test.hter
        assert clean.auc == evaluated.result.auc
        assert clean.live == pytest.approx(videos.score[videos.label == 1].mean())
        assert clean.spoof == pytest.approx(videos.score[videos.label == 0].mean())
        others = [p for p in found.points if p.corruption == name][1:]
        assert all(p.live != clean.live for p in others)
    assert len(repr(found).splitlines()) == 1 + len(found.points)
    assert "<svg" in found.picture().data.decode() and "<img" in found._repr_html_()


def test_wrong_arguments_are_named(data, evaluated):
    with pytest.raises(InputError, match="expected records with the frames"):
        nf.robustness(evaluated.model, data[1], target="dom_m")
    with pytest.raises(InputError, match=r"corruptions: .* one of 'blur'"):
        nf.robustness(evaluated.model, data[0], target="dom_m", corruptions=["blurr"])
    with pytest.raises(InputError, match="learned from"):
        nf.robustness(evaluated.model, data[0], target="dom_o")
    with pytest.raises(InputError, match="expected a threshold"):
        nf.robustness(
            nf.train(data[0], evaluated.model.network, target="dom_m", steps=1),
            data[0],
            target="dom_m",
        )


def test_calibration_keeps_the_verdicts(evaluated):
    found = evaluated.calibrate()
    table = evaluated.scores.take(evaluated.scores.split == "test")
    probability = found.probability(table.score)
    accepted = table.score >= evaluated.result.threshold
    np.testing.assert_array_equal(probability >= 0.5, accepted)
    assert found.after.count.sum() == evaluated.result.test_counts.videos
    assert "temperature" in repr(found) and "<img" in found._repr_html_()


def _shapes(model):
    """Shapes of the features of a network on still images."""
    net = nf.nets.from_description(model.network)

    def predict(params, batch_stats, images):
        given = {"params": params, "batch_stats": batch_stats}
        return net.apply(given, images, train=False)

    images = np.zeros((1, *model.image_shape), np.float32)
    return nf.nets.feature_shapes(predict, model.params, model.batch_stats, images)


def test_maps_are_compared_on_the_hardest_videos(data, evaluated):
    net = nf.nets.build("depthnet", width=1 / 32, map_size=8)
    model = nf.train(data[0], net, target="dom_m", steps=1, batch_size=4)
    other = nf.evaluate(model, data[0], target="dom_m")
    both = [evaluated, other]
    picture = nf.compare_maps(both, data[0], attack_types=["replay"], examples=1)
    assert "cdn, depthnet" in picture.alt and picture.data.startswith(b"\x89PNG")
    one = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
    view = dataclasses.replace(other.model.view, target="location")
    moved = dataclasses.replace(model, view=view)
    third = dataclasses.replace(other, model=moved)
    picture = nf.compare_maps(
        {"depth": evaluated, "place": third},
        data[0],
        attack_types=["replay"],
        examples=1,
    )
    assert "depth, place" in picture.alt
    two = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
    assert one.shape[0] == two.shape[0]
    assert one.shape[1] < two.shape[1]  # a column of targets more
    picture = nf.compare_layers(both, data[0], attack_types=["replay"], toward="spoof")
    most = nf.nets.last_layers(_shapes(evaluated.model))
    assert len(most) > len(nf.nets.last_layers(_shapes(model)))  # with its pooling
    assert picture.alt.endswith(", ".join(most))
    drawn = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape[1] > one.shape[1] * (len(most) + 2) / 5
    test = [compare_maps._with_maps(one) for one in both]
    assert set(test[0].clip.tolist()) == set(evaluated.maps)
    margin = sum(
        table.score - one.result.threshold
        for table, one in zip(test, both, strict=True)
    )
    live = compare_maps._hardest(
        test[0], np.where(test[0].label == 1, margin, -margin), "live", 1
    )
    assert margin[live[0]] == min(margin[test[0].label == 1])
    with pytest.raises(InputError, match=r"evaluated: .* got \[\]"):
        nf.compare_maps([], data[0])
    with pytest.raises(InputError, match=r"attack_types: .* one of 'print'"):
        nf.compare_maps(both, data[0], attack_types=["replayy"])
    elsewhere = nf.evaluate(
        nf.train(data[0], net, target="dom_o", steps=1, batch_size=4),
        data[0],
        target="dom_o",
    )
    with pytest.raises(InputError, match="evaluations of the same clips"):
        nf.compare_maps([evaluated, elsewhere], data[0])
