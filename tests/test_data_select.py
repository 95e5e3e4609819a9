"""Prepared clips parted by a protocol, and what training then draws from them."""

import csv
import dataclasses
import itertools
import json
import pathlib
import types

import numpy as np
import pytest
import smoke

from nasfas_jax.commands import parsing, search
from nasfas_jax.commands import settings as common
from nasfas_jax.data import protocols
from nasfas_jax.data.datasets.sources import SPLITS, VideoSource
from nasfas_jax.data.loading import pipeline, select
from nasfas_jax.data.loading.prepared import Prepared, Split
from nasfas_jax.data.preparation import prepare, recipe
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.workflows.data import domains

FRAMES = (6, 40, 90)


class Records:
    """Records that say, in every pixel, which of a dataset's clips they are."""

    def __init__(self, marks):
        self.marks = marks

    def __len__(self):
        return len(self.marks)

    def __getitem__(self, row):
        names = ("static", "dynamic", "image")
        images = dict.fromkeys(names, np.full((8, 8, 3), self.marks[row], np.uint8))
        return images | dict.fromkeys(("depth", "face"), np.zeros((32, 32), np.uint8))


def video(dataset, name, kind, split, subject, **attributes):
    return VideoSource(
        path=pathlib.Path("somewhere") / dataset / name,
        video=name,
        subject=f"{dataset}/{subject}",
        domain=dataset,
        attack_type=kind,
        label=int(kind == "live"),
        split=split,
        attributes=attributes,
    )


def of(dataset, splits, kinds, subjects=2):
    return [
        video(
            dataset, f"{split}/{subject}/{kind}.avi", kind, split, f"{split}{subject}"
        )
        for split in splits
        for subject in range(subjects)
        for kind in kinds
    ]


def casia():
    return of("casia_mfsd", ("train", "test"), ("live", "cut_photo"), subjects=4)


def replay():
    return of("replay_attack", SPLITS, ("live", "print", "digital_photo"))


def write_manifest(folder, videos, left_out=()):
    folder.mkdir(parents=True)
    columns = dict.fromkeys(prepare.COLUMNS, "")
    with (folder / prepare.MANIFEST).open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for one in videos:
            names = ("path", "video", "subject", "domain", "attack_type", "label")
            row = {name: getattr(one, name) for name in (*names, "split")}
            row |= {"attributes": json.dumps(dict(one.attributes)), "split_source": "x"}
            bad = one.video in left_out
            row |= {
                "status": prepare.LEFT_OUT if bad else prepare.OK,
                "reason": "black",
            }
            writer.writerow(columns | row)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Makes prepared folders whose records are made up; returns their parent."""
    known = {}

    def add(dataset, videos, folder=None, left_out=(), recipe_=None):
        folder = folder or tmp_path / dataset
        write_manifest(folder, videos, left_out)
        (folder / recipe.FILE).write_text("{}")
        splits = {}
        for split in SPLITS:
            part = [v for v in videos if v.split == split and v.video not in left_out]
            rows = list(itertools.product(part, FRAMES))
            table = {
                name: np.array([getattr(one, name) for one, _ in rows], dtype=str)
                for name in ("video", "subject", "domain", "attack_type")
            }
            table["clip"] = np.array([f"{one.video}#{frame}" for one, frame in rows])
            table["label"] = np.array([one.label for one, _ in rows], np.int32)
            table["frame"] = np.array([frame for _, frame in rows], np.int32)
            table["split"] = np.array([split for _ in rows], dtype=str)
            marks = [videos.index(one) * 3 + FRAMES.index(f) for one, f in rows]
            splits[split] = Split(table, Records(marks))
        settings = recipe_ or Recipe(image_size=16)
        known[folder] = Prepared(folder, dataset, settings, splits)
        return tmp_path

    for module in (select, pipeline):
        monkeypatch.setattr(module, "open_dataset", lambda path, **_: known[path])
    return types.SimpleNamespace(add=add, folder=tmp_path)


def select_(store, name):
    data = select.open_protocol(store.folder, protocols.get(name))
    return data, data.lists


def test_parts_are_those_of_the_lists_and_records_those_of_the_videos(store):
    videos = {"casia_mfsd": casia(), "replay_attack": replay()}
    for dataset, found in videos.items():
        store.add(dataset, found)
    data, lists = select_(store, "cross_dataset@casia_to_replay")
    assert lists.hash == protocols.get(lists.protocol).lists(videos).hash
    for part in SPLITS:
        split = data.splits[part]
        expected = [f"{v.domain}/{v.video}#{f}" for v in lists.of(part) for f in FRAMES]
        assert split.table["clip"].tolist() == expected
        assert set(split.table["split"]) == {part}
        marks = split.load(np.arange(len(split)), ("image",))["image"][:, 0, 0, 0]
        index = {
            f"{v.domain}/{v.video}": i for f in videos.values() for i, v in enumerate(f)
        }
        frames = split.table["frame"].tolist()
        names = split.table["video"].tolist()
        assert marks.tolist() == [
            3 * index[name] + FRAMES.index(frame)
            for name, frame in zip(names, frames, strict=True)
        ]
    assert data.domains == ["casia_mfsd", "replay_attack"]


def test_batches_episodes_and_evaluation_run_unchanged(store):
    for dataset, found in (("casia_mfsd", casia()), ("replay_attack", replay())):
        store.add(dataset, found)
    msu = of("msu_mfsd", ("train", "test"), ("live", "print"), subjects=4)
    store.add("msu_mfsd", msu)
    oulu = [
        dataclasses.replace(one, attributes={"phone": "1"})
        for one in of("oulu_npu", SPLITS, ("live", "replay"))
    ]
    store.add("oulu_npu", oulu)
    data, lists = select_(store, "ocim@O&C&I_to_M")
    learned = ["casia_mfsd", "oulu_npu", "replay_attack"]
    batch = next(pipeline.train_batches(data, domains=learned, batch_size=6))
    assert batch["image"].shape == (6, 8, 8, 3) and batch["label"].sum() == 3
    episode = next(pipeline.episodes(data, domains=learned, batch_size=4))
    assert episode["support"]["image"].shape == (2, 4, 8, 8, 3)
    about = [row for _, row in pipeline.eval_batches(data, batch_size=7)]
    tested = {name for rows in about for name in rows["video"].tolist()}
    assert tested == {f"msu_mfsd/{one.video}" for one in lists.test}


def test_a_single_dataset_may_lie_in_the_folder_itself(store):
    store.add("replay_attack", replay(), folder=store.folder / "here")
    protocol = protocols.get("cross_type@replay.printed")
    data = select.open_protocol(store.folder / "here", protocol)
    lists = data.lists
    assert set(data.splits["test"].table["attack_type"]) == {"live", "print"}
    assert "print" not in data.splits["train"].table["attack_type"]
    assert data.splits["test"].table["video"][0] == lists.test[0].video


def siw():
    return [
        video("siw", f"{split}/{i}/{kind}.mov", kind, split, f"{split}{i}", medium="1")
        for split in ("train", "test")
        for i in range(3)
        for kind in ("live", "print", "replay")
    ]


def test_siw_1_learns_from_the_first_60_frames(store):
    store.add("siw", siw())
    data, _ = select_(store, "siw@1")
    for part, frames in (
        ("train", {6, 40}),
        ("development", {6, 40}),
        ("test", set(FRAMES)),
    ):
        assert set(data.splits[part].table["frame"].tolist()) == frames


def test_left_out_videos_change_no_list(store):
    found = casia()
    whole = protocols.get("casia_mfsd@all").lists({"casia_mfsd": found})
    lost = next(one.video for one in whole.train if one.label)
    store.add("casia_mfsd", found, left_out=(lost,))
    data, lists = select_(store, "casia_mfsd@all")
    assert lists.hash == whole.hash
    assert len(data.splits["train"]) == len(FRAMES) * (len(lists.train) - 1)
    assert lists.without_clips == {"train": [(lost, "black")]}
    (said,) = lists.left_out()
    assert said.startswith(
        f"train: 1 of {len(lists.train)} videos have no clip ({lost}: b"
    )
    assert not whole.left_out()


def test_a_run_says_what_is_not_there(store, capsys):
    found = casia()
    lost = next(one.video for one in found if one.split == "test" and one.label)
    folder = store.add("casia_mfsd", found, left_out=(lost,)) / "casia_mfsd"
    config = settings(protocol="casia_mfsd@all")
    before = sorted(store.folder.rglob("*"))
    data = common.open_data(config, folder)
    assert not capsys.readouterr().out and sorted(store.folder.rglob("*")) == before
    search.print_notes(data)
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["protocol casia_mfsd@all", *data.lists.notes()]
    official = "not the official videos: test 4 live, 4 spoof (official: 90, 270)"
    assert official in printed
    assert f"test: 1 of 8 videos have no clip ({lost}: black); manifest" in printed[-1]


def test_files_without_a_part_are_no_part_of_a_list(store):
    stray = dataclasses.replace(casia()[0], video="x.avi", split="", problem="no name")
    store.add("casia_mfsd", [*casia(), stray])
    _, lists = select_(store, "casia_mfsd@all")
    assert "x.avi" not in {one.video for one in lists}


def test_what_is_not_there_is_said(store):
    store.add("casia_mfsd", casia())
    with pytest.raises(
        InputError, match=r"No prepared replay_attack in .*nasfas prepare"
    ):
        select_(store, "cross_dataset@casia_to_replay")
    folder = store.folder / "casia_mfsd"
    with pytest.raises(
        InputError, match="holds the prepared dataset 'casia_mfsd', but"
    ):
        select.open_protocol(folder, protocols.get("msu_mfsd@all"))


def test_other_recipes_do_not_mix(store):
    store.add("casia_mfsd", casia())
    store.add("replay_attack", replay(), recipe_=Recipe(image_size=32))
    with pytest.raises(InputError, match="image_size: 32 in the folder, 16 requested"):
        select_(store, "cross_dataset@casia_to_replay")


def test_a_part_without_clips_of_a_class_is_said(store):
    found = casia()
    live = {one.video for one in found if one.label and one.split == "test"}
    store.add("casia_mfsd", found, left_out=live)
    with pytest.raises(InputError, match="finds no live clip for test"):
        select_(store, "casia_mfsd@all")


def test_duplicate_clips_are_said(store, monkeypatch):
    store.add("casia_mfsd", casia())
    data = select.open_dataset(store.folder / "casia_mfsd")
    clip = data.splits["test"].table["clip"]
    clip[1] = clip[0]
    with pytest.raises(InputError, match="hold 1 clips twice in test"):
        select_(store, "casia_mfsd@all")


def test_a_manifest_of_an_older_version_is_said(store):
    store.add("casia_mfsd", casia())
    path = store.folder / "casia_mfsd" / prepare.MANIFEST
    path.write_text(path.read_text().replace("attributes", "atributes"))
    with pytest.raises(InputError, match=r"manifest\.csv cannot be read .*attributes"):
        select_(store, "casia_mfsd@all")


def settings(**fields):
    config = smoke.config()
    config.update(fields)
    return config


def test_a_run_takes_its_parts_from_the_protocol(store):
    found = [
        dataclasses.replace(one, domain=domain, video=f"{domain}/{one.video}")
        for domain in ("dom_o", "dom_c", "dom_i", "dom_m")
        for one in of("synthetic", SPLITS, ("live", "print"))
    ]
    found = [
        dataclasses.replace(one, subject=f"{one.domain}{one.subject}") for one in found
    ]
    store.add("synthetic", found)
    config = settings(protocol="synthetic@O&C&M_to_I")
    data = common.open_data(config, store.folder / "synthetic")
    assert common.target(config) == ""
    assert domains(data) == (["dom_c", "dom_m", "dom_o"], ["dom_i"])
    # All of the unseen domain is tested, as with target_domain.
    assert len(data.splits["test"]) == len(FRAMES) * sum(
        "dom_i" in v.video for v in found
    )
    assert data.dataset == "synthetic@O&C&M_to_I" and len(data.lists.hash) == 10


def test_the_flag_is_put_into_the_config():
    given = parsing.in_config({"config": settings(), "protocol": "oulu_npu@1"})
    assert list(given) == ["config"] and given["config"].protocol == "oulu_npu@1"
