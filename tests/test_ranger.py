"""Ranger against its rule in NumPy, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nasfas_jax.errors import InputError
from nasfas_jax.methods import ranger

SHAPES = {"kernel": (3, 3, 4, 5), "bias": (5,), "a": (2,)}


def reference(params, gradients, *, rate, decay, eps=1e-5, b1=0.95, b2=0.999):
    """The released optimizer's loop, with the output channels last."""
    params = {k: v.copy() for k, v in params.items()}
    slow = {k: v.copy() for k, v in params.items()}
    m, v = ({k: np.zeros_like(p) for k, p in params.items()} for _ in range(2))
    longest, out = 2 / (1 - b2) - 1, []
    for t, step in enumerate(gradients, 1):
        for name, g in step.items():
            if g.ndim > 1:
                g = g - g.mean(tuple(range(g.ndim - 1)))
            v[name] = b2 * v[name] + (1 - b2) * g * g
            m[name] = b1 * m[name] + (1 - b1) * g
            length = longest - 2 * t * b2**t / (1 - b2**t)
            params[name] = params[name] - decay * rate * params[name]
            if length > 5:
                size = np.sqrt(
                    (1 - b2**t)
                    * (length - 4) / (longest - 4)
                    * (length - 2) / length
                    * longest / (longest - 2)
                ) / (1 - b1**t)  # fmt: skip
                change = size * m[name] / (np.sqrt(v[name]) + eps)
            else:
                change = m[name] / (1 - b1**t)
            params[name] = params[name] - rate * change
            if t % 6 == 0:
                slow[name] += 0.5 * (params[name] - slow[name])
                params[name] = slow[name].copy()
        out.append({k: p.copy() for k, p in params.items()})
    return out


def test_each_step_is_the_rule():
    with jax.enable_x64(True):
        random = np.random.default_rng(0)
        params = {k: random.normal(size=s) for k, s in SHAPES.items()}
        # Small gradients: eps decides, beside the root of the uncorrected moment.
        gradients = [
            {k: 1e-4 * random.normal(size=s) for k, s in SHAPES.items()}
            for _ in range(14)
        ]
        optimizer = ranger.ranger(0.01, weight_decay=0.1)
        own = jax.tree.map(jnp.asarray, params)
        state = optimizer.init(own)

        @jax.jit
        def step(own, state, gradient):
            updates, state = optimizer.update(gradient, state, own)
            return optax.apply_updates(own, updates), state

        expected = reference(params, gradients, rate=0.01, decay=0.1)
        for gradient, wanted in zip(gradients, expected, strict=True):
            own, state = step(own, state, gradient)
            for name, value in wanted.items():
                np.testing.assert_allclose(own[name], value, rtol=1e-11, atol=1e-13)


def test_a_uniform_gradient_moves_no_centralized_layer():
    """Rounding of the mean leaves differences that RAdam scales to steps of full size."""
    uniform = jnp.full((3, 3, 7, 2), 0.1)
    mean = uniform.mean((0, 1, 2))
    mixed = uniform.at[..., 1].add(jnp.linspace(0, 1e-4, 63).reshape(3, 3, 7))
    assert (
        uniform - mean.reshape(1, 1, 1, 2) != 0
    ).any()  # the guard has something to do
    optimizer = ranger.ranger(1.0)
    params = {"kernel": jnp.zeros_like(uniform)}
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, gradient):
        updates, state = optimizer.update({"kernel": gradient}, state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(8):
        params, state = step(params, state, mixed)
    assert not params["kernel"][..., 0].any()
    assert params["kernel"][..., 1].any()  # a small real spread is kept


def test_a_number_out_of_range_is_refused():
    with pytest.raises(InputError, match="sync_period: expected an integer of 1"):
        ranger.ranger(1e-3, sync_period=0)
    with pytest.raises(InputError, match=r"threshold: expected a number of 4 or more"):
        ranger.ranger(1e-3, threshold=1.0)


def test_steps_are_finite_at_the_smallest_threshold():
    """The lengths at steps 4 and 5 are 3.997 and 4.996: the fifth is the first adaptive."""
    optimizer = ranger.ranger(1.0, threshold=4.0)
    params = {"bias": jnp.ones(2)}
    state, sizes = optimizer.init(params), []
    for _ in range(5):
        updates, state = optimizer.update({"bias": jnp.ones(2)}, state, params)
        sizes.append(float(-updates["bias"][0]))
    np.testing.assert_allclose(sizes[:4], 1, rtol=1e-5)
    assert 0.01 < sizes[4] < 0.1
