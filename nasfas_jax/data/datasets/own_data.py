"""A user's own collection."""

import dataclasses
import os
import pathlib
import unicodedata
from collections.abc import Collection, Iterator, Sequence

from nasfas_jax.data.datasets import base
from nasfas_jax.data.media.video import PICTURES, VIDEOS
from nasfas_jax.errors import InputError

SUFFIXES = VIDEOS | PICTURES
KINDS = {"live": 1, "spoof": 0}
SPLIT_FOLDERS = {
    "train": "train",
    **dict.fromkeys(
        ("development", "devel", "dev", "validation", "valid", "val"), "development"
    ),
    "test": "test",
}


def list_videos(root: pathlib.Path) -> list[base.VideoSource]:
    """Lists a user's collection: `live/` and `spoof/<attack type>/`, with any subfolders.

    Below `live/` and below the folder of an attack type, the first folder, if any, names
    the subject; a file directly in it is a separate subject, named by its stem, so that
    the files of one person are recognized only by a folder of that person. Names that
    differ only in letter case, white space or Unicode form are one (`base.identity`).

    Folders of `SPLIT_FOLDERS` above `live/` and `spoof/` determine the splits; without
    them, `base.split_by_subject` does. Depth maps (`preparation.maps`) beside the files are
    not listed. All other files are listed, with a `problem` if they are not used.

    Raises:
      InputError: a missing folder, no video or picture in the expected folders, or a person
        in two split folders.
    """
    tree = base.Tree.walk(root, "own_data", DATASET.layout)
    names = sorted(tree.names - set(_depth_maps(tree.names)))
    by_folder = any(kind for _, kind, _ in map(_place, names))
    sources = _without_copies([_source(root, name, by_folder) for name in names])
    if all(one.problem for one in sources):
        first = f" {sources[0].video}: {sources[0].problem}." if sources else ""
        raise InputError(
            f"own_data found no videos or pictures under {root}. Expected live/ and"
            " spoof/<attack type>/ there, or below train/, development/ and test/,"
            f" with files ending in {' '.join(sorted(SUFFIXES))};"
            f" it holds {base.content(root)}.{first}"
        )
    if not by_folder:
        return base.split_by_subject(sources)
    _require_one_split(sources)
    return sources


def _place(name: str, by_folder: bool = True) -> tuple[str, str, list[str]]:
    """Split and kind ('live' or 'spoof') of a file, and the rest of its path.

    The kind is '' for a file outside of the expected folders.

    Args:
      name: path of the file below the collection.
      by_folder: whether the first folder is that of a split.
    """
    first, *below = name.split("/")
    split = ""
    if by_folder:
        split = SPLIT_FOLDERS.get(base.identity(first), "")
        first, *below = below or [""]
    kind = base.identity(first)
    placed = below and kind in KINDS and bool(split) == by_folder
    return split, kind if placed else "", below


def _source(root: pathlib.Path, name: str, by_folder: bool) -> base.VideoSource:
    """A file with the properties that its path states, or with its `problem`."""
    split, kind, below = _place(name, by_folder)
    attack_type, subject = base.LIVE, "unknown"
    if kind:
        if kind == "spoof":
            attack_type, *below = below if len(below) > 1 else [kind, *below]
        subject = below[0] if len(below) > 1 else os.path.splitext(below[0])[0]
    source = base.VideoSource(
        path=root / name,
        video=base.video_id(name),
        subject=base.identity(subject),
        domain="own_data",
        attack_type=base.identity(attack_type),
        label=KINDS.get(kind, 0),
        split=split,
        split_source=base.BY_FOLDER,
    )
    problem = ""
    if not kind:
        problem = _misplaced(name, split, by_folder)
    elif _suffix(name) not in SUFFIXES:
        problem = f"files ending in '{_suffix(name)}' are not read"
    elif _in_depth_folder(name):
        problem = "named as a depth map, but not of a file beside it"
    elif source.attack_type == base.LIVE and kind == "spoof":
        problem = "an attack type cannot be named 'live': rename the folder"
    return _unused(source, problem) if problem else source


def _unused(source: base.VideoSource, problem: str) -> base.VideoSource:
    unknown = {"subject": "unknown", "attack_type": "unknown", "label": 0}
    return dataclasses.replace(
        source, **unknown, split="", split_source="", problem=problem
    )


def _misplaced(name: str, split: str, by_folder: bool) -> str:
    """The folder of a file outside of the expected folders."""
    expected, depth = "live/ and spoof/", 1
    if split:
        depth = 2
    elif by_folder:
        expected = "train/, development/ and test/"
    folder = "/".join(name.split("/")[:-1][:depth])
    return f"outside {expected}" + (f", in {folder}/" if folder else "")


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _depth_maps(names: Collection[str]) -> Iterator[str]:
    """The depth maps: S_depth.jpg or .png of S.jpg, pictures in S_depth/ of S.mp4."""
    files = set()
    for name in names:
        stem = os.path.splitext(name)[0]
        if _suffix(name) in VIDEOS:
            files.add(f"{stem}_depth")
        elif _suffix(name) in PICTURES:
            files |= {f"{stem}_depth.jpg", f"{stem}_depth.png"}
    for name in names:
        folder = os.path.dirname(name)
        if name in files or (folder in files and _suffix(name) in PICTURES):
            yield name


def _in_depth_folder(name: str) -> bool:
    """Whether a picture is named as a depth map."""
    parts = os.path.splitext(name)[0].split("/")
    return _suffix(name) in PICTURES and any(p.endswith("_depth") for p in parts)


def _without_copies(sources: Sequence[base.VideoSource]) -> list[base.VideoSource]:
    """The sources, with a `problem` for links to, and other spellings of, earlier ones.

    Score files compare names of videos in NFC, so that two Unicode spellings of a path,
    which archives from macOS and other systems contain, are one video.
    """
    linked: dict[str, str] = {}
    spelled: dict[str, str] = {}
    kept = []
    for one in sources:
        if not one.problem:
            file = linked.setdefault(os.path.realpath(one.path), one.video)
            name = unicodedata.normalize("NFC", one.video)
            same = spelled.setdefault(name, one.video)
            if file != one.video:
                one = _unused(one, f"a link to the same file as {file}")
            elif same != one.video:
                one = _unused(one, f"the path {same} in another Unicode spelling")
        kept.append(one)
    return kept


def _require_one_split(sources: Sequence[base.VideoSource]) -> None:
    first: dict[str, base.VideoSource] = {}
    for one in sources:
        other = one if one.problem else first.setdefault(one.subject, one)
        if other.split != one.split:
            raise InputError(
                f"own_data has the person '{one.subject}' both in {other.split}"
                f" ({other.video}) and in {one.split} ({one.video}). Expected all files of"
                " a person below one split's folder. A file directly in live/ or an attack"
                " type's folder is a person named by the file: give two people two names"
                " or a folder each."
            )


DATASET = base.Dataset(
    name="own_data",
    title="Your own videos and pictures",
    list_videos=list_videos,
    attack_types=(),
    splits=base.SPLITS,
    polarity="the folders live/ and spoof/",
    layout="the folders live/ and spoof/<attack type>/, in them a folder for each person",
    request="None: a folder of your own recordings.",
)
