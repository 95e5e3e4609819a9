"""SiW-M: thirteen types of attack."""

import pathlib

from nasfas_jax.data.datasets import base

# Groups in names, and their attack types.  Partial_Eye and Partial_Mouth are the groups of
# the thirteenth type of the paper.
KINDS = {
    "Live": "live",
    "Replay": "replay",
    "Paper": "print",
    "Mask_Half": "half_mask",
    "Mask_Silicone": "silicone_mask",
    "Mask_Trans": "transparent_mask",
    "Mask_Paper": "paper_mask",
    "Mask_Mann": "mannequin",
    "Makeup_Ob": "obfuscation",
    "Makeup_Im": "impersonation",
    "Makeup_Co": "cosmetic",
    "Partial_Funnyeye": "funny_eye",
    "Partial_Paperglass": "paper_glasses",
    "Partial_Eye": "partial_paper",
    "Partial_Mouth": "partial_paper",
}
PATTERN = rf"(?:.*/)?(?P<group>{'|'.join(KINDS)})_(?P<number>\d+)"


def list_videos(root: pathlib.Path) -> list[base.VideoSource]:
    """Lists the videos, each a file or a folder of frames, at any depth.

    Names do not contain the person, so each video counts as a separate subject.
    """
    return base.list_by_name(
        root, "siw_m", DATASET.layout, PATTERN, _describe, folders=True
    )


def _describe(match, tree):
    del tree
    return {
        "subject": f"{match['group']}_{match['number']}",
        "attack_type": KINDS[match["group"]],
        "split": "test",
        "split_source": "no official split",
        "attributes": base.plain(group=match["group"], number=match["number"]),
    }


DATASET = base.Dataset(
    name="siw_m",
    title="SiW-M",
    list_videos=list_videos,
    attack_types=tuple(dict.fromkeys(k for k in KINDS.values() if k != base.LIVE)),
    splits=(),
    polarity="the name's group: Live is live",
    layout=(
        "videos, or folders of frames, named <group>_<number>, with the groups"
        f" {', '.join(KINDS)}"
    ),
    citation="""@inproceedings{liu2019deep,
  title     = {Deep Tree Learning for Zero-shot Face Anti-Spoofing},
  author    = {Liu, Yaojie and Stehouwer, Joel and Jourabloo, Amin and
               Liu, Xiaoming},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2019},
}""",
    homepage="http://cvlab.cse.msu.edu/siw-m-spoof-in-the-wild-with-multiple-attacks-database.html",
    request="A signed agreement, sent to Michigan State University's CV lab.",
)
