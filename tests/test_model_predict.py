"""Predictions of a model on files and clips, equal to those on prepared records."""

import dataclasses
import pathlib

import cv2
import numpy as np
import pytest
from models import RECIPE, THRESHOLD, make_model

from nasfas_jax import synthetic
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import extract, faces, prepare
from nasfas_jax.errors import InputError
from nasfas_jax.synthetic.dataset import write_one
from nasfas_jax.workflows import predict

VIEWS = {
    "static_dynamic": pipeline.View(map_size=4),
    "static": pipeline.View(input="static", color="rgb_hsv", map_size=4),
    "dynamic": pipeline.View(input="dynamic", pixels="unit", map_size=4),
}


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """A user's collection of one live and one spoof video."""
    root = tmp_path_factory.mktemp("own")
    specs = synthetic.plan(
        subjects_per_domain=(1, 0, 0), live_videos=1, attacks=("print",), frames=12
    )[:2]
    for spec, place in zip(specs, ("live/ann", "spoof/print/bob"), strict=True):
        path = root / f"{place}{spec.suffix}"
        path.parent.mkdir(parents=True)
        write_one(spec, path)
    return root


@pytest.fixture(scope="module")
def clip_file(collection) -> pathlib.Path:
    [path] = [p for p in (collection / "live").iterdir() if p.suffix in video.VIDEOS]
    return path


@pytest.fixture(scope="module")
def data(collection, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    prepare.prepare("own_data", collection, folder, RECIPE, workers=1)
    return pipeline.open_dataset(folder)


@pytest.mark.parametrize("name", VIEWS)
def test_prepared_records_and_predict_give_the_same_scores(data, clip_file, name):
    view = VIEWS[name]
    model = make_model(view=view)
    prediction = model.predict(clip_file, clips=RECIPE.clips_per_video)
    recorded = {}
    for split in data.splits:
        if not len(data.splits[split]):
            continue
        batches = pipeline.eval_batches(data, split=split, batch_size=1, view=view)
        for batch, about in batches:
            if about["label"][0] == 1:
                recorded[int(about["frame"][0])] = model.maps(batch["image"])[0]
    assert sorted(recorded) == prediction.frames.tolist()
    np.testing.assert_array_equal(
        prediction.maps, [recorded[frame] for frame in sorted(recorded)]
    )
    np.testing.assert_array_equal(prediction.scores, prediction.maps.mean((1, 2)))


def test_a_file_and_its_crops_give_the_same_prediction(clip_file):
    model = make_model().with_evaluation(THRESHOLD, {})
    of_file = model.predict(clip_file, clips=3)
    samples = list(extract.sample_video(clip_file, RECIPE, faces.Haar(), 3))
    crops = np.stack([sample.frames for sample in samples])
    of_crops = model.predict(crops)
    np.testing.assert_array_equal(of_crops.maps, of_file.maps)
    assert of_crops.boxes is None and of_crops.seconds is None
    assert of_file.boxes.shape == (3, 4) and of_file.crops.shape == (3, 3)
    np.testing.assert_allclose(of_file.seconds, of_file.frames / 25, atol=1e-3)
    assert of_file.name == clip_file.name and not of_file.still.any()
    one = model.predict(crops[0])
    np.testing.assert_array_equal(one.maps, of_file.maps[:1])
    seen = model.preprocess(crops[None])
    assert seen.shape == (1, 3, 16, 16, 3) and seen.dtype == np.float32
    np.testing.assert_array_equal(model.maps(seen[0][:1]), of_file.maps[:1])


def make_prediction(**fields):
    count = len(fields.get("scores", [0, 0]))
    given = {
        "name": "a<b>.mp4",
        "frames": np.arange(count) + 6,
        "scores": np.array([0.25, 0.75]),
        "maps": np.zeros((count, 4, 4)),
        "still": np.array([False, True]),
        "images": dict.fromkeys(
            ("static", "dynamic", "image"), np.zeros((count, 8, 8, 3), np.uint8)
        ),
        **fields,
    }
    return predict.Prediction(**given)


@pytest.mark.parametrize(
    ("threshold", "verdict", "verdicts"),
    [
        (None, None, [None, None]),
        (0.5, "live", ["spoof", "live"]),
        (0.500001, "spoof", ["spoof", "live"]),
        (0.9, "spoof", ["spoof", "spoof"]),
    ],
)
def test_verdicts_follow_the_threshold(threshold, verdict, verdicts):
    prediction = make_prediction(threshold=threshold)
    assert prediction.score == 0.5
    assert (prediction.verdict, prediction.verdicts) == (verdict, verdicts)


def test_a_prediction_is_shown_in_terminals_and_notebooks():
    prediction = make_prediction(threshold=0.4)
    assert repr(prediction) == (
        "<Prediction a<b>.mp4: live, mean score 0.5000 over 2 clips, threshold 0.4000,"
        " nothing moves in 1>"
    )
    text = prediction._repr_html_()
    assert "a&lt;b&gt;.mp4: live" in text and "data:image/png;base64," in text
    assert "<td>6</td><td></td><td>0.2500</td><td>spoof</td><td></td>" in text
    assert "<td>7</td><td></td><td>0.7500</td><td>live</td><td>yes</td>" in text
    timed = make_prediction(times=np.arange(9) / 25)._repr_html_()
    assert "no verdict" in timed and "<td>0.240</td>" in timed


def still(path):
    image = np.random.default_rng(0).integers(60, 255, (48, 64, 3), np.uint8)
    cv2.imwrite(str(path), image)
    return path


class Anywhere:
    """Sees a face in every picture."""

    name = "anywhere"

    def __call__(self, image):
        del image
        return faces.Face(np.array([20.0, 8, 24, 30]))


def test_a_folder_of_frames_is_a_video(clip_file, tmp_path):
    model = make_model()
    of_file = model.predict(clip_file, clips=3)
    for i, frame in enumerate(video.read_frames(clip_file)):
        cv2.imwrite(str(tmp_path / f"{i}.png"), frame)  # 2.png before 10.png
    of_folder = model.predict(tmp_path, clips=3)
    np.testing.assert_array_equal(of_folder.frames, of_file.frames)
    np.testing.assert_array_equal(of_folder.scores, of_file.scores)
    assert of_folder.name == tmp_path.name and of_folder.seconds is None
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="the folder holds no pictures"):
        model.predict(tmp_path / "empty")


def test_a_still_is_marked_or_refused(tmp_path):
    path = still(tmp_path / "a.png")
    prediction = make_model().predict(path, detector=Anywhere())
    assert prediction.still.tolist() == [True]
    dynamic = make_model(view=VIEWS["dynamic"])
    with pytest.raises(InputError, match=r"nothing moves in it.*Nothing was predicted"):
        dynamic.predict(path, detector=Anywhere())


def test_wrong_input_is_refused(tmp_path, clip_file):
    model = make_model()
    with pytest.raises(InputError, match=r"There is no .*b\.mp4"):
        model.predict(tmp_path / "b.mp4")
    with pytest.raises(
        InputError, match=r"no face found.*Nothing was predicted\. YuNet"
    ):
        model.predict(still(tmp_path / "a.png"))
    with pytest.raises(InputError, match="clips: expected an integer of 1 or more"):
        model.predict(clip_file, clips=0)
    for frames in (
        np.zeros((1, 5, 16, 16, 3), np.uint8),
        np.zeros((1, 7, 16, 16, 3), np.float32),
        np.zeros((7, 32, 32, 3), np.uint8),
        np.zeros((16, 16, 3), np.uint8),
    ):
        for call in (model.predict, model.preprocess):
            with pytest.raises(InputError, match=r"expected RGB face crops, uint8 \["):
                call(frames)
    with pytest.raises(InputError, match="expected one clip or more, got none"):
        model.predict(np.zeros((0, 7, 16, 16, 3), np.uint8))


def test_another_detector_of_the_training_data_has_to_be_given(clip_file):
    recipe = dataclasses.replace(RECIPE, detector="yunet:0123abcd")
    model = make_model(recipe=recipe)
    with pytest.raises(InputError, match=r"detector: .* 'yunet:0123abcd'.*got none"):
        model.predict(clip_file)
    assert len(model.predict(clip_file, detector=faces.Haar(), clips=1).scores) == 1
