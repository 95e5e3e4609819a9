"""Oracles against the published evaluators' steps written out, with scikit-learn."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given, settings
from sklearn.metrics import roc_auc_score, roc_curve

from nasfas_jax.errors import InputError
from nasfas_jax.evaluation import compat, metrics
from nasfas_jax.evaluation.scores import ScoreTable


def table_of(scores, labels, types=None):
    labels = np.asarray(labels)
    types = np.full(len(labels), "print") if types is None else np.asarray(types)
    names = np.array([f"{i}" for i in range(len(labels))])
    return ScoreTable(
        clip=names,
        subject=names,
        domain=names,
        attack_type=np.where(labels == 1, "live", types),
        label=labels,
        score=np.asarray(scores, np.float64),
        split=np.full(len(labels), "test"),
    )


def case(live, spoof):
    return table_of(live + spoof, [1] * len(live) + [0] * len(spoof))


SEPARABLE = case([0.9, 0.8], [0.2, 0.1])
HAND = case(
    [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.05],
    [0.55, 0.12, 0.11, 0.1, 0.09, 0.08, 0.07, 0.06, 0.04, 0.03],
)
TIES = case([0.9, 0.9, 0.8, 0.5, 0.5], [0.5, 0.5, 0.4, 0.1, 0.1])


@st.composite
def tables(draw):
    """Scores in hundredths from 0 to 1, with ties, both classes and two attack types."""
    n = draw(st.integers(2, 25))
    scores = draw(st.lists(st.integers(0, 100), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    types = draw(st.lists(st.sampled_from(["print", "replay"]), min_size=n, max_size=n))
    labels[0], labels[1] = 0, 1
    return table_of(np.array(scores) / 100, labels, types)


def oracle(name, development, test):
    prefix = f"oracle_{name}_"
    found = compat.oracles([name], development, test)
    assert all(column.startswith(prefix) for column in found)
    return {column.removeprefix(prefix): value for column, value in found.items()}


def sklearn_point(part):
    """Curve and point of argmin |TPR + FPR - 1|, as the codes of CDCN and others do."""
    far, tpr, threshold = roc_curve(part.label, part.score, pos_label=1)
    threshold[0] = threshold[1] + 1  # before 1.3; infinite since
    return far, tpr, threshold, np.argmin(np.abs(tpr + far - 1.0))


def pooled(part, threshold):
    spoof, live = part.score[part.label == 0], part.score[part.label == 1]
    apcer = sum(s > threshold for s in spoof) / len(spoof)
    bpcer = sum(s <= threshold for s in live) / len(live)
    return {"apcer": apcer, "bpcer": bpcer, "acer": (apcer + bpcer) / 2}


def slow_cdcn(development, test):
    _, _, threshold, at = sklearn_point(development)
    return {"threshold": threshold[at], **pooled(test, threshold[at])}


def slow_cdcn_siw_m(development, test):
    far, _, threshold, at = sklearn_point(test)
    eer = {"threshold": threshold[at], "eer": far[at]}
    return eer | pooled(test, threshold[at])


def slow_cdcn_cross(development, test):
    far, tpr, threshold, at = sklearn_point(test)
    auc = roc_auc_score(test.label, test.score)
    hter = (far[at] + 1 - tpr[at]) / 2
    return {"threshold": threshold[at], "hter": hter, "auc": auc}


def slow_fas_sgtd(development, test):
    _, _, threshold, at = sklearn_point(development)
    apcer = [
        np.mean(test.score[test.attack_type == kind] > threshold[at])
        for kind in set(test.attack_type) - {"live"}
    ]
    bpcer = np.mean(test.score[test.label == 1] < threshold[at])
    acer = (max(apcer) + bpcer) / 2
    rates = {"apcer": max(apcer), "bpcer": bpcer, "acer": acer}
    return {"threshold": threshold[at], **rates}


def slow_ssdg(development, test):
    least = 1.0
    for at in [*(i * 1.0 / 10_000.0 for i in range(10_001)), 1.1]:
        far = np.mean(test.score[test.label == 0] >= at)
        frr = np.mean(test.score[test.label == 1] < at)
        if abs(frr - far) <= least:
            least, best = abs(frr - far), {"threshold": at, "hter": (far + frr) / 2}
    return best | {"auc": roc_auc_score(test.label, test.score)}


def slow_ssan(development, test):
    _, _, threshold, at = sklearn_point(test)
    pairs = list(zip(test.score, test.label, strict=True))
    wrong = sum(s < threshold[at] and y == 1 for s, y in pairs)
    wrong += sum(s > threshold[at] and y == 0 for s, y in pairs)
    found = slow_cdcn_cross(development, test) | {"acc": 1 - wrong / len(pairs)}
    live = sorted(s for s, y in pairs if y == 1)
    for fpr in (0.1, 0.01, 0.001, 0.0001):
        limit = live[max(1, int(fpr * len(live))) - 1]
        spoof = [s for s, y in pairs if y == 0]
        found[f"tpr_at_fpr_{fpr}"] = sum(s < limit for s in spoof) / len(spoof)
    return found


def smaller_error(part):
    far, tpr, _ = roc_curve(part.label, part.score)
    at = np.nanargmin(np.absolute((1 - tpr) - far))
    return min(far[at], 1 - tpr[at])


def slow_siw_mv2(development, test):
    far, tpr, threshold, _ = sklearn_point(test)
    least = 100
    for x, y, at in zip(far, tpr, threshold, strict=True):
        if (x + (1 - y)) * 0.5 < least:
            least = (x + (1 - y)) * 0.5
            found = {"threshold": at, "apcer": x, "bpcer": 1 - y, "acer": least}
    found |= {"eer": smaller_error(test), "auc": roc_auc_score(test.label, test.score)}
    for fpr in (0.005, 0.01, 0.02):
        nearest = far[np.argmin(np.absolute(far - fpr))]
        found[f"tpr_at_fpr_{fpr}"] = tpr[np.max(np.where(far == nearest))]
    return found


def slow_fas_aug(development, test):
    def hter(at):
        far = np.mean(test.score[test.label == 0] >= at)
        return (far + np.mean(test.score[test.label == 1] < at)) / 2

    # Between two scores all points of the grid rate alike: one for each will do.
    grid = np.linspace(test.score.min(), test.score.max(), 100_000)
    _, first = np.unique(
        np.searchsorted(np.unique(test.score), grid), return_index=True
    )
    return {"hter_at_0.5": hter(0.5), "min_hter": min(hter(grid[i]) for i in first)}


def slow_kprokofi(development, test):
    auc = roc_auc_score(test.label, test.score)
    return pooled(test, 0.5) | {"eer": smaller_error(test), "auc": auc}


SLOW = {
    name.removeprefix("slow_"): function
    for name, function in list(globals().items())
    if name.startswith("slow_")
}


def test_every_evaluator_has_its_slow_form():
    assert {*SLOW, "test"} == set(compat.EVALUATORS)


@pytest.mark.parametrize("name", SLOW)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_fast_equals_slow(name, data):
    development, test = data.draw(tables()), data.draw(tables())
    fast, slow = oracle(name, development, test), SLOW[name](development, test)
    assert fast == pytest.approx(slow, abs=1e-12)


def test_a_threshold_that_equals_a_score():
    """Perfectly separable scores, and CDCN's evaluator finds an error."""
    assert oracle("cdcn", SEPARABLE, SEPARABLE) == {
        "threshold": 0.8,
        "apcer": 0,
        "bpcer": 0.5,
        "acer": 0.25,
    }
    assert oracle("cdcn_siw_m", SEPARABLE, SEPARABLE)["eer"] == 0
    assert oracle("cdcn_cross", SEPARABLE, SEPARABLE)["hter"] == 0
    assert oracle("fas_sgtd", SEPARABLE, SEPARABLE)["acer"] == 0
    assert oracle("test", SEPARABLE, SEPARABLE)["eer"] == 0


def test_what_the_evaluators_are_known_for():
    assert oracle("ssan", TIES, TIES)["acc"] == 1
    small = oracle("ssan", HAND, HAND)
    assert small["tpr_at_fpr_0.01"] == small["tpr_at_fpr_0.0001"]
    own = metrics.eer_threshold(HAND.score, HAND.label)
    rates = metrics.error_rates(HAND.score, HAND.label, HAND.attack_type, own)
    assert oracle("fas_sgtd", HAND, HAND)["acer"] == rates.acer
    assert oracle("ssdg", HAND, HAND)["hter"] == 0.1
    beyond = HAND.replace(score=HAND.score + 2)
    assert oracle("ssdg", HAND, beyond)["hter"] == 0.5
    assert oracle("cdcn", SEPARABLE, beyond)["acer"] == 0.5


def test_own_oracles_by_hand():
    found = oracle("test", HAND, HAND)
    assert (found["threshold"], found["eer"], found["min_hter"]) == (0.135, 0.1, 0.1)
    assert (found["bpcer20"], found["tpr_at_fpr_0.1"]) == (0.6, 0.9)
    assert found["tpr_at_fpr_0.001"] == found["tpr_at_fpr_0.01"] == 0.4


def test_equal_scores_give_finite_numbers():
    equal = case([0.5, 0.5], [0.5])
    for name in compat.EVALUATORS:
        assert np.isfinite(list(oracle(name, equal, equal).values())).all()


@given(tables(), tables())
@settings(max_examples=40, deadline=None)
def test_monotone_transforms_change_no_rate(development, test):
    """A threshold that is a score moves with the scores, from part to part."""
    assume(np.ptp(development.score) > 0)  # else it is no score but one above all
    moved = [part.replace(score=np.exp(part.score)) for part in (development, test)]
    for name in ("cdcn", "cdcn_siw_m", "cdcn_cross", "fas_sgtd", "ssan", "siw_mv2"):
        before, after = oracle(name, development, test), oracle(name, *moved)
        assert before | {"threshold": 0} == after | {"threshold": 0}


def test_what_cannot_be_rated_is_said():
    three = table_of([0.9, 0.1, 0.2, 0.3], [1, 0, 0, 0], ["live", "a", "b", "c"])
    with pytest.raises(InputError, match="two attack types at most, got 3"):
        oracle("fas_sgtd", three, three)
    with pytest.raises(
        InputError, match=r"expected a list with some of test, cdcn, .* got 'bob'"
    ):
        compat.oracles(["bob"], HAND, HAND)
