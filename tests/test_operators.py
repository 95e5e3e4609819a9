"""The convolutions that NAS-FAS compares with CDC, against their definitions in loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from nasfas_jax import nets, ops
from nasfas_jax.errors import InputError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 4, 5, 3))


def window(x, row, column, size=3):
    """[N, size, size, C] around a pixel, zeros outside."""
    half = size // 2
    padded = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
    return padded[:, row : row + size, column : column + size]


def plain(x, kernel):
    out = np.zeros((*x.shape[:3], kernel.shape[-1]))
    for row, column in np.ndindex(*x.shape[1:3]):
        seen = window(x, row, column, len(kernel))
        out[:, row, column] = np.einsum("nhwi,hwio->no", seen, kernel)
    return out


@pytest.mark.parametrize("density", [0.5, 0.9])
def test_the_fixed_kernel_is_sparse_and_of_both_signs(density):
    kernel = ops.binary_kernel((3, 3, 40, 50), density, seed=3)
    assert set(np.unique(kernel)) == {-1, 0, 1}
    assert np.mean(kernel != 0) == pytest.approx(1 - np.exp(-density), abs=0.01)
    assert kernel.mean() == pytest.approx(0, abs=0.01)
    assert (kernel == ops.binary_kernel((3, 3, 40, 50), density, seed=3)).all()
    assert (kernel != ops.binary_kernel((3, 3, 40, 50), density, seed=4)).any()


def test_lbconv_is_its_definition():
    fixed = ops.binary_kernel((3, 3, 3, 6))
    kernel = RNG.normal(size=(1, 1, 6, 2))
    with jax.enable_x64(True):
        found = ops.lbconv(
            jnp.asarray(X), jnp.asarray(fixed, float), jnp.asarray(kernel)
        )
    expected = np.maximum(plain(X, fixed), 0) @ kernel[0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_gabor_bank_is_its_definition():
    for scale in (1, 3):
        bank = ops.gabor_bank(5, scale)
        frequency = np.pi / 2 / 2 ** ((scale - 1) / 2)
        for u in range(4):
            expected = np.zeros((5, 5))
            for row, column in np.ndindex(5, 5):
                y, x = row - 2, column - 2
                wave = np.cos(
                    frequency * (x * np.cos(u * np.pi / 4) + y * np.sin(u * np.pi / 4))
                )
                gauss = np.exp(-(frequency**2) * (x * x + y * y) / (2 * np.pi**2))
                expected[row, column] = gauss * (wave - np.exp(-(np.pi**2) / 2))
            expected -= expected.min()
            np.testing.assert_allclose(
                bank[..., u], expected / expected.max(), atol=1e-6
            )


def test_gaborconv_turns_every_kernel():
    kernel, bank = RNG.normal(size=(3, 3, 3, 2)), ops.gabor_bank(3).astype(float)
    with jax.enable_x64(True):
        found = ops.gaborconv(jnp.asarray(X), jnp.asarray(kernel), jnp.asarray(bank), 6)
    assert found.shape[-1] == 6
    for i, u in ((0, 0), (0, 3), (1, 1)):
        turned = kernel[..., i : i + 1] * bank[:, :, None, u : u + 1]
        expected = plain(X, turned)[..., 0]
        np.testing.assert_allclose(found[..., 4 * i + u], expected, atol=1e-12)


def attention_weights(channels=3, features=4, size=3):
    shapes = dict.fromkeys(("query", "key", "value"), (1, 1, channels, features))
    shapes |= {
        "rows": (size, features // 2),
        "columns": (size, features - features // 2),
    }
    return {name: RNG.normal(size=shape) for name, shape in shapes.items()}


def test_local_attention_is_its_definition():
    weights = attention_weights()
    with jax.enable_x64(True):
        found = ops.local_attention(jnp.asarray(X), jax.tree.map(jnp.asarray, weights))
    q, k, v = (X @ weights[name][0, 0] for name in ("query", "key", "value"))
    for row, column in np.ndindex(*X.shape[1:3]):
        keys, values = window(k, row, column), window(v, row, column)
        logits = np.zeros((len(X), 3, 3))
        for i, j in np.ndindex(3, 3):
            relative = np.concatenate([weights["rows"][i], weights["columns"][j]])
            logits[:, i, j] = (q[:, row, column] * (keys[:, i, j] + relative)).sum(-1)
        share = np.exp(logits)
        share /= share.sum((1, 2), keepdims=True)
        expected = (share[..., None] * values).sum((1, 2))
        np.testing.assert_allclose(found[:, row, column], expected, atol=1e-12)


def test_selfconv_mixes_attention_and_convolution():
    weights, kernel = attention_weights(), RNG.normal(size=(3, 3, 3, 4))
    theta = np.array([0.0, 0.2, 0.5, 1.0])
    with jax.enable_x64(True):
        x, kernel, weights = jax.tree.map(jnp.asarray, (X, kernel, weights))
        both = ops.local_attention(x, weights), ops.convolve(x, kernel)
        both = [np.asarray(one) for one in both]
        found = ops.selfconv(x, kernel, weights, theta)
        np.testing.assert_allclose(
            found, theta * both[0] + (1 - theta) * both[1], atol=1e-12
        )
        check_grads(lambda t, w: ops.selfconv(x, kernel, w, t), (0.3, weights), 2)


@pytest.mark.parametrize("convolution", ["lbconv", "gaborconv", "selfconv"])
def test_a_cdn_of_another_convolution(convolution):
    net = nets.build("cdn", convolution=convolution, width=1 / 32, map_size=4)
    description = nets.description_of(net)
    assert description["convolution"] == convolution
    assert nets.from_description(description) == net
    x = jnp.ones((1, 16, 16, 3))
    arrays = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), x)
    traced = jax.ShapeDtypeStruct((), jnp.float32)
    maps = jax.eval_shape(
        lambda v, t: net.apply(v, x, train=False, theta=t), arrays, traced
    )
    assert maps.shape == (1, 4, 4)
    if convolution == "selfconv":
        assert nets.with_weights(net, theta=0.2) != net
        assert len(nets.layer_channels(net)["theta"]) == 13
        return
    with pytest.raises(
        InputError, match="theta: expected None for cdn with the convol"
    ):
        nets.build("cdn", convolution=convolution, theta=0.3)
    with pytest.raises(InputError, match="theta: expected None for this network with"):
        nets.with_weights(net, theta=0.3)


def test_an_unknown_convolution_lists_near_ones():
    with pytest.raises(InputError, match=r"convolution: .* Did you mean selfconv"):
        nets.build("cdn", convolution="selfcnv")
