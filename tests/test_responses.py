"""Responses of vanilla and central difference convolution in shifted domains."""

import numpy as np
import pytest

from nasfas_jax.data.loading import views
from nasfas_jax.errors import InputError
from nasfas_jax.report import meta_figures
from nasfas_jax.workflows import responses


def test_responses_are_norms_of_both_convolutions(data):
    found = responses.feature_responses(data, theta=1.0)
    assert found.captions[:2] == ["dom_c", "dom_c,\nother light"]
    assert found.faces.shape == (5, 16, 16, 3)
    kernel = np.random.default_rng(0).normal(0.1, 1, (3, 3, 3, 8)).astype(np.float32)
    image = found.faces[0] / 127.5 - 1
    window = image[4:7, 6:9]
    plain = np.einsum("hwi,hwio->o", window, kernel)
    central = np.einsum("hwi,hwio->o", window - image[5, 7], kernel)
    expected = [np.linalg.norm(plain), np.linalg.norm(central)]
    got = [found.vanilla[0, 5, 7], found.central[0, 5, 7]]
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    assert found.picture().data and "CDC with theta 1" in repr(found)


def test_a_constant_offset_of_light_changes_vanilla_responses_alone(data, monkeypatch):
    monkeypatch.setattr(responses, "LIGHT", (1.0, 0.3))
    monkeypatch.setattr(views, "scale", lambda image: image / np.float32(300) - 0.5)
    vanilla, central = responses.feature_responses(data, theta=1.0).changes
    assert vanilla > 0.1 and central < 1e-4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"attack_type": "prnt"}, "attack_type: .*Did you mean print"),
        ({"split": "tests"}, "split: .*Did you mean test"),
        (
            {"kernel": np.zeros((3, 3))},
            r"kernel: expected \[3, 3, 3, O\], got \[3, 3\]",
        ),
        ({"theta": 1.5}, "theta: expected a number from 0 to 1"),
    ],
)
def test_wrong_arguments_are_named(data, options, says):
    with pytest.raises(InputError, match=says):
        responses.feature_responses(data, **options)


def test_architectures_over_several_tests_are_bars():
    rates = {"searched": [[0.1, 0.2], [0.3, 0.2]], "cdn": [[0.2, 0.2], [0.1, 0.3]]}
    picture = meta_figures.grouped_bars(rates, ["dom_c", "dom_m"], "HTER")
    assert picture.alt == "HTER of searched, cdn on dom_c, dom_m"
    with pytest.raises(InputError, match="rates: expected"):
        meta_figures.grouped_bars({}, ["dom_c"], "HTER")
