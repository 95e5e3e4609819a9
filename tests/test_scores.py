"""Score tables and the evaluation built on them."""

import json

import numpy as np
import pytest
from clock import within
from score_tables import BOTH, ROWS, synthetic, table_of

from nasfas_jax.errors import InputError
from nasfas_jax.evaluation import metrics
from nasfas_jax.evaluation.evaluate import (
    bootstrap,
    by_domain,
    check_leakage,
    evaluate,
)
from nasfas_jax.evaluation.scores import (
    COLUMNS,
    ScoreTable,
    by_video,
    read_scores,
)


def test_table_refuses_unequal_columns():
    columns = dict(zip(COLUMNS, map(np.array, zip(*ROWS, strict=True)), strict=True))
    with pytest.raises(InputError, match="columns of one length"):
        ScoreTable(**{**columns, "score": np.array([0.1])})
    with pytest.raises(InputError, match="row 2: label"):
        ScoreTable(**{**columns, "label": np.array([1, 7, 0])})


def test_video_score_is_the_mean_of_its_clips():
    videos = by_video(table_of(ROWS))
    assert videos.clip.tolist() == ["a.mp4", "b.mp4"]
    assert videos.score.tolist() == [0.5, 0.125]
    assert videos.attack_type.tolist() == ["live", "print"]


@pytest.mark.parametrize(
    ("clip", "video"),
    [
        ("a.mp4#12", "a.mp4"),
        ("a#1.mp4", "a#1.mp4"),
        ("a#1.mp4#12", "a#1.mp4"),
        ("a#1#12", "a#1"),
        ("a#01", "a"),
        ("a#-1", "a#-1"),
        ("a#1.0", "a#1.0"),
        ("a#\u0661", "a#\u0661"),
        ("#1/a.mp4", "#1/a.mp4"),
        ("#12", "#12"),
        ("a", "a"),
    ],
)
def test_only_digits_after_the_last_hash_are_a_frame(clip, video):
    table = table_of([(clip, "s", "home", "live", 1, 0.5, "test")])
    assert table.video.tolist() == [video]


def hashed(separator):
    """The scores of one file per video, numbered in their names."""
    random = np.random.default_rng(5)
    return table_of(
        [
            (f"{split}{who}/{kind}{separator}{number}.mp4", f"{split}{who}", "d", kind,
             int(kind == "live"), random.normal() + (kind == "live"), split)
            for split in ("development", "test")
            for who in range(3)
            for kind in ("live", "print")
            for number in range(4)
        ]
    )  # fmt: skip


def test_names_with_a_hash_give_the_same_figures():
    results = [evaluate(hashed(separator)) for separator in "_#"]
    assert results[0] == results[1]
    assert results[1].test_counts.videos == 24


def test_sample_with_a_hash_gives_the_same_figures(samples):
    """16.7 % is what six videos instead of 48 give."""
    results = [
        evaluate(read_scores(samples / "hard" / f"{name}_same.csv"))
        for name in ("hash", "nohash")
    ]
    assert results[0] == results[1]
    assert results[0].test.hter == pytest.approx(0.2917, abs=1e-4)
    assert results[0].test_counts.videos == 48


def test_clips_of_a_video_must_agree():
    rows = [ROWS[0], (*ROWS[1][:2], "street", *ROWS[1][3:]), ROWS[2]]
    with pytest.raises(InputError, match=r"video a\.mp4: expected one domain"):
        by_video(table_of(rows))


def test_threshold_comes_from_development_alone():
    result = evaluate(BOTH)
    videos = by_video(BOTH)
    test, development = (
        videos.take(videos.split == split) for split in ("test", "development")
    )
    threshold = metrics.eer_threshold(development.score, development.label)
    assert result.threshold == threshold
    assert result.test == metrics.error_rates(
        test.score, test.label, test.attack_type, threshold
    )
    assert result.auc == metrics.auc(test.score, test.label)
    assert result.oracle == {} and not result.warnings
    assert result.test_counts.by_type == {"live": 12, "print": 12, "replay": 12}
    assert (result.development.clips, result.development.videos) == (72, 36)
    assert result.test_counts.subjects == 6


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_a_network_at_chance_on_development_is_named(shift):
    rows = synthetic(shift=2.0) + synthetic(split="development", seed=1, shift=shift)
    result = evaluate(table_of(rows))
    auc, interval = result.development_auc, result.intervals["development_auc"]
    assert interval.low < 0.5 < interval.high
    *flipped, warning = result.warnings
    assert bool(flipped) is (auc < 0.4)
    assert warning.startswith("chance: at chance on development data: the AUC")
    for number in (auc, interval.low, interval.high):
        assert f"{100 * number:.1f}" in warning


def test_development_auc_and_its_interval():
    result = evaluate(BOTH)
    development = by_video(BOTH.take(BOTH.split == "development"))
    assert result.development_auc == metrics.auc(development.score, development.label)
    alone = bootstrap(development, result.threshold)
    assert result.intervals["development_auc"] == alone["auc"]
    assert alone["auc"].low > 0.5 and not result.warnings


@pytest.mark.parametrize("shift", [0.0, 9.0])
def test_few_development_people_show_nothing(shift):
    few = synthetic(split="development", subjects=4, seed=1, shift=shift)
    *_, warning = evaluate(table_of(synthetic() + few)).warnings
    assert warning.startswith("chance: not shown to be better than chance")
    assert "from 4 people" in warning


def test_level_oracle_and_json():
    clips = evaluate(BOTH, level="clip", oracle=["test", "cdcn"])
    assert clips.test_counts.by_type["live"] == 24
    read = json.loads(clips.to_json())
    assert read["oracle_test_eer"] == clips.oracle["oracle_test_eer"]
    assert {k for k in read if k.startswith("oracle")} == set(clips.oracle)
    assert read["test"]["hter"] == clips.test.hter
    assert read["intervals"]["auc"]["low"] <= clips.auc
    with pytest.raises(InputError, match="level: expected video or clip"):
        evaluate(BOTH, level="frame")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("what", ["subject", "video"])
def test_leakage_is_refused(what):
    rows = synthetic()
    leaked = synthetic(split="development", seed=1)
    if what == "subject":
        leaked = [(r[0], r[1].replace("development", "test"), *r[2:]) for r in leaked]
    else:
        leaked[0] = ("test0_live_0#99", *leaked[0][1:])
    with pytest.raises(InputError, match=f"{what}: expected development and test") as e:
        evaluate(table_of(rows + leaked))
    assert "test0" in str(e.value)
    if what == "subject":  # whose videos are named, one of each part
        assert "(the first in the videos development0_" in str(e.value)


COMPOSED, DECOMPOSED = "Jos\u00e9", "Jose\u0301"


def test_two_spellings_of_a_name_are_one(tmp_path):
    rows = synthetic(subjects=2) + synthetic(subjects=2, split="development", seed=1)
    spelled = {"test0": COMPOSED, "development1": f"{DECOMPOSED} "}
    rows = [(r[0], spelled.get(r[1], r[1]), *r[2:]) for r in rows]
    with pytest.raises(InputError, match=f"subject: .* 1 in both: {COMPOSED}"):
        evaluate(table_of(rows))
    # A file as it may come: written by a program that leaves names as they are.
    path = tmp_path / "scores.csv"
    path.write_text(
        "\n".join([",".join(COLUMNS), *(",".join(map(str, r)) for r in rows)])
    )
    with pytest.raises(InputError, match=f"subject: .* 1 in both: {COMPOSED}"):
        evaluate(read_scores(path))
    one, other = ((name, name, name, name, 0, 0.1, "test") for name in spelled.values())
    table = table_of([one])
    for name in ("clip", "subject", "domain", "attack_type"):
        assert getattr(table, name).tolist() == [COMPOSED]
    with pytest.raises(InputError, match="row 2: clip: expected every clip once"):
        table_of([one, other])


def test_columns_of_prepared_data_are_compared_normalized():
    names = np.array([f"{COMPOSED}/a", f"{DECOMPOSED}/b"])
    columns = {
        "video": names,
        "subject": np.array([COMPOSED, DECOMPOSED]),
        "split": np.array(["train", "test"]),
    }
    with pytest.raises(InputError, match="subject: expected train and test"):
        check_leakage(columns)


def test_sample_of_two_spellings_leaks(samples):
    table = read_scores(samples / "hard" / "two_spellings.csv")
    assert len(np.unique(table.subject)) == 3
    with pytest.raises(InputError, match="subject: expected development and test"):
        evaluate(table)


def test_a_part_without_a_class_is_refused():
    with pytest.raises(InputError, match=r"split development: .* 0 live and 0 spoof"):
        evaluate(table_of(synthetic()))
    live = [row for row in synthetic(split="development") if row[4] == 1]
    with pytest.raises(InputError, match=r"split development: .* 12 live and 0 spoof"):
        evaluate(table_of(synthetic() + live))


def slow_bootstrap(table, threshold, seed, samples):
    """Resampled tables written out, each rated by the functions of ``metrics``."""
    names = np.unique(table.subject)
    drawn = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=samples
    )
    values = {"hter": [], "acer": [], "auc": []}
    for counts in drawn:
        chosen = np.repeat(names, counts)
        rows = np.concatenate([np.flatnonzero(table.subject == n) for n in chosen])
        scores, labels = table.score[rows], table.label[rows]
        if 0 < labels.sum() < len(labels):
            types = table.attack_type[rows]
            rates = metrics.error_rates(scores, labels, types, threshold)
            values["hter"].append(rates.hter)
            values["acer"].append(rates.acer)
            values["auc"].append(metrics.auc(scores, labels))
    return {k: (*np.percentile(v, [2.5, 97.5]), len(v)) for k, v in values.items()}


def test_bootstrap_equals_resampled_tables():
    """With subjects that are all live or all spoof, ties, and a rare attack type."""
    table = by_video(table_of(synthetic(videos=1, subjects=4)))
    score = np.round(table.score, 1)
    score[table.attack_type == "live"] += 0.1 * (np.arange(4) == 2)
    keep = (table.subject != "test1") | (table.label == 1)
    keep &= (table.subject != "test2") | (table.attack_type == "print")
    table = ScoreTable(**{n: getattr(table, n) for n in COLUMNS} | {"score": score})
    table = table.take(keep)
    fast = bootstrap(table, 0.5, seed=3, samples=200)
    slow = slow_bootstrap(table, 0.5, seed=3, samples=200)
    assert fast["auc"].samples < 200
    for name, interval in fast.items():
        assert (interval.low, interval.high, interval.samples) == pytest.approx(
            slow[name], abs=1e-12
        )


def test_bootstrap_narrows_with_subjects_and_repeats():
    few, many = (by_video(table_of(synthetic(subjects=n, clips=1))) for n in (5, 200))
    wide, narrow = (bootstrap(t, 0.5)["auc"] for t in (few, many))
    assert narrow.high - narrow.low < (wide.high - wide.low) / 2
    assert bootstrap(many, 0.5)["auc"] == narrow != bootstrap(many, 0.5, seed=1)["auc"]
    one = few.take(few.subject == "test0")
    assert bootstrap(one, 0.5) == {}


def test_a_large_table_is_fast():
    rows = synthetic(videos=5, subjects=300, clips=2)
    table = table_of(rows + synthetic(split="development", seed=1))
    within(5, lambda: evaluate(table))


def test_tested_domains_have_rates_at_one_threshold():
    here = table_of(synthetic(seed=2))
    there = [
        (f"x{clip}", f"x{subject}", "other", *rest)
        for clip, subject, _, *rest in synthetic(seed=3, shift=0.0)
    ]
    development = synthetic(split="development", seed=1)
    both = table_of(synthetic(seed=2) + there + development)
    found = by_domain(both)
    assert list(found) == ["lab", "other"]
    alone = evaluate(table_of(synthetic(seed=2) + development))
    assert found["lab"].test == alone.test and found["lab"].auc == alone.auc
    assert found["other"].threshold == alone.threshold == found["lab"].threshold
    assert found["other"].auc < found["lab"].auc
    assert len(here) == found["lab"].test_counts.clips
