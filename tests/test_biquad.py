"""The recursive filter over time against SciPy, against a loop, and its derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import signal

from nasfas_jax import ops

METHODS = ("scan", "associative_scan")
B, A = np.array([0.5, -0.3, 0.8]), np.array([-0.9, 0.6])


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def loop(x, b, a):
    """EulerNet eq. 1 to 3, one frame at a time; the order is eq. 1, 2, 3."""
    h1, h2, out = np.zeros_like(x[:, 0]), np.zeros_like(x[:, 0]), []
    for n in range(x.shape[1]):
        y = b[0] * x[:, n] + h1
        h1 = b[1] * x[:, n] + h2 - a[0] * y
        h2 = b[2] * x[:, n] - a[1] * y
        out.append(y)
    return np.stack(out, 1)


@pytest.mark.parametrize("method", METHODS)
def test_biquad_is_its_definition(method):
    with jax.enable_x64(True):
        x = draw(2, 7, 3, 4, 2)
        y = ops.biquad(*map(jnp.asarray, (x, B, A)), method=method)
        np.testing.assert_allclose(y, loop(x, B, A), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_long_sequences_are_lfilter(method):
    with jax.enable_x64(True):
        x = draw(1, 3000, 2)
        filtered = jax.jit(ops.biquad, static_argnames="method")
        for a in ((-0.9, 0.6), (-1.98, 0.985), (0.4, -0.5)):
            y = filtered(*map(jnp.asarray, (x, B, np.array(a))), method=method)
            expected = signal.lfilter(B, (1, *a), x, axis=1)
            np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_float32_stays_near_lfilter(method):
    x = draw(1, 2000, 2).astype(np.float32)
    b, a = B.astype(np.float32), A.astype(np.float32)
    filtered = jax.jit(ops.biquad, static_argnames="method")
    y = filtered(*map(jnp.asarray, (x, b, a)), method=method)
    expected = signal.lfilter(b, (1, *a), x.astype(float), axis=1)
    np.testing.assert_allclose(y, expected, atol=2e-5)


@pytest.mark.parametrize("method", METHODS)
def test_biquad_derivatives_to_second_order(method):
    with jax.enable_x64(True):

        def loss(x, b, a):
            return jnp.sin(ops.biquad(x, b, a, method=method)).sum()

        args = tuple(map(jnp.asarray, (draw(1, 5, 2), B, A)))
        check_grads(jax.jit(loss), args, order=2, modes=("fwd", "rev"))


@pytest.mark.parametrize("method", METHODS)
def test_a_stream_is_the_whole_sequence(method):
    with jax.enable_x64(True):
        x, b, a = map(jnp.asarray, (draw(2, 9, 3, 3, 1), B, A))
        filtered = jax.jit(ops.biquad_stream, static_argnames="method")
        state, parts, start = None, [], 0
        for count in (1, 1, 1, 4, 1, 1):
            part, state = filtered(
                x[:, start : start + count], b, a, state, method=method
            )
            parts.append(part)
            start += count
        whole = ops.biquad(x, b, a)
        np.testing.assert_allclose(jnp.concatenate(parts, 1), whole, atol=1e-12)


def test_stable_feedback_holds_poles_inside_and_reaches_every_filter():
    with jax.enable_x64(True):
        raws = jnp.asarray(10 * draw(200, 2))
        radius = jax.jit(
            jax.vmap(lambda raw: ops.pole_radius(ops.stable_feedback(raw)))
        )(raws)
        assert radius.max() <= 0.999 + 1e-12
        for a in ([-0.9, 0.6], [0.5, -0.4], [-1.5, 0.56], [0.0, 0.0]):
            wanted = jnp.asarray(a)
            back = ops.stable_feedback(ops.raw_feedback(wanted))
            np.testing.assert_allclose(back, wanted, atol=1e-12)
            roots = np.abs(np.roots([1, *a])).max()
            np.testing.assert_allclose(ops.pole_radius(wanted), roots, atol=1e-12)


def test_pole_radius_tells_an_unstable_filter():
    for a, radius in (([-2.5, 1.0], 2.0), ([0.0, 4.0], 2.0), ([0.0, -1.0], 1.0)):
        assert float(ops.pole_radius(jnp.array(a))) == pytest.approx(radius)


def test_wrong_shapes_are_refused():
    x, b, a = jnp.zeros((1, 4, 2)), jnp.zeros(3), jnp.zeros(2)
    wrong = {
        r"b, a: expected shapes \(3,\), \(2,\), got \(2,\)": (x, a, a),
        r"x: expected \[N, T, ...\] with T >= 1, got \(1, 0, 2\)": (x[:, :0], b, a),
        r"state: .* \(1, 2\) of a frame, got \[\(1, 3\)": (
            *(x, b, a),
            (jnp.zeros((1, 3)),) * 2,
        ),
    }
    for message, args in wrong.items():
        with pytest.raises(ValueError, match=message):
            ops.biquad_stream(*args)
    with pytest.raises(ValueError, match=r"method: expected one of .*, got 'fft'"):
        ops.biquad(x, b, a, method="fft")
