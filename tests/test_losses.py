"""Map losses against their definitions written out in loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from nasfas_jax import losses


def maps(seed=0, shape=(2, 5, 6)):
    rng = np.random.default_rng(seed)
    return rng.random(shape), rng.random(shape)


def loop_contrast(image):
    """[8, H - 2, W - 2]: each neighbor less its center, without padding."""
    h, w = image.shape
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    out = np.zeros((8, h - 2, w - 2))
    for d, r, c in np.ndindex(out.shape):
        i, j = steps[d]
        out[d, r, c] = image[r + 1 + i, c + 1 + j] - image[r + 1, c + 1]
    return out


def test_contrastive_depth_is_its_definition(x64):
    predicted, target = maps()
    responses = [
        [loop_contrast(image) for image in stack] for stack in (predicted, target)
    ]
    expected = np.mean((np.array(responses[0]) - np.array(responses[1])) ** 2)
    actual = losses.contrastive_depth(jnp.asarray(predicted), jnp.asarray(target))
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_depth_loss_is_the_sum_of_its_terms(x64):
    predicted, target = (jnp.asarray(m) for m in maps(1))
    mse = np.mean((np.asarray(predicted) - np.asarray(target)) ** 2)
    np.testing.assert_allclose(losses.pixel_mse(predicted, target), mse, rtol=1e-12)
    np.testing.assert_allclose(
        losses.depth_loss(predicted, target),
        mse + losses.contrastive_depth(predicted, target),
        rtol=1e-12,
    )


def test_contrast_does_not_see_a_constant_offset():
    _, target = (jnp.asarray(m, jnp.float32) for m in maps(2))
    assert float(losses.contrastive_depth(target + 0.5, target)) < 1e-12
    np.testing.assert_allclose(losses.depth_loss(target + 0.5, target), 0.25, rtol=1e-5)


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_derivatives_to_second_order(x64, mode):
    predicted, target = maps(3, (1, 4, 4))

    def f(predicted, target):
        return losses.depth_loss(jnp.sin(predicted), target)

    check_grads(jax.jit(f), (predicted, target), 2, [mode], atol=1e-5, rtol=1e-5)


def test_the_smallest_map_in_the_smallest_dtype():
    """The squared differences of 0 to 8 from the 4 in the middle."""
    image = jnp.arange(9, dtype=jnp.bfloat16).reshape(1, 3, 3)
    loss = losses.contrastive_depth(image, jnp.zeros_like(image))
    assert loss == 2 * (16 + 9 + 4 + 1) / 8 and loss.dtype == jnp.bfloat16


def test_wrong_shapes_are_both_named():
    message = r"\(2, 4, 4\).*\(2, 4, 5\)"
    for loss in (losses.pixel_mse, losses.contrastive_depth, losses.depth_loss):
        with pytest.raises(ValueError, match=message):
            loss(jnp.zeros((2, 4, 4)), jnp.zeros((2, 4, 5)))
        with pytest.raises(ValueError, match=r"\[B, H, W\]"):
            loss(jnp.zeros((2, 4, 4, 1)), jnp.zeros((2, 4, 4, 1)))
    with pytest.raises(ValueError, match="3 x 3"):
        losses.contrastive_depth(jnp.zeros((1, 2, 5)), jnp.zeros((1, 2, 5)))


def test_pixel_binary_is_its_definition():
    predicted = np.array([[[0.2, 0.9], [0.5, 0.7]]], np.float32)
    target = np.array([[[0.0, 1.0], [1.0, 0.0]]], np.float32)
    expected = -np.log([0.8, 0.9, 0.5, 0.3]).mean()
    np.testing.assert_allclose(
        losses.pixel_binary(predicted, target), expected, rtol=1e-5
    )
    assert np.isfinite(losses.pixel_binary(target, 1 - target))
