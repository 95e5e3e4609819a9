"""Halves of the data, targets of labels, and random architectures."""

import nasfas_jax as nf
from nasfas_jax.data.loading import pipeline


def test_halves_are_disjoint_and_whole(data):
    halves = pipeline.groups(data, by="half", seed=1)
    one, other = (set(halves[name].tolist()) for name in ("query", "support"))
    assert not one & other
    assert len(one | other) == len(data.splits["train"].table["label"])
    again = pipeline.groups(data, by="half", seed=2)
    assert set(again["query"].tolist()) != one
    episode = next(pipeline.episodes(data, by="half", batch_size=2))
    assert episode["support"]["image"].shape[:2] == (1, 2)
    assert episode["query_domain"] == 0


def test_a_map_of_the_label(data):
    view = pipeline.View("binary", map_size=3)
    batch = next(pipeline.train_batches(data, batch_size=2, view=view))
    assert batch["target"].shape == (2, 3, 3)
    assert (batch["target"] == batch["label"][:, None, None]).all()


def test_a_random_architecture(data, tmp_path):
    space = nf.spaces.get("auto_fas", channels=4)
    found = nf.search_architecture(
        data, space, method="random", target="dom_m", seed=3, folder=tmp_path
    )
    assert found.genotype == space.sample(3) and not found.metrics
    assert (tmp_path / "genotype.json").exists()
    assert found._repr_html_().count("<img ") == 1
