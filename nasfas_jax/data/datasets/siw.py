"""SiW: Spoof in the Wild."""

import pathlib

from nasfas_jax.data.datasets import annotations, base

# Subject-Sensor-Type-Medium-Session, written with '_' on the project's page; some names
# have an additional ending ('001-2-3-1-2.m.mov').
PATTERN = (
    r"(?P<folder>Train|Test)/(?P<kind>live|spoof)/(?P<subject>\d{3})/"
    r"(?P<name>(?P=subject)[-_](?P<sensor>\d)[-_](?P<type>[1-3])[-_](?P<medium>\d)"
    r"[-_](?P<session>\d))(?:\.[^/]*)?"
)
KINDS = {"1": "live", "2": "print", "3": "replay"}


def list_videos(root: pathlib.Path) -> list[base.VideoSource]:
    """Lists the videos; a `.face` file beside a video holds its boxes.

    Idiap replaced the released boxes because of their quality; without `.face` files, the
    boxes are the detector's.
    """
    return base.list_by_name(root, "siw", DATASET.layout, PATTERN, _describe)


def _describe(match, tree):
    folder = match[0].rpartition("/")[0]
    faces = (match[0] + ".face", f"{folder}/{match['name']}.face")
    facts = {
        "subject": match["subject"],
        "attack_type": KINDS[match["type"]],
        "split": match["folder"].lower(),
        "attributes": base.plain(
            **{name: match[name] for name in ("sensor", "type", "medium", "session")}
        ),
        "annotation": tree.sidecar(annotations.read_corners, *faces),
    }
    if (match["kind"] == "live") != (match["type"] == "1"):
        said = f"the folder is {match['kind']}, but type {match['type']} of the name is not"
        facts |= {"split": "", "problem": said}
    return facts


DATASET = base.Dataset(
    name="siw",
    title="SiW",
    list_videos=list_videos,
    attack_types=("print", "replay"),
    splits=("train", "test"),
    polarity="the folders live/ and spoof/, and type 1 of the name, which is live",
    layout=(
        "Train/ and Test/, in each live/<subject>/ and spoof/<subject>/ with"
        " <subject>-<sensor>-<type>-<medium>-<session>.mov or .mp4 and .face of the"
        " same name"
    ),
    citation="""@inproceedings{liu2018learning,
  title     = {Learning Deep Models for Face Anti-Spoofing: Binary or Auxiliary
               Supervision},
  author    = {Liu, Yaojie and Jourabloo, Amin and Liu, Xiaoming},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2018},
}""",
    homepage="http://cvlab.cse.msu.edu/siw-spoof-in-the-wild-database.html",
    request="A signed agreement, sent to Michigan State University's CV lab.",
)
