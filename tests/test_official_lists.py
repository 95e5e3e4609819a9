"""Replay-Attack's own lists, as its stand-in writes them, held against the table."""

import pytest

from nasfas_jax.data import protocols
from nasfas_jax.data.datasets import sources
from nasfas_jax.errors import InputError
from nasfas_jax.synthetic import standins

REPLAY = "replay_attack"
OWN = [name for name in protocols.names(REPLAY) if name.startswith(REPLAY)]
LIST = "protocols/attack-print-allsupports-devel.txt"


@pytest.fixture
def root(tmp_path):
    standins.write(REPLAY, tmp_path, empty=True, subjects=2)
    return tmp_path


def lists(root, name=f"{REPLAY}@print"):
    return protocols.get(name).lists({REPLAY: sources.list_videos(REPLAY, root)})


def test_lists_that_agree_change_nothing(root):
    hashes = [lists(root, name).hash for name in OWN]
    for path in (root / "protocols").glob("*.txt"):  # without suffixes, as bob has them
        text = path.read_text().replace(".mov", "").replace("\n", "\r\n")
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert [lists(root, name).hash for name in OWN] == hashes
    (root / "protocols").rename(root / "aside")
    assert [lists(root, name).hash for name in OWN] == hashes
    assert len(set(hashes)) == len(OWN) == 7


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (lambda lines: lines[1:], "does not list devel/attack/"),
        (lambda lines: [*lines, lines[0]], "line 9: .* is listed twice, first in"),
        (
            lambda lines: [*lines, lines[0].replace("_adverse", "_dark")],
            "line 9: lists .*_dark, which is absent from the development",
        ),
        (
            lambda lines: [*lines, lines[0].replace("devel", "train")],
            "line 9: .* is absent from the development",
        ),
        (
            lambda lines: [lines[0].replace("/attack/", "/real/"), *lines[1:]],
            "line 1: .* lies in real/, but the list's name says attack: wrong polarity",
        ),
        (lambda lines: ["003 devel", *lines], "line 1: expected the path of a video"),
    ],
)
def test_lists_that_disagree_are_named(root, mistake, says):
    lines = sorted((root / LIST).read_text().split())
    assert len(lines) == 8
    (root / LIST).write_text("\n".join(mistake(lines)) + "\n")
    with pytest.raises(InputError, match=f"attack-print-allsupports-devel.txt.*{says}"):
        lists(root)
    assert lists(root, f"{REPLAY}@mobile").train


def test_a_video_of_another_protocol_and_a_missing_list_are_named(root):
    more = (root / LIST.replace("print", "mobile")).read_text().split()[0]
    with (root / LIST).open("a") as file:
        file.write(more)
    with pytest.raises(InputError, match="which does not belong to the development"):
        lists(root)
    (root / LIST).unlink()
    with pytest.raises(InputError, match="comes with Replay-Attack; copy it there, or"):
        lists(root)
