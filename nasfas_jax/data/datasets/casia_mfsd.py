"""CASIA-MFSD (also CASIA-FASD): twelve videos of each of fifty people."""

import pathlib

from nasfas_jax.data.datasets import annotations, base

PATTERN = r"(?P<folder>train|test)_release/(?P<subject>\d+)/(?P<file>[1-8]|HR_[1-4])"
KINDS = {
    **dict.fromkeys(("1", "2", "HR_1"), "live"),
    **dict.fromkeys(("3", "4", "HR_2"), "warped_photo"),
    **dict.fromkeys(("5", "6", "HR_3"), "cut_photo"),
    **dict.fromkeys(("7", "8", "HR_4"), "video_replay"),
}


def list_videos(root: pathlib.Path) -> list[base.VideoSource]:
    """Lists the videos; Idiap's boxes are used if `face-locations/` has them.

    Person 1 of the training split is not person 1 of the test split.
    """
    return base.list_by_name(root, "casia_mfsd", DATASET.layout, PATTERN, _describe)


def _describe(match, tree):
    file, kind = match["file"], KINDS[match["file"]]
    # Sources disagree on which of the families 1, 3, 5, 7 and 2, 4, 6, 8 has the lower
    # quality, so their names are numbers.
    family = "HR" if file.startswith("HR") else "1" if int(file) % 2 else "2"
    return {
        "subject": f"{match['folder']}_{match['subject']}",
        "attack_type": kind,
        "split": match["folder"],
        "attributes": {"quality_group": family, "kind": kind},
        "annotation": tree.sidecar(
            annotations.read_boxes, f"face-locations/{match[0]}.face"
        ),
    }


DATASET = base.Dataset(
    name="casia_mfsd",
    title="CASIA-MFSD",
    list_videos=list_videos,
    attack_types=("warped_photo", "cut_photo", "video_replay"),
    splits=("train", "test"),
    polarity="the file's name: 1, 2 and HR_1 are live",
    layout=(
        "train_release/<1 to 20>/ and test_release/<1 to 30>/ with 1.avi to 8.avi and"
        " HR_1.avi to HR_4.avi, and optionally Idiap's boxes as"
        " face-locations/<the video's path>.face"
    ),
    citation="""@inproceedings{zhang2012face,
  title     = {A face antispoofing database with diverse attacks},
  author    = {Zhang, Zhiwei and Yan, Junjie and Liu, Sifei and Lei, Zhen and
               Yi, Dong and Li, Stan Z.},
  booktitle = {IAPR International Conference on Biometrics (ICB)},
  year      = {2012},
}""",
    homepage="http://www.cbsr.ia.ac.cn/english/FASDB_Agreement/Agreement.pdf",
    request="A signed agreement, sent to CASIA's Center for Biometrics and Security.",
)
