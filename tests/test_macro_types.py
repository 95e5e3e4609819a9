"""Type-aware search: groups by macro type, in episodes and from the command."""

import json
import pathlib

import numpy as np
import pytest
import smoke
from test_data_pipeline import (  # noqa: F401
    assert_equal_trees,
    prepared,
    rows_of,
    take,
)
from test_data_select import of, settings, store, video  # noqa: F401

from nasfas_jax import attack_types, runtime
from nasfas_jax.data.datasets import REGISTRY
from nasfas_jax.data.loading import pipeline
from nasfas_jax.errors import InputError
from nasfas_jax.synthetic import ATTACKS, BY_MACRO_TYPE

KINDS = np.array(["live", "print", "cut_photo", "replay", "paper_mask", "live"])
LABELS = np.array([1, 0, 0, 0, 0, 1])
FIVE = {"replay", "print", "mask", "makeup", "partial"}


def test_one_table_holds_every_attack_of_every_dataset():
    known = attack_types.MACRO_TYPES
    for dataset in REGISTRY.values():
        assert set(dataset.attack_types) <= known.keys(), dataset.name
    assert tuple(ATTACKS) == attack_types.SIW_M_TYPES
    assert set(known.values()) == FIVE == BY_MACRO_TYPE.keys()


def test_a_group_is_a_macro_type_and_all_live_clips():
    found = attack_types.groups(KINDS, LABELS)
    assert {name: rows.tolist() for name, rows in found.items()} == {
        "mask": [0, 4, 5],
        "print": [0, 1, 2, 5],
        "replay": [0, 3, 5],
    }
    # NAS-FAS: for the target silicone no mask takes part.
    rest = attack_types.groups(KINDS, LABELS, unseen=["silicone_mask"])
    assert list(rest) == ["print", "replay"]
    # Folders of a person's own may be named after live.
    odd = attack_types.groups(
        np.array(["mask", "print", "replay"]), np.array([1, 0, 0])
    )
    assert odd["print"].tolist() == [0, 1]


def test_what_groups_lack_is_said():
    with pytest.raises(InputError, match="attack types cube, sphere have no macro"):
        attack_types.groups(np.array(["cube", "sphere", "print"]), np.zeros(3))
    with pytest.raises(
        InputError, match=r"got print from .* cut_photo, print, without"
    ):
        attack_types.groups(KINDS[:3], LABELS[:3], unseen=["video_replay"])
    with pytest.raises(InputError, match="attack types cube have no macro type"):
        attack_types.groups(KINDS, LABELS, unseen=["cube"])


def test_an_episode_has_one_query_type_and_the_others_as_support(prepared):  # noqa: F811
    options = {"batch_size": 6, "seed": 5, "augment": "none", "by": "macro_type"}
    table, queries = prepared.splits["train"].table, set()
    live = [[] for _ in range(3)]
    for episode in take(pipeline.episodes(prepared, **options), 20):
        query, support = episode["query"], episode["support"]
        assert support["image"].shape == (2, 6, 8, 8, 3)
        queried = int(episode["query_domain"])
        order = [i for i in range(3) if i != queried] + [queried]
        for i, rows in zip(order, (*rows_of(support), rows_of(query)), strict=True):
            kinds = table["attack_type"][rows].tolist()
            assert kinds == ["live"] * 3 + [["mask", "print", "replay"][i]] * 3
            live[i] += rows[:3].tolist()
        queries.add(queried)
    assert queries == {0, 1, 2}
    # Each type goes through all 15 live clips of the three domains, in its own order.
    for rows in live:
        assert len(set(rows[:15])) == len(set(rows[15:30])) == 15
    assert live[0] != live[1] != live[2]
    stream = pipeline.episodes(prepared, **options)
    state = (take(stream, 2), stream.get_state())[1]
    expected = next(stream)
    again = pipeline.episodes(prepared, **options)
    again.set_state(state)
    assert_equal_trees(next(again), expected)


def test_domains_and_unseen_types_bound_the_groups(prepared):  # noqa: F811
    found = pipeline.groups(
        prepared, by="macro_type", domains=["cave"], unseen=["half_mask"]
    )
    table = prepared.splits["train"].table
    assert list(found) == ["print", "replay"]
    assert set(table["domain"][found["print"]]) == {"cave"}
    with pytest.raises(
        InputError,
        match="by: expected one of 'domain', 'macro_type', 'half', got 'type'",
    ):
        pipeline.episodes(prepared, by="type")
    with pytest.raises(InputError, match=r"got print from .* without mask, replay"):
        pipeline.episodes(prepared, by="macro_type", unseen=["replay", "mask"])


TRIO = ("print", "replay", "mannequin")


def siw_m():
    """Videos of the thirteen types and live, each of another person."""
    return [
        video("siw_m", f"{kind}_{i}.mov", kind, "train", f"{kind}_{i}", number=str(i))
        for kind in ("live", *attack_types.SIW_M_TYPES)
        for i in range(5)
    ]


@pytest.fixture
def drawn(monkeypatch):
    """What a search would have learned from: its step, minutes to compile, is not run."""
    episodes = []

    def fit(name, step, state, batches, **options):
        del name, step, options
        episodes.append(next(batches))
        return state, 0.0

    monkeypatch.setattr(runtime, "fit", fit)
    return episodes


def searched(store, protocol, **search):  # noqa: F811
    """Runs the command on made-up records; its folder."""
    config = settings(protocol=protocol, target_domain="")
    config.search.update(**search)
    workdir = store.folder / "run"
    dataset = protocol.partition("@")[0] or "synthetic"
    folder = str(store.folder / dataset)
    smoke.execute("search", workdir, config, data_dir=folder)
    return pathlib.Path(workdir) / "search"


def test_a_search_leaves_the_tested_type_out(store, drawn, capsys):  # noqa: F811
    store.add("siw_m", siw_m())
    name = "siw_m@leave_silicone_mask_out"
    folder = searched(store, name, by="macro_type")
    noted = json.loads((folder / "groups.json").read_text())
    assert noted == {
        "by": "macro_type",
        "groups": ["makeup", "partial", "print", "replay"],
    }
    assert (folder / "genotype.json").exists()
    assert drawn[0]["support"]["image"].shape == (3, 2, 8, 8, 3)
    said = "without mask, since silicone_mask is tested and not learned"
    assert said in capsys.readouterr().out
    with pytest.raises(InputError, match=r"search\.cost_weight was .* and is 9"):
        searched(store, name, by="macro_type", cost_weight=9.0)


def test_an_unseen_domain_leaves_no_type_out(store, drawn, capsys):  # noqa: F811
    store.add("synthetic", of("synthetic", ("train", "test"), ("live", *TRIO)))
    folder = searched(store, "", by="macro_type")
    noted = json.loads((folder / "groups.json").read_text())
    assert noted["groups"] == ["mask", "print", "replay"]
    assert drawn[0]["support"]["image"].shape == (2, 2, 8, 8, 3)
    assert "search by macro_type: mask, print, replay\n" in capsys.readouterr().out
