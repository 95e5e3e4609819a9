"""Protocols on listings of zero-length files with the datasets' official names."""

import dataclasses
import itertools
import json
import pathlib

import pytest
from clock import within
from oulu import oulu, small_oulu, touch

from nasfas_jax.attack_types import MACRO_TYPES
from nasfas_jax.data import protocols
from nasfas_jax.data.datasets import sources
from nasfas_jax.errors import InputError

EXPECTED = (
    pathlib.Path(__file__).parents[2] / "shared" / "reference" / "expected_counts.json"
)


HASHES = json.loads(
    pathlib.Path(__file__).with_name("protocol_hashes.json").read_text()
)


REPLAY_TRAIN = (1, 2, 4, 6, 7, 8, 12, 16, 18, 25, 27, 103, 105, 108, 110)


REPLAY_DEVEL = (3, 5, 10, 15, 17, 22, 29, 30, 101, 111, 113, 114, 116, 118, 119)


REPLAY_TEST = (*range(40, 60),)  # any twenty others


MSU_TRAIN = (2, 3, 5, 6, 7, 8, 9, 11, 12, 21, 22, 34, 53, 54, 55)


MSU_TEST = (
    1, 13, 14, 23, 24, 26, 28, 29, 30, 32, 33, 35, 36,
    37, 39, 42, 48, 49, 50, 51,
)  # fmt: skip


# Videos of SiW by part, type and medium; their sums are the official counts.
SIW = {
    ("Train", 1): {1: 357, 2: 357},
    ("Train", 2): {1: 170, 2: 169},
    ("Train", 3): {1: 360, 2: 360, 3: 358, 4: 285},
    ("Test", 1): {1: 300, 2: 299},
    ("Test", 2): {1: 157, 2: 157},
    ("Test", 3): {1: 300, 2: 296, 3: 294, 4: 250},
}


SIW_M = {
    **{"Live": 660, "Replay": 99, "Paper": 118, "Mask_Half": 72, "Mask_Silicone": 27},
    **{"Mask_Trans": 88, "Mask_Paper": 17, "Mask_Mann": 40, "Makeup_Ob": 23},
    **{"Makeup_Im": 61, "Makeup_Co": 50, "Partial_Funnyeye": 160},
    **{"Partial_Paperglass": 127, "Partial_Eye": 57, "Partial_Mouth": 29},
}


def siw():
    for (folder, kind), mediums in SIW.items():
        people = range(1, 91) if folder == "Train" else range(91, 166)
        for medium, count in mediums.items():
            takes = itertools.product((1, 2), (1, 2), people)  # session, sensor
            for session, sensor, subject in itertools.islice(takes, count):
                name = f"{subject:03d}-{sensor}-{kind}-{medium}-{session}.mov"
                live = "live" if kind == 1 else "spoof"
                yield f"{folder}/{live}/{subject:03d}/{name}"


def casia():
    files = [
        f"{prefix}{i}" for prefix, n in (("", 8), ("HR_", 4)) for i in range(1, n + 1)
    ]
    for folder, people in (("train_release", 20), ("test_release", 30)):
        for subject, file in itertools.product(range(1, people + 1), files):
            yield f"{folder}/{subject}/{file}.avi"


def replay():
    groups = {"train": REPLAY_TRAIN, "devel": REPLAY_DEVEL, "test": REPLAY_TEST}
    shown = (
        "print_{}_highdef_photo",
        "mobile_{}_mobile_photo",
        "mobile_{}_mobile_video",
    )
    shown += ("highdef_{}_highdef_photo", "highdef_{}_highdef_video")
    for group, clients in groups.items():
        for client, light in itertools.product(clients, ("controlled", "adverse")):
            name = f"client{client:03d}_session01"
            for take in (1, 2):
                yield f"{group}/real/{name}_webcam_authenticate_{light}_{take}.mov"
            yield f"enroll/{group}/{name}_webcam_enroll_{light}.mov"
            for support, attack in itertools.product(("fixed", "hand"), shown):
                stem = f"attack_{attack.format(name)}_{light}.mov"
                yield f"{group}/attack/{support}/{stem}"


def msu():
    cameras = (("android", "mp4"), ("laptop", "mov"))
    for client, (camera, suffix) in itertools.product(MSU_TRAIN + MSU_TEST, cameras):
        name = f"client{client:03d}_{camera}_SD"
        yield f"scene01/real/real_{name}_scene01.{suffix}"
        for shown in ("ipad_video", "iphone_video", "printed_photo"):
            yield f"scene01/attack/attack_{name}_{shown}_scene01.{suffix}"


def siw_m():
    for group, count in SIW_M.items():
        yield from (f"{group}_{i}.mov" for i in range(1, count + 1))


def three_dmad():
    for client, session, shot in itertools.product(
        range(1, 18), range(1, 4), range(1, 6)
    ):
        yield f"Data/{client:02d}_{session:02d}_{shot:02d}.hdf5"


def hkbu():
    for folder, subject in itertools.product(("real", "attack"), range(1, 13)):
        for camera, light in itertools.product(range(1, 8), range(1, 7)):
            yield f"{folder}/{subject:02d}/{camera:02d}_{light:02d}_{subject:02d}.avi"


def surf():
    for subject in range(1, 49):
        name = f"0927_{subject:03d}"
        yield from (f"Real/{name}/{take}.mp4" for take in (1, 15, 16, 17, 22, 23))
        for decoration, take in itertools.product((1, 2, 3), range(1, 7)):
            if (subject, take) not in ((21, 5), (21, 6)):
                yield f"Fake/{name}/{decoration}/{take}.mp4"


TREES = {
    **{"oulu_npu": oulu, "siw": siw, "casia_mfsd": casia, "replay_attack": replay},
    **{"msu_mfsd": msu, "siw_m": siw_m, "three_dmad": three_dmad},
    **{"hkbu_mars": hkbu, "casia_surf_3dmask": surf},
}


NINE = [name for name in protocols.names() if "own_data" not in name]


NINE = [name for name in NINE if "synthetic" not in name]


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """A folder with the official files of each dataset, all empty."""
    top = tmp_path_factory.mktemp("official")
    for name, tree in TREES.items():
        touch(top / name, tree())
    lists = {"train": MSU_TRAIN, "test": MSU_TEST}
    for part, people in lists.items():
        text = "".join(f"{client:02d}\n" for client in people)
        (top / "msu_mfsd" / f"{part}_sub_list.txt").write_text(text)
    return top


@pytest.fixture(scope="module")
def videos(roots):
    return {name: sources.list_videos(name, roots / name) for name in TREES}


@pytest.fixture(scope="module")
def official():
    if not EXPECTED.is_file():
        pytest.skip(f"no official counts at {EXPECTED}")
    return json.loads(EXPECTED.read_text())


def pair(counts):
    return counts["live"], counts["spoof"]


def expected_pair(entry):
    return entry["real"], entry["attack"]


@pytest.mark.parametrize("name", NINE)
def test_official_files_give_official_counts_and_disjoint_subjects(videos, name):
    lists = protocols.get(name).lists(videos)
    lists.check(whole=True)
    people = [{one.subject for one in lists.of(split)} for split in sources.SPLITS]
    assert all(people) and not (
        people[0] & people[1] or people[2] & (people[0] | people[1])
    )
    assert all(
        one.split == split for split in sources.SPLITS for one in lists.of(split)
    )
    # Whoever cites a hash finds the same lists in every version.
    assert lists.hash == HASHES[name]


@pytest.mark.parametrize(
    ("name", "subjects"),
    [
        ("siw@1", (80, 10, 75)),  # ten as in bob.db.siw
        ("casia_mfsd@all", (15, 5, 30)),  # five as in bob.pad.face
        ("msu_mfsd@all", (12, 3, 20)),  # one fold of five
        ("three_dmad@by_subject", (7, 5, 5)),  # as in bob
        ("hkbu_mars@by_subject", (5, 3, 4)),
        ("casia_surf_3dmask@by_subject", (24, 8, 16)),
    ],
)
def test_as_many_subjects_are_held_out_as_documented(videos, name, subjects):
    counts = protocols.get(name).lists(videos).counts
    assert tuple(c["subjects"] for c in counts.values()) == subjects


def test_oulu_counts_are_those_of_the_reference(videos, official):
    for name, parts in official["OULU-NPU"].items():
        if name in ("Protocol_1_2", "Protocol_1_3"):  # Idiap's extras, not official
            continue
        number = name.removeprefix("Protocol_").replace("_", ".")
        counts = protocols.get(f"oulu_npu@{number}").lists(videos).counts
        for ours, theirs in zip(counts.values(), parts.values(), strict=True):
            assert pair(ours) == expected_pair(theirs), name


def test_siw_counts_are_those_of_the_reference(videos, official):
    for name, parts in official["SiW"].items():
        number = name.removeprefix("Protocol_").replace("_", ".")
        counts = protocols.get(f"siw@{number}").lists(videos).counts
        learned = [expected_pair(parts[part]) for part in ("train", "dev")]
        ours = [pair(counts[part]) for part in ("train", "development")]
        assert [sum(x) for x in zip(*ours, strict=True)] == [
            sum(x) for x in zip(*learned, strict=True)
        ], name
        assert pair(counts["test"]) == expected_pair(parts["eval"]), name
        assert counts["development"]["subjects"] == 10


def test_other_counts_are_those_of_the_reference(videos, official):
    def counts(name):
        return [pair(c) for c in protocols.get(name).lists(videos).counts.values()]

    def of(dataset, *parts):
        return [expected_pair(official[dataset][part]) for part in parts]

    grandtest = official["Replay-Attack"]["grandtest"]
    assert counts("replay_attack@grandtest") == [
        expected_pair(grandtest[part]) for part in ("train", "devel", "test")
    ]
    for name, dataset, parts in (
        ("casia_mfsd@all", "CASIA-FASD", ("train_release", "test_release")),
        ("msu_mfsd@all", "MSU-MFSD", ("train", "test")),
    ):
        train, development, test = counts(name)
        learned = (train[0] + development[0], train[1] + development[1])
        assert [learned, test] == of(dataset, *parts)
    bob = official["3DMAD"]["bob_classification"]
    assert counts("three_dmad@by_subject") == [
        expected_pair(bob[part]) for part in ("train", "dev", "eval")
    ]
    masks = of("3DMAD", "all") + of("HKBU-MARs-V2", "all")
    masks += of("CASIA-SURF-3DMask", "all_found_list")
    assert counts("cross_dataset_cross_type")[2] == tuple(
        map(sum, zip(*masks, strict=True))
    )
    every = [sum(x) for x in zip(*counts("siw_m@leave_print_out"), strict=True)]
    assert tuple(every) == of("SiW-M", "all_paper")[0]


def test_the_table_of_official_counts_is_the_reference(official):
    for name, parts in official["OULU-NPU"].items():
        number = name.removeprefix("Protocol_").replace("_", ".")
        ours = protocols.OFFICIAL.get(f"oulu_npu@{number}")
        if ours is not None:
            assert [p[0] for p in ours.values()] == [
                expected_pair(part) for part in parts.values()
            ]
    assert sum(name.startswith("oulu_npu@") for name in protocols.OFFICIAL) == 14


def test_all_of_oulu_is_listed_into_all_its_protocols_in_five_seconds(roots):
    names = [
        name for name in protocols.names("oulu_npu") if name.startswith("oulu_npu@")
    ]

    def listed():
        found = sources.list_videos("oulu_npu", roots / "oulu_npu")
        lists = [protocols.get(name).lists({"oulu_npu": found}) for name in names]
        return found, {one.hash for one in lists}

    found, hashes = within(5, listed)
    assert len(found) == 4950 and len(hashes) == len(names) == 14


def test_the_hash_is_that_of_the_content(videos, roots, tmp_path):
    name = "casia_mfsd@all"
    lists = protocols.get(name).lists(videos)
    touch(tmp_path, casia())
    elsewhere = {"casia_mfsd": sources.list_videos("casia_mfsd", tmp_path)[::-1]}
    assert protocols.get(name).lists(elsewhere).hash == lists.hash
    fewer = {"casia_mfsd": videos["casia_mfsd"][1:]}
    assert protocols.get(name).lists(fewer).hash != lists.hash


def test_leave_one_type_out_tests_that_type_alone(videos):
    for name in protocols.FOLDS["siw_m@leave_one_out"] + protocols.FOLDS["cross_type"]:
        lists = protocols.get(name).lists(videos)
        tested = {one.attack_type for one in lists.test} - {"live"}
        learned = {one.attack_type for one in (*lists.train, *lists.development)}
        assert len(tested) == 1 and not tested & learned, name
        live = [one for one in lists if one.label == 1]
        share = len([one for one in live if one.split == "test"]) / len(live)
        assert 0.15 < share < 0.75, name
    whole = {one.attack_type for one in videos["siw_m"]} - {"live"}
    assert len(whole) == 13 and whole <= MACRO_TYPES.keys()
    macro = {MACRO_TYPES[name] for name in whole}
    assert macro == {"replay", "print", "mask", "makeup", "partial"}


def test_a_fifth_of_live_is_tested_in_siw_m(videos):
    live = protocols.get("siw_m@leave_replay_out").lists(videos)
    assert sum(one.label for one in live.test) == 660 / 5
    spoof = [one.attack_type for one in live.development if not one.label]
    assert len(set(spoof)) == 12


def test_ssdg_drops_the_development_parts_of_its_training(videos):
    ssdg = protocols.get("ocim@O&C&I_to_M")
    assert ssdg.name == "ocim@O&C&I_to_M.ssdg"
    own = {(v.domain, v.video): v.split for part in videos.values() for v in part}
    for one in ssdg.lists(videos).train:
        assert own[one.domain, one.video] != "development"
    split = protocols.get("ocim@O&C&I_to_M.split").lists(videos)
    assert {own[one.domain, one.video] for one in split.train} == {"train"}
    assert {one.domain for one in split.test} == {"msu_mfsd"}


def test_siw_1_sees_first_frames_only():
    assert protocols.get("siw@1").first_frames == 60
    assert not any(
        protocols.get(name).first_frames
        for name in protocols.names()
        if name != "siw@1"
    )


def swap(video):
    """The video with live and spoof the other way round."""
    return dataclasses.replace(video, label=1 - video.label)


def test_swapped_labels_are_noticed(videos):
    swapped = {"casia_mfsd": [swap(one) for one in videos["casia_mfsd"]]}
    lists = protocols.get("casia_mfsd@all").lists(swapped)
    with pytest.raises(
        InputError, match=r"differ by 0 instead of 240.*casia_mfsd writes"
    ):
        lists.check()
    most = {"casia_mfsd": swapped["casia_mfsd"][:500]}
    with pytest.raises(InputError, match="likely swapped"):
        protocols.get("casia_mfsd@all").lists(most).check()


def test_an_incomplete_set_is_said_and_refused_if_whole(videos):
    fewer = {"msu_mfsd": [one for one in videos["msu_mfsd"] if "053_" not in one.video]}
    lists = protocols.get("msu_mfsd@all").lists(fewer)
    assert "28 live, 84 spoof (official: 30, 90)" in lists.check()
    with pytest.raises(InputError, match="2 live missing and 6 spoof missing"):
        lists.check(whole=True)
    assert "no official counts" in protocols.get("casia_mfsd@cut").lists(videos).check()


def test_a_video_given_twice_is_named(videos):
    twice = {"casia_mfsd": [*videos["casia_mfsd"], videos["casia_mfsd"][7]]}
    with pytest.raises(InputError, match=r"1 videos twice: test_release/1/8\.avi"):
        protocols.get("casia_mfsd@all").lists(twice)


def test_a_subject_in_two_parts_is_named(videos):
    first, *others = videos["replay_attack"]
    moved = dataclasses.replace(first, subject="replay_attack/040")
    with pytest.raises(
        InputError, match=r"1 subjects both in .* replay_attack/040"
    ) as e:
        protocols.get("replay_attack@grandtest").lists(
            {"replay_attack": [moved, *others]}
        )
    assert moved.video in str(e.value)


def test_tested_people_leave_training_where_nothing_else_is_said(videos):
    def person(one):
        number = one.attributes["number"]
        return dataclasses.replace(one, subject=f"siw_m/{number}")

    people = {"siw_m": [person(one) for one in videos["siw_m"]]}
    lists = protocols.get("siw_m@leave_replay_out").lists(people)
    tested = {one.subject for one in lists.test}
    assert lists.dropped > 0
    assert not tested & {one.subject for one in (*lists.train, *lists.development)}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("oulu_npu@5", "expected dataset@protocol, as oulu_npu@"),
        ("oulu_npu@3", "mean over its folds; name one of them: oulu_npu@3.1"),
        ("nothing", "no protocol 'nothing'"),
        ("siw_m@leave_reply_out", "siw_m@leave_replay_out"),
        (" OULU_NPU@1", "no protocol 'OULU_NPU@1'; .* as oulu_npu@1,"),
        ("OCIM@o&c&i_TO_m.SSDG", "as ocim@O&C&I_to_M.ssdg,"),
    ],
)
def test_unknown_names_are_said(name, says):
    with pytest.raises(InputError, match=says):
        protocols.get(name)
    assert protocols.get(" oulu_npu@1\n").name == "oulu_npu@1"


def test_what_a_protocol_lacks_is_said(videos, tmp_path):
    with pytest.raises(InputError, match="there are none of msu_mfsd"):
        protocols.get("ocim@O&C&I_to_M").lists(videos | {"msu_mfsd": []})
    small_oulu(tmp_path)
    small = {"oulu_npu": sources.list_videos("oulu_npu", tmp_path)}
    with pytest.raises(InputError, match="for test the test of oulu_npu with phone 5"):
        protocols.get("oulu_npu@3.5").lists(small)
    live = {"msu_mfsd": [one for one in videos["msu_mfsd"] if one.label == 1]}
    with pytest.raises(InputError, match="gets no spoof video for train"):
        protocols.get("msu_mfsd@all").lists(live)
    one = {"casia_mfsd": [v for v in videos["casia_mfsd"] if "/1/" in v.video]}
    with pytest.raises(InputError, match="fewer than two training subjects"):
        protocols.get("casia_mfsd@all").lists(one)


def test_folds_are_complete():
    sizes = {name: len(folds) for name, folds in protocols.FOLDS.items()}
    assert sizes["oulu_npu@3"] == sizes["oulu_npu@4"] == 6
    assert sizes["siw@2"] == 4 and sizes["siw@3"] == 2
    assert sizes["siw_m@leave_one_out"] == 13 and sizes["cross_type"] == 9
    assert sizes["ocim.ssdg"] == sizes["ocim.split"] == 4
