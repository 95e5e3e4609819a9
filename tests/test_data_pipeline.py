"""Batches, episodes and evaluation batches of a prepared set."""

import collections
import itertools

import numpy as np
import pytest

from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.loading.prepared import Prepared, Split
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError

DOMAINS = ("cave", "attic", "barn")
TYPES = ("live", "mask", "print", "replay")


class Source:
    """Records whose pixels tell their row, and which counts how many were decoded."""

    def __init__(self, rows):
        self.rows, self.decoded = rows, 0

    def __len__(self):
        return self.rows

    def __getitem__(self, i):
        self.decoded += 1
        image = (
            np.tile(np.arange(8, dtype=np.uint8)[None, :, None], (8, 1, 3)) * 4 + i + 80
        )
        maps = np.tile(np.arange(32, dtype=np.uint8)[None], (32, 1)) + i
        names = ("static", "dynamic", "image")
        return dict.fromkeys(names, image) | dict.fromkeys(("depth", "face"), maps)


def make_split(name, clips=("cave", "attic", "barn"), types=TYPES, each=5):
    kinds = [(d, t, i) for d in clips for t in types for i in range(each)]
    table = {
        "clip": np.array([f"{d}/{t}/{i}#6" for d, t, i in kinds]),
        "subject": np.array([f"{d}{i}" for d, _, i in kinds]),
        "domain": np.array([d for d, _, _ in kinds]),
        "attack_type": np.array([t for _, t, _ in kinds]),
        "split": np.array([name for _ in kinds]),
        "label": np.array([int(t == "live") for _, t, _ in kinds], np.int32),
        "frame": np.array([6 for _ in kinds], np.int32),
    }
    return Split(table, Source(len(kinds)))


@pytest.fixture
def prepared(tmp_path):
    splits = {
        "train": make_split("train"),
        "development": make_split("development", clips=("cave",), types=("live",)),
        "test": make_split("test", each=1),
    }
    return Prepared(tmp_path, "synthetic", Recipe(image_size=16), splits)


def rows_of(batch):
    """Which records a batch without augmentation holds."""
    return np.round(batch["target"][..., 0, 0] * 255).astype(int)


def take(iterator, count):
    return list(itertools.islice(iterator, count))


def assert_equal_trees(left, right):
    assert left.keys() == right.keys()
    for name, value in left.items():
        if isinstance(value, dict):
            assert_equal_trees(value, right[name])
        else:
            np.testing.assert_array_equal(value, right[name])


def test_a_batch_scales_image_and_target(prepared):
    names = ("image", "static", "depth", "face")
    records = prepared.splits["train"].load(np.array([0, 7]), names)
    records["label"] = np.array([1, 0])
    batch = pipeline.to_batch(records, pipeline.View("location", "static"))
    np.testing.assert_allclose(batch["image"], records["static"] / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(batch["target"][0], records["face"][0] / 255, atol=1e-6)
    assert not batch["target"][1].any()
    for size in (32, 14):
        view = pipeline.View("binary", map_size=size)
        binary = pipeline.to_batch(records, view)["target"]
        assert (binary[0] == 1).all() and not binary[1].any()
        assert binary.shape == (2, size, size)
    dtypes = {name: str(value.dtype) for name, value in batch.items()}
    assert dtypes == {"image": "float32", "target": "float32", "label": "int32"}
    with pytest.raises(
        InputError, match="target: expected one of 'depth', 'location', 'binary', got"
    ):
        pipeline.View(target="map")


def test_training_batches_are_balanced_and_go_through_every_clip(prepared):
    stream = pipeline.train_batches(prepared, batch_size=10, seed=3, augment="none")
    table, seen, types = prepared.splits["train"].table, [], collections.Counter()
    for batch in take(stream, 9):
        rows = rows_of(batch)
        assert batch["image"].shape == (10, 8, 8, 3)
        assert batch["label"].tolist() == [1] * 5 + [0] * 5
        np.testing.assert_array_equal(batch["label"], table["label"][rows])
        types.update(table["attack_type"][rows].tolist())
        seen.append(rows)
    # 45 live clips drawn from 15: each three times; 15 clips of each of three attacks.
    assert types == {"live": 45, "mask": 15, "print": 15, "replay": 15}
    counts = collections.Counter(np.concatenate(seen).tolist())
    assert len(counts) == 60 and set(counts.values()) == {1, 3}
    assert not np.array_equal(seen[0][:5], seen[3][:5])


def test_domains_can_be_chosen(prepared):
    stream = pipeline.train_batches(
        prepared, domains=["barn"], batch_size=7, augment="none"
    )
    rows = rows_of(next(stream))
    assert set(prepared.splits["train"].table["domain"][rows]) == {"barn"}
    assert prepared.splits["train"].table["label"][rows].sum() == 4


@pytest.mark.parametrize("make", [pipeline.train_batches, pipeline.episodes])
def test_a_step_depends_on_seed_and_step_alone_and_a_stream_resumes(prepared, make):
    stream = make(prepared, batch_size=6, seed=1)
    first = take(stream, 3)
    state = stream.get_state()
    later = take(stream, 3)
    again = make(prepared, batch_size=6, seed=1)
    assert_equal_trees(next(again), first[0])
    again.set_state(state)
    for left, right in zip(take(again, 3), later, strict=True):
        assert_equal_trees(left, right)
    other = next(make(prepared, batch_size=6, seed=2))
    batch, changed = (e.get("query", e) for e in (first[0], other))
    assert not np.array_equal(batch["image"], changed["image"])


def test_augmentation_flips_image_and_target_together(prepared):
    stream = pipeline.train_batches(prepared, batch_size=16, seed=0)
    plain = pipeline.train_batches(prepared, batch_size=16, seed=0, augment="none")
    flips = []
    for got, before in zip(take(stream, 4), take(plain, 4), strict=True):
        for image, target, was, map_was in zip(
            got["image"], got["target"], before["image"], before["target"], strict=True
        ):
            flip = bool(image[0, 0, 0] > image[0, -1, 0])
            flips.append(flip)
            expected = map_was[:, ::-1] if flip else map_was
            np.testing.assert_array_equal(target, expected)
            was = was[:, ::-1] if flip else was
            for channel in range(3):  # ((x + b) ** g: order stays, ends bound b and g
                order = np.argsort(was[..., channel], axis=None)
                assert np.all(np.diff(image[..., channel].ravel()[order]) > -1e-5)
            low, high = (
                (1 + was.mean((0, 1)) + sign * 80 / 255) / 2 for sign in (-1, 1)
            )
            shifted = (1 + image.mean((0, 1))) / 2
            assert np.all(shifted > np.clip(low, 0, 1) ** 1.5 - 0.05)
            assert np.all(shifted < np.clip(high, 0, 1) ** 0.5 + 0.05)
        assert np.abs(got["image"]).max() <= 1
    assert 0.25 < np.mean(flips) < 0.75


def test_an_episode_has_one_query_domain_and_the_others_as_support(prepared):
    stream = pipeline.episodes(prepared, batch_size=6, seed=5, augment="none")
    table, queries = prepared.splits["train"].table, collections.Counter()
    for episode in take(stream, 60):
        query, support = episode["query"], episode["support"]
        assert support["image"].shape == (2, 6, 8, 8, 3)
        assert support["label"].shape == (2, 6) and query["target"].shape == (6, 32, 32)
        found = [set(table["domain"][rows]) for rows in rows_of(support)]
        found.append(set(table["domain"][rows_of(query)]))
        names = [name for one in found for name in one]
        assert sorted(names) == sorted(DOMAINS)
        assert names[-1] == sorted(DOMAINS)[episode["query_domain"]]
        for rows in (*rows_of(support), rows_of(query)):
            assert sorted(table["attack_type"][rows]) == sorted(["live"] * 2 + [*TYPES])
        queries[episode["query_domain"]] += 1
    assert set(queries) == {0, 1, 2} and min(queries.values()) > 10


def test_what_an_episode_lacks_is_said(prepared):
    with pytest.raises(InputError, match=r"at least two domains.*got 1 \(cave\)"):
        pipeline.episodes(prepared, domains=["cave"])
    with pytest.raises(InputError, match=r"domains: .* attic, barn, cave, got loft"):
        pipeline.episodes(prepared, domains=["cave", "loft"])
    with pytest.raises(InputError, match=r"no live clip in 'attic' \(development\)"):
        pipeline.episodes(prepared, domains=["attic", "cave"], split="development")
    with pytest.raises(
        InputError, match="no spoof clip in split 'development' of cave"
    ):
        pipeline.train_batches(prepared, domains=["cave"], split="development")
    with pytest.raises(
        InputError, match="batch_size: expected an integer of 2 or more, got 1"
    ):
        pipeline.train_batches(prepared, batch_size=1)


def test_evaluation_sees_every_clip_once(prepared):
    batches = list(pipeline.eval_batches(prepared, split="test", batch_size=5))
    assert [batch["image"].shape[0] for batch, _ in batches] == [5, 5, 5]
    assert [int(batch["valid"].sum()) for batch, _ in batches] == [5, 5, 2]
    table = prepared.splits["test"].table
    rows = np.concatenate([rows_of(batch)[batch["valid"]] for batch, _ in batches])
    np.testing.assert_array_equal(rows, np.arange(12))
    for name in table:
        joined = np.concatenate([about[name] for _, about in batches])
        np.testing.assert_array_equal(joined, table[name])
    for batch, about in batches:
        np.testing.assert_array_equal(batch["label"][batch["valid"]], about["label"])
    with pytest.raises(InputError, match=r"Split 'development'.* no clip in barn"):
        pipeline.eval_batches(prepared, domains=["barn"], split="development")


def test_small_sets_are_decoded_once_and_large_ones_when_needed(prepared, monkeypatch):
    split = prepared.splits["train"]
    first = split.load(np.array([3, 3, 8]), ["image", "depth"])
    split.load(np.array([1]), ["image"])
    assert split.source.decoded == len(split) + 1
    monkeypatch.setattr("nasfas_jax.data.loading.prepared.CACHE_BYTES", 0)
    large = make_split("train")
    assert_equal_trees(large.load(np.array([3, 3, 8]), ["image", "depth"]), first)
    assert large.source.decoded == 3 + 1
