"""Listing the nine datasets: official names, and the traps among them."""

import errno
import os

import pytest
from clock import within

from nasfas_jax.data import datasets
from nasfas_jax.data.datasets import annotations, base, casia_mfsd, msu_mfsd, siw_m
from nasfas_jax.data.datasets.sources import list_videos
from nasfas_jax.errors import InputError

LICENSED = list(datasets.REGISTRY)[2:]


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def listed(dataset, root):
    return {source.video: source for source in list_videos(dataset, root)}


def facts(source):
    return source.subject, source.attack_type, source.label, source.split


def count(found, **wanted):
    return sum(
        all(getattr(source, name) == value for name, value in wanted.items())
        for source in found
    )


def test_the_registry_says_what_a_user_must_know():
    assert list(datasets.REGISTRY) == [
        *("own_data", "synthetic", "oulu_npu", "siw", "casia_mfsd", "replay_attack"),
        *("msu_mfsd", "siw_m", "three_dmad", "hkbu_mars", "casia_surf_3dmask"),
    ]
    for name, dataset in datasets.REGISTRY.items():
        assert dataset.name == name and dataset.layout and dataset.polarity
        assert dataset.request and base.LIVE not in dataset.attack_types
    for name in LICENSED:
        dataset = datasets.REGISTRY[name]
        assert dataset.citation.startswith("@") and dataset.homepage.startswith("http")
        assert dataset.attack_types and set(dataset.splits) <= set(base.SPLITS)


def oulu(root):
    """All 4,950 names of the release, each with its eyes."""
    users = {"Train": range(1, 21), "Dev": range(21, 36), "Test": range(36, 56)}
    for folder, numbers in users.items():
        (root / f"{folder}_files").mkdir(parents=True)
        for phone in "123456":
            for session in "123":
                for user in numbers:
                    for file in "12345":
                        stem = f"{phone}_{session}_{user:02d}_{file}"
                        path = root / f"{folder}_files/{stem}"
                        path.with_suffix(".avi").touch()
                        path.with_suffix(".txt").touch()


def test_oulu_npu_is_listed_without_opening_a_file(tmp_path):
    oulu(tmp_path)
    found = within(2, lambda: listed("oulu_npu", tmp_path))
    assert len(found) == 4950 and count(found.values(), label=1) == 990
    for split, number in {"train": 1800, "development": 1350, "test": 1800}.items():
        assert count(found.values(), split=split) == number
    one = found["Dev_files/6_3_21_4.avi"]
    assert facts(one) == ("oulu_npu/21", "replay", 0, "development")
    assert one.attributes == {"phone": "6", "session": "3", "user": "21", "file": "4"}
    assert one.domain == "oulu_npu" and one.rotate == 0
    assert one.annotation == base.Sidecar(
        one.path.with_suffix(".txt"), annotations.read_eyes
    )
    kinds = [found[f"Train_files/1_1_01_{n}.avi"].attack_type for n in range(1, 6)]
    assert kinds == ["live", "print", "print", "replay", "replay"]


def test_linked_folders_are_followed_and_unreadable_ones_named(tmp_path, monkeypatch):
    touch(tmp_path, "disk/1_1_01_1.avi")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/Train_files").symlink_to(tmp_path / "disk")
    assert list(listed("oulu_npu", tmp_path / "data")) == ["Train_files/1_1_01_1.avi"]
    scan = os.scandir

    def refused(path):
        if str(path).endswith("Train_files"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(InputError, match="Train_files cannot be listed: Permission"):
        list_videos("oulu_npu", tmp_path / "data")


def test_siw_names_are_taken_as_they_are(tmp_path):
    touch(
        tmp_path,
        "Train/live/001/001-1-1-1-1.mov",
        "Train/live/001/001-1-1-1-1.face",
        "Test/spoof/002/002-2-3-4-2.m.mov",
        "Test/spoof/002/002-2-3-4-2.face",
        "Test/spoof/003/003_1_2_1_1.mp4",
        "Test/live/003/003-1-2-1-1.mov",
    )
    found = listed("siw", tmp_path)
    live, spoof = (
        found["Train/live/001/001-1-1-1-1.mov"],
        found["Test/spoof/002/002-2-3-4-2.m.mov"],
    )
    assert facts(live) == ("siw/001", "live", 1, "train")
    assert facts(spoof) == ("siw/002", "replay", 0, "test")
    assert spoof.attributes == {
        "sensor": "2",
        "type": "3",
        "medium": "4",
        "session": "2",
    }
    assert spoof.annotation.path.name == "002-2-3-4-2.face"
    assert found["Test/spoof/003/003_1_2_1_1.mp4"].attack_type == "print"
    assert found["Test/spoof/003/003_1_2_1_1.mp4"].annotation is None
    # A folder and a name that disagree on the label are nobody's guess.
    wrong = found["Test/live/003/003-1-2-1-1.mov"]
    assert wrong.split == "" and "folder is live" in wrong.problem


def test_casia_mfsd_attack_types_and_families(tmp_path):
    files = [*"12345678", "HR_1", "HR_2", "HR_3", "HR_4"]
    touch(
        tmp_path, *(f"train_release/{i}/{n}.avi" for i in range(1, 21) for n in files)
    )
    touch(tmp_path, *(f"test_release/{i}/{n}.avi" for i in range(1, 31) for n in files))
    touch(tmp_path, "face-locations/train_release/1/HR_2.face")
    found = listed("casia_mfsd", tmp_path)
    for split, live in {"train": 60, "test": 90}.items():
        assert count(found.values(), split=split, label=1) == live
        assert count(found.values(), split=split, label=0) == 3 * live
    kinds = {n: found[f"test_release/1/{n}.avi"].attack_type for n in files}
    assert kinds == casia_mfsd.KINDS
    assert [kinds[n] for n in ("3", "4", "HR_2")] == ["warped_photo"] * 3
    assert [kinds[n] for n in ("5", "6", "HR_3")] == ["cut_photo"] * 3
    assert [kinds[n] for n in ("7", "8", "HR_4")] == ["video_replay"] * 3
    groups = [found[f"test_release/1/{n}.avi"].attributes for n in ("1", "2", "HR_1")]
    assert [group["quality_group"] for group in groups] == ["1", "2", "HR"]
    # Nobody agrees which family is the better one, so no name says so.
    assert not any(word in str(groups) for word in ("low", "normal", "high"))
    subjects = {source.subject for source in found.values()}
    assert len(subjects) == 50
    face = found["train_release/1/HR_2.avi"].annotation
    assert face.parse is annotations.read_boxes
    assert found["train_release/1/1.avi"].annotation is None


def test_replay_attack_names(tmp_path):
    real = "real/client001_session01_webcam_authenticate_adverse_2"
    prints = "attack/hand/attack_print_client001_session01_highdef_photo_controlled"
    digital = "attack/fixed/attack_mobile_client001_session01_mobile_photo_adverse"
    video = "attack/fixed/attack_highdef_client001_session01_highdef_video_adverse"
    touch(
        tmp_path,
        *(f"devel/{stem}.mov" for stem in (real, prints, digital, video)),
        f"face-locations/devel/{real}.face",
        "enroll/devel/client001_session01_webcam_enroll_adverse.mov",
        "train/attack/fixed/client009_session01_webcam_authenticate_adverse_1.mov",
    )
    found = listed("replay_attack", tmp_path)
    assert len(found) == 5  # nothing of enroll/
    for stem, kind in {
        real: "live",
        prints: "print",
        digital: "digital_photo",
        video: "video_replay",
    }.items():
        source = found[f"devel/{stem}.mov"]
        assert facts(source) == (
            "replay_attack/001",
            kind,
            int(kind == "live"),
            "development",
        )
    assert found[f"devel/{real}.mov"].attributes == {
        "lighting": "adverse",
        "support": "",
        "device": "",
        "media": "",
        "take": "2",
    }
    assert found[f"devel/{prints}.mov"].attributes == {
        "lighting": "controlled",
        "support": "hand",
        "device": "print",
        "media": "photo",
        "take": "",
    }
    assert found[f"devel/{real}.mov"].annotation.path.name.endswith("_2.face")
    [stray] = [source for source in found.values() if source.problem]
    assert "client009" in stray.video


def msu(root, subjects=(2, 1, 5)):
    for n in subjects:
        for camera, end in {"android": "mp4", "laptop": "mov"}.items():
            stem = f"client{n:03d}_{camera}_SD"
            touch(root, f"scene01/real/real_{stem}_scene01.{end}")
            for device in ("ipad_video", "iphone_video", "printed_photo"):
                touch(root, f"scene01/attack/attack_{stem}_{device}_scene01.{end}")


def test_msu_mfsd_splits_by_its_lists(tmp_path):
    msu(tmp_path)
    found = listed("msu_mfsd", tmp_path)
    assert {s.split_source for s in found.values()} == {"published lists"}
    assert count(found.values(), split="train", label=0) == 12
    (tmp_path / "train_sub_list.txt").write_text("01\n05\n")
    (tmp_path / "test_sub_list.txt").write_text("02\n\n")
    found = listed("msu_mfsd", tmp_path)
    assert {s.split_source for s in found.values()} == {"lists of subjects"}
    assert {s.subject: s.split for s in found.values()} == {
        "msu_mfsd/001": "train",
        "msu_mfsd/005": "train",
        "msu_mfsd/002": "test",
    }
    source = found["scene01/attack/attack_client002_laptop_SD_ipad_video_scene01.mov"]
    assert facts(source) == ("msu_mfsd/002", "ipad_video", 0, "test")
    assert source.attributes == {"camera": "laptop", "device": "ipad_video"}
    (tmp_path / "test_sub_list.txt").write_text("")
    problems = {s.problem for s in listed("msu_mfsd", tmp_path).values()}
    assert "client 002 is in neither list of subjects" in problems


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("02\nclient\n", r"train_sub_list\.txt, line 2: expected the number.*'client'"),
        ("02\n9999\n", r"train_sub_list\.txt, line 2: expected the number"),
        ("05\n02\n", r"test_sub_list\.txt, line 1: client 02 is in train_sub"),
    ],
)
def test_msu_mfsd_lists_that_are_damaged(tmp_path, text, message):
    msu(tmp_path)
    (tmp_path / "train_sub_list.txt").write_text(text)
    (tmp_path / "test_sub_list.txt").write_text("02\n01\n")
    with pytest.raises(InputError, match=message):
        list_videos("msu_mfsd", tmp_path)


@pytest.mark.parametrize("name", sorted(msu_mfsd.LISTS.values()))
def test_msu_mfsd_one_list_without_the_other(tmp_path, name):
    msu(tmp_path)
    (tmp_path / name).write_text("\ufeff02\n", "utf-8")
    with pytest.raises(InputError, match=r"sub_list\.txt is missing"):
        list_videos("msu_mfsd", tmp_path)


def test_lists_may_start_with_a_byte_order_mark(tmp_path):
    msu(tmp_path)
    for name, text in zip(msu_mfsd.LISTS.values(), ("01\n05", "02"), strict=True):
        (tmp_path / name).write_text("\ufeff" + text, "utf-8")
    found = listed("msu_mfsd", tmp_path).values()
    assert {source.split for source in found} == {"train", "test"}


def test_msu_mfsd_videos_stored_upside_down(tmp_path):
    msu(tmp_path, subjects=range(1, 10))
    turned = {s.subject for s in list_videos("msu_mfsd", tmp_path) if s.rotate}
    assert turned == {f"msu_mfsd/00{n}" for n in msu_mfsd.UPSIDE_DOWN}
    for source in list_videos("msu_mfsd", tmp_path):
        if source.rotate:
            assert source.rotate == 180 and source.attributes["camera"] == "android"
            assert source.label == 1


def test_siw_m_has_thirteen_types(tmp_path):
    touch(
        tmp_path, *(f"{group}/{group}_{i}.mov" for group in siw_m.KINDS for i in "12")
    )
    touch(tmp_path, "Live/Live_3/0001.png", "Live/Live_3/0002.png")
    found = listed("siw_m", tmp_path)
    assert len(found) == 31
    spoofs = {s.attack_type for s in found.values() if not s.label}
    assert spoofs == set(datasets.REGISTRY["siw_m"].attack_types) and len(spoofs) == 13
    assert found["Paper/Paper_1.mov"].attack_type == "print"
    assert found["Mask_Paper/Mask_Paper_1.mov"].attack_type == "paper_mask"
    for group in ("Partial_Eye", "Partial_Mouth"):
        source = found[f"{group}/{group}_2.mov"]
        assert source.attack_type == "partial_paper"
        assert source.attributes == {"group": group, "number": "2"}
    assert found["Live/Live_3"].path.is_dir() and found["Live/Live_3"].label == 1
    assert len({source.subject for source in found.values()}) == 31


def test_three_dmad_sessions_are_labels(tmp_path):
    for n in range(1, 18):
        for session in "123":
            names = (f"Data/{n:02d}_{session}_{shot:02d}.hdf5" for shot in range(1, 6))
            touch(tmp_path, *names)
    found = listed("three_dmad", tmp_path)
    assert (count(found.values(), label=1), count(found.values(), label=0)) == (170, 85)
    one = found["Data/17_3_05.hdf5"]
    assert facts(one) == ("three_dmad/17", "mask", 0, "test")
    assert one.attributes == {"session": "3", "shot": "5"}
    assert one.annotation is annotations.read_kinect
    touch(tmp_path / "unpadded", "Data/1_1_2.hdf5")
    [other] = list_videos("three_dmad", tmp_path / "unpadded")
    assert other.attributes == {"session": "1", "shot": "2"}
    assert other.subject == "three_dmad/01"


def test_hkbu_mars_names_and_cameras(tmp_path):
    cameras, lightings = range(1, 8), range(1, 7)
    for n in range(1, 13):
        for c in cameras:
            for li in lightings:
                last = "9" if n == 9 else f"{n:02d}"
                touch(tmp_path, f"real/{n:02d}/{c:02d}_{li:02d}_{n:02d}.avi")
                touch(tmp_path, f"attack/{n:02d}/{c:02d}_{li:02d}_{last}.avi")
    touch(tmp_path, "attack/09/01_01_08.avi")
    found = listed("hkbu_mars", tmp_path)
    assert count(found.values(), label=1) == 504
    assert count(found.values(), attack_type="mask") == 504
    nine = found["attack/09/04_01_9.avi"]
    assert facts(nine) == ("hkbu_mars/09", "mask", 0, "test")
    assert nine.attributes == {"camera": "4", "lighting": "1"}
    assert found["real/09/04_01_09.avi"].subject == nine.subject
    assert "not belong to hkbu_mars;" in found["attack/09/01_01_08.avi"].problem
    turns = {s.attributes["camera"]: s.rotate for s in found.values() if not s.problem}
    assert turns == {"1": 0, "2": 0, "3": 0, "4": 90, "5": 270, "6": 270, "7": 0}


def test_casia_surf_3dmask_with_858_fakes(tmp_path):
    subjects = [f"0927_{n:03d}" for n in range(1, 49)]
    for name in subjects:
        touch(tmp_path, *(f"Real/{name}/{t}.mp4" for t in (1, 15, 16, 17, 22, 23)))
        for d in "123":
            lacks = "56" if name == "0927_021" else ""
            for e in set("123456") - set(lacks):
                touch(tmp_path, f"Fake/{name}/{d}/{e}/0001.jpg")
    found = listed("casia_surf_3dmask", tmp_path)
    assert (count(found.values(), label=1), count(found.values(), label=0)) == (
        288,
        858,
    )
    one = found["Fake/0927_001/2/6"]
    assert facts(one) == ("casia_surf_3dmask/0927_001", "mask", 0, "test")
    assert one.attributes == {"environment": "6", "decoration": "2"}
    live = found["Real/0927_001/22.mp4"]
    assert live.attributes == {"environment": "22", "decoration": ""}


FIRST = {
    "oulu_npu": "Train_files/1_1_01_1.avi",
    "siw": "Train/live/001/001-1-1-1-1.mov",
    "casia_mfsd": "train_release/1/1.avi",
    "replay_attack": "test/real/client009_session01_webcam_authenticate_adverse_1.mov",
    "msu_mfsd": "scene01/real/real_client001_android_SD_scene01.mp4",
    "siw_m": "Live_1.mov",
    "three_dmad": "Data/01_1_01.hdf5",
    "hkbu_mars": "real/01/01_01_01.avi",
    "casia_surf_3dmask": "Real/0927_021/1.mp4",
}


@pytest.mark.parametrize("name", LICENSED)
def test_stray_files(tmp_path, name):
    touch(tmp_path, FIRST[name], "README.pdf", "notes/mean.csv", "thumbs/a.jpg")
    touch(tmp_path, ".Trash/x", f"{FIRST[name]}.part", "._hidden.mov", "._hidden.hdf5")
    before = listed(name, tmp_path)
    strays = {video for video, source in before.items() if source.problem}
    # Where folders of frames are videos, any folder of pictures is looked at.
    folders = {"thumbs"} if name in ("siw_m", "casia_surf_3dmask") else set()
    assert set(before) == {FIRST[name]} | folders and strays == folders
    suffix = FIRST[name].rpartition(".")[2]
    touch(tmp_path, f"more/holiday#1.{suffix}")
    found = listed(name, tmp_path)
    stray = found.pop(f"more/holiday%231.{suffix}")
    assert (stray.split, stray.label) == ("", 0)
    assert (
        f"the path more/holiday#1.{suffix} does not belong to {name};" in stray.problem
    )
    assert found == before


@pytest.mark.parametrize("name", LICENSED)
def test_nothing_of_the_dataset_there(tmp_path, name):
    with pytest.raises(InputError, match=r"nowhere.*it does not exist\. Expected"):
        list_videos(name, tmp_path / "nowhere")
    with pytest.raises(InputError, match=f"{name} found none.*it holds nothing"):
        list_videos(name, tmp_path)
    suffix = FIRST[name].rpartition(".")[2]
    touch(tmp_path, f"release/{FIRST[name].replace('1', 'x')}", f"a/b.{suffix}")
    with pytest.raises(
        InputError, match=r"it holds a, release\. The first video in it"
    ):
        list_videos(name, tmp_path)


@pytest.mark.parametrize("name", LICENSED)
def test_a_listing_is_the_same_twice_and_sources_can_be_keys(tmp_path, name):
    touch(tmp_path, FIRST[name])
    [source] = list_videos(name, str(tmp_path))
    assert [source] == list_videos(name, tmp_path) and source in {source}
    assert (source.label, source.attack_type, source.domain) == (1, "live", name)
    assert source.subject.startswith(f"{name}/") and source.video == FIRST[name]
    assert source.path == tmp_path / FIRST[name]


@pytest.mark.parametrize(
    ("name", "one", "copy"),
    [
        ("oulu_npu", "Train_files/1_1_01_2.avi", "Train_files/1_1_01_2.mp4"),
        ("siw_m", "Replay/Replay_7/0001.png", "Replay/Replay_7.mov"),
    ],
)
def test_a_second_copy_of_a_video_is_named_and_not_counted(tmp_path, name, one, copy):
    touch(tmp_path, one, copy)
    first, second = list_videos(name, tmp_path)
    assert first.split and not first.problem
    assert second.video == copy and not second.split
    assert second.problem == f"a second copy of {first.video}"
