"""Pictures of meta-learning: they open, show what they are given, and say what is wrong."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from nasfas_jax.errors import InputError
from nasfas_jax.report import meta_figures

RESULTS = {
    "RFMeta": {"hter": [0.16, 0.18, 0.15], "auc": [0.92, 0.91, 0.93]},
    "without meta-learning": {"hter": [0.27, 0.25, 0.29], "auc": [0.82, 0.8, 0.81]},
    "without depth": {"hter": [0.31, 0.3, 0.36], "auc": [0.74, 0.77, 0.72]},
}


def components(format="svg", results=RESULTS):
    return meta_figures.components_bars(results, format=format)


def directions(format="svg", window=15):
    steps = np.arange(0, 2000, 10)
    rng = np.random.default_rng(0)
    curves = {
        name: (steps, end * (1 - np.exp(-steps / 500)) + 0.1 * rng.normal(size=200))
        for name, end in (("RFMeta", 0.6), ("first order", 0.3), ("aggregation", 0.1))
    }
    return meta_figures.learning_directions(curves, window, format=format)


def attention(format="png"):
    y, x = np.mgrid[:48, :48] / 48
    face = np.stack([x, y, 0.5 + 0 * x], -1)
    center = np.exp(-((x - 0.5) ** 2 + (y - 0.5) ** 2) / 0.05)[::6, ::6]
    row = meta_figures.AttentionRow
    rows = [
        row(
            "print\nscore 0.1", (255 * face).astype(np.uint8), [7 - center, 5 * center]
        ),
        row("replay", face, [np.zeros((8, 8)), center]),
    ]
    return meta_figures.attention_maps(rows, ["Binary CNN", "RFMeta"], format)


@pytest.mark.parametrize("draw", [components, directions, attention])
@pytest.mark.parametrize("format", ["png", "svg"])
def test_pictures_open(draw, format):
    picture = draw(format)
    assert "RFMeta" in picture.alt and 200 < picture.width <= 1024
    assert picture.format == format
    if format == "png":
        assert picture.data.startswith(b"\x89PNG\r\n\x1a\n")
    else:
        assert ElementTree.fromstring(picture.data).tag.endswith("svg")


@pytest.mark.parametrize("draw", [components, directions, attention])
def test_equal_figures_give_equal_bytes(draw):
    assert draw().data == draw().data


def test_seeds_and_windows_are_drawn():
    """One seed has no deviation; a mean over points is not the points."""
    one = {name: {k: v[:1] for k, v in r.items()} for name, r in RESULTS.items()}
    assert components(results=one).data != components().data
    assert directions(window=1).data != directions().data


def test_maps_compare_places_not_scales():
    face = np.zeros((16, 16, 3), np.uint8)
    ramp = np.arange(16.0).reshape(4, 4)
    pictures = [
        meta_figures.attention_maps(
            [meta_figures.AttentionRow("a", face, [m])], ["cnn"]
        )
        for m in (ramp, 3 * ramp - 100, ramp.T)
    ]
    assert pictures[0].data == pictures[1].data != pictures[2].data


def test_wrong_input_is_named():
    other = RESULTS | {"MLDG": {"hter": [0.1]}}
    empty = RESULTS | {"MLDG": {"hter": [0.1], "auc": []}}
    lost = RESULTS | {"MLDG": {"hter": [0.1], "auc": [np.nan]}}
    for bad in (other, empty, lost):
        with pytest.raises(InputError, match=r"'MLDG'.*one finite value or more"):
            components(results=bad)
    with pytest.raises(InputError, match="at least one method"):
        components(results={})
    with pytest.raises(InputError, match="expected steps and cosines of one length"):
        meta_figures.learning_directions({"a": ([0, 1], [0.5])})
    with pytest.raises(InputError, match="window = 201"):
        directions(window=201)
    face = np.zeros((8, 8, 3), np.uint8)
    row = meta_figures.AttentionRow("print", face, [np.zeros((2, 2))])
    with pytest.raises(InputError, match=r"expected 2 maps.*got 1"):
        meta_figures.attention_maps([row], ["cnn", "ours"])
