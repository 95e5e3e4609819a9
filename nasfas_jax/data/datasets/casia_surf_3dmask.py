"""CASIA-SURF 3DMask: masks with and without decoration, in six environments."""

import pathlib

from nasfas_jax.data.datasets import base

PATTERN = (
    r"(?:Real/(?P<live>\d{4}_\d+)/(?P<take>1|15|16|17|22|23)"
    r"|Fake/(?P<spoof>\d{4}_\d+)/(?P<decoration>[1-3])/(?P<environment>[1-6]))"
)


def list_videos(root: pathlib.Path) -> list[base.VideoSource]:
    """Lists the videos, each a file or a folder of frames.

    The paper counts 864 fakes; the published list has 858, because takes 5 and 6 of each
    decoration are missing for subject 0927_021.
    """
    return base.list_by_name(
        root, "casia_surf_3dmask", DATASET.layout, PATTERN, _describe, folders=True
    )


def _describe(match, tree):
    del tree
    return {
        "subject": match["live"] or match["spoof"],
        "attack_type": base.LIVE if match["live"] else "mask",
        "split": "test",
        "split_source": "no official split",
        "attributes": {
            "environment": match["take"] or match["environment"],
            "decoration": match["decoration"] or "",
        },
    }


DATASET = base.Dataset(
    name="casia_surf_3dmask",
    title="CASIA-SURF 3DMask",
    list_videos=list_videos,
    attack_types=("mask",),
    splits=(),
    polarity="the folders Real/ and Fake/; the label list writes 1 live and -1 spoof",
    layout=(
        "Real/<subject>/{1,15,16,17,22,23} and Fake/<subject>/{1,2,3}/{1,2,3,4,5,6},"
        " each a video or a folder of frames; 288 live, and 858 fakes (864 in the"
        " paper: subject 0927_021 lacks takes 5 and 6)"
    ),
    citation="""@article{yu2021nasfas,
  title   = {{NAS-FAS}: Static-Dynamic Central Difference Network Search for Face
             Anti-Spoofing},
  author  = {Yu, Zitong and Wan, Jun and Qin, Yunxiao and Li, Xiaobai and
             Li, Stan Z. and Zhao, Guoying},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume  = {43},
  number  = {9},
  pages   = {3005--3023},
  year    = {2021},
}""",
    homepage="https://sites.google.com/qq.com/face-anti-spoofing/",
    request="A signed agreement, sent to CASIA; the homepage has it.",
)
