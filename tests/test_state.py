"""Optimizers and schedules against the papers' numbers and PyTorch's rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasfas_jax.methods.state import adam, schedule


@pytest.fixture(autouse=True)
def standard_promotion():
    """optax counts steps in int32 and mixes them with floats."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def values(decay, steps, at):
    rate = schedule(decay, 0.8, steps=steps)
    return jax.jit(jax.vmap(rate))(jnp.asarray(at))


def test_halve_is_every_500_of_1300_epochs():
    at = [0, 499, 500, 999, 1000, 1299]
    expected = [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]
    np.testing.assert_allclose(values("halve", 1300, at), expected, rtol=1e-6)
    # The same fractions of another number of steps.
    at = [5, 6, 11, 12]  # 16 * 500 / 1300 = 6.2, 16 * 1000 / 1300 = 12.3
    expected = [0.8, 0.4, 0.4, 0.2]
    np.testing.assert_allclose(values("halve", 16, at), expected, rtol=1e-6)


def test_cosine_rises_for_a_tenth_of_the_steps_and_ends_at_zero():
    at = [0, 5, 10, 55, 100]
    expected = [0, 0.4, 0.8, 0.4, 0]
    np.testing.assert_allclose(values("cosine", 100, at), expected, atol=1e-6)


def test_constant_is_constant():
    np.testing.assert_allclose(values("constant", 10, [0, 9, 50]), 0.8, rtol=1e-6)


def test_an_unknown_decay_is_named():
    with pytest.raises(ValueError, match="'halve', got 'linear'"):
        schedule("linear", 0.1, steps=10)


@pytest.mark.parametrize("moments", [{}, {"b1": 0.5, "b2": 0.9, "eps_root": 1e-2}])
def test_adam_adds_weight_decay_to_the_gradient(moments):
    """torch.optim.Adam's rule: moments of ``g + weight_decay p``, eps 1e-8."""
    b1, b2 = moments.get("b1", 0.9), moments.get("b2", 0.999)
    eps_root = moments.get("eps_root", 0.0)
    optimizer = adam(0.1, weight_decay=0.5, **moments)
    p = np.float32(2.0)
    state, m, v = optimizer.init(p), 0.0, 0.0
    for step, grad in enumerate(np.float32([0.3, -0.2, 0.7]), 1):
        updates, state = optimizer.update(grad, state, p)
        g = grad + 0.5 * p
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        root = np.sqrt(v / (1 - b2**step) + eps_root) + 1e-8
        expected = -0.1 * m / (1 - b1**step) / root
        np.testing.assert_allclose(updates, expected, rtol=1e-4)
        p = p + np.float32(expected)
