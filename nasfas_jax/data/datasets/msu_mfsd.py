"""MSU-MFSD: videos of a phone and of a laptop."""

import pathlib
import re

from nasfas_jax.data.datasets import annotations, base
from nasfas_jax.errors import InputError

PATTERN = (
    r"scene01/(?:real/real|(?P<attack>attack)/attack)_client(?P<subject>\d{3})_"
    r"(?P<camera>android|laptop)_SD_"
    r"(?(attack)(?P<device>ipad_video|iphone_video|printed_photo)_)scene01"
)
KINDS = {
    None: "live",
    "printed_photo": "print",
    "ipad_video": "ipad_video",
    "iphone_video": "iphone_video",
}
LISTS = {"train": "train_sub_list.txt", "test": "test_sub_list.txt"}
# Content of the released train_sub_list.txt, for copies of the data without it.
TRAIN = frozenset({2, 3, 5, 6, 7, 8, 9, 11, 12, 21, 22, 34, 53, 54, 55})
# Clients whose live phone videos are stored upside down.  Files with a stored rotation are
# rotated on decoding, and not again.  Boxes and eyes refer to the upright frames.
UPSIDE_DOWN = frozenset({3, 5, 6, 7, 8, 9})


def list_videos(root: pathlib.Path) -> list[base.VideoSource]:
    """Lists the videos; a `.face` file beside a video holds boxes and eyes.

    The splits are those of the two lists of subjects; if both are missing, the published
    ones, as `split_source` states.

    Raises:
      InputError: a missing folder, no videos, a damaged list, one list without the other,
        or a subject in both.
    """
    listed = _listed(root)

    def describe(match, tree):
        return _describe(match, tree, listed)

    return base.list_by_name(root, "msu_mfsd", DATASET.layout, PATTERN, describe)


def _describe(match, tree, listed):
    subject, camera, device = match["subject"], match["camera"], match["device"]
    published = "train" if int(subject) in TRAIN else "test"
    split = listed.get(int(subject), "") if listed else published
    stored = not device and camera == "android" and int(subject) in UPSIDE_DOWN
    return {
        "subject": subject,
        "attack_type": KINDS[device],
        "split": split,
        "split_source": "lists of subjects" if listed else "published lists",
        "attributes": {"camera": camera, "device": device or ""},
        "annotation": tree.sidecar(
            annotations.read_corners_and_eyes, match[0] + ".face"
        ),
        "rotate": 180 if stored else 0,
        "problem": "" if split else f"client {subject} is in neither list of subjects",
    }


def _listed(root: pathlib.Path) -> dict[int, str]:
    """The split of each subject by the lists in `root`; empty without lists."""
    splits: dict[int, str] = {}
    files = {split: root / name for split, name in LISTS.items()}
    missing = [path.name for path in files.values() if not path.is_file()]
    if len(missing) == len(files):
        return splits
    if missing:
        raise InputError(
            f"The list of subjects {root / missing[0]} is missing, while the other one"
            " exists. Restore it, or remove both to use the published lists."
        )
    for split, path in files.items():
        lines = path.read_text("utf-8-sig", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if not re.fullmatch(r"[0-9]{1,3}", line.strip()):
                raise InputError(
                    f"{path}, line {number}: expected the number of a client, found"
                    f" {line[:80]!r}. Restore the list that came with MSU-MFSD."
                )
            if splits.setdefault(int(line), split) != split:
                raise InputError(
                    f"{path}, line {number}: client {line.strip()} is in"
                    f" {LISTS['train']} too; expected no subject in both. Restore the"
                    " lists that came with MSU-MFSD."
                )
    return splits


DATASET = base.Dataset(
    name="msu_mfsd",
    title="MSU-MFSD",
    list_videos=list_videos,
    attack_types=("print", "ipad_video", "iphone_video"),
    splits=("train", "test"),
    polarity="the folders real/ and attack/, which the names repeat",
    layout=(
        "scene01/real/ and scene01/attack/ with"
        " real_client<number>_{android,laptop}_SD_scene01 and"
        " attack_client<number>_{android,laptop}_SD_<device>_scene01 (.mp4, .mov), .face"
        " of the same names, and train_sub_list.txt and test_sub_list.txt"
    ),
    citation="""@article{wen2015face,
  title   = {Face spoof detection with image distortion analysis},
  author  = {Wen, Di and Han, Hu and Jain, Anil K.},
  journal = {IEEE Transactions on Information Forensics and Security},
  volume  = {10},
  number  = {4},
  pages   = {746--761},
  year    = {2015},
}""",
    homepage="http://biometrics.cse.msu.edu/Publications/Databases/MSUMobileFaceSpoofing/index.htm",
    request="A signed agreement, sent to Michigan State University's biometrics group.",
)
