"""OULU-NPU: six phones, three sessions, two printers, two displays."""

import pathlib

from nasfas_jax.data.datasets import annotations, base

# Phone_Session_User_File.
PATTERN = (
    r"(?P<folder>Train|Dev|Test)_files/"
    r"(?P<phone>[1-6])_(?P<session>[1-3])_(?P<user>\d\d)_(?P<file>[1-5])"
)
SPLITS = {"Train": "train", "Dev": "development", "Test": "test"}
# By the last digit of the name: live, two prints, two displays.
KINDS = {"1": "live", "2": "print", "3": "print", "4": "replay", "5": "replay"}


def list_videos(root: pathlib.Path) -> list[base.VideoSource]:
    """Lists the videos; a text file beside a video holds its eyes."""
    return base.list_by_name(root, "oulu_npu", DATASET.layout, PATTERN, _describe)


def _describe(match, tree):
    attributes = match.groupdict()
    split = SPLITS[attributes.pop("folder")]
    return {
        "subject": match["user"],
        "attack_type": KINDS[match["file"]],
        "split": split,
        "attributes": base.plain(**attributes),
        "annotation": tree.sidecar(annotations.read_eyes, match[0] + ".txt"),
    }


DATASET = base.Dataset(
    name="oulu_npu",
    title="OULU-NPU",
    list_videos=list_videos,
    attack_types=("print", "replay"),
    splits=base.SPLITS,
    polarity=(
        "the name's last digit, 1 live and 2 to 5 spoof; protocol lists write a sign,"
        " + live and - spoof"
    ),
    layout=(
        "Train_files/, Dev_files/ and Test_files/ with"
        " <phone>_<session>_<user>_<file>.avi and the eyes in .txt of the same name,"
        " and Protocols/Protocol_<n>/"
    ),
    citation="""@inproceedings{boulkenafet2017oulu,
  title     = {{OULU-NPU}: A mobile face presentation attack database with
               real-world variations},
  author    = {Boulkenafet, Zinelabinde and Komulainen, Jukka and Li, Lei and
               Feng, Xiaoyi and Hadid, Abdenour},
  booktitle = {IEEE International Conference on Automatic Face and Gesture
               Recognition (FG)},
  year      = {2017},
}""",
    homepage="https://sites.google.com/site/oulunpudatabase/",
    request="A signed agreement of a permanent member of staff; the homepage has it.",
)
