"""The hash, counts and checks of a protocol's lists, and held-out subjects, in memory."""

import dataclasses
import pathlib
from fractions import Fraction

import pytest

from nasfas_jax.data.datasets.sources import VideoSource
from nasfas_jax.data.protocols import OFFICIAL, Lists, cuts, names
from nasfas_jax.errors import InputError


def video(name, split, attack_type="live", subject=None, domain="casia_mfsd"):
    return VideoSource(
        path=pathlib.Path("/data") / name,
        video=name,
        subject=subject or name,
        domain=domain,
        attack_type=attack_type,
        label=int(attack_type == "live"),
        split=split,
    )


def part(split, live, spoof):
    """Videos of as many people."""
    names = [("live", live), ("print", spoof)]
    return [
        video(f"{split}_{kind}{i}", split, kind) for kind, n in names for i in range(n)
    ]


def made(train=(2, 3), development=(1, 2), test=(3, 4), protocol="casia_mfsd@all"):
    pairs = {"train": train, "development": development, "test": test}
    return Lists(protocol, *(part(split, *pair) for split, pair in pairs.items()))


def test_counts_are_of_each_part():
    found = made()
    assert found.counts == {
        "train": {"live": 2, "spoof": 3, "subjects": 5},
        "development": {"live": 1, "spoof": 2, "subjects": 3},
        "test": {"live": 3, "spoof": 4, "subjects": 7},
    }
    assert [len(found.of(name)) for name in found.counts] == [5, 3, 7]
    assert [one.split for one in found] == (
        ["train"] * 5 + ["development"] * 3 + ["test"] * 7
    )


def test_the_hash_is_of_parts_ids_types_labels_and_first_frames():
    base = made()
    first, *others = base.train
    assert len(base.hash) == 10 and int(base.hash, 16) >= 0

    def changed(**fields):
        return dataclasses.replace(
            base, train=[dataclasses.replace(first, **fields), *others]
        )

    hashes = {
        base.hash,
        changed(split="test").hash,
        changed(domain="siw").hash,
        changed(video="other").hash,
        changed(attack_type="cut_photo").hash,
        changed(label=0).hash,
        dataclasses.replace(base, first_frames=60).hash,
    }
    assert len(hashes) == 7
    assert changed(path=pathlib.Path("/elsewhere")).hash == base.hash
    assert dataclasses.replace(base, train=[*others, first]).hash == base.hash


@pytest.mark.parametrize(
    ("one", "other"),
    [("train", "development"), ("development", "test"), ("train", "test")],
)
def test_no_two_parts_share_a_subject(one, other):
    base = made()
    made().require_sound()
    shared = dataclasses.replace(base.of(other)[0], subject=base.of(one)[0].subject)
    mixed = dataclasses.replace(base, **{other: [shared, *base.of(other)[1:]]})
    with pytest.raises(InputError, match="1 subjects both in") as error:
        mixed.require_sound()
    for name in (one, other):
        assert name in str(error.value)


@pytest.mark.parametrize("name", ["train", "development", "test"])
@pytest.mark.parametrize("kind", ["live", "spoof"])
def test_each_part_needs_both_classes(name, kind):
    pair = (0, 2) if kind == "live" else (2, 0)
    with pytest.raises(InputError, match=rf"no {kind} video for {name} \(of 2 there\)"):
        made(**{name: pair}).require_sound()


def test_one_name_in_two_domains_is_two_videos():
    base = made()
    twin = dataclasses.replace(base.train[0], domain="siw")
    dataclasses.replace(base, train=[*base.train, twin]).require_sound()
    with pytest.raises(InputError, match="1 videos twice: train_live0 of casia_mfsd"):
        dataclasses.replace(base, train=[*base.train, base.train[0]]).require_sound()


# CASIA-MFSD has 60 live and 180 spoof videos to learn from, 90 and 270 to test.
@pytest.mark.parametrize(
    ("test", "swapped"),
    [
        ((270, 90), True),
        ((90, 90), False),  # as far from the one as from the other
        ((91, 90), True),
        ((100, 80), True),  # half of the official videos, nearer to swapped
        ((100, 79), False),  # fewer than half: nothing can be told
    ],
)
def test_swapped_labels_are_those_nearer_to_the_other_count(test, swapped):
    base = made((40, 120), (20, 60), test)
    if swapped:
        with pytest.raises(InputError, match="likely swapped"):
            base.differences()
    else:
        assert base.differences() == [
            f"test {test[0]} live, {test[1]} spoof (official: 90, 270)"
        ]


def test_what_is_not_official_is_said():
    assert made((40, 120), (20, 60), (90, 270)).differences() == []
    assert made((40, 120), (20, 60), (90, 270)).check(whole=True) == (
        "train+development 60 live, 180 spoof (as official)\n"
        "test 90 live, 270 spoof (as official)"
    )
    more = made((40, 120), (20, 60), (91, 268))
    assert more.notes() == [
        "not the official videos: test 91 live, 268 spoof (official: 90, 270)"
    ]
    with pytest.raises(
        InputError, match=r"has test 91 .* That is 1 live too many and 2 spoof missing"
    ):
        more.check(whole=True)
    with pytest.raises(InputError, match=r"That is 2 spoof missing\."):
        made((40, 120), (20, 60), (90, 268)).check(whole=True)
    for masks in (286, 288):  # two counts of CASIA-SURF 3DMask are published
        either = made(*[(96, masks)] * 3, "casia_surf_3dmask@by_subject")
        said = f"288 live, {3 * masks} spoof (as official)"
        assert either.check(whole=True).endswith(said)


def test_official_counts_are_of_protocols_there_are():
    assert OFFICIAL.keys() <= set(names())
    replay = {f"replay_attack@{kind}" for kind in ("print", "mobile", "photo", "video")}
    assert replay <= OFFICIAL.keys()


def test_videos_without_clips_are_named_up_to_three():
    base = made()
    without = {
        "train": [(f"v{i}", "too dark") for i in range(3)],
        "test": [("w", "cut")],
    }
    first, second = dataclasses.replace(base, without_clips=without).left_out()
    assert first.startswith(
        "train: 3 of 5 videos have no clip (v0: too dark; v1: too dark; v2: too dark);"
    )
    assert second.startswith("test: 1 of 7 videos have no clip (w: cut);")
    without["train"].append(("v3", "too dark"))
    assert (
        "v2: too dark; ...)"
        in dataclasses.replace(base, without_clips=without).left_out()[0]
    )


def evenly(count, share):
    return sorted(cuts._evenly(list(range(count)), share))


def test_held_out_subjects_are_evenly_spaced():
    assert evenly(20, Fraction(1, 4)) == [2, 6, 10, 14, 18]
    assert evenly(15, Fraction(1, 5)) == [2, 7, 12]
    assert evenly(10, Fraction(1, 3)) == [1, 5, 8]
    assert evenly(2, Fraction(1, 100)) == [1]  # at least one of two
    assert evenly(1, Fraction(1, 2)) == evenly(5, Fraction(0)) == []


def split_of(videos):
    return {one.video: one.split for one in videos}


def test_people_with_and_without_live_videos_are_cut_apart():
    """SiW-M: a fifth of each is tested, an eighth of the others chooses."""
    people = [
        video(f"{kind}{i}", "", kind, subject=f"{kind}{i}", domain="siw_m")
        for kind, n in (("live", 40), ("print", 20), ("replay", 20))
        for i in range(n)
    ]
    found = cuts.recut("siw_m", people)
    assert [one.video for one in found] == [one.video for one in people]
    splits = split_of(found)
    for kind, counts in (("live", (28, 4, 8)), ("print", None), ("replay", None)):
        got = [splits[one.video] for one in people if one.attack_type == kind]
        each = tuple(got.count(name) for name in ("train", "development", "test"))
        assert each == counts if counts else each[2] == 4 and each[1] == 2
    assert split_of(cuts.recut("siw_m", people[::-1])) == splits


def test_an_official_test_part_stays():
    learned = [
        video(f"{i}.{kind}", "train", kind, subject=f"p{i}")
        for i in range(20)
        for kind in ("live", "print")
    ]
    tested = [video(f"t{i}", "test", subject=f"p{i + 20}") for i in range(6)]
    found = cuts.recut("casia_mfsd", [*learned, *tested])
    assert found[40:] == tested
    held = {one.subject for one in found if one.split == "development"}
    assert len(held) == 5
    for one in found[:40]:
        assert one.split == ("development" if one.subject in held else "train")
    assert cuts.recut("oulu_npu", learned) == learned
