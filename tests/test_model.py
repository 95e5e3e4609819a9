"""The model artifact: equal after saving and loading, and every refusal."""

import dataclasses
import functools
import hashlib
import json
import re

import jax
import numpy as np
import pytest
import yaml
from models import CDN, LEARNED, RECIPE, THRESHOLD, make_model
from safetensors.numpy import load_file, save_file

from nasfas_jax import evaluation, nets
from nasfas_jax.data.loading import pipeline
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import model as artifact
from nasfas_jax.workflows import registry
from nasfas_jax.workflows.model import Model

RATES = {
    "averages": "mean",
    "inner_learning_rate": 1e-3,
    "depth_weight": 10.0,
    "loss_reduction": "mean",
    "learner_bn_momentum": 0.1,
    "task_learning_rate": 1e-3,
    "regularizer_learning_rate": 1e-3,
    "inner_steps": 1,
}


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def result():
    """The columns of a small evaluation."""
    names = ("development", "test")
    rows = [(split, i) for split in names for i in range(8)]
    label = np.array([i % 2 for _, i in rows])
    texts = {
        "clip": [f"{split}{i}:0" for split, i in rows],
        "video": [f"{split}{i}" for split, i in rows],
        "subject": [f"{split}{i}" for split, i in rows],
        "attack_type": [("print", "live")[i % 2] for _, i in rows],
        "split": [split for split, _ in rows],
    }
    columns = {name: np.array(values) for name, values in texts.items()}
    columns |= {"label": label, "score": label * 0.5 + np.arange(16) / 50}
    for name in evaluation.COLUMNS:
        columns.setdefault(name, np.array(["dom_m"] * 16))
    table = evaluation.ScoreTable(**{k: columns[k] for k in evaluation.COLUMNS})
    return json.loads(evaluation.evaluate(table, samples=20).to_json())


def images(model, count=2):
    random = np.random.default_rng(0)
    return random.uniform(-1, 1, (count, *model.image_shape)).astype(np.float32)


def require_equal(one, other):
    """Equal to the bit, in every field."""
    for field in dataclasses.fields(Model):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name in ("params", "batch_stats"):
            equal = functools.partial(np.testing.assert_array_equal, strict=True)
            jax.tree.map(equal, a, b)
        else:
            assert a == b, field.name


def test_a_model_is_equal_after_saving_and_loading(tmp_path, model, result):
    evaluated = dataclasses.replace(
        model.with_evaluation(THRESHOLD, {"dom_m": result}), searched=LEARNED
    )
    evaluated.save(tmp_path / "a" / "model")
    loaded = Model.load(str(tmp_path / "a" / "model"))
    require_equal(evaluated, loaded)
    x = images(model)
    np.testing.assert_array_equal(loaded.maps(x), evaluated.maps(x))
    np.testing.assert_array_equal(loaded.scores(x), nets.score(evaluated.maps(x)))
    assert loaded.maps(x).shape == (2, 4, 4)
    assert "threshold 0.3000 (eer)" in repr(loaded)
    assert model.threshold is None and not model.results  # the original is unchanged


def test_a_method_of_several_nets_is_saved_too(tmp_path):
    view = pipeline.View(input="static", color="rgb_hsv", pixels="unit", map_size=4)
    network = registry.describe("metareg", width=0.02, domains=2, rates=RATES)
    model = make_model(network, view, dataclasses.replace(RECIPE, image_size=32))
    model.save(tmp_path)
    require_equal(model, Model.load(tmp_path))
    assert model.name == "metareg" and "phi" in model.params


def test_the_searched_network_is_saved_with_its_genotype(tmp_path):
    model = make_model(nets.describe("cdcn_pp"), pipeline.View())
    model.save(tmp_path)
    assert Model.load(tmp_path).network == model.network


def test_the_files_can_be_checked_with_common_tools(tmp_path, model):
    model.save(tmp_path)
    content = json.loads((tmp_path / "model.json").read_text())
    for name, digest in content["files"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    arrays = load_file(tmp_path / "weights.safetensors")
    leaves = jax.tree.leaves((model.params, model.batch_stats))
    assert len(arrays) == len(leaves)
    assert {name.split(".")[0] for name in arrays} == {"params", "batch_stats"}


def test_saving_again_replaces_the_model_and_keeps_other_files(tmp_path, model, result):
    model.save(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    model.with_evaluation(THRESHOLD, {"dom_m": result}).save(tmp_path)
    assert Model.load(tmp_path).threshold == THRESHOLD
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["README.md", "model.json", "notes.txt", "weights.safetensors"]


def test_an_interrupted_save_leaves_the_earlier_model(tmp_path, model, monkeypatch):
    model.save(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    write = artifact.pathlib.Path.write_bytes

    def fails(path, data):
        if "README" in path.name:
            raise KeyboardInterrupt
        return write(path, data)

    monkeypatch.setattr(artifact.pathlib.Path, "write_bytes", fails)
    with pytest.raises(KeyboardInterrupt):
        dataclasses.replace(model, steps=41).save(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_of_others_are_not_overwritten(tmp_path, model):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(InputError, match=r"holds README.md but no model"):
        model.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def rewritten(folder, without="", **changes):
    """Changes fields of model.json, or removes one, with a checksum that fits."""
    path = folder / "model.json"
    content = json.loads(path.read_text()) | changes
    content = {k: v for k, v in content.items() if k not in ("sha256", without)}
    text = json.dumps(content, sort_keys=True)
    content["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(content))


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def edited(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def other_weights(folder, change):
    """Weights that the checksums fit and the network does not."""
    path = folder / "weights.safetensors"
    save_file(change(load_file(path)), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    content = json.loads((folder / "model.json").read_text())
    rewritten(folder, files={**content["files"], path.name: digest})


def first_shorter(arrays):
    name = min(arrays)
    return {**arrays, name: arrays[name][:-1]}


REFUSALS = {
    "no folder": (lambda f: f.rename(f.with_name("b")), "There is no folder"),
    "no model": (lambda f: (f / "model.json").unlink(), "is not a model"),
    "truncated": (lambda f: cut(f / "model.json"), "is not a model"),
    "other JSON": (lambda f: (f / "model.json").write_text("[]"), "is not a model"),
    "other format": (lambda f: rewritten(f, format="other"), "is not a model"),
    "no checksums": (lambda f: rewritten(f, files=[]), "was cut or changed"),
    "newer": (lambda f: rewritten(f, format_version=2), "version 2.*install a newer"),
    "edited": (
        lambda f: edited(f / "model.json", '"steps": 40', '"steps": 41'),
        "model.json was changed",
    ),
    "unknown field": (lambda f: rewritten(f, color=1), "unknown fields color"),
    "no field": (lambda f: rewritten(f, "steps"), "no fields steps"),
    "unknown field within": (
        lambda f: rewritten(f, view={"zoom": 1}),
        "does not describe a model.*zoom",
    ),
    "value out of range": (
        lambda f: rewritten(f, view={"input": "infrared"}),
        "does not describe a model.*infrared",
    ),
    "unknown network": (
        lambda f: rewritten(f, network={"network": "resnet"}),
        "does not describe a model.*resnet",
    ),
    "hand-crafted": (
        lambda f: rewritten(f, network={"features": "ida"}),
        "expected a description by registry.describe.*support_vectors",
    ),
    "other preparation": (
        lambda f: rewritten(f, recipe={**LEARNED.recipe, "version": 2}),
        "version 2 of the preparation.*train it again",
    ),
    "no weights": (
        lambda f: (f / "weights.safetensors").unlink(),
        "weights.safetensors is missing",
    ),
    "cut weights": (
        lambda f: cut(f / "weights.safetensors"),
        "weights.safetensors was cut or changed",
    ),
    "no card": (lambda f: (f / "README.md").unlink(), "README.md is missing"),
    "edited card": (
        lambda f: edited(f / "README.md", "40 steps", "41 steps"),
        "README.md was cut or changed",
    ),
    "no safetensors": (
        lambda f: (
            (f / "weights.safetensors").write_bytes(b"{}"),
            rewritten(
                f,
                files={
                    "README.md": hashlib.sha256(
                        (f / "README.md").read_bytes()
                    ).hexdigest(),
                    "weights.safetensors": hashlib.sha256(b"{}").hexdigest(),
                },
            ),
        ),
        "is no safetensors file",
    ),
    "other shape": (
        lambda f: other_weights(f, first_shorter),
        r"do not fit the network.*is float32\[.*where float32\[.*is expected",
    ),
    "array missing": (
        lambda f: other_weights(f, lambda a: {k: a[k] for k in sorted(a)[1:]}),
        "is absent, where float32",
    ),
    "array added": (
        lambda f: other_weights(f, lambda a: {**a, "more": np.zeros(1)}),
        r"more is float64\[1\], where nothing is expected",
    ),
    "other width": (
        lambda f: rewritten(f, network={**CDN, "width": 0.1}),
        "do not fit the network",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_not_a_whole_model_is_refused_in_a_sentence(tmp_path, model, name):
    change, message = REFUSALS[name]
    folder = tmp_path / "a"
    model.save(folder)
    change(folder)
    with pytest.raises(InputError, match=message) as caught:
        Model.load(folder)
    text = re.sub(r"\([^()]*\)", "", str(caught.value))
    assert text.endswith(".") and ". " not in text


def test_wrong_arguments_are_refused(tmp_path, model):
    with pytest.raises(InputError, match=r"images: expected \[N, 16, 16, 3\]"):
        model.maps(np.zeros((1, 32, 32, 3), np.float32))
    with pytest.raises(InputError, match=r"images: expected"):
        model.scores(np.zeros((16, 16, 3), np.float32))
    with pytest.raises(InputError, match="steps: expected an integer of 1 or more"):
        dataclasses.replace(model, steps=0)
    with pytest.raises(InputError, match="threshold: expected a finite number"):
        dataclasses.replace(THRESHOLD, value=float("nan"))
    with pytest.raises(InputError, match="expected JSON values"):
        dataclasses.replace(model, settings={"a": float("nan")}).save(tmp_path / "a")
    with pytest.raises(InputError, match="weights do not fit the network"):
        dataclasses.replace(model, params={}).save(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_the_card_has_front_matter_and_the_results_with_their_protocol(model, result):
    text = artifact.model_card.render(
        model.with_evaluation(THRESHOLD, {"dom_m": result})
    )
    _, front, body = text.split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["library_name"] == "nasfas_jax" and front["datasets"] == ["synthetic"]
    (entry,) = front["model-index"][0]["results"]
    assert entry["dataset"]["name"] == "dom_m"
    metrics = {metric["type"]: metric["value"] for metric in entry["metrics"]}
    assert metrics["hter"] == result["test"]["hter"] and metrics["auc"] == result["auc"]
    assert "Threshold 0.3 by the rule `eer`, chosen on 8 videos" in body
    assert "| dom_m | 8 |" in body and "40 steps on 12 clips of 2 subjects" in body
    assert "| learning_rate | `0.001` |" in body
    assert "| train.optimizer | `adam` |" in body
    assert "it maps a face image to a map whose mean is the score" in body


def test_the_card_marks_numbers_of_a_selection_on_test_data(model, result):
    named = {
        f"oracle_{k}" if k in evaluation.evaluate.__globals__["NUMBERS"] else k: v
        for k, v in result.items()
    }
    oracle = {**named, "selected_on": "test"}
    text = artifact.model_card.render(
        model.with_evaluation(THRESHOLD, {"dom_m": oracle})
    )
    front = yaml.safe_load(text.split("---\n")[1])
    metrics = front["model-index"][0]["results"][0]["metrics"]
    assert {metric["type"].split("_")[0] for metric in metrics} == {"oracle"}


def test_the_card_of_a_model_that_was_not_evaluated(model):
    text = artifact.model_card.render(model)
    assert "Not evaluated" in text
    assert "model-index" not in yaml.safe_load(text.split("---\n")[1])
