"""3DMAD: live faces and masks recorded by a Kinect."""

import pathlib

from nasfas_jax.data.datasets import annotations, base
from nasfas_jax.data.media.video import HDF5

# Client_Session_Shot, numbers with or without zero padding.
PATTERN = r"(?:.*/)?(?P<client>\d\d?)_0?(?P<session>[123])_0?(?P<shot>[1-5])"


def list_videos(root: pathlib.Path) -> list[base.VideoSource]:
    """Lists the recordings at any depth; eyes and depth are in the files themselves."""
    return base.list_by_name(
        root, "three_dmad", DATASET.layout, PATTERN, _describe, suffixes=HDF5
    )


def _describe(match, tree):
    del tree
    return {
        "subject": f"{int(match['client']):02d}",
        "attack_type": "mask" if match["session"] == "3" else base.LIVE,
        "split": "test",
        "split_source": "no official split",
        "attributes": {"session": match["session"], "shot": match["shot"]},
        "annotation": annotations.read_kinect,
    }


DATASET = base.Dataset(
    name="three_dmad",
    title="3DMAD",
    list_videos=list_videos,
    attack_types=("mask",),
    splits=(),
    polarity="the name's session: 1 and 2 are live, 3 is a mask",
    layout=(
        "Data/<client>_<session>_<shot>.hdf5 with the arrays Color_Data, Depth_Data and"
        " Eye_Pos"
    ),
    citation="""@inproceedings{erdogmus2013spoofing,
  title     = {Spoofing in {2D} face recognition with {3D} masks and anti-spoofing
               with {Kinect}},
  author    = {Erdogmus, Nesli and Marcel, S{\\'e}bastien},
  booktitle = {IEEE International Conference on Biometrics: Theory, Applications and
               Systems (BTAS)},
  year      = {2013},
}""",
    homepage="https://www.idiap.ch/dataset/3dmad",
    request="An end user license agreement, signed at Idiap's page or on Zenodo.",
)
