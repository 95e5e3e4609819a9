"""Exported programs beside the models that they were made of."""

import json
from collections import Counter

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from jax import lax
from models import RECIPE, THRESHOLD, make_model, natural

import nasfas_jax as nf
from nasfas_jax import commands, ops
from nasfas_jax.data.loading import views
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.export import folding, onnx_program, residual
from nasfas_jax.ops import platform
from nasfas_jax.search import spaces
from nasfas_jax.workflows import in_graph, registry

SIZE = 16
GENOTYPES = {
    "fas": lambda: spaces.get("nas_fas", channels=4, partial=2, attention=True),
    "cells": lambda: spaces.get("auto_fas", channels=4, partial=2, map_size=4),
}
NETWORKS = {
    "cdcn_pp": "static_dynamic",  # CDC and attention
    "cdn": "static",  # CDP
    "eulernet": "frames",  # a loop over frames
    "shufflenet_v2": "static",  # groups and shuffles
    "rfmeta": "static",
}


def clips_of(recipe: Recipe, count: int = 3) -> np.ndarray:
    """Clips in which something moves; nothing in the last."""
    random = np.random.default_rng(0)
    side, length = recipe.image_size, recipe.frames
    first = random.integers(0, 256, (count, 1, side, side, 3))
    moved = np.cumsum(random.normal(0, 6, (count, length, side, side, 3)), 1)
    moved[-1] = 0
    return np.clip(first + moved, 0, 255).astype(np.uint8)


def run(exported: onnx_program.Exported, inputs: np.ndarray) -> list[np.ndarray]:
    """The outputs of an ONNX model in ONNX Runtime."""
    session = onnxruntime.InferenceSession(exported.model.SerializeToString())
    return session.run(None, {"input": inputs})


def network_of(name: str) -> tuple[dict, int]:
    """Description and image size of a small network."""
    if name in GENOTYPES:
        net = nf.nets.SearchedNet(GENOTYPES[name]().sample(0))
        return nf.nets.description_of(net) | {"network": name}, SIZE
    size = 32 if name == "rfmeta" else SIZE
    rates = {"width": 1 / 16, "map_size": 4}
    small = {"units": (1, 1, 1, 1, 1), "score": "mean_square"}
    own = small if name == "eulernet" else {}
    return registry.describe(name, **rates, options=own, domains=3), size


@pytest.mark.parametrize("name", [*NETWORKS, *GENOTYPES])
def test_a_program_equals_its_model(name, tmp_path):
    """Scores and maps of one clip and of several, with the preparation of crops inside."""
    description, size = network_of(name)
    source = NETWORKS.get(name, "static")
    keep = source == "frames"
    recipe = Recipe(image_size=size, frames=4, keep_frames=keep, method="harmonic")
    view = views.View(input=source, map_size=4)
    if name == "rfmeta":
        view = views.View(input=source, color="rgb_hsv", pixels="unit", map_size=4)
    model = make_model(description, view, recipe, threshold=THRESHOLD)
    model = natural(model)
    exported = model.export(tmp_path / f"{name}.onnx")
    clips = clips_of(recipe)
    wanted = np.concatenate([model.maps(x[None]) for x in model.preprocess(clips)])
    scale = np.abs(wanted).max()
    assert wanted.std() > 1e-3 * scale
    frames = clips[:, -exported.properties["frames"] :]
    scores, maps = exported.run(frames)
    np.testing.assert_allclose(maps / scale, wanted / scale, atol=2e-5)
    np.testing.assert_allclose(scores, model.score(wanted), rtol=1e-4, atol=2e-5)
    single = exported.run(frames[:1])[1]
    np.testing.assert_allclose(single / scale, maps[:1] / scale, atol=2e-5)
    # BatchNorm is gone: no square root, no product with a constant after a convolution.
    nodes = onnx.load(exported.file).graph.node
    after = {n.output[0] for n in nodes if n.op_type == "Conv"}
    assert not [n for n in nodes if n.op_type == "Mul" and after & {*n.input[:1]}]
    report = nf.parity(model, exported, [clips])
    assert (report.clips, report.changed) == (3, 0)
    assert report.map <= 2e-5 * scale


def test_a_portable_program_equals_its_model(tmp_path):
    """StableHLO for three platforms and any number of clips."""
    model = make_model(threshold=THRESHOLD)
    exported = model.export(tmp_path / "cdn.stablehlo", format="stablehlo")
    program = jax.export.deserialize(bytearray(exported.file.read_bytes()))
    assert program.platforms == ("cpu", "cuda", "tpu")
    clips = clips_of(RECIPE)
    again = nf.open_exported(exported.file)
    assert again.properties == exported.properties
    report = nf.parity(model, again, [clips])
    largest = model.scores(model.preprocess(clips[:1]))[0]
    assert report.changed == 0 and report.score < 1e-4 * largest
    assert again.run(clips[:2])[0].shape == (2,)
    assert "changed decisions" in str(report) and "<table>" in report._repr_html_()
    assert "cdn.stablehlo: cdn" in repr(again) and "threshold" in again._repr_html_()


@pytest.mark.parametrize("method", ["harmonic", "ranksvm"])
@pytest.mark.parametrize(
    "view",
    [
        views.View(input="concatenated", color="rgb_hsv"),
        views.View(input="static:ycbcr+dynamic", pixels="unit"),
    ],
)
def test_the_preparation_in_the_program_equals_that_of_records(method, view):
    """The quadratic program of rank pooling too, as a loop of ONNX."""
    recipe = Recipe(image_size=SIZE, frames=5, method=method)
    clips = clips_of(recipe)
    wanted = views.preprocess(clips, recipe, view)

    def prepared(frames):
        return (in_graph.network_input(frames, recipe, view),)

    np.testing.assert_allclose(prepared(jnp.asarray(clips))[0], wanted, atol=1e-5)
    exported = onnx_program.from_function(
        prepared, clips.shape[1:], ("prepared",), dtype=np.uint8
    )
    np.testing.assert_allclose(run(exported, clips)[0], wanted, atol=1e-5)


def test_folding_changes_nothing_but_the_steps():
    """A kernel, a CDC kernel, and BatchNorm in all ways of writing it."""
    random = np.random.default_rng(0)
    kernel = jnp.asarray(random.normal(size=(3, 3, 4, 6)), jnp.float32)
    scale, shift = random.uniform(0.5, 2, (2, 1, 1, 1, 6)).astype(np.float32)

    def network(x):
        y = ops.cdc(x, kernel, 0.7)
        y = (y - shift) * scale / 3 + shift
        return (jnp.tanh(2 - y) + x[..., :1],)

    with platform.portable():
        program = residual.trace(network, (8, 8, 4))
        plain = onnx_program.from_function(network, (8, 8, 4), ("y",), fold=False)
        folded = onnx_program.from_function(network, (8, 8, 4), ("y",))
    assert (plain.folded, plain.convolutions) == (0, 1)
    assert (folded.folded, folded.convolutions) == (5, 1)
    assert len(folding.fold(program).program.steps) == len(program.steps) - 5
    x = random.normal(size=(2, 8, 8, 4)).astype(np.float32)
    wanted = np.asarray(network(jnp.asarray(x))[0])
    np.testing.assert_allclose(run(plain, x)[0], wanted, atol=1e-5)
    np.testing.assert_allclose(run(folded, x)[0], wanted, atol=1e-5)


def test_steps_become_those_of_other_runtimes():
    """ReLU, means, resizing, strides, and BatchNorm behind a concatenation."""
    random = np.random.default_rng(0)
    kernel = jnp.asarray(random.normal(size=(1, 1, 4, 6)), jnp.float32)
    scale, shift = random.uniform(0.5, 2, (2, 1, 1, 1, 12)).astype(np.float32)

    def network(x):
        x = jax.nn.relu(x + 0.0)
        halves = [ops.convolve(y, kernel) for y in (x[:, ::2, ::2], x[:, 1::2, 1::2])]
        y = jnp.concatenate(halves, -1) * scale + shift
        y = ops.average_pool(y, stride=1) + ops.cdp(y, 0.7, stride=1)
        return (ops.resize(y, 7),)

    with platform.portable():
        exported = onnx_program.from_function(network, (10, 10, 4), ("y",))
    x = random.normal(size=(2, 10, 10, 4)).astype(np.float32)
    wanted = np.asarray(network(jnp.asarray(x))[0])
    np.testing.assert_allclose(run(exported, x)[0], wanted, atol=1e-5)
    found = Counter(node.op_type for node in exported.model.graph.node)
    assert exported.folded == 2
    expected = {"Transpose": 3, "Relu": 1, "Conv": 2, "Slice": 1, "Concat": 1, "Add": 1}
    expected |= {"AveragePool": 2, "MatMul": 2, "Mul": 2, "Sub": 1, "Identity": 1}
    assert found == expected


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda x: (jnp.sort(x),), "primitives, got 'sort'"),
        (lambda x: (lax.fori_loop(0, 99, lambda i, y: y * 2, x),), "loops of 64 steps"),
        (lambda x: (x + jnp.arange(len(x), dtype=x.dtype)[:, None],), "its place"),
    ],
)
def test_what_no_rule_covers_is_named(function, names):
    with pytest.raises(InputError, match=names):
        onnx_program.from_function(function, (4,), ("y",))


def test_wrong_exports(tmp_path, monkeypatch):
    model = make_model()
    with pytest.raises(InputError, match=r"format: expected one of.*'onnx'"):
        model.export(tmp_path / "a", format="onx")
    with pytest.raises(InputError, match="There is no exported program"):
        nf.open_exported(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="format: expected one of"):
        nf.open_exported(tmp_path / "model.pt")
    exported = model.export(tmp_path / "model.onnx")
    with pytest.raises(InputError, match="sources: expected one clip or more"):
        nf.parity(model, exported, [])
    other = onnx.load(exported.file)
    del other.metadata_props[:]
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(InputError, match="no model that nasfas_jax exported"):
        nf.open_exported(tmp_path / "other.onnx")
    (tmp_path / "text.onnx").write_text("no program")
    with pytest.raises(InputError, match="no ONNX model"):
        nf.open_exported(tmp_path / "text.onnx")
    monkeypatch.setitem(
        __import__("nasfas_jax.workflows.export", fromlist=["FORMATS"]).FORMATS,
        "onnx",
        ("no_such_package",),
    )
    with pytest.raises(InputError, match=r"pip install 'nasfas_jax\[export\]'"):
        model.export(tmp_path / "b.onnx")


def test_the_command_writes_a_program_and_its_report(samples, tmp_path, capsys):
    """On a real picture."""
    picture = samples / "own_data" / "live" / "image_T1.jpg"
    model = make_model(threshold=THRESHOLD)
    model.save(tmp_path / "model")
    assert cv2.imread(str(picture)) is not None
    given = {"model": tmp_path / "model", "output": tmp_path / "out"}
    commands.execute("export", **given)
    assert "not compared with the model" in capsys.readouterr().out
    commands.execute("export", **given, input=f"{picture},{picture}")
    report = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert (report["clips"], report["changed"]) == (2, 0)
    assert (tmp_path / "out" / "cdn.onnx").exists()
