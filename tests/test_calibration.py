"""Temperatures and reliability diagrams against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from nasfas_jax.errors import InputError
from nasfas_jax.evaluation import calibration


def samples(temperature, threshold, n=20_000):
    """Scores, and labels drawn with ``sigmoid((score - threshold) / temperature)``."""
    random = np.random.default_rng(0)
    scores = random.uniform(0, 1, n)
    live = random.uniform(size=n) < 1 / (1 + np.exp((threshold - scores) / temperature))
    return scores, live.astype(int)


@pytest.mark.parametrize("temperature", [0.03, 0.3, 2.0])
def test_the_temperature_of_the_labels_is_found_and_calibrates(temperature):
    scores, labels = samples(temperature, 0.4)
    found = calibration.fit_temperature(scores, labels, 0.4)
    assert found == pytest.approx(temperature, rel=0.1)
    probability = calibration.probabilities(scores, 0.4, found)
    assert calibration.reliability(probability, labels).error < 0.02
    # No other temperature has a smaller loss.
    loss = log_loss(labels, probability)
    for other in found * np.array([0.8, 0.95, 1.05, 1.25]):
        assert log_loss(labels, calibration.probabilities(scores, 0.4, other)) > loss


def test_separated_classes_have_the_smallest_temperature():
    scores, labels = np.array([0.1, 0.2, 0.8]), np.array([0, 0, 1])
    found = calibration.fit_temperature(scores, labels, 0.5)
    assert found < 0.01
    probability = calibration.probabilities(scores, 0.5, found)
    np.testing.assert_allclose(probability, labels, atol=1e-6)


@given(st.integers(2, 60), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_the_diagram_is_a_loop_over_bins(n, bins, seed):
    random = np.random.default_rng(seed)
    probability = np.round(random.uniform(size=n), 1)  # ends of bins too
    labels = np.arange(n) % 2
    found = calibration.reliability(probability, labels, bins)
    error = 0.0
    for i in range(bins):
        inside = [
            j for j, p in enumerate(probability) if (i == min(int(p * bins), bins - 1))
        ]
        assert found.count[i] == len(inside)
        if not inside:
            assert np.isnan(found.probability[i]) and np.isnan(found.frequency[i])
            continue
        mean, live = probability[inside].mean(), labels[inside].mean()
        np.testing.assert_allclose(
            [found.probability[i], found.frequency[i]], [mean, live]
        )
        error += len(inside) / n * abs(mean - live)
    assert found.error == pytest.approx(error)


def test_wrong_values_are_named():
    with pytest.raises(
        InputError, match="threshold: expected a finite number, got inf"
    ):
        calibration.fit_temperature([0.1, 0.9], [0, 1], np.inf)
    with pytest.raises(InputError, match="values from 0 to 1"):
        calibration.reliability([0.1, 1.9], [0, 1])
    with pytest.raises(InputError, match="live"):
        calibration.fit_temperature([0.1, 0.9], [0, 0], 0.5)
