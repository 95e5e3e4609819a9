"""Eulerian magnification: the filter of SciPy, and motions of known size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from nasfas_jax import ops

RATE = 25.0


def wave(amplitude, frequency=1.5, frames=50, side=96, length=32.0):
    """A sine grating that moves to and fro by ``amplitude`` pixels, [1, T, S, S, 3]."""
    shift = amplitude * np.sin(2 * np.pi * frequency * np.arange(frames) / RATE)
    phase = 2 * np.pi * (np.arange(side) - shift[:, None]) / length
    rows = 0.5 + 0.2 * np.sin(phase)
    clip = np.repeat(rows[:, None, :, None], side, 1).repeat(3, 3)
    return jnp.asarray(clip[None], jnp.float32)


def moved(clip, length=32.0):
    """Amplitude of the motion [pixels] of `wave`, from the phase of each frame."""
    side = clip.shape[3]
    inner = np.asarray(clip[0, :, side // 2, :, 1], np.float64)
    grating = np.exp(-2j * np.pi * np.arange(side) / length)
    angles = np.unwrap(np.angle((inner - inner.mean(1, keepdims=True)) @ grating))
    shift = -(angles - angles.mean()) * length / (2 * np.pi)
    return np.abs(shift[len(shift) // 3 :]).max()


@pytest.mark.parametrize(("low", "high"), [(0.5, 3.0), (0.83, 1.0), (1.0, 12.0)])
def test_bandpass_is_scipys(low, high):
    b, a = ops.bandpass(low, high, RATE)
    expected = scipy.signal.butter(1, (low, high), "bandpass", fs=RATE)
    np.testing.assert_allclose(b, expected[0], atol=1e-6)
    np.testing.assert_allclose(a, expected[1][1:], atol=1e-6)
    assert float(ops.pole_radius(a)) < 1


@pytest.mark.parametrize(("low", "high"), [(0.0, 3.0), (3.0, 1.0), (1.0, 12.5)])
def test_a_band_that_the_rate_does_not_reach_is_refused(low, high):
    with pytest.raises(ValueError, match="0 < low < high < half of the frame rate"):
        ops.bandpass(low, high, RATE)


def test_motion_within_the_band_is_magnified_and_other_motion_is_not():
    magnify = jax.jit(ops.magnify, static_argnames="wavelength")
    b, a = ops.bandpass(0.5, 3.0, RATE)
    for factor in (0.0, 3.0, 6.0):
        found = magnify(wave(0.1), b, a, factor, wavelength=8.0)
        # The filter passes the center of its band whole.
        np.testing.assert_allclose(
            moved(found), moved(wave(0.1)) * (1 + factor), rtol=0.1
        )
    for frequency in (0.05, 11.0):
        other = wave(0.1, frequency)
        found = magnify(other, b, a, 6.0, wavelength=8.0)
        assert moved(found) < 1.6 * moved(other)
    # Waves that are too short for the factor have less of it.
    gains = [
        moved(magnify(wave(0.1, length=length), b, a, 6.0, wavelength=16.0), length)
        for length in (8, 16, 32)
    ]
    assert 0.1 < gains[0] < gains[1] < gains[2] < 0.7


def test_a_still_clip_is_unchanged_and_short_waves_are_not_amplified():
    b, a = ops.bandpass(0.5, 3.0, RATE)
    still = jnp.broadcast_to(wave(0.1)[:, :1], (1, 20, 96, 96, 3))
    np.testing.assert_array_equal(ops.magnify(still, b, a, 20.0), still)
    # The finest level has waves of 2 to 4 pixels: (1 + 3) * 2.83 / 16 < 1.
    noise = np.random.default_rng(0).uniform(size=(1, 8, 1, 1, 3))
    checks = np.indices((32, 32)).sum(0)[None, None, :, :, None] % 2
    clip = jnp.asarray(checks * noise + (1 - checks) * (1 - noise), jnp.float32)
    np.testing.assert_allclose(ops.magnify(clip, b, a, 3.0), clip, atol=5e-3)


def test_frames_of_another_shape_are_refused():
    b, a = ops.bandpass(0.5, 3.0, RATE)
    with pytest.raises(
        ValueError, match=r"expected \[N, T, H, W, 3\], got \[1, 4, 8, 8\]"
    ):
        ops.magnify(jnp.zeros((1, 4, 8, 8)), b, a)
