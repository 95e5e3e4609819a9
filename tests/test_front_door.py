"""The Python entry: open, search, train, evaluate, save, load, predict."""

import json
import subprocess
import sys

import numpy as np
import pytest

import nasfas_jax as nf
from nasfas_jax import synthetic
from nasfas_jax.data.preparation import prepare
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError

TINY = {"stem_channels": 4, "channels": 4, "head_channels": 4, "partial": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Synthetic videos and their prepared records."""
    root = tmp_path_factory.mktemp("front")
    synthetic.write_videos(
        root / "videos", subjects_per_domain=(1, 1, 1), live_videos=1, frames=10
    )
    recipe = Recipe(image_size=16, clips_per_video=2, method="harmonic")
    prepare.prepare("synthetic", root / "videos", root / "data", recipe)
    return root


@pytest.fixture(scope="module")
def data(folder):
    return nf.open_data(folder / "data")


@pytest.fixture(scope="module")
def model(data):
    net = nf.nets.build("cdn", theta=0.3, width=1 / 32)
    return nf.train(data, net, target="dom_m", steps=2, batch_size=4)


def test_import_is_light():
    script = "import sys, nasfas_jax; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
    assert set(nf.__all__) <= set(dir(nf))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nf.nothing


def test_search_gives_a_network_and_where_it_learned(data):
    space = nf.spaces.get("nas_fas", pool="max", **TINY)
    found = nf.search_architecture(
        data, space, target="dom_m", steps=2, alphas_from=1, batch_size=2
    )
    assert found.net.genotype == found.genotype
    assert found.learned.domains == ["dom_c", "dom_i", "dom_o"]
    assert [line["step"] for line in found.metrics][-1] == 2
    assert repr(found).startswith("low: ")


def test_model_evaluates_saves_loads_and_predicts(folder, data, model, tmp_path):
    assert model.network["theta"] == 0.3
    assert model.learned.domains == ["dom_c", "dom_i", "dom_o"]
    evaluated = nf.evaluate(model, data, target="dom_m")
    assert evaluated.model.threshold.value == evaluated.result.threshold
    assert evaluated.model.threshold.domains == ["dom_c", "dom_i", "dom_o"]
    assert set(evaluated.scores.domain[evaluated.scores.split == "test"]) == {"dom_m"}
    assert "HTER" in repr(evaluated)
    evaluated.roc().save(tmp_path / "roc.svg")
    assert (tmp_path / "roc.svg").stat().st_size > 1000
    evaluated.model.save(tmp_path / "model")
    loaded = nf.load(tmp_path / "model")
    again = nf.evaluate(loaded, data, target="dom_m")
    np.testing.assert_array_equal(again.scores.score, evaluated.scores.score)
    description = json.loads((tmp_path / "model" / "model.json").read_text())
    assert "dom_m" in description["results"]
    video = next((folder / "videos").rglob("*.mp4"))
    assert len(loaded.predict(video).scores) > 0


def test_a_model_keeps_learned_theta_and_lambda_by_channel(data, tmp_path):
    net = nf.nets.build("cdn", width=1 / 32)
    channels = nf.nets.layer_channels(net)["lam"]
    lam = {
        layer: np.linspace(0, 1, count).tolist() for layer, count in channels.items()
    }
    own = nf.nets.Learned(0.4, "channel")
    model = nf.train(
        data, net, theta=own, lam=lam, target="dom_m", steps=2, batch_size=4
    )
    model.save(tmp_path)
    loaded = nf.load(tmp_path)
    net = nf.nets.from_description(loaded.network)
    assert (net.theta, dict(net.lam)) == (own, {k: tuple(v) for k, v in lam.items()})
    theta = nf.nets.learned_values("theta", own, loaded.params)
    assert theta["ConvBlock_1"].shape == (4,)
    assert max(abs(v - 0.4).max() for v in theta.values()) > 1e-4
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded.maps(images), model.maps(images))


def test_a_learned_domain_is_not_tested(data, model):
    with pytest.raises(InputError, match=r"learned from dom_c, dom_i, dom_o"):
        nf.evaluate(model, data, target="dom_o")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda data: nf.train(data, "cdm"), "Did you mean cdn"),
        (lambda data: nf.train(data, "cdn", target="dom_n"), "got 'dom_n'"),
        (lambda data: nf.train(data, "cdn", target="dom_m", steps=0), "steps"),
        (lambda data: nf.nets.build("cdn", theta=1.5), "theta"),
        (lambda data: nf.train(data, "cdn", theta=[0.5, 0.5]), "nets.Learned"),
        (lambda data: nf.load("nowhere"), "nowhere"),
        (lambda data: nf.open_data("nowhere"), "No prepared data in nowhere"),
    ],
)
def test_what_users_get_wrong_is_told(data, call, says):
    with pytest.raises(InputError, match=says):
        call(data)
