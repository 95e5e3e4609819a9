"""Operators against their definitions written out in loops, and their derivatives."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads

from nasfas_jax import ops
from nasfas_jax.ops import convolution, platform


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def at(image, i, j):
    """A pixel [C]; zeros outside the image."""
    inside = 0 <= i < image.shape[0] and 0 <= j < image.shape[1]
    return image[i, j] if inside else np.zeros(image.shape[2])


def loop_cdc(x, kernel, theta, stride=1, dilation=1, groups=1):
    """NAS-FAS eq. 3, one output at a time."""
    n, h, w, _ = x.shape
    kh, kw, inputs, features = kernel.shape
    theta = np.broadcast_to(theta, features)
    y = np.zeros((n, -(-h // stride), -(-w // stride), features))
    for b, r, c, o in np.ndindex(y.shape):
        first = o // (features // groups) * inputs
        group = slice(first, first + inputs)
        center = x[b, r * stride, c * stride, group]
        for u, v in np.ndindex(kh, kw):
            i = r * stride + (u - kh // 2) * dilation
            j = c * stride + (v - kw // 2) * dilation
            tap = at(x[b], i, j)[group]
            mixed = theta[o] * (tap - center) + (1 - theta[o]) * tap
            y[b, r, c, o] += mixed @ kernel[u, v, :, o]
    return y


def two_convolutions(x, kernel, theta, stride=1, dilation=1, groups=1):
    """The authors' form: less theta times a 1 x 1 convolution, the kernel summed."""
    options = {
        "window_strides": (stride, stride),
        "dimension_numbers": ("NHWC", "HWIO", "NHWC"),
        "feature_group_count": groups,
    }
    pads = [(k // 2 * dilation,) * 2 for k in kernel.shape[:2]]
    plain = lax.conv_general_dilated(
        x, kernel, padding=pads, rhs_dilation=(dilation, dilation), **options
    )
    total = kernel.sum((0, 1), keepdims=True)
    return plain - theta * lax.conv_general_dilated(
        x, total, padding="VALID", **options
    )


@pytest.mark.parametrize("theta", [0.0, 0.7, 1.0, "channel"])
@pytest.mark.parametrize(
    ("stride", "dilation", "groups", "size"),
    [(1, 1, 1, (3, 3)), (2, 1, 1, (3, 3)), (1, 2, 1, (3, 3)), (2, 2, 2, (3, 5))],
)
def test_cdc_is_its_definition(x64, theta, stride, dilation, groups, size):
    x, kernel = draw(2, 5, 6, 4), draw(*size, 4 // groups, 6)
    theta = np.linspace(-0.2, 1.2, 6) if theta == "channel" else theta
    options = {"stride": stride, "dilation": dilation, "groups": groups}
    actual = ops.cdc(jnp.asarray(x), jnp.asarray(kernel), theta, **options)
    np.testing.assert_allclose(
        actual, loop_cdc(x, kernel, theta, **options), atol=1e-12
    )
    if np.ndim(theta) == 0:
        expected = two_convolutions(x, jnp.asarray(kernel), theta, **options)
        np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_cdc_of_a_constant_image_sees_only_the_border(x64):
    """With theta 1 the inner response to a constant is zero, the border's is not."""
    y = ops.cdc(jnp.ones((1, 5, 5, 2)), jnp.asarray(draw(3, 3, 2, 3)), 1.0)
    np.testing.assert_allclose(y[:, 1:-1, 1:-1], 0, atol=1e-12)
    assert np.abs(y[:, 0]).min() > 1e-3


def test_theta_is_traced_swept_and_cast():
    x = jnp.asarray(draw(1, 4, 4, 2), jnp.bfloat16)
    kernel = jnp.asarray(draw(3, 3, 2, 3), jnp.bfloat16)
    thetas = jnp.linspace(0, 1, 3)
    swept = jax.jit(jax.vmap(lambda theta: ops.cdc(x, kernel, theta)))(thetas)
    assert swept.dtype == jnp.bfloat16 and swept.shape == (3, 1, 4, 4, 3)
    for theta, y in zip(thetas, swept, strict=True):
        expected = loop_cdc(np.float64(x), np.float64(kernel), float(theta))
        np.testing.assert_allclose(np.float64(y), expected, atol=0.2)


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_cdc_derivatives_to_second_order(x64, mode):
    x, kernel, theta = draw(1, 3, 4, 2), draw(3, 3, 2, 2, seed=1), np.array([0.2, 0.8])

    @jax.jit
    def f(x, kernel, theta):
        return jnp.square(ops.cdc(x, kernel, theta, stride=2)).mean()

    check_grads(f, (x, kernel, theta), 2, [mode], atol=1e-5, rtol=1e-5)


def xla_cdc(x, kernel, theta):
    """The same operator with the derivatives that JAX writes."""
    folded = ops.fold_cdc(kernel, theta)
    pads = [(k // 2, k // 2) for k in kernel.shape[:2]]
    return lax.conv_general_dilated(
        x, folded, (1, 1), pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@pytest.mark.parametrize("path", ["window", "blocks", "joined", "column"])
@pytest.mark.parametrize("size", [(3, 3), (5, 3)])
def test_every_path_of_the_derivatives_is_exact(x64, monkeypatch, path, size):
    """Also inside ``scan``, and to second order in both orders of the modes."""
    monkeypatch.setattr(convolution, "MANY_PIXELS", 1 if path == "blocks" else 2**20)
    monkeypatch.setattr(convolution, "BLOCK_PIXELS", 12)
    monkeypatch.setattr(convolution, "_with_column", lambda *_: path == "column")
    width = 8 if path == "joined" else 5
    # The derivative by the kernel takes the larger number as its features.
    channels, features = (2, 3) if path in ("window", "column") else (32, 2)
    assert convolution.joined_pixels(width, features) == (4 if path == "joined" else 1)
    x = jnp.asarray(draw(2, 6, width, channels))
    kernel = jnp.asarray(draw(*size, channels, features, seed=1))
    arguments = x, kernel, jnp.float64(0.7)

    def second_orders(cdc):
        def f(arguments):
            def step(y, _):
                return y + cdc(*arguments).sum(-1, keepdims=True), None

            y, _ = lax.scan(step, jnp.zeros((2, 6, width, 1)), length=2)
            return jnp.sin(0.1 * y).sum()

        def slope(arguments):
            g = jax.grad(f)(arguments)
            return sum(jnp.vdot(a, a) for a in jax.tree.leaves(g))

        return jax.jit(
            lambda a: (f(a), jax.jvp(jax.grad(f), (a,), (a,)), jax.grad(slope)(a))
        )

    joined = functools.partial(ops.cdc, joined=path == "joined")
    actual = second_orders(joined)(arguments)
    expected = second_orders(xla_cdc)(arguments)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())


def test_wide_convolutions_of_many_pixels_are_not_left_to_ynnpack():
    def program(features):
        shapes = (2, 64, 64, 24), (3, 3, 24, features)
        arguments = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
        return jax.jit(convolution.convolve).lower(*arguments).compile().as_text()

    assert "ynn_fusion" in program(20)  # too narrow
    assert "ynn_fusion" not in program(24)
    x, kernel = draw(2, 64, 64, 24), draw(3, 3, 24, 24, seed=1)
    x, kernel = jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32)
    actual = convolution.convolve(x, kernel)
    assert actual.shape == (2, 64, 64, 24)
    np.testing.assert_allclose(actual, xla_cdc(x, kernel, 0.0), atol=1e-4)


@pytest.mark.parametrize("window", [(3, 3), (1, 5)])
def test_a_convolution_to_one_channel_is_its_definition(x64, window):
    x, kernel = draw(2, 5, 6, 3), draw(*window, 3, 1, seed=1)
    found = ops.convolve_to_one(x, kernel)
    np.testing.assert_allclose(found, ops.convolve(x, kernel), rtol=1e-12, atol=1e-12)
    check_grads(jax.jit(ops.convolve_to_one), (x, kernel), order=2)
    narrow = ops.convolve_to_one(x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16))
    assert narrow.dtype == jnp.bfloat16
    np.testing.assert_allclose(narrow.astype(jnp.float64), found, atol=0.1)
    for wrong in (kernel[:, :, :2], jnp.concatenate([kernel] * 2, -1)):
        with pytest.raises(ValueError, match=r"kernel: expected \[KH, KW, 3, 1\]"):
            ops.convolve_to_one(x, wrong)


def test_cdc_names_wrong_input():
    x = jnp.zeros((1, 4, 4, 2))
    with pytest.raises(ValueError, match="expected an odd number"):
        ops.cdc(x, jnp.zeros((2, 3, 2, 2)))
    with pytest.raises(ValueError, match=r"scalar or \[5\].*\(2,\)"):
        ops.cdc(x, jnp.zeros((3, 3, 2, 5)), jnp.zeros(2))


def loop_pool(x, window, stride, reduce):
    """``reduce(window [w, w, C] with NaN outside the image, center [C])``."""
    n, h, w, c = x.shape
    y = np.zeros((n, -(-h // stride), -(-w // stride), c))
    half = window // 2
    for b, r, s in np.ndindex(y.shape[:3]):
        i, j = r * stride, s * stride
        taps = np.full((window, window, c), np.nan)
        for u, v in np.ndindex(window, window):
            row, column = i + u - half, j + v - half
            if 0 <= row < h and 0 <= column < w:
                taps[u, v] = x[b, row, column]
        y[b, r, s] = reduce(taps, x[b, i, j])
    return y


def test_lam_is_cast_to_the_images_dtype():
    x = jnp.asarray(draw(1, 4, 4, 2), jnp.bfloat16)
    y = ops.cdp(x, jnp.float32(0.5), stride=1)
    assert y.dtype == jnp.bfloat16
    expected = np.float64(x)[0, :3, :3].mean((0, 1)) - 0.5 * np.float64(x)[0, 1, 1]
    np.testing.assert_allclose(np.float64(y)[0, 1, 1], expected, atol=0.05)


POOLS = [(3, 2, (6, 5)), (3, 1, (4, 5)), (5, 2, (5, 7)), (3, 3, (7, 8))]


@pytest.mark.parametrize(("window", "stride", "size"), POOLS)
@pytest.mark.parametrize("lam", [0.0, 0.7, "channel"])
def test_cdp_is_its_definition(x64, window, stride, size, lam):
    x = draw(2, *size, 3)
    lam = np.array([0.0, 0.5, 1.0]) if lam == "channel" else lam
    actual = ops.cdp(jnp.asarray(x), lam, window=window, stride=stride)
    expected = loop_pool(
        x,
        window,
        stride,
        # NAS-FAS eq. 6: the differences to the center, over the size of R.
        lambda taps, center: (
            np.mean(np.nan_to_num(taps) - center, (0, 1)) * lam
            + np.mean(np.nan_to_num(taps), (0, 1)) * (1 - lam)
        ),
    )
    np.testing.assert_allclose(actual, expected, atol=1e-12)


@pytest.mark.parametrize(("window", "stride", "size"), POOLS)
def test_max_pool_is_its_definition(window, stride, size):
    x = draw(2, *size, 3).astype(np.float32)
    actual = ops.max_pool(jnp.asarray(x), window=window, stride=stride)
    expected = loop_pool(x, window, stride, lambda taps, _: np.nanmax(taps, (0, 1)))
    np.testing.assert_array_equal(actual, expected)


def test_max_pool_gives_a_tie_one_derivative_and_nan_wins():
    slope = jax.grad(lambda x: ops.max_pool(x, stride=3).sum())
    np.testing.assert_array_equal(
        slope(jnp.ones((1, 3, 3, 1)))[0, ..., 0], [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    )
    for place in range(9):
        x = jnp.zeros(9).at[place].set(jnp.nan).reshape(1, 3, 3, 1)
        pooled = np.asarray(ops.max_pool(x, stride=1))
        assert np.isnan(pooled[0, 1, 1, 0])


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_pooling_derivatives_to_second_order(x64, mode):
    # Values 0.1 apart: no step of the check reaches a tie.
    x = np.random.default_rng(0).permutation(40).reshape(1, 5, 4, 2) / 10

    @jax.jit
    def f(x, lam):
        mean = jnp.square(ops.cdp(x, lam)).sum()
        return mean + jnp.square(ops.max_pool(x)).sum() / 10

    check_grads(f, (x, np.array([0.3, 0.7])), 2, [mode], atol=1e-5, rtol=1e-5)


def test_pooling_names_wrong_input():
    x = jnp.zeros((1, 4, 4, 2))
    for pool in (ops.cdp, ops.max_pool):
        with pytest.raises(ValueError, match="expected an odd number"):
            pool(x, window=2)
    with pytest.raises(ValueError, match=r"scalar or \[2\]"):
        ops.cdp(x, jnp.zeros(3))


def test_halve_and_average_to_work_on_blocks():
    x = draw(2, 4, 6, 3).astype(np.float32)
    blocks = x.reshape(2, 2, 2, 3, 2, 3)
    np.testing.assert_array_equal(ops.halve(jnp.asarray(x)), blocks.max((2, 4)))
    np.testing.assert_allclose(
        ops.average_to(jnp.asarray(x), (2, 3)), blocks.mean((2, 4)), rtol=1e-5
    )
    with pytest.raises(ValueError, match="even height and width"):
        ops.halve(jnp.zeros((1, 4, 5, 1)))
    with pytest.raises(ValueError, match=r"\(3, 2\) does not divide"):
        ops.average_to(jnp.asarray(x), (3, 2))


def loop_resize(image, height, width):
    """Bilinear, half-pixel centers, edges repeated; [H, W, C]."""
    out = np.zeros((height, width, image.shape[2]))
    for i, j in np.ndindex(height, width):
        y = np.clip((i + 0.5) * image.shape[0] / height - 0.5, 0, image.shape[0] - 1)
        x = np.clip((j + 0.5) * image.shape[1] / width - 0.5, 0, image.shape[1] - 1)
        top, left = int(y), int(x)
        bottom = min(top + 1, image.shape[0] - 1)
        right = min(left + 1, image.shape[1] - 1)
        down, along = y - top, x - left
        upper = (1 - along) * image[top, left] + along * image[top, right]
        lower = (1 - along) * image[bottom, left] + along * image[bottom, right]
        out[i, j] = (1 - down) * upper + down * lower
    return out


@pytest.mark.parametrize("size", [(2, 2), (8, 3), (12, 16), (5, 11), (16, 8)])
def test_resize_is_bilinear(x64, size):
    x = draw(2, 8, 16, 3)
    actual = ops.resize(jnp.asarray(x), size)
    expected = np.stack([loop_resize(image, *size) for image in x])
    np.testing.assert_allclose(actual, expected, atol=1e-12)
    library = jax.image.resize(x, (2, *size, 3), "bilinear", antialias=False)
    np.testing.assert_allclose(actual, library, atol=1e-12)


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_resize_derivatives_to_second_order(x64, mode):
    def f(x):
        return jnp.square(ops.resize(x, (2, 7))).sum()

    check_grads(jax.jit(f), (draw(1, 8, 4, 2),), 2, [mode], atol=1e-5, rtol=1e-5)


class OperatorVariants(chex.TestCase):
    """Every operator, compiled or not, on arrays of the device or of NumPy."""

    @chex.all_variants(with_pmap=False)
    def test_operators_are_equal_in_all_variants(self):
        x, kernel = draw(2, 4, 4, 3), draw(3, 3, 3, 4)
        clips, b, a = draw(2, 3, 4, 4, 1), np.ones(3), np.array([0.2, 0.1])
        for operator, arguments in (
            (ops.cdc, (x, kernel, 0.7)),
            (ops.cdp, (x, 0.7)),
            (ops.fold_cdc, (kernel, 0.7)),
            (ops.rank_pool, (clips,)),
            (ops.static_dynamic, (clips,)),
            (ops.biquad, (clips, b, a)),
        ):
            arguments = [np.asarray(one, np.float32) for one in arguments]
            found = self.variant(operator)(*arguments)
            expected = operator(*map(jnp.asarray, arguments))
            chex.assert_equal_shape([found, expected])
            chex.assert_trees_all_close(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("chosen", "computed"),
    [
        (None, lax.Precision.HIGHEST),
        ("tensorfloat32", lax.Precision.HIGH),
        ("default", lax.Precision.DEFAULT),
    ],
)
def test_products_are_in_float32_unless_the_user_chooses(chosen, computed):
    product = platform.full_precision(lambda x: lax.dot(x, x))
    trace = jax.make_jaxpr(lambda x: product(x))
    with platform.portable(), jax.default_matmul_precision(chosen):
        (equation,) = trace(jnp.ones((2, 2))).jaxpr.eqns
    assert equation.params["precision"] == (computed, computed)


def test_products_on_this_cpu_have_its_only_precision():
    product = platform.full_precision(lambda x: lax.dot(x, x))
    (equation,) = jax.make_jaxpr(product)(jnp.ones((2, 2))).jaxpr.eqns
    assert equation.params["precision"] is None
