"""Threshold rules against every threshold tried one by one, and what must not move them."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from nasfas_jax.errors import InputError
from nasfas_jax.evaluation import metrics, thresholds

RULES = ("eer", "min_hter", "bpcer20", "far=0", "far=0.3", "far=1")
SEPARABLE = ([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0])
LIVE = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.05]
SPOOF = [0.55, 0.12, 0.11, 0.1, 0.09, 0.08, 0.07, 0.06, 0.04, 0.03]
HAND = (LIVE + SPOOF, [1] * 10 + [0] * 10)


@st.composite
def samples(draw):
    """Scores on a coarse grid, so that ties abound, with both classes."""
    n = draw(st.integers(2, 30))
    values = draw(st.lists(st.integers(-9, 9), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    types = draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n))
    labels[0], labels[1] = 0, 1
    return np.array(values, np.float64), np.array(labels), np.array(types)


def slow_threshold(rule, scores, labels, types):
    """Every threshold between two distinct scores and beyond them, one by one."""
    distinct = sorted(set(scores.tolist()))
    middles = [(a + b) / 2 for a, b in itertools.pairwise(distinct)]
    tried = [
        np.nextafter(distinct[0], -np.inf),
        *middles,
        np.nextafter(distinct[-1], np.inf),
    ]
    chosen, least = None, np.inf
    for at in tried:
        accepted = {kind: [] for kind in types[labels == 0]}
        for score, kind in zip(scores[labels == 0], types[labels == 0], strict=True):
            accepted[kind].append(score >= at)
        pooled = [one for group in accepted.values() for one in group]
        far = sum(pooled) / len(pooled)
        worst = max(sum(group) / len(group) for group in accepted.values())
        live = [score < at for score in scores[labels == 1]]
        gap = sum(pooled) * len(live) - sum(live) * len(pooled)
        both = sum(pooled) * len(live) + sum(live) * len(pooled)
        if rule in ("eer", "min_hter"):
            cost = abs(gap) if rule == "eer" else both
            if cost <= least:
                chosen, least = at, cost
        elif chosen is None and (
            worst <= 1 / 20 if rule == "bpcer20" else far <= float(rule[4:])
        ):
            chosen = at
    return chosen


@given(samples(), st.sampled_from(RULES))
@settings(max_examples=200, deadline=None)
def test_fast_equals_slow(data, rule):
    assert thresholds.find(rule)(*data) == slow_threshold(rule, *data)


@given(samples(), st.sampled_from(RULES))
@settings(max_examples=100, deadline=None)
def test_no_threshold_equals_a_score(data, rule):
    assert thresholds.find(rule)(*data) not in data[0]


@given(samples(), st.sampled_from([0.0, 0.01, 1 / 3, 0.5, 1.0]))
@settings(max_examples=100, deadline=None)
def test_targets_are_kept_and_no_lower_threshold_keeps_them(data, target):
    scores, labels, types = data
    far = thresholds.far_threshold(scores, labels, target)
    apcer = thresholds.apcer_threshold(scores, labels, types, target)
    assert metrics.error_rates(*data, far).far <= target
    assert metrics.error_rates(*data, apcer).apcer <= target
    for lower in thresholds.cuts(scores[labels == 1], scores[labels == 0]):
        rates = metrics.error_rates(*data, lower)
        assert lower >= far or rates.far > target
        assert lower >= apcer or rates.apcer > target


@given(
    samples(),
    st.sampled_from(RULES),
    st.sampled_from([np.exp, np.arctan, lambda x: x**3, lambda x: 5 * x - 7]),
)
@settings(max_examples=150, deadline=None)
def test_monotone_transforms_change_no_rate(data, rule, transform):
    scores, labels, types = data
    mapped = transform(scores)
    assert len(np.unique(mapped)) == len(np.unique(scores))
    find = thresholds.find(rule)
    before = metrics.error_rates(scores, labels, types, find(scores, labels, types))
    after = metrics.error_rates(mapped, labels, types, find(mapped, labels, types))
    assert before.apcer_by_type == after.apcer_by_type
    assert (before.far, before.frr) == (after.far, after.frr)
    for fpr in (0, 0.2, 1):
        assert metrics.tpr_at_fpr(scores, labels, fpr) == (
            metrics.tpr_at_fpr(mapped, labels, fpr)
        )


@given(samples(), st.sampled_from(RULES), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_order_changes_nothing(data, rule, random):
    order = list(range(len(data[0])))
    random.shuffle(order)
    find = thresholds.find(rule)
    assert find(*(column[order] for column in data)) == find(*data)


@given(samples())
@settings(max_examples=100, deadline=None)
def test_swapped_polarity_mirrors(data):
    """Every threshold has its mirror, so the least errors are equal."""
    scores, labels, types = data
    swapped = (-scores, 1 - labels)
    for at in thresholds.cuts(scores[labels == 1], scores[labels == 0]):
        rates = metrics.error_rates(scores, labels, types, at)
        mirrored = metrics.error_rates(*swapped, types, np.nextafter(-at, np.inf))
        assert (rates.far, rates.frr) == (mirrored.frr, mirrored.far)
    here, there = (
        metrics.error_rates(s, y, types, thresholds.min_hter_threshold(s, y))
        for s, y in ((scores, labels), swapped)
    )
    assert here.hter == pytest.approx(there.hter)
    gaps = [
        abs(rates.far - rates.frr)
        for s, y in ((scores, labels), swapped)
        for rates in [metrics.error_rates(s, y, types, thresholds.eer_threshold(s, y))]
    ]
    assert gaps[0] == pytest.approx(gaps[1])
    curve, mirror = metrics.det_curve(scores, labels), metrics.det_curve(*swapped)
    np.testing.assert_array_equal(curve.far, mirror.frr[::-1])
    np.testing.assert_array_equal(curve.frr, mirror.far[::-1])


def test_cases_by_hand():
    types = ["print"] * 20
    for rule in ("eer", "min_hter", "bpcer20", "far=0"):
        assert thresholds.find(rule)(*SEPARABLE, types[:4]) == 0.5
    assert thresholds.find("eer")(*HAND, types) == 0.135
    assert thresholds.find("min_hter")(*HAND, types) == 0.135
    assert thresholds.find("far=0.1")(*HAND, types) == 0.135
    assert thresholds.find("far=0.09")(*HAND, types) == pytest.approx(0.575)
    assert thresholds.find("bpcer20")(*HAND, types) == pytest.approx(0.575)
    assert metrics.tpr_at_fpr(*HAND, 0.1) == 0.9
    assert metrics.tpr_at_fpr(*HAND, 0.0999) == 0.4


def test_bpcer20_is_about_the_worst_type():
    """Twenty prints far below and one mask high: pooled FAR would let the mask in."""
    scores = np.array([0.9, 0.5, *np.linspace(0, 0.1, 20), 0.7])
    labels = np.array([1, 1, *[0] * 21])
    types = np.array(["live"] * 2 + ["print"] * 20 + ["mask"])
    assert thresholds.find("bpcer20")(scores, labels, types) == pytest.approx(0.8)
    assert thresholds.find("far=0.05")(scores, labels, types) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "rule", ["far", "far=", "far=2", "far=-1", "far=nan", "EER", ""]
)
def test_unknown_rules_are_said(rule):
    with pytest.raises(
        InputError, match="rule: expected eer, min_hter, bpcer20 or far"
    ):
        thresholds.find(rule)


def test_attack_types_must_fit():
    with pytest.raises(InputError, match="one name for each of the 4"):
        thresholds.find("bpcer20")(*SEPARABLE, ["print"])
