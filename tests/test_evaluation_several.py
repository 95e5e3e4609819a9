"""Models selected on test data, flipped scores, merged files, folds, compared systems."""

import dataclasses
import itertools
import json

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from nasfas_jax import evaluation
from nasfas_jax.errors import InputError
from nasfas_jax.evaluation import compare, evaluate, folds, merge
from nasfas_jax.evaluation.evaluate import _of_learning
from nasfas_jax.evaluation.intervals import Interval
from nasfas_jax.evaluation.scores import COLUMNS, ScoreTable


def scored(
    *,
    shift=2.0,
    seed=0,
    types=("print", "replay"),
    subjects=6,
    name="",
    selected_on=None,
):
    """Live and attack videos of two clips by every subject of development and test."""
    random = np.random.default_rng(seed)
    rows = [
        (
            f"{name * (kind != 'live')}{split}{subject}_{kind}_{video}#{clip}",
            f"{split}{subject}", "lab", kind, int(kind == "live"),
            random.normal() + shift * (kind == "live"), split,
        )
        for split, subject, kind, video, clip in itertools.product(
            ("development", "test"), range(subjects), ("live", *types), range(2), range(2)
        )
    ]  # fmt: skip
    columns = map(np.array, zip(*rows, strict=True))
    return ScoreTable(
        **dict(zip(COLUMNS, columns, strict=True)), selected_on=selected_on
    )


def test_rules_choose_on_development_alone():
    table = scored(shift=1.0)
    videos = evaluation.by_video(table)
    development = videos.take(videos.split == "development")
    for rule in ("eer", "min_hter", "bpcer20", "far=0.1"):
        result = evaluate(table, rule=rule, samples=0)
        assert result.rule == rule
        assert result.threshold == evaluation.thresholds.find(rule)(
            development.score, development.label, development.attack_type
        )
    shifted = table.replace(score=table.score + 9 * (table.split == "test"))
    assert evaluate(shifted, rule="far=0.1").threshold == result.threshold
    assert evaluate(shifted, rule="far=0.1").test.far == 1
    with pytest.raises(InputError, match="rule: expected eer"):
        evaluate(table, rule="best")


@given(st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_order_of_rows_changes_nothing(random):
    table = scored()
    order = list(range(len(table)))
    random.shuffle(order)
    assert evaluate(table.take(np.array(order)), oracle=["test", "ssdg"]) == (
        evaluate(table, oracle=["test", "ssdg"])
    )


def test_scaled_scores_change_no_rate():
    """Affine maps move the threshold with the scores, from part to part."""
    table = scored()
    one = evaluate(table)
    other = evaluate(table.replace(score=4 * table.score))
    assert other.threshold == 4 * one.threshold
    assert dataclasses.replace(other.test, threshold=one.threshold) == one.test
    assert (other.auc, other.intervals) == (one.auc, one.intervals)


def test_selection_on_test_makes_every_number_an_oracle():
    honest = evaluate(scored(selected_on="development"))
    assert not honest.warnings and honest.columns()["selected_on"] == "development"
    chosen = evaluate(scored(selected_on="test"), oracle=["cdcn"])
    assert "selected on test data" in chosen.warnings[0]
    read = json.loads(chosen.to_json())
    for name in ("test", "auc", "threshold", "development_eer", "intervals"):
        assert f"oracle_{name}" in read and name not in read
    assert read["test_counts"]["videos"] == 36
    spread = folds([honest, dataclasses.replace(chosen, oracle={})])
    assert all(name.startswith("oracle_") for name in spread)
    differences = compare(scored(), scored(seed=1, selected_on="test"), samples=10)
    assert list(differences) == ["oracle_hter", "oracle_acer", "oracle_auc"]


def test_a_result_is_read_whatever_it_was_selected_on():
    for selected_on in ("nothing", "test"):
        result = evaluate(scored(selected_on=selected_on), oracle=["test"])
        columns = result.columns()
        assert ("auc" in columns) is (selected_on == "nothing")
        fields = evaluation.fields_of(columns)
        assert (
            fields["test"]["hter"] == result.test.hter and fields["auc"] == result.auc
        )
        assert set(fields) == {
            *(field.name for field in dataclasses.fields(result)), *result.oracle
        } - {"oracle"}  # fmt: skip


def test_few_tested_people_are_said():
    table = scored()
    people = np.unique(table.subject[table.split == "test"])[:4]
    few = table.take((table.split != "test") | np.isin(table.subject, people))
    (warning,) = evaluate(few).warnings
    assert "people tested: 4" in warning


def test_flipped_polarity_is_said():
    table = scored()
    assert evaluate(table).warnings == ()
    flipped = evaluate(table.replace(score=-table.score))
    assert "polarity" in flipped.warnings[0] and "flipped" in flipped.warnings[0]
    assert flipped.auc == pytest.approx(1 - evaluate(table).auc)


def test_warnings_start_under_five_people_and_an_auc_of_two_fifths():
    table = scored()
    people = np.unique(table.subject[table.split == "test"])[:5]
    five = table.take((table.split != "test") | np.isin(table.subject, people))
    assert evaluate(five, samples=0).warnings == ()
    # On development one live sample is above k of ten spoof ones: the AUC is k / 10.
    for below, warned in ((3, 1), (4, 0)):
        rows = [
            (f"{split}{i}", f"{split}{i}", "lab", "live" if i == 10 else "print",
             int(i == 10), below - 0.5 if i == 10 else i, split)
            for split in ("development", "test")
            for i in range(11)
        ]  # fmt: skip
        columns = dict(
            zip(COLUMNS, map(np.array, zip(*rows, strict=True)), strict=True)
        )
        assert len(evaluate(ScoreTable(**columns), samples=0).warnings) == warned


def test_five_people_can_show_that_a_network_learned():
    interval = Interval(0.8, 0.95, 1000)
    assert list(_of_learning(0.9, 5, interval)) == []
    assert "from 4 people" in next(_of_learning(0.9, 4, interval))


@pytest.mark.parametrize("both", [("train", "development"), ("train", "test")])
def test_people_in_training_and_another_split_are_refused(both):
    table = scored()
    subject, split = table.subject.astype("<U20"), table.split.astype("<U20")
    split[: len(table) // 4] = "train"
    rows = [np.flatnonzero(split == name)[0] for name in both]
    subject[rows] = "twin"
    leaked = table.replace(subject=subject, split=split)
    with pytest.raises(
        InputError, match=f"subject: expected {both[0]} and {both[1]} to share none"
    ):
        evaluate(leaked)


def test_selected_on_travels_with_the_file(tmp_path):
    path = tmp_path / "scores.csv"
    for said in (None, "nothing", "development", "test"):
        evaluation.write_scores(path, scored(selected_on=said))
        assert evaluation.read_scores(path).selected_on == said
    assert evaluation.by_video(scored(selected_on="test")).selected_on == "test"
    lines = path.read_text().splitlines()
    for line in ("# selected_on = luck", "# selected_on=test\n#selected_on = test"):
        path.write_text("\n".join([lines[0], line, *lines[2:]]) + "\n")
        with pytest.raises(
            InputError, match=r"line [23]: selected_on: expected one of"
        ):
            evaluation.read_scores(path)
    with pytest.raises(InputError, match="selected_on: expected train"):
        scored(selected_on="luck")


def test_merging_splits_and_shards():
    table = scored(selected_on="nothing")
    parts = {s: table.take(table.split == s) for s in ("test", "development")}
    assert evaluate(merge(parts)) == evaluate(table)
    with pytest.raises(InputError, match=r"b: .*got 'test0_live_0#0', .* also in test"):
        merge(parts | {"b": table.take(table.clip == "test0_live_0#0")})
    with pytest.raises(
        InputError, match="different lines selected_on: a: None, b: test"
    ):
        merge({"a": scored(), "b": scored(name="b", selected_on="test")})


def test_folds_or_systems():
    one, same = scored(), scored(seed=1)
    assert not evaluation.are_folds({"a": one, "b": same})
    other = scored(types=("mask",))
    assert evaluation.are_folds({"a": one, "b": other})
    fewer = one.take(one.clip != "test0_print_0#0")
    with pytest.raises(
        InputError, match=r"fewer: .* 71 clips in common, 1 missing and 0"
    ):
        evaluation.are_folds({"a": one, "fewer": fewer})


#: Of DTN on SiW-M's thirteen attack types; its paper states 16.1 and 12.2.
DTN = (10.0, 2.1, 14.4, 18.6, 26.5, 5.7, 9.6, 50.2, 10.1, 13.2, 19.8, 20.5, 8.8)


def test_published_mean_and_deviation():
    result = evaluate(scored(), samples=0)
    spread = folds([dataclasses.replace(result, auc=value) for value in DTN])["auc"]
    assert round(spread.mean, 1) == 16.1
    assert round(spread.deviation, 2) == 12.23
    assert spread.values == DTN


def test_mean_acer_is_the_mean_of_the_folds_acers():
    tables = [
        scored(shift=1.0, seed=seed, types=types, name=f"{seed}")
        for seed, types in enumerate(
            [("print", "mask"), ("replay", "mask"), ("paper",)]
        )
    ]
    assert evaluation.are_folds(dict(zip("abc", tables, strict=True)))
    results = [evaluate(table, samples=0, oracle=["test"]) for table in tables]
    spread = folds(results)
    acers = [(r.test.apcer + r.test.bpcer) / 2 for r in results]
    assert spread["acer"].values == tuple(acers)
    assert spread["acer"].mean == pytest.approx(np.mean(acers), abs=1e-15)
    assert spread["acer"].mean == pytest.approx(
        (spread["apcer"].mean + spread["bpcer"].mean) / 2, abs=1e-15
    )
    assert spread["acer"].deviation == pytest.approx(np.std(acers, ddof=1))
    assert "oracle_test_eer" in spread and "oracle_test_threshold" not in spread


def test_folds_must_be_alike():
    one = evaluate(scored(), samples=0)
    with pytest.raises(InputError, match="two or more results of one rule"):
        folds([one])
    with pytest.raises(InputError, match="got 2 of 2 kinds"):
        folds([one, evaluate(scored(), rule="min_hter", samples=0)])


def slow_differences(first, second, seed, samples):
    """Both systems' resampled test videos written out and rated."""
    values = {"hter": [], "acer": [], "auc": []}
    sides = []
    for table in (first, second):
        videos = evaluation.by_video(table)
        threshold = evaluate(table, samples=0).threshold
        sides.append((videos.take(videos.split == "test"), threshold))
    names = np.unique(sides[0][0].subject)
    drawn = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=samples
    )
    for counts in drawn:
        pair = []
        for test, threshold in sides:
            chosen = np.concatenate(
                [np.flatnonzero(test.subject == n) for n in np.repeat(names, counts)]
            )
            score, label = test.score[chosen], test.label[chosen]
            rates = evaluation.metrics.error_rates(
                score, label, test.attack_type[chosen], threshold
            )
            auc = evaluation.metrics.auc(score, label)
            pair.append({"hter": rates.hter, "acer": rates.acer, "auc": auc})
        for name, found in values.items():
            found.append(pair[1][name] - pair[0][name])
    return {name: np.percentile(v, [2.5, 97.5]) for name, v in values.items()}


def test_paired_bootstrap_equals_resampled_tables():
    first, second = scored(shift=1.0), scored(shift=1.0, seed=5)
    fast = compare(first, second, seed=3, samples=100)
    slow = slow_differences(first, second, 3, 100)
    one, other = evaluate(first), evaluate(second)
    for name, (low, high) in slow.items():
        found = fast[name].interval
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
        assert found.samples == 100
    assert fast["acer"].value == other.test.acer - one.test.acer
    assert fast["auc"].value == other.auc - one.auc


def test_pairing_narrows_and_a_system_equals_itself():
    first = scored(shift=1.0, subjects=20)
    noise = np.random.default_rng(9).normal(size=len(first)) / 20
    second = first.replace(score=first.score + noise)
    paired = compare(first, second)["auc"].interval
    alone = evaluate(first).intervals["auc"]
    assert paired.high - paired.low < (alone.high - alone.low) / 3
    same = compare(first, first.take(np.arange(len(first))[::-1]))
    for difference in same.values():
        interval = difference.interval
        assert difference.value == interval.low == interval.high == 0


def test_only_equal_rows_are_compared():
    first = scored()
    with pytest.raises(InputError, match=r"same clip in every test row .* 36 and 24"):
        compare(first, scored(types=("print",)))
    renamed = first.replace(subject=np.char.replace(first.subject, "test0", "test9"))
    with pytest.raises(InputError, match=r"same subject .*test0 in one only"):
        compare(first, renamed)
