"""Rank pooling against the primal problem of NAS-FAS eq. 7, solved by others."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from nasfas_jax import ops
from nasfas_jax.ops.rank_pooling import closed_form

LENGTH = 7
POOL = jax.jit(ops.rank_pool)
DELTA = 2 / (LENGTH * (LENGTH - 1))


def noise(rng, shape):
    return rng.random((LENGTH, *shape))


def walk(rng, shape):
    return 0.5 + 0.3 * np.cumsum(rng.normal(size=(LENGTH, *shape)), 0)


def ramp(rng, shape):
    """Every frame brighter by the same picture: many margins tie."""
    return np.arange(LENGTH)[:, None, None, None] * rng.random(shape)


def stutter(rng, shape):
    """Frames that repeat: pairs of zero difference."""
    return noise(rng, shape)[[0, 0, 1, 2, 2, 1, 3]]


CLIPS = [noise, walk, ramp, stutter]
SCALES = [0.05, 2.0, 50.0]


def pair_differences(frames):
    """[P, D]: S_i - S_j for i > j, from the definition."""
    means = [frames[: i + 1].mean(0).ravel() for i in range(len(frames))]
    return np.array([means[i] - means[j] for i in range(len(means)) for j in range(i)])


def objective(image, differences):
    slack = np.maximum(0, 1 - differences @ image.ravel())
    return 0.5 * np.square(image).sum() + DELTA * slack.sum()


def solve_primal(frames):
    """Eq. 7 with its slack variables, by SLSQP, in the span of the differences."""
    differences = pair_differences(frames)
    u, s, vt = np.linalg.svd(differences, full_matrices=False)
    rank = int((s > 1e-9 * s.max()).sum())
    margins, basis = u[:, :rank] * s[:rank], vt[:rank]
    pairs = len(differences)
    result = scipy.optimize.minimize(
        lambda v: 0.5 * v[:rank] @ v[:rank] + DELTA * v[rank:].sum(),
        np.concatenate([np.zeros(rank), np.ones(pairs)]),
        jac=lambda v: np.concatenate([v[:rank], np.full(pairs, DELTA)]),
        bounds=[(None, None)] * rank + [(0, None)] * pairs,
        constraints={
            "type": "ineq",
            "fun": lambda v: margins @ v[:rank] + v[rank:] - 1,
            "jac": lambda v: np.hstack([margins, np.eye(pairs)]),
        },
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return (result.x[:rank] @ basis).reshape(frames.shape[1:])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("clip", CLIPS)
def test_ranksvm_is_the_minimizer_of_equation_7(x64, clip, scale):
    frames = scale * clip(np.random.default_rng(0), (4, 3, 3))
    image = np.asarray(POOL(frames))
    expected = solve_primal(frames)
    differences = pair_differences(frames)
    # SLSQP stops at about 1e-7; ours may only be better.
    assert objective(image, differences) <= objective(expected, differences) + 1e-12
    np.testing.assert_allclose(
        image, expected, atol=2e-4 * np.abs(expected).max(), rtol=0
    )


def test_the_clips_reach_every_case_of_the_bounds():
    """All pairs at the bound delta, some, and none: each is tested above."""
    rng = np.random.default_rng(0)
    frames = noise(rng, (4, 3, 3))
    below = []
    for scale in SCALES:
        margins = (
            pair_differences(scale * frames) @ solve_primal(scale * frames).ravel()
        )
        below.append(int((margins < 1 - 1e-4).sum()))
    assert below[0] == 21 and 0 < below[1] < 21 and below[2] == 0


def kkt_violation(frames, image):
    """How far D is from ``sum a_ij (S_i - S_j)`` with an a that fits D's margins.

    The a of free pairs is found by bounded least squares; the result is relative to D.
    """
    differences = pair_differences(frames)
    margins = differences @ image.ravel()
    tolerance = 1e-3
    low = np.where(margins < 1 - tolerance, DELTA, 0)
    high = np.where(margins > 1 + tolerance, 0, DELTA)
    free = high > low
    rest = image.ravel() - differences.T @ np.where(free, 0, low)
    if free.any():
        fit = scipy.optimize.lsq_linear(differences[free].T, rest, (0, DELTA))
        rest = rest - differences[free].T @ fit.x
    return np.linalg.norm(rest) / max(np.linalg.norm(image), 1e-9)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    clip=st.sampled_from(CLIPS),
    seed=st.integers(0, 2**20),
    scale=st.floats(-2.5, 2.5).map(lambda e: 10.0**e),
)
def test_optimality_conditions_hold_in_float32(clip, seed, scale):
    frames = scale * clip(np.random.default_rng(seed), (3, 3, 2))
    frames = frames.astype(np.float32)
    image = np.asarray(POOL(frames), np.float64)
    assert kkt_violation(frames.astype(np.float64), image) < 5e-3


def test_little_motion_equals_the_harmonic_form():
    frames = 0.01 * noise(np.random.default_rng(1), (3, 3, 2))
    frames = frames.astype(np.float32)
    exact = POOL(frames)
    np.testing.assert_allclose(exact, ops.rank_pool(frames, "harmonic"), atol=1e-7)


def test_coefficients_of_the_closed_forms():
    harmonic = [-6.742857, -0.742857, 1.257143, 1.923810, 1.923810, 1.523810, 0.857143]
    np.testing.assert_allclose(closed_form(7, "harmonic"), harmonic, atol=1e-6)
    np.testing.assert_array_equal(closed_form(7, "linear"), np.arange(-6, 7, 2))
    harmonic = [-2.416667, 0.583333, 1.083333, 0.75]
    np.testing.assert_allclose(closed_form(4, "harmonic"), harmonic, atol=1e-6)


def test_closed_forms_from_their_definitions(x64):
    frames = noise(np.random.default_rng(2), (3, 4, 2))
    expected = DELTA * pair_differences(frames).sum(0).reshape(3, 4, 2)
    np.testing.assert_allclose(ops.rank_pool(frames, "harmonic"), expected, atol=1e-12)
    pairs = itertools.combinations(range(LENGTH), 2)
    expected = DELTA * sum(frames[i] - frames[j] for j, i in pairs)
    np.testing.assert_allclose(ops.rank_pool(frames, "linear"), expected, atol=1e-12)


@pytest.mark.parametrize("method", ["ranksvm", "harmonic", "linear"])
def test_weights_from_inner_products_pool_as_the_frames_do(x64, method):
    frames = walk(np.random.default_rng(10), (3, 3, 2))
    differences = (frames - frames[-1:]).reshape(LENGTH, -1)
    weights = ops.rank_weights(jnp.asarray(differences @ differences.T), method)
    np.testing.assert_allclose(weights.sum(), 0, atol=1e-9)
    expected = ops.rank_pool(jnp.asarray(frames), method)
    actual = np.tensordot(weights, frames, 1)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, atol=1e-9 * scale)


def test_batch_axes_pool_apart():
    rng = np.random.default_rng(3)
    clips = np.stack([clip(rng, (3, 3, 1)) for clip in CLIPS]).astype(np.float32)
    clips = clips.reshape(2, 2, LENGTH, 3, 3, 1)
    pooled = POOL(clips)
    assert pooled.shape == (2, 2, 3, 3, 1)
    for i, j in np.ndindex(2, 2):
        np.testing.assert_allclose(
            pooled[i, j], POOL(clips[i, j]), rtol=2e-3, atol=1e-5
        )


def test_pooling_ignores_what_does_not_move(x64):
    """A constant picture added to all frames changes no difference of means."""
    frames = walk(np.random.default_rng(4), (3, 3, 2))
    picture = np.random.default_rng(5).random((3, 3, 2))
    np.testing.assert_allclose(POOL(frames + picture), POOL(frames), atol=1e-9)


def wave(frames):
    """A scalar of the dynamic image with derivatives of every order."""
    return jnp.sin(3 * ops.rank_pool(frames)).sum()


@jax.jit
def derivatives(frames, along):
    """Of `wave` along a direction: first in both modes, second in both orders."""

    def slope(x):
        return jnp.vdot(jax.grad(wave)(x), along)

    forward, curvature = jax.jvp(
        lambda x: jax.jvp(wave, (x,), (along,))[1], (frames,), (along,)
    )
    mixed = jax.jvp(jax.grad(wave), (frames,), (along,))[1]
    return forward, slope(frames), curvature, mixed, jax.grad(slope)(frames)


@pytest.mark.parametrize("scale", SCALES)
def test_derivatives_to_second_order_in_both_modes(x64, scale):
    rng = np.random.default_rng(6)
    frames, along = (scale * noise(rng, (4, 3, 3)) for _ in range(2))
    forward, reverse, curvature, mixed, twice = derivatives(frames, along)
    # Central differences; a step this small stays on one piece.
    step = 1e-5
    ahead, behind = (derivatives(frames + s * along, along) for s in (step, -step))
    value = jax.jit(wave)
    expected = (value(frames + step * along) - value(frames - step * along)) / 2 / step
    np.testing.assert_allclose([forward, reverse], expected, rtol=1e-6, atol=1e-8)
    second = (ahead[1] - behind[1]) / (2 * step)
    np.testing.assert_allclose(curvature, second, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(np.vdot(mixed, along), second, rtol=1e-5, atol=1e-8)
    scale = np.abs(twice).max()
    np.testing.assert_allclose(mixed, twice, rtol=1e-7, atol=1e-7 * scale)


@pytest.mark.parametrize("method", ["ranksvm", "harmonic", "linear"])
def test_a_frozen_clip(method):
    frame = np.random.default_rng(7).random((4, 4, 3)).astype(np.float32)
    frozen = jnp.asarray(np.stack([frame] * LENGTH))
    pool = jax.jit(lambda x: ops.rank_pool(x, method))
    np.testing.assert_array_equal(pool(frozen), np.zeros_like(frame))
    expected = (frame - frame.min()) / (frame.max() - frame.min())
    image = jax.jit(lambda x: ops.static_dynamic(x, method, peak=1.0))(frozen)
    np.testing.assert_allclose(image, expected, atol=1e-6)

    def f(x):
        return jnp.square(ops.static_dynamic(x, method, peak=1.0)).sum()

    tangent = jnp.ones_like(frozen) * jnp.arange(4.0).reshape(1, 4, 1, 1)
    first, second = jax.jit(lambda x: jax.jvp(jax.grad(f), (x,), (tangent,)))(frozen)
    assert np.isfinite(first).all() and np.isfinite(second).all()


@pytest.mark.parametrize("method", ["ranksvm", "harmonic", "linear"])
def test_a_constant_clip_gives_zeros(method):
    blank = jnp.full((LENGTH, 4, 4, 3), 0.5)
    f = jax.jit(lambda x: ops.static_dynamic(x, method))
    image, tangent = jax.jvp(f, (blank,), (jnp.ones_like(blank),))
    np.testing.assert_array_equal(image, np.zeros((4, 4, 3)))
    assert np.isfinite(tangent).all()


def test_static_dynamic_spans_zero_to_one_for_each_image():
    clips = noise(np.random.default_rng(8), (4, 4, 3)).astype(np.float32)
    clips = np.stack([clips, 0.5 * clips])
    image = np.asarray(jax.jit(ops.static_dynamic)(clips))
    assert image.shape == (2, 4, 4, 3)
    np.testing.assert_allclose(image.min((1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(image.max((1, 2, 3)), 1, atol=1e-6)


def test_peak_sets_the_scale_of_what_is_added():
    frames = noise(np.random.default_rng(9), (4, 4, 3)).astype(np.float32)
    dynamic = np.asarray(POOL(frames))
    image = frames[-1] + 0.5 * dynamic / np.abs(dynamic).max()
    expected = (image - image.min()) / (image.max() - image.min())
    actual = jax.jit(lambda x: ops.static_dynamic(x, peak=0.5))(frames)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match=r"method: expected .* got 'svr'"):
        ops.rank_pool(jnp.zeros((7, 2, 2, 3)), "svr")
    with pytest.raises(ValueError, match=r"method: expected .* got 'svr'"):
        ops.rank_weights(jnp.zeros((7, 7)), "svr")
    for call in (
        lambda: ops.rank_pool(jnp.zeros((1, 2, 2, 3))),
        lambda: ops.rank_weights(jnp.zeros((1, 1))),
    ):
        with pytest.raises(ValueError, match="frames: expected two or more, got 1"):
            call()
