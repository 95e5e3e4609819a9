"""Listing a user's own collection: who is one person, and what becomes of every file."""

import collections
import os
import unicodedata

import pytest

from nasfas_jax.data.datasets import base
from nasfas_jax.data.datasets.sources import list_videos
from nasfas_jax.data.media import video
from nasfas_jax.errors import InputError


def touch(root, *names):
    for name in names:
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").close()


def listed(root):
    """Used files and left out ones, by their ids."""
    found = list_videos("own_data", root)
    used = {one.video: one for one in found if not one.problem}
    return used, {one.video: one.problem for one in found if one.problem}


def subjects(root):
    return {one.subject for one in listed(root)[0].values()}


def test_one_person_in_two_spellings_is_one_person(tmp_path):
    """Zips from a Mac have NFD names; typed ones are NFC."""
    forms = [unicodedata.normalize(form, "José") for form in ("NFC", "NFD")]
    touch(tmp_path, *(f"live/p{i}/1.mp4" for i in range(8)))
    touch(tmp_path, f"live/{forms[0]}/1.mp4", f"live/{forms[1]}/2.mp4")
    touch(tmp_path, f"spoof/print/{forms[1]}.png", f"spoof/{forms[0]}/x/1.mp4")
    found = [one for one in list_videos("own_data", tmp_path) if "jos" in one.subject]
    assert {one.subject for one in found} == {"josé"} and len(found) == 3
    assert len({one.split for one in found}) == 1
    # Paths and ids stay as they are on disk, or nothing could be opened.
    assert all(one.path.is_file() for one in found)
    assert len({one.video for one in found}) == 3
    kinds = {one.attack_type for one in list_videos("own_data", tmp_path)}
    assert kinds == {"live", "print", "josé"}


@pytest.mark.parametrize("other", ["Ann B", "ann  b", " ann b", "ann b\u00a0", "ANN B"])
def test_case_and_white_space_do_not_make_a_second_person(tmp_path, other):
    touch(tmp_path, "live/ann b/1.mp4", f"spoof/print/{other}/2.mp4", "live/bob.mp4")
    assert subjects(tmp_path) == {"ann b", "bob"}


def test_every_reader_normalizes_names():
    name = unicodedata.normalize("NFD", "é  x ")
    one = base.VideoSource(os, "v", name, name, name, 1, "train")
    assert {one.subject, one.domain, one.attack_type} == {"\u00e9 x"}


HIDDEN = (
    "live/._ann.mp4",
    "live/ann/.DS_Store",
    "live/ann/Thumbs.db",
    "live/.thumbnails/1.jpg",
    "live/ann/.thumbnails/2.jpg",
    "spoof/print/._dan.png",
    "spoof/print/@eaDir/dan.mp4",
    "__MACOSX/live/._ann.mp4",
    "__MACOSX/live/ann.mp4",
    "spoof/__MACOSX/eve.mp4",
    ".Trash/live/x.mp4",
    "System Volume Information/live/y.mp4",
)


def test_hidden_and_system_files_are_nobody(tmp_path):
    touch(tmp_path, "live/ann/1.mp4", "live/bob.mp4", "spoof/print/dan.png")
    before = list_videos("own_data", tmp_path)
    touch(tmp_path, *HIDDEN)
    assert list_videos("own_data", tmp_path) == before
    touch(tmp_path / "oulu", "Train_files/1_1_01_1.avi", ".hidden/1_1_02_1.avi")
    touch(tmp_path / "oulu", "__MACOSX/Train_files/1_1_03_1.avi", "._1_1_01_1.avi")
    found = list_videos("oulu_npu", tmp_path / "oulu")
    assert [one.video for one in found] == ["Train_files/1_1_01_1.avi"]


def test_hidden_pictures_are_no_frames_of_a_folder(tmp_path):
    touch(tmp_path, "Live_1/0001.png", "Live_1/._0001.png", "Live_1/.t/0002.png")
    assert video.count_frames(tmp_path / "Live_1") == 1


UNREAD = ("a.heic", "b.txt", "c.zip", "d", "e.mp4.part", "g.docx", "h.jxl", "i.h264")


def test_every_file_is_listed_with_a_reason(tmp_path):
    touch(tmp_path, "live/ann/1.mp4", "spoof/print/bob.jpg")
    touch(tmp_path, *(f"live/ann/{name}" for name in UNREAD), "notes.txt", "more/x.mp4")
    touch(tmp_path, "spoof/readme.md", "live/ann/2_depth.mp4")
    used, left_out = listed(tmp_path)
    assert set(used) == {
        "live/ann/1.mp4",
        "spoof/print/bob.jpg",
        "live/ann/2_depth.mp4",
    }
    assert left_out == {
        **{
            f"live/ann/{name}": f"files ending in '{os.path.splitext(name)[1]}' are not read"
            for name in UNREAD
        },
        "spoof/readme.md": "files ending in '.md' are not read",
        "notes.txt": "outside live/ and spoof/",
        "more/x.mp4": "outside live/ and spoof/, in more/",
    }
    # The files that are used come first, in a manifest of many that are not.
    order = [bool(one.problem) for one in list_videos("own_data", tmp_path)]
    assert order == sorted(order)


@pytest.mark.parametrize("name", ["dev", "devel", "val", "valid", "validation", "Val"])
def test_names_of_the_development_folder(tmp_path, name):
    touch(tmp_path, "train/live/a.mp4", f"{name}/live/b.mp4", "test/Spoof/print/c.mp4")
    used, left_out = listed(tmp_path)
    splits = {one.subject: (one.split, one.split_source) for one in used.values()}
    assert splits == {
        "a": ("train", "folder"),
        "b": ("development", "folder"),
        "c": ("test", "folder"),
    }
    assert not left_out


def test_misplaced_folders_are_named(tmp_path):
    touch(tmp_path, "train/live/a.mp4", "test/live/b.mp4", "train/c/1.mp4", "val/d.mp4")
    touch(tmp_path, "live/e.mp4", "holdout/live/f.mp4", "g.mp4")
    used, left_out = listed(tmp_path)
    assert set(used) == {"train/live/a.mp4", "test/live/b.mp4"}
    assert left_out == {
        "train/c/1.mp4": "outside live/ and spoof/, in train/c/",
        "val/d.mp4": "outside live/ and spoof/, in val/",
        "live/e.mp4": "outside train/, development/ and test/, in live/",
        "holdout/live/f.mp4": "outside train/, development/ and test/, in holdout/",
        "g.mp4": "outside train/, development/ and test/",
    }


def test_a_folder_that_is_merely_called_test_decides_nothing(tmp_path):
    touch(tmp_path, "live/a.mp4", "spoof/print/b.mp4", "test/notes.txt")
    used, left_out = listed(tmp_path)
    assert {one.split_source for one in used.values()} == {"by subject"}
    assert left_out == {"test/notes.txt": "outside live/ and spoof/, in test/"}


def test_an_attack_type_is_not_live(tmp_path):
    touch(tmp_path, "live/a.mp4", "spoof/Live/b/1.mp4")
    assert "cannot be named 'live'" in listed(tmp_path)[1]["spoof/Live/b/1.mp4"]


def test_a_person_in_two_split_folders_is_refused(tmp_path):
    touch(tmp_path, "train/live/Ann/1.mp4", "test/spoof/print/ann.mp4")
    with pytest.raises(InputError, match=r"'ann' both in .*train/live/Ann/1\.mp4"):
        list_videos("own_data", tmp_path)


def test_linked_folders_are_followed_and_loops_end(tmp_path):
    touch(tmp_path / "disk", "1.mp4", "2.mp4")
    touch(tmp_path / "own", "spoof/print/bob/1.mp4", "spoof/replay/cat/1.mp4")
    (tmp_path / "own/live").mkdir()
    (tmp_path / "own/live/ann").symlink_to(tmp_path / "disk")
    (tmp_path / "own/live/all").symlink_to(tmp_path / "own")  # its own ancestor
    (tmp_path / "own/spoof/print/x").symlink_to(tmp_path / "own/spoof/replay")
    (tmp_path / "own/spoof/replay/y").symlink_to(tmp_path / "own/spoof/print")
    used, left_out = listed(tmp_path / "own")
    assert {"live/ann/1.mp4", "live/ann/2.mp4"} < set(used)
    # What is there twice is used once: it would be one person under two names.
    assert len(used) == 4 and len({one.path.resolve() for one in used.values()}) == 4
    assert all("a link to the same file as" in text for text in left_out.values())
    assert len(left_out) < 10


def test_one_path_in_two_spellings_is_used_once(tmp_path):
    """Score files would take the two for one video, after training."""
    forms = [unicodedata.normalize(form, "José") for form in ("NFD", "NFC")]
    touch(tmp_path, *(f"live/{name}/a.mp4" for name in forms), "spoof/print/b.mp4")
    used, left_out = listed(tmp_path)
    assert set(used) == {f"live/{forms[0]}/a.mp4", "spoof/print/b.mp4"}
    assert left_out == {
        f"live/{forms[1]}/a.mp4": f"the path live/{forms[0]}/a.mp4 in another Unicode"
        " spelling"
    }
    ids = {unicodedata.normalize("NFC", name) for name in used}
    assert len(ids) == len(used)


def test_depth_maps_lie_beside_their_files(tmp_path):
    touch(
        tmp_path, "live/a.jpg", "live/a_depth.png", "live/b.mp4", "live/b_depth/7.jpg"
    )
    touch(tmp_path, "live/b_depth/notes.txt", "live/c_depth.png", "live/a_depth.jpeg")
    used, left_out = listed(tmp_path)
    assert set(used) == {"live/a.jpg", "live/b.mp4"}
    named = "named as a depth map, but not of a file beside it"
    assert left_out == {
        "live/b_depth/notes.txt": "files ending in '.txt' are not read",
        "live/c_depth.png": named,
        "live/a_depth.jpeg": named,
    }


ODD = {
    b"two\nlines.mp4": "two%0Alines.mp4",
    b'"quoted", it\'s.mp4': '"quoted", it\'s.mp4',
    b"50%.mp4": "50%25.mp4",
    b"a#1.mp4": "a%231.mp4",
    b"a%231.mp4": "a%25231.mp4",
    b"caf\xe9.mp4": "caf%E9.mp4",
    b"cr\rlf\xe2\x80\xa8.mp4": "cr%0Dlf%E2%80%A8.mp4",
}


def test_ids_of_odd_names_are_unique_and_on_one_line(tmp_path):
    touch(tmp_path, *(f"live/{os.fsdecode(name)}" for name in ODD))
    touch(tmp_path, "spoof/print/x.mp4")
    used, _ = listed(tmp_path)
    ids = [name.removeprefix("live/") for name in used if name.startswith("live/")]
    assert sorted(ids) == sorted(ODD.values())
    for one in used.values():
        one.subject.encode()  # text that a record can hold
        assert one.path.is_file() and one.subject.isprintable()


def test_a_name_that_is_no_utf8_is_refused_before_opencv_sees_it(tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    (tmp_path / name).write_bytes(b"content")
    for read in (video.open_video, video.read_picture):
        with pytest.raises(video.VideoError, match="not valid UTF-8"):
            read(tmp_path / name)


def sizes(found):
    people = {one.subject: one.split for one in found}
    return collections.Counter(people.values())


def test_new_people_fill_the_splits_in_proportion():
    def people(count):
        return [
            base.VideoSource(os, f"{i}", f"p{i}", "own_data", "live", 1, "")
            for i in range(count)
        ]

    known = {}
    for count in range(1, 41):
        found = base.split_by_subject(people(count), known)
        kept = {one.subject: one.split for one in found}
        assert known.items() <= kept.items()
        known = kept
        held = max(1, round(count / 5))
        expected = {"test": held * (count > 1), "development": held * (count > 2)}
        # One new person cannot fill two places.
        short = [size - sizes(found)[split] for split, size in expected.items()]
        assert min(short) >= 0 and sum(short) <= 1
    # From scratch the rule is a function of the names alone.
    again = base.split_by_subject(people(40))
    assert again == base.split_by_subject(people(40)) and sizes(again) == sizes(found)
