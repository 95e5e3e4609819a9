"""Differences from reference architectures, and shares of their variance."""

import numpy as np
import pytest

from nasfas_jax.errors import InputError
from nasfas_jax.evaluation import spread
from nasfas_jax.workflows import sweep

RANDOM = np.random.default_rng(0)


def drawn(count, targets, seeds, deviations):
    """Results of the model with the deviations of its four parts."""
    of_architecture, of_interaction, of_batches, of_seed = deviations
    normal = RANDOM.standard_normal
    return (
        of_architecture * normal((count, 1, 1))
        + of_interaction * normal((count, targets, 1))
        + of_batches * normal((1, targets, seeds))
        + of_seed * normal((count, targets, seeds))
        + normal((1, targets, 1))  # the targets differ
    )


def test_shares_are_those_of_the_model():
    deviations = np.array([0.3, 0.2, 0.4, 0.1])
    found = spread.shares(drawn(400, 20, 30, deviations))
    expected = deviations**2 / (deviations**2).sum()
    assert found == pytest.approx(tuple(expected), abs=0.03)
    alone = spread.shares(drawn(4000, 1, 500, [0.3, 0.0, 0.4, 0.1]))
    assert alone.interaction is None
    parts = (alone.architecture, alone.batches, alone.seed)
    assert parts == pytest.approx((0.09 / 0.26, 0.16 / 0.26, 0.01 / 0.26), abs=0.03)


def test_shares_of_a_small_table_by_hand():
    """Two architectures, one target, two seeds: y = 0, 2 and 4, 8."""
    y = np.array([[[0.0, 2.0]], [[4.0, 8.0]]])
    # Effects of the architectures -2.5 and 2.5, of the batches -1.5 and 1.5; rests of 0.5.
    rest = 4 * 0.5**2  # mean square with one degree of freedom
    architecture = (2 * 2 * 2.5**2 - rest) / 2
    batches = (2 * 2 * 1.5**2 - rest) / 2
    total = architecture + batches + rest
    found = spread.shares(y)
    assert found.architecture == pytest.approx(architecture / total)
    assert found.batches == pytest.approx(batches / total)
    assert found.seed == pytest.approx(rest / total)


def test_a_difference_is_free_of_targets_and_batches():
    """Its error is the deviation of many such differences."""
    found, error = [], []
    for _ in range(600):
        y = drawn(9, 2, 3, [0.3, 0.0, 0.4, 0.1])
        one = spread.difference(y[0] + 5, y[1:])
        found.append(one.mean)
        error.append(one.error)
    # The network itself is one more architecture, whose effect is a part of the difference.
    own = np.sqrt(np.square(error).mean() + 0.3**2)
    assert np.std(found) == pytest.approx(own, rel=0.08)
    assert np.mean(found) == pytest.approx(5, abs=0.05)


@pytest.mark.parametrize("shape", [(2, 2), (1, 2, 2), (2, 1, 1)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(InputError, match=r"results: expected an array \[archi"):
        spread.shares(np.zeros(shape))
    with pytest.raises(InputError, match="expected results that differ"):
        spread.shares(np.zeros((2, 1, 2)))
    with pytest.raises(InputError, match=r"results: expected an array \[2, 3\]"):
        spread.difference(np.zeros((3, 2)), np.zeros((4, 2, 3)))


def test_networks_of_a_sweep_beside_random_ones():
    """Means, the best within, and a table of both rates."""

    def of(*rates):
        hter = [{"hter": h, "auc": 1 - h, "within": w} for h, w in rates]
        return {"dom_m": hter}

    tests = {
        "found": of((0.1, 0.2), (0.2, 0.2)),
        "random_0": of((0.2, 0.1), (0.3, 0.3)),
        "random_1": of((0.3, 0.2), (0.5, 0.1)),
    }
    beside = sweep.beside(tests, ["random_0", "random_1"])
    np.testing.assert_allclose(beside.best("hter"), [[0.2, 0.5]])
    # -0.15 and -0.2: the deviation of their mean is 0.025; of 0.25 and 0.4, 0.075.
    found = beside.differences("hter")["found"]
    assert found == pytest.approx((-0.175, np.hypot(0.025, 0.075)))
    header, *rows = beside.table()
    assert header[1:] == ["HTER, % (standard errors)", "AUC, % (standard errors)"]
    assert rows[0] == ["found", "-17.5 ± 7.9 (-2.2)", "+17.5 ± 7.9 (+2.2)"]
    assert rows[1][0] == "random, best of 2 on development"
    assert [row[0] for row in beside.variance()[1:]] == [
        "architecture",
        "seed, on all architectures (batches)",
        "seed, on one architecture",
    ]
    with pytest.raises(InputError, match=r"reference.*'random_2'"):
        sweep.beside(tests, ["random_0", "random_2"])
