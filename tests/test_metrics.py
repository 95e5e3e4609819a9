"""Error rates against cases by hand, plain definitions and scikit-learn."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc

from nasfas_jax.errors import InputError
from nasfas_jax.evaluation import metrics

TYPES = ("print", "replay", "mask")


def case(live, spoof):
    return np.array(live + spoof), np.array([1] * len(live) + [0] * len(spoof))


SEPARABLE = case([0.9, 0.8], [0.2, 0.1])
HAND = case(
    [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.05],
    [0.55, 0.12, 0.11, 0.1, 0.09, 0.08, 0.07, 0.06, 0.04, 0.03],
)
TIES = case([0.9, 0.9, 0.8, 0.5, 0.5], [0.5, 0.5, 0.4, 0.1, 0.1])


@st.composite
def samples(draw):
    """Scores on a coarse grid, so that ties abound, with both classes."""
    n = draw(st.integers(2, 40))
    values = draw(st.lists(st.integers(-12, 12), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    types = draw(st.lists(st.sampled_from(TYPES), min_size=n, max_size=n))
    labels[0], labels[1] = 0, 1
    return np.array(values, np.float64), np.array(labels), np.array(types)


def slow_rates(scores, labels, types, threshold):
    """The definitions, one sample at a time."""
    accepted = {t: [] for t, y in zip(types, labels, strict=True) if y == 0}
    rejected = []
    for s, y, t in zip(scores, labels, types, strict=True):
        if y == 0:
            accepted[t].append(s >= threshold)
        else:
            rejected.append(s < threshold)
    by_type = {t: sum(a) / len(a) for t, a in accepted.items()}
    attacks = [a for group in accepted.values() for a in group]
    return by_type, sum(attacks) / len(attacks), sum(rejected) / len(rejected)


def slow_eer_threshold(scores, labels):
    live, spoof = scores[labels == 1], scores[labels == 0]
    distinct = sorted(set(scores))
    best, threshold = np.inf, np.nextafter(distinct[0], np.inf)
    for low, high in itertools.pairwise(distinct):
        middle = (low + high) / 2
        accepted = sum(s >= middle for s in spoof)
        rejected = sum(s < middle for s in live)
        gap = abs(accepted * len(live) - rejected * len(spoof))
        if gap <= best:
            best, threshold = gap, middle
    return threshold


def slow_auc(scores, labels):
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a in scores[labels == 1]
        for b in scores[labels == 0]
    ]
    return sum(pairs) / len(pairs)


def rates_at(scores, labels, threshold, types=None):
    types = np.full(len(scores), "print") if types is None else types
    return metrics.error_rates(scores, labels, types, threshold)


def test_separable_by_hand():
    threshold = metrics.eer_threshold(*SEPARABLE)
    rates = rates_at(*SEPARABLE, threshold)
    assert threshold == 0.5
    assert (rates.apcer, rates.bpcer, rates.acer, rates.hter) == (0, 0, 0, 0)
    assert metrics.equal_error_rate(*SEPARABLE) == 0
    assert metrics.auc(*SEPARABLE) == 1


def test_overlapping_by_hand():
    assert metrics.eer_threshold(*HAND) == 0.135
    assert metrics.equal_error_rate(*HAND) == 0.1
    assert metrics.auc(*HAND) == 0.87


def test_ties_by_hand():
    threshold = metrics.eer_threshold(*TIES)
    rates = rates_at(*TIES, threshold)
    assert threshold == 0.65
    assert (rates.far, rates.frr, rates.hter) == (0, 0.4, 0.2)
    assert metrics.equal_error_rate(*TIES) == 0.2
    assert metrics.auc(*TIES) == 0.92


def test_worst_attack_type_counts():
    scores = np.array([0.9, 0.3, 0.8, 0.1, 0.1, 0.7])
    labels = np.array([1, 1, 0, 0, 0, 0])
    types = np.array(["live", "live", "print", "print", "print", "mask"])
    rates = metrics.error_rates(scores, labels, types, 0.5)
    assert rates.apcer_by_type == {"mask": 1.0, "print": 1 / 3}
    assert (rates.apcer, rates.worst_type, rates.bpcer) == (1.0, "mask", 0.5)
    assert (rates.acer, rates.far, rates.hter) == (0.75, 0.5, 0.5)


def test_accept_at_the_threshold():
    assert rates_at(np.array([0.5, 0.5]), np.array([1, 0]), 0.5).far == 1
    assert rates_at(np.array([0.5, 0.5]), np.array([1, 0]), 0.5).frr == 0


def test_constant_scores_are_all_rejected():
    scores, labels = np.full(4, 0.3), np.array([1, 0, 1, 0])
    rates = rates_at(scores, labels, metrics.eer_threshold(scores, labels))
    assert (rates.far, rates.frr) == (0, 1)
    assert metrics.auc(scores, labels) == 0.5


@pytest.mark.parametrize("low", [0.1, 5e-324, 1e308])
def test_no_number_lies_between(low):
    """Where the midpoint rounds onto a neighbor, the upper score is the threshold."""
    scores, labels = np.array([low, np.nextafter(low, np.inf)]), np.array([0, 1])
    assert rates_at(scores, labels, metrics.eer_threshold(scores, labels)).hter == 0


def test_half_precision_scores_keep_the_threshold_between():
    scores = np.array([0.1, np.nextafter(np.float32(0.1), 1)], np.float32)
    labels = np.array([0, 1])
    assert rates_at(scores, labels, metrics.eer_threshold(scores, labels)).hter == 0


@given(samples())
@settings(max_examples=150, deadline=None)
def test_fast_equals_slow(data):
    scores, labels, types = data
    threshold = metrics.eer_threshold(scores, labels)
    by_type, far, frr = slow_rates(scores, labels, types, threshold)
    rates = metrics.error_rates(scores, labels, types, threshold)
    assert threshold == slow_eer_threshold(scores, labels)
    assert rates.apcer_by_type == by_type
    assert (rates.far, rates.frr, rates.bpcer) == (far, frr, frr)
    assert (rates.apcer, rates.hter) == (max(by_type.values()), (far + frr) / 2)
    assert metrics.equal_error_rate(scores, labels) == rates.hter
    assert metrics.auc(scores, labels) == pytest.approx(
        slow_auc(scores, labels), abs=1e-12
    )


@given(samples())
@settings(max_examples=100, deadline=None)
def test_scikit_learn_agrees(data):
    scores, labels, _ = data
    far, tpr, thresholds = sklearn_roc(labels, scores, drop_intermediate=False)
    curve = metrics.roc_curve(scores, labels)
    assert metrics.auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    np.testing.assert_allclose(curve.far, far, atol=1e-15)
    np.testing.assert_allclose(curve.tpr, tpr, atol=1e-15)
    np.testing.assert_array_equal(curve.threshold, thresholds)
    assert np.trapezoid(curve.tpr, curve.far) == pytest.approx(
        metrics.auc(scores, labels)
    )


@given(
    samples(),
    st.sampled_from([np.exp, np.tanh, lambda x: x**3, lambda x: 5 * x - 7]),
)
@settings(max_examples=100, deadline=None)
def test_monotone_transform_changes_no_rate(data, transform):
    scores, labels, types = data
    mapped = transform(scores)
    assert len(np.unique(mapped)) == len(np.unique(scores))
    before, after = (
        metrics.error_rates(s, labels, types, metrics.eer_threshold(s, labels))
        for s in (scores, mapped)
    )
    assert before.apcer_by_type == after.apcer_by_type
    assert (before.far, before.frr, before.acer) == (after.far, after.frr, after.acer)
    assert metrics.auc(scores, labels) == metrics.auc(mapped, labels)


@given(samples(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_order_changes_nothing(data, random):
    order = list(range(len(data[0])))
    random.shuffle(order)
    scores, labels, types = (column[order] for column in data)
    threshold = metrics.eer_threshold(scores, labels)
    assert threshold == metrics.eer_threshold(data[0], data[1])
    assert metrics.error_rates(scores, labels, types, threshold) == (
        metrics.error_rates(*data, threshold)
    )
    assert metrics.auc(scores, labels) == metrics.auc(data[0], data[1])


@given(samples())
@settings(max_examples=100, deadline=None)
def test_swapped_polarity_mirrors(data):
    scores, labels, _ = data
    threshold = metrics.eer_threshold(scores, labels)
    rates = rates_at(scores, labels, threshold)
    mirrored = rates_at(-scores, 1 - labels, np.nextafter(-threshold, np.inf))
    assert (rates.far, rates.frr) == (mirrored.frr, mirrored.far)
    assert metrics.auc(scores, labels) == metrics.auc(-scores, 1 - labels)
    assert metrics.auc(scores, labels) == pytest.approx(
        1 - metrics.auc(scores, 1 - labels)
    )


@pytest.mark.parametrize(
    ("scores", "labels", "said"),
    [
        ([0.1, np.nan], [0, 1], "finite numbers, got nan at position 1"),
        ([0.1, np.inf], [0, 1], "got inf"),
        ([0.1, 0.2], [1, 1], "2 live .* and 0 spoof"),
        ([], [], "0 live"),
        ([0.1, 0.2, 0.3], [0, 1], "equal length"),
        ([[0.1, 0.2]], [[0, 1]], "equal length"),
        ([0.1, 0.2], [-1, 1], "1 .live. or 0 .spoof., got .*-1"),
        ([0.1, 0.2], [0, 0.5], "0.5"),
    ],
)
def test_bad_input(scores, labels, said):
    for rate in (metrics.eer_threshold, metrics.auc, metrics.roc_curve):
        with pytest.raises(InputError, match=said):
            rate(np.array(scores), np.array(labels))


def test_bad_types_and_threshold():
    with pytest.raises(InputError, match="one name for each of the 2"):
        metrics.error_rates([0.1, 0.2], [0, 1], ["print"], 0.1)
    with pytest.raises(InputError, match="got NaN"):
        metrics.error_rates([0.1, 0.2], [0, 1], ["print", "live"], np.nan)
