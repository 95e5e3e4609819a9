"""docs/texture.py: its network finds a texture that color and contrast do not show."""

import pathlib

import jax
import numpy as np
import pytest
import smoke

from nasfas_jax.synthetic import probes

PATH = pathlib.Path(__file__).parents[1] / "docs" / "texture.py"


@pytest.fixture(scope="module")
def texture():
    module = smoke.script(PATH)
    module.SIDE, module.FRAMES, module.STEPS = 16, 2, 40
    with jax.numpy_dtype_promotion("standard"):  # as the script runs; optax's schedule
        yield module


def table(texture, amplitude):
    """Noise of unit variance, with a grating in the faces of spoofs."""
    rng = np.random.default_rng(0)
    labels, subjects = np.arange(48) % 2, np.arange(48) // 4
    faces = rng.standard_normal((48, texture.FRAMES, texture.SIDE, texture.SIDE))
    grating = np.sin(np.pi * np.arange(texture.SIDE) / 2 + rng.uniform(0, 6, (48, 1)))
    faces += amplitude * (1 - labels)[:, None, None, None] * grating[:, None, None]
    names = (np.full(48, "dom_o"), np.where(labels, "live", "print"))
    return probes.Table((), faces.reshape(48, -1), labels, subjects, *names)


def test_the_network_finds_a_grating_in_people_it_did_not_see(texture):
    found = probes.within(table(texture, 1.5), folds=2, fit=texture.fit)
    assert found.auc > 0.9


def test_without_a_texture_it_is_at_chance(texture):
    found = probes.within(table(texture, 0.0), folds=2, fit=texture.fit)
    assert abs(found.auc - 0.5) < 0.25
