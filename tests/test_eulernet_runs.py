"""EulerNet trained, evaluated and used by commands and by functions."""

import dataclasses
import json
import shutil

import cv2
import jax
import numpy as np
import optax
import pytest
import smoke

import nasfas_jax as nf
from nasfas_jax import losses, nets
from nasfas_jax.commands import checks
from nasfas_jax.data.loading import pipeline
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import model_card, registry
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


def test_every_score_follows_the_rule_of_the_network(workdir, config):
    model = nf.load(workdir / "train" / "eulernet" / "model")
    network = {**model.network, "score": "mean_square"}
    squared = dataclasses.replace(model, network=network)
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), np.uint8)
    seen = squared.predict(frames)
    np.testing.assert_allclose(seen.scores, (seen.maps**2).mean((1, 2)), rtol=1e-6)
    assert (model.predict(frames).scores != seen.scores).all()
    data = nf.open_data(workdir / "data")
    found = nf.evaluate(squared, data)
    tested = found.scores.take(found.scores.split == "test")
    expected = [(found.maps[clip] ** 2).mean() for clip in tested.clip]
    np.testing.assert_allclose(tested.score, expected, rtol=1e-6)
    curves = nf.robustness(found.model, data, corruptions=["blur"])
    assert curves.points[0].auc == pytest.approx(found.result.auc)
    with pytest.raises(
        InputError, match=r"score: expected one of 'mean', 'mean_square'"
    ):
        nets.build("eulernet", **TINY, score="max")


def test_maps_of_hard_videos_are_drawn_by_a_command(workdir, config, tmp_path, capsys):
    smoke.execute("maps", workdir, config, attack_types="print", output=tmp_path)
    assert f"wrote {tmp_path / 'maps.png'}: eulernet" in capsys.readouterr().out
    drawn = cv2.imread(str(tmp_path / "maps.png"))
    layers = cv2.imread(str(tmp_path / "layers.png"))  # with four layers between
    assert layers.shape[1] > 1.5 * drawn.shape[1]
    smoke.execute("maps", workdir, config)
    every = cv2.imread(str(workdir / "maps" / "maps.png"))  # of more attack types
    assert every.shape[1] == drawn.shape[1] and every.shape[0] > drawn.shape[0]
    with pytest.raises(InputError, match=r"--attack_types: .*Did you mean print"):
        smoke.execute("maps", workdir, config, attack_types="prints")
    with pytest.raises(
        InputError, match="--rows: expected a config with the section sw"
    ):
        smoke.execute("maps", workdir, config, rows="baseline")
    with pytest.raises(InputError, match="eulernet was not evaluated in"):
        smoke.execute("maps", tmp_path, config, data_dir=workdir / "data")


def test_a_file_is_explained_by_a_command(workdir, tmp_path, capsys):
    video = sorted((workdir / "videos").rglob("*.mp4"))[0]
    image = tmp_path / "face.png"
    cv2.imwrite(str(image), cv2.VideoCapture(str(video)).read()[1])
    smoke.execute("explain", workdir, input=video, output=tmp_path, layers="FCAM_0")
    said = capsys.readouterr().out
    assert "verdict: " in said and "  FCAM_0: 16 x 16" in said and "caveat" not in said
    smoke.execute("explain", workdir, input=image, output=tmp_path, toward="spoof")
    assert "caveat: nothing moves in 1 of 1 clips" in capsys.readouterr().out
    stem = video.name.replace(".", "_")
    written = ("layers.png", "motion.png", "motion.mp4")
    expected = {"face.png", "face_png_layers.png", *(f"{stem}_{x}" for x in written)}
    assert {path.name for path in tmp_path.iterdir()} == expected
    with pytest.raises(InputError, match=r"--layers: .* one of .*'FCAM_0'.*'FCAM_9'"):
        smoke.execute("explain", workdir, input=image, output=tmp_path, layers="FCAM_9")
    for flag, value in (("clips", "two"), ("factor", "-1"), ("band", "0.5,x")):
        with pytest.raises(InputError, match=f"^--{flag}: expected"):
            smoke.execute("explain", workdir, input=image, **{flag: value})


def test_an_unfinished_training_gives_its_last_checkpoint(workdir, tmp_path):
    shutil.copytree(workdir / "train" / "eulernet", tmp_path / "eulernet")
    shutil.rmtree(tmp_path / "eulernet" / "model")
    model = workflow.trained_model(tmp_path / "eulernet")
    assert (
        model.steps in (2, 3)
        and np.isfinite(model.maps(np.zeros((1, 4, 16, 16, 3), np.float32))).all()
    )


def test_front_door_and_defaults(workdir, config):
    data = nf.open_data(workdir / "data")
    # The settings of the run above, whose program is in the compilation cache.
    names = ("steps", "batch_size", "learning_rate", "decay", "weight_decay")
    model = nf.train(
        data,
        nets.build("eulernet", **TINY),
        **{name: config.train[name] for name in names},
    )
    assert (model.view.input, model.view.target) == ("frames", "location")
    trained = nf.load(workdir / "train" / "eulernet" / "model")
    assert model.network == trained.network
    jax.tree.map(np.testing.assert_array_equal, model.params, trained.params)
    net = nets.build("eulernet", **TINY, fcam=False)
    for target in ("binary", "depth"):
        view = pipeline.View(input="frames", target=target)
        other = nf.train(
            data, net, view=view, steps=1, batch_size=2, loss="depth", optimizer="adam"
        )
        assert other.network == nets.description_of(net)
        assert other.settings["train.optimizer"] == "adam"
        assert other.settings["train.loss"] == "depth"


def refusal(config, field, value):
    """The error about a field of the config."""
    changed = config.copy_and_resolve_references()
    changed.update_from_flattened_dict({field: value})
    with pytest.raises(InputError) as caught:
        checks.check(changed, command="train")
    return str(caught.value)


def test_what_does_not_fit_is_refused(workdir, config):
    data = nf.open_data(workdir / "data")
    eulernet, image = registry.describe("eulernet"), pipeline.View()
    with pytest.raises(
        InputError, match=r"target: expected one of .*'location'.*mean location\?"
    ):
        pipeline.View(input="frames", target="locaton")
    text = refusal(config, "train.view.target", "locaton")
    assert "config.train.view.target" in text and "Did you mean location?" in text
    text = refusal(config, "train.loss", "pixel_binary")
    assert text.startswith("config.train.loss: expected one of 'depth', 'l2' for euler")
    text = refusal(config, "data.keep_frames", False)
    assert text == (
        "config.data.keep_frames: expected True for eulernet, whose input is the frames of"
        " a clip, got False."
    )
    wrong = {
        "view.input: expected 'frames' for eulernet, whose input is the frames of a clip,"
        " got 'static_dynamic'": {"net": eulernet, "view": image},
        "view.input: expected 'static_dynamic', .* for cdn, whose input is one image": {
            "net": "cdn",
            "view": pipeline.View(input="frames"),
        },
        "loss: expected one of 'depth', 'l2', 'pixel_binary', got 'l1'": {
            "net": eulernet,
            "loss": "l1",
        },
        "loss: expected one of 'depth', 'l2' for eulernet, whose maps .* exceed 1": {
            "net": eulernet,
            "loss": "pixel_binary",
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


@pytest.fixture
def unstable(workdir):
    """The model with free filters, the first of them unstable."""
    model = nf.load(workdir / "train" / "eulernet" / "model")
    params = jax.tree.map(lambda x: x, model.params)
    for name in params:
        if name.startswith("FCAM"):
            params[name].pop("poles")
            params[name]["a"] = np.zeros(2, np.float32)
    params["FCAM_0"]["a"] = np.array([-2.5, 1.0], np.float32)
    network = {**model.network, "filters": "free"}
    return dataclasses.replace(model, network=network, params=params)


def test_unstable_filters_are_reported(unstable, workdir, config, monkeypatch, capsys):
    card = model_card.render(unstable)
    assert "The filter FCAM_0 is unstable (pole radius 2.000)" in card
    assert "maps the frames of a clip to a map whose mean is the score" in card
    assert "| train.optimizer | `ranger` |" in card
    monkeypatch.setattr(workflow, "train", lambda *_, **__: unstable)
    smoke.execute("train", workdir, config)
    assert (
        "eulernet: warning: the filter FCAM_0 is unstable, with pole radius 2.000"
        in capsys.readouterr().out
    )
    images = np.zeros((1, 4, 16, 16, 3), np.float32)
    assert np.isfinite(unstable.maps(images)).all()  # harmless on four frames
    layer = unstable.params["FCAM_0"]
    layer["kernel"] = np.full_like(layer["kernel"], np.nan)
    with pytest.raises(InputError, match=r"Unstable filters.*'FCAM_0': 2.0.*'stable'"):
        unstable.maps(images)


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
        train, development, test = config.synthetic.subjects_per_domain
        assert train == 3 * development == 3 * test
    with pytest.raises(
        InputError,
        match=r"variant: expected .*'c5', .* got 'baselin'.* mean baseline\?",
    ):
        smoke.config("eulernet", "baselin")
