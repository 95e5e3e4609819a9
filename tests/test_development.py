"""The development error over a training, and the model chosen by it."""

import json

import numpy as np
import pytest

import nasfas_jax as nf
from nasfas_jax import evaluation, synthetic
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.preparation import prepare
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import train as training

SETTINGS = {
    "target": "dom_m",
    "steps": 6,
    "batch_size": 4,
    "learning_rate": 0.02,
    "log_every": 1,
    "save_every": 2,
    "development_every": 1,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("development")
    synthetic.write_videos(
        root / "videos", subjects_per_domain=(1, 2, 1), live_videos=2, frames=8
    )
    recipe = Recipe(image_size=16, clips_per_video=1, method="harmonic")
    prepare.prepare("synthetic", root / "videos", root / "data", recipe)
    return nf.open_data(root / "data")


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Trainings that end with the last step, and with the best by development."""
    net, root = (
        nf.nets.build("cdn", width=1 / 32, map_size=8),
        tmp_path_factory.mktemp("run"),
    )
    last = nf.train(data, net, folder=root / "last", **SETTINGS)
    chosen = nf.train(data, net, folder=root / "best", select="development", **SETTINGS)
    return root, last, chosen


def errors(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["development_eer"] for line in lines}


def test_the_error_is_that_of_the_development_videos(data, runs):
    root, last, _ = runs
    found = errors(root / "last")
    assert list(found) == [1, 2, 3, 4, 5, 6]
    scores, labels, videos = [], [], []
    for batch, about in pipeline.eval_batches(
        data, domains=["dom_c", "dom_i", "dom_o"], split="development", view=last.view
    ):
        scores.append(last.scores(batch["image"])[batch["valid"]])
        labels.append(about["label"])
        videos.append(about["video"])
    assert len(np.unique(np.concatenate(videos))) == len(np.concatenate(scores))
    expected = evaluation.metrics.equal_error_rate(
        np.concatenate(scores), np.concatenate(labels)
    )
    assert found[6] == pytest.approx(expected)


def test_the_first_step_with_the_smallest_error_is_chosen(runs):
    root, last, chosen = runs
    found = errors(root / "best")
    assert found == errors(root / "last")
    assert len(set(found.values())) > 1
    assert chosen.steps == min(found, key=found.__getitem__)
    assert last.steps == 6
    assert training.trained_model(root / "best").steps == chosen.steps
    assert chosen.settings == last.settings | {"train.select": "development"}


def test_an_interrupted_training_chooses_the_same(data, runs, tmp_path):
    root, _, chosen = runs
    net = nf.nets.build("cdn", width=1 / 32, map_size=8)
    options = SETTINGS | {"select": "development"}
    nf.train(data, net, folder=tmp_path, **options | {"steps": 3})
    again = nf.train(data, net, folder=tmp_path, **options)
    assert again.steps <= 6 and errors(tmp_path).keys() == errors(root / "best").keys()
    once_more = nf.train(data, net, folder=tmp_path, **options)
    assert once_more.steps == again.steps
    assert chosen.results == {}


def test_scores_say_what_the_step_was_chosen_by(data, runs):
    _, last, chosen = runs
    assert nf.evaluate(chosen, data, target="dom_m").scores.selected_on == "development"
    assert nf.evaluate(last, data, target="dom_m").scores.selected_on is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"select": "best"}, "select: expected one of 'last', 'development'"),
        ({"select": "test"}, "select: expected one of 'last', 'development'"),
        (
            {"development_every": None, "select": "development"},
            "development_every: expected",
        ),
        ({"log_every": 2, "development_every": 3}, "a multiple of log_every, 2, got 3"),
        (
            {"development_every": 7, "select": "development"},
            "6 or less, the number of steps",
        ),
        ({"development_every": 0}, "development_every: expected"),
    ],
)
def test_wrong_settings_are_named(data, options, message):
    net = nf.nets.build("cdn", width=1 / 32, map_size=8)
    with pytest.raises(InputError, match=message):
        nf.train(data, net, **SETTINGS | options)
