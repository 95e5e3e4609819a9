"""Replay-Attack: prints and displays of a phone and a tablet, recorded by a laptop."""

import pathlib

from nasfas_jax.data.datasets import annotations, base

# The names of prints contain highdef_photo, the source of the picture.
PATTERN = (
    r"(?P<folder>train|devel|test)/"
    r"(?:real/|(?P<attack>attack)/(?P<support>fixed|hand)/"
    r"attack_(?P<device>print|mobile|highdef)_)"
    r"client(?P<subject>\d{3})_session\d\d_"
    r"(?(attack)(?:highdef|mobile)_(?P<media>photo|video)|webcam_authenticate)_"
    r"(?P<lighting>controlled|adverse)(?(attack)|_(?P<take>\d))"
)
SPLITS = {"train": "train", "devel": "development", "test": "test"}


def list_videos(root: pathlib.Path) -> list[base.VideoSource]:
    """Lists the videos, without those in `enroll/`, which belong to no protocol here."""
    return base.list_by_name(
        root,
        "replay_attack",
        DATASET.layout,
        PATTERN,
        _describe,
        ignore=("enroll/",),
    )


def _describe(match, tree):
    named = ("lighting", "support", "device", "media", "take")
    attributes = {name: match[name] or "" for name in named}
    shown = "digital_photo" if match["media"] == "photo" else "video_replay"
    spoof = "print" if match["device"] == "print" else shown
    return {
        "subject": match["subject"],
        "attack_type": spoof if match["attack"] else base.LIVE,
        "split": SPLITS[match["folder"]],
        "attributes": base.plain(**attributes),
        "annotation": tree.sidecar(
            annotations.read_boxes, f"face-locations/{match[0]}.face"
        ),
    }


DATASET = base.Dataset(
    name="replay_attack",
    title="Replay-Attack",
    list_videos=list_videos,
    attack_types=("print", "digital_photo", "video_replay"),
    splits=base.SPLITS,
    polarity="the folders real/ and attack/, which the lists' names repeat",
    layout=(
        "train/, devel/ and test/, in each real/ and attack/{fixed,hand}/ with the"
        " videos (.mov) as they were released, and face-locations/ and protocols/"
    ),
    citation="""@inproceedings{chingovska2012effectiveness,
  title     = {On the effectiveness of local binary patterns in face anti-spoofing},
  author    = {Chingovska, Ivana and Anjos, Andr{\\'e} and Marcel, S{\\'e}bastien},
  booktitle = {International Conference of the Biometrics Special Interest Group
               (BIOSIG)},
  year      = {2012},
}""",
    homepage="https://www.idiap.ch/dataset/replayattack",
    request="An end user license agreement, signed at Idiap's page or on Zenodo.",
)
