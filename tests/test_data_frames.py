"""Clips at an interval, and records that keep the frames of their clips."""

import csv
import dataclasses
import itertools

import cv2
import numpy as np
import pytest
from media import level, write_video
from models import make_model

from nasfas_jax import nets
from nasfas_jax.commands import relations
from nasfas_jax.data.datasets import sources
from nasfas_jax.data.loading import augment, pipeline, views
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import builder, extract, faces, prepare, sampling
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import model_card, predict, train

EULER = Recipe(
    image_size=16,
    frames=4,
    interval=3,
    keep_frames=True,
    clips_per_video=3,
    sampling="non_overlapping",
    eval_sampling="non_overlapping",
    method="harmonic",
)
VIEW = pipeline.View(input="frames", map_size=4)


class Fixed:
    """Finds the same face box in every frame."""

    name = "fixed"

    def __call__(self, image):
        del image
        return faces.Face(np.array([20.0, 8, 24, 30]))


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Videos of 32 frames and one of 9, less than the span of a clip, which is 10."""
    root = tmp_path_factory.mktemp("own")
    for name in ("live/ann", "live/bob", "spoof/print/dan", "spoof/print/eve"):
        write_video(root / f"train/{name}.avi", 32)
    write_video(root / "train/live/short.avi", 9)
    return root


def prepared(collection, folder, recipe):
    return prepare.prepare(
        "own_data", collection, folder, recipe, detector=Fixed(), workers=1
    )


@pytest.fixture(scope="module")
def folder(collection, tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    prepared(collection, out, EULER)
    return out


@pytest.mark.parametrize("total", [10, 19, 20, 29, 30, 31, 33, 47, 100])
@pytest.mark.parametrize("clips", [1, 2, 3, 8])
def test_non_overlapping_clips_share_no_frame(total, clips):
    ends = sampling.clip_ends("non_overlapping", total, clips, frames=4, interval=3)
    assert len(ends) == min(clips, total // 10)
    assert all(later - end >= 10 for end, later in itertools.pairwise(ends))
    assert ends[0] >= 9 and ends[-1] == total - 1


@pytest.mark.parametrize("rule", sampling.RULES)
def test_every_rule_leaves_room_for_the_span_of_a_clip(rule):
    for total in (10, 11, 40):
        ends = sampling.clip_ends(rule, total, 3, frames=4, interval=3)
        assert ends and ends[0] >= 9 and ends[-1] < total


@pytest.mark.parametrize("interval", [1, 2, 3])
def test_frames_of_a_clip_are_an_interval_apart(tmp_path, interval):
    path = write_video(tmp_path / "a.avi", 32)
    ends = [3 * interval, 3 * interval + 1, 31]
    clips = video.read_clips(path, lambda _: ends, 4, interval=interval)
    seen = {end: [level(image) for image in images] for end, images in clips}
    assert seen == {
        end: [end - i * interval for i in (3, 2, 1, 0)] for end in sorted(set(ends))
    }


def test_an_annotated_box_is_the_median_over_the_frames_of_the_clip(collection):
    boxes = np.repeat([[20.0, 8, 24, 30]], 32, 0)
    boxes[::3, 0] = 14  # the frames 0, 3, 6, 9 are those of the first clip
    annotation = sources.Annotation(boxes)
    source = next(
        one for one in sources.list_videos("own_data", collection) if "bob" in one.video
    )
    source = dataclasses.replace(source, annotation=lambda _: annotation)
    arrays = extract.extract(source, EULER, Fixed()).arrays
    assert arrays["frame"].tolist() == [9, 20, 31]
    assert arrays["box"][:, 0].tolist() == [14, 20, 20]


def test_records_keep_the_frames_of_their_clip(folder, collection, tmp_path):
    kept = [r for s in pipeline.open_dataset(folder).splits.values() for r in s.source]
    assert len(kept) == 12
    for record in kept:
        assert record["frames"].shape == (4, 16, 16, 3)
        np.testing.assert_array_equal(record["frames"][-1], record["static"])
        levels = [level(frame) for frame in record["frames"]]
        assert levels == [record["frame"] - i for i in (9, 6, 3, 0)]
    prepared(collection, tmp_path, dataclasses.replace(EULER, keep_frames=False))
    splits = pipeline.open_dataset(tmp_path).splits.values()
    plain = [record for split in splits for record in split.source]
    for record, other in zip(kept, plain, strict=True):
        assert record.keys() - other.keys() == {"frames"}
        for name in other:
            np.testing.assert_array_equal(record[name], other[name])


def test_the_manifest_names_videos_shorter_than_a_clip(folder):
    with (folder / prepare.MANIFEST).open(newline="") as file:
        rows = {row["video"]: row for row in csv.DictReader(file)}
    [short] = [row for row in rows.values() if row["status"] != prepare.OK]
    assert short["video"].endswith("short.avi")
    assert short["reason"] == (
        "9 frames, but a clip needs 10 (4 frames at an interval of 3)"
    )


def test_the_default_recipe_has_the_hash_that_it_had_without_these_fields():
    smoke = Recipe(image_size=16, clips_per_video=2, method="harmonic")
    assert (Recipe().hash, smoke.hash) == ("d6f80622a8", "f590304ca9")
    others = (dataclasses.replace(smoke, interval=2), EULER)
    assert len({one.hash for one in (smoke, *others)}) == 3
    assert "frames" not in builder.image_shapes(smoke)


def test_batches_show_the_frames_of_clips(folder):
    data = pipeline.open_dataset(folder, keep_frames=True, interval=3)
    options = {"view": pipeline.View(input="frames", map_size=4), "split": "train"}
    batch = next(pipeline.train_batches(data, batch_size=4, augment="none", **options))
    assert batch["image"].shape == (4, 4, 16, 16, 3)
    split = data.splits["train"]
    frames = split.load(np.arange(len(split)), ["frames"])["frames"]
    for image in batch["image"]:
        assert any(np.array_equal(image, views.scale(clip)) for clip in frames)
    both = pipeline.View(input="frames", color="rgb_hsv")
    shown = views.network_input({"frames": frames}, both)
    static = dataclasses.replace(both, input="static")
    for i in range(4):
        expected = views.network_input({"static": frames[:, i]}, static)
        np.testing.assert_array_equal(shown[:, i], expected)


@pytest.mark.parametrize("recipe", augment.RECIPES)
def test_augmentation_changes_all_frames_of_a_clip_alike(recipe):
    random = np.random.default_rng(0)
    clips = random.uniform(-1, 1, (12, 4, 16, 16, 3)).astype(np.float32)
    target = random.uniform(0, 1, (12, 8, 8)).astype(np.float32)

    def augmented(image):
        batch = {"image": image.copy(), "target": target}
        return augment.augmented(batch, recipe, np.random.default_rng(1))

    changed = augmented(clips)
    for i in range(4):
        expected = augmented(clips[:, i])
        np.testing.assert_array_equal(changed["image"][:, i], expected["image"])
        np.testing.assert_array_equal(changed["target"], expected["target"])


def maps_of(clips):
    """A network of clips: squared differences of frames, so that their order counts."""
    assert clips.shape[1:] == (4, 16, 16, 3)
    weights = np.arange(1, 4, dtype=np.float32)[:, None, None, None]
    return (weights * np.diff(clips, axis=1) ** 2).sum(1).mean(-1)[:, ::4, ::4]


def test_prepared_clips_and_predict_give_the_same_scores(folder, collection):
    data = pipeline.open_dataset(folder)
    path = collection / "train/live/ann.avi"
    of_file = predict.predict_file(
        path, maps_of, EULER, VIEW, Fixed(), score=nets.score
    )
    assert of_file.frames.tolist() == [9, 20, 31] and of_file.scores.min() > 0
    recorded = {}
    for split in data.splits:
        if not len(data.splits[split]):
            continue
        for batch, rows in pipeline.eval_batches(
            data, split=split, batch_size=1, view=VIEW
        ):
            if rows["video"][0].endswith("live/ann.avi"):
                recorded[int(rows["frame"][0])] = maps_of(batch["image"])[0]
    np.testing.assert_array_equal(of_file.frames, sorted(recorded))
    np.testing.assert_array_equal(of_file.maps, [recorded[f] for f in of_file.frames])
    samples = list(extract.sample_video(path, EULER, Fixed(), predict.CLIPS))
    crops = np.stack([sample.frames for sample in samples])
    of_crops = predict.predict_clips(crops, maps_of, EULER, VIEW, score=nets.score)
    np.testing.assert_array_equal(of_crops.maps, of_file.maps)
    np.testing.assert_array_equal(
        nets.score(maps_of(views.preprocess(crops, EULER, VIEW))), of_file.scores
    )
    assert of_file.picture().width > 0


def test_frames_that_the_records_do_not_hold_are_refused(folder, tmp_path, collection):
    recipe = dataclasses.replace(EULER, keep_frames=False)
    prepared(collection, tmp_path, recipe)
    data = pipeline.open_dataset(tmp_path)
    crops = np.zeros((1, 4, 16, 16, 3), np.uint8)
    for call in (
        lambda: pipeline.train_batches(data, view=VIEW),
        lambda: pipeline.episodes(data, view=VIEW, by="macro_type"),
        lambda: next(pipeline.eval_batches(data, view=VIEW)),
        lambda: views.preprocess(crops, recipe, VIEW),
        lambda: train.train(data, "eulernet", steps=1),
    ):
        with pytest.raises(
            InputError,
            match=r"view\.input: expected data with the frames of clips .*"
            r"keep_frames=True \(config\.data\.keep_frames\) into another folder",
        ):
            call()
    with pytest.raises(InputError, match="interval: 3 in the folder, 1 requested"):
        pipeline.open_dataset(folder, interval=1)


def test_a_video_shorter_than_a_clip_is_refused(collection):
    path = collection / "train/live/short.avi"
    with pytest.raises(
        InputError,
        match=r"short\.avi: 9 frames, but a clip needs 10 \(4 frames at an interval of 3\)"
        r"\. Nothing was predicted",
    ):
        predict.predict_file(path, maps_of, EULER, VIEW, Fixed(), score=nets.score)


def test_frames_of_two_sizes_are_refused(tmp_path):
    """In a folder of pictures; of a file, OpenCV scales the frames to the first size."""
    for i in range(32):
        image = np.full((72, 96, 3) if i < 20 else (144, 192, 3), 80 + i, np.uint8)
        cv2.imwrite(str(tmp_path / f"{i}.png"), image)
    reason = (
        r"the size of the frames changes: frame 0 has 96 x 72 pixels, frame 20 has"
        r" 192 x 144; cut or convert"
    )
    with pytest.raises(InputError, match=f"{reason}.*Nothing was predicted"):
        predict.predict_file(
            tmp_path, maps_of, EULER, VIEW, Fixed(), score=nets.score, clips=3
        )
    with pytest.raises(video.VideoError, match=reason):
        list(video.read_frames(tmp_path))


def test_networks_of_single_images_refuse_clips(folder):
    data = pipeline.open_dataset(folder)
    with pytest.raises(InputError, match=r"view\.input: .*for cdn, .*'frames'"):
        train.train(data, "cdn", steps=1, view=VIEW)
    config = {"input": "frames", "color": "rgb", "target": "depth"}
    problems = relations.network_rules({"train": {"view": config}}, ["cdn"])
    assert "config.train.view.input" in next(iter(problems))


def test_an_interval_appears_on_the_card_of_a_model():
    recipe = Recipe(image_size=16, frames=4, interval=3)
    assert "4 frames, each 3 apart" in model_card.render(make_model(recipe=recipe))
