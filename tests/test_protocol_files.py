"""OULU-NPU's protocol files: they are compared with the lists, and faults are named."""

import pytest
from oulu import small_oulu

from nasfas_jax.data import protocols
from nasfas_jax.data.datasets import sources
from nasfas_jax.errors import InputError


def oulu_with_lists(root, mistake=lambda name, lines: lines):
    small_oulu(root)
    found = {"oulu_npu": sources.list_videos("oulu_npu", root)}
    signs = {"live": "+1", "print": "-1", "replay": "-2"}
    texts = {}
    for name, folder, ending in (("1", "1", ""), ("3.2", "3", "_2")):
        lists = protocols.get(f"oulu_npu@{name}").lists(found)
        for part, file in zip(sources.SPLITS, ("Train", "Dev", "Test"), strict=True):
            path = root / "Protocols" / f"Protocol_{folder}" / f"{file}{ending}.txt"
            lines = [f"{signs[v.attack_type]},{v.path.stem}" for v in lists.of(part)]
            texts[path] = mistake(file + ending, lines)
    for path, lines in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    return found


@pytest.mark.parametrize("sign", ["", "12"])
def test_official_lists_as_editors_write_them(tmp_path, sign):
    def edited(name, lines):
        return ["\ufeff" + lines[0], *(f"{x[0]}{sign}{x[2:]}\r" for x in lines[1:])]

    found = oulu_with_lists(tmp_path, edited)
    assert protocols.get("oulu_npu@1").lists(found).train


def test_official_lists_that_agree_change_nothing(tmp_path):
    small_oulu(tmp_path)
    bare = {"oulu_npu": sources.list_videos("oulu_npu", tmp_path)}
    before = [protocols.get(f"oulu_npu@{n}").lists(bare).hash for n in ("1", "3.2")]
    said = protocols.get("oulu_npu@1").lists(bare).compared
    assert said == f"OULU-NPU's list files: none in {tmp_path}/Protocols, not compared"
    found = oulu_with_lists(tmp_path)
    after = [protocols.get(f"oulu_npu@{n}").lists(found).hash for n in ("1", "3.2")]
    assert before == after
    assert "Protocols: the same" in protocols.get("oulu_npu@1").lists(found).compared


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (
            lambda lines: [*lines, "+1,1_1_03_1"],
            "line 61: lists 1_1_03_1, which is abs",
        ),
        (lambda lines: [*lines, "+1,1_3_01_1"], "does not belong to the train"),
        (lambda lines: lines[1:], "does not list 1_1_01_1"),
        (lambda lines: [*lines, lines[3]], "line 61: 1_1_01_4 is listed twice"),
        (
            lambda lines: [lines[0].replace("+", "-"), *lines[1:]],
            "line 1.*wrong polarity",
        ),
        (lambda lines: ["1_1_01_1 +1", *lines[1:]], "line 1: expected a sign"),
    ],
)
def test_official_lists_that_disagree_are_named(tmp_path, mistake, says):
    found = oulu_with_lists(
        tmp_path, lambda name, lines: mistake(lines) if name == "Train" else lines
    )
    with pytest.raises(InputError, match=f"(?s)Train.txt.*{says}"):
        protocols.get("oulu_npu@1").lists(found)
    protocols.get("oulu_npu@3.2").lists(found)


def test_a_missing_protocol_file_is_named(tmp_path):
    found = oulu_with_lists(tmp_path)
    (tmp_path / "Protocols" / "Protocol_3" / "Dev_2.txt").unlink()
    with pytest.raises(
        InputError, match=r"Dev_2\.txt cannot be read \(No such file or"
    ):
        protocols.get("oulu_npu@3.2").lists(found)
    with pytest.raises(InputError, match=r"Protocol_2.Train\.txt cannot be read"):
        protocols.get("oulu_npu@2").lists(found)


def test_a_listed_video_of_which_only_the_eyes_are_there_is_absent(tmp_path):
    oulu_with_lists(tmp_path)
    (tmp_path / "Train_files" / "1_1_01_1.avi").rename(
        tmp_path / "Train_files" / "1_1_01_1.txt"
    )
    found = {"oulu_npu": sources.list_videos("oulu_npu", tmp_path)}
    with pytest.raises(InputError, match="lists 1_1_01_1, which is absent from"):
        protocols.get("oulu_npu@1").lists(found)
