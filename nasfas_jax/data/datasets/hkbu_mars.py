"""HKBU-MARs V2: masks of two makers, seven cameras, six lightings."""

import pathlib

from nasfas_jax.data.datasets import base

# Camera_Lighting_Subject; one subject's attacks are named '_9', not '_09'.
PATTERN = (
    r"(?P<folder>real|attack)/0?(?P<subject>[1-9]\d?)/"
    r"0(?P<camera>[1-7])_0(?P<lighting>[1-6])_0?(?P=subject)"
)
# Orientation of each camera.
ROTATE = {"4": 90, "5": 270, "6": 270}


def list_videos(root: pathlib.Path) -> list[base.VideoSource]:
    """Lists the videos."""
    return base.list_by_name(root, "hkbu_mars", DATASET.layout, PATTERN, _describe)


def _describe(match, tree):
    del tree
    return {
        "subject": f"{int(match['subject']):02d}",
        "attack_type": base.LIVE if match["folder"] == "real" else "mask",
        "split": "test",
        "split_source": "no official split",
        "attributes": {"camera": match["camera"], "lighting": match["lighting"]},
        "rotate": ROTATE.get(match["camera"], 0),
    }


DATASET = base.Dataset(
    name="hkbu_mars",
    title="HKBU-MARs V2",
    list_videos=list_videos,
    attack_types=("mask",),
    splits=(),
    polarity="the folders real/ and attack/",
    layout="real/<subject>/ and attack/<subject>/ with <camera>_<lighting>_<subject>.avi",
    citation="""@inproceedings{liu2016mars,
  title     = {A {3D} Mask Face Anti-spoofing Database with Real World Variations},
  author    = {Liu, Siqi and Yang, Baoyao and Yuen, Pong C. and Zhao, Guoying},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition Workshops},
  year      = {2016},
}""",
    homepage="http://rds.comp.hkbu.edu.hk/mars/",
    request="A signed agreement, sent to Hong Kong Baptist University.",
)
