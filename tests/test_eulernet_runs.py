"""EulerNet trained, evaluated and used by commands and by functions."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import optax
import pytest
import smoke

import nasfas_jax as nf
from nasfas_jax import losses, nets
from nasfas_jax.data.loading import pipeline
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import registry
from nasfas_jax.workflows import train as workflow

TINY = {"width": 1 / 16, "units": [1, 1, 1, 1, 1], "map_size": 8}


@pytest.fixture(scope="module")
def config():
    return smoke.config("eulernet")


@pytest.fixture(scope="module")
def workdir(config, tmp_path_factory):
    """The folder of a run of all commands."""
    folder = tmp_path_factory.mktemp("eulernet")
    for command in ("prepare", "train", "evaluate"):
        smoke.execute(command, folder, config)
    return folder


def test_commands_train_and_evaluate_on_clips(workdir, config):
    folder = workdir / "train" / "eulernet"
    model = nf.load(folder / "model")
    assert model.name == "eulernet" and model.steps == 3
    assert model.image_shape == (4, 16, 16, 3)
    assert (model.view.input, model.view.target) == ("frames", "location")
    assert np.isfinite(model.threshold.value)
    settings = json.loads((folder / "record.json").read_text())["settings"]
    assert "train.optimizer" not in settings  # Ranger is EulerNet's own
    with np.load(workdir / "evaluate" / "eulernet" / "examples.npz") as examples:
        # The report shows the location map, and the current frame as the input.
        assert set(np.unique(examples["target"])) == {0.0, 1.0}
        assert examples["target"].shape == examples["predicted"].shape
        np.testing.assert_array_equal(examples["input"], examples["static"])
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), np.uint8)
    prediction = model.predict(frames)
    inputs = model.preprocess(frames)
    np.testing.assert_allclose(prediction.scores, model.scores(inputs), atol=1e-6)
    assert prediction.picture().uri
    video = sorted((workdir / "videos").rglob("*.mp4"))[0]
    assert np.isfinite(nf.load(folder / "model").predict(video, clips=2).score)


def test_an_unfinished_training_gives_its_last_checkpoint(workdir, tmp_path):
    shutil.copytree(workdir / "train" / "eulernet", tmp_path / "eulernet")
    shutil.rmtree(tmp_path / "eulernet" / "model")
    model = workflow.trained_model(tmp_path / "eulernet")
    assert (
        model.steps in (2, 3)
        and np.isfinite(model.maps(np.zeros((1, 4, 16, 16, 3), np.float32))).all()
    )


def test_front_door_and_defaults(workdir):
    data = nf.open_data(workdir / "data")
    net = nets.build("eulernet", **TINY, fcam=False)
    model = nf.train(data, net, steps=1, batch_size=2)
    assert (model.view.input, model.view.target) == ("frames", "location")
    assert model.network == nets.description_of(net)
    for target in ("binary", "depth"):
        view = pipeline.View(input="frames", target=target)
        other = nf.train(
            data, net, view=view, steps=1, batch_size=2, loss="depth", optimizer="adam"
        )
        assert other.settings["train.optimizer"] == "adam"
        assert other.settings["train.loss"] == "depth"


def test_what_does_not_fit_is_refused(workdir):
    data = nf.open_data(workdir / "data")
    eulernet, image = registry.describe("eulernet"), pipeline.View()
    wrong = {
        "view.input: expected 'frames' for eulernet, whose input is the frames of a clip,"
        " got 'static_dynamic'": {"net": eulernet, "view": image},
        "view.input: expected 'static_dynamic', .* for cdn, whose input is one image": {
            "net": "cdn",
            "view": pipeline.View(input="frames"),
        },
        "loss: expected one of 'depth', 'l2', got 'l1'": {
            "net": eulernet,
            "loss": "l1",
        },
        "optimizer: expected one of 'adam', 'ranger'": {
            "net": eulernet,
            "optimizer": "sgd",
        },
    }
    for message, options in wrong.items():
        with pytest.raises(InputError, match=message):
            nf.train(data, options.pop("net"), steps=1, batch_size=2, **options)
    method = registry.describe("binary_cnn", domains=2)
    with pytest.raises(InputError, match="loss: expected None for binary_"):
        registry.make_method(method, optax.identity(), losses.pixel_mse)


def test_maps_that_are_not_finite_name_the_unstable_filters(workdir):
    model = nf.load(workdir / "train" / "eulernet" / "model")
    params = jax.tree.map(lambda x: x, model.params)
    layer = params["FCAM_0"]
    layer |= {"a": np.array([-2.5, 1.0], np.float32)}
    layer["kernel"] = np.full_like(layer["kernel"], np.nan)
    options = {**model.network, "filters": "free"}
    for name in params:
        if name.startswith("FCAM"):
            params[name].pop("poles")
            params[name].setdefault("a", np.zeros(2, np.float32))
    broken = dataclasses.replace(model, network=options, params=params)
    with pytest.raises(InputError, match=r"Unstable filters.*'FCAM_0': 2.0.*'stable'"):
        broken.maps(np.zeros((1, 4, 16, 16, 3), np.float32))


def test_the_rows_of_table_1():
    rows = {
        "c1": ("binary", True, True),
        "c2": ("depth", False, False),
        "c3": ("location", True, False),
        "c4": ("location", False, True),
        "c5": ("depth", True, True),
        "baseline": ("location", True, True),
    }
    for name, row in rows.items():
        config = smoke.config("eulernet", name)
        euler = config.eulernet
        assert (config.train.view.target, euler.fcam, euler.pyramid) == row
        assert config.synthetic.frames > 24
    with pytest.raises(InputError, match=r"variant: expected .* got 'c6'"):
        smoke.config("eulernet", "c6")
