"""A user's own collection."""

import pathlib
from collections.abc import Iterable

from nasfas_jax.data.datasets import base
from nasfas_jax.data.video import PICTURES, VIDEOS
from nasfas_jax.errors import InputError

SUFFIXES = VIDEOS | PICTURES


def list_videos(root: pathlib.Path) -> list[base.VideoSource]:
    """List a user's collection: `live/` and `spoof/<attack type>/`, nested at will.

    Below `live/` and below an attack type's folder the first folder, if any, names the
    subject; a file that lies there directly is a subject of its own, named by its stem, so
    that files of one person are told only by a folder of that person.
    Folders `train/`, `development/` and `test/` above `live/` and `spoof/` give the
    splits; without them `split_by_subject` does.  Depth maps (`data.maps`) may lie beside
    the files.

    Raises:
      InputError: no such folder, or neither `live/` nor `spoof/` in it.
    """
    base.require_folder(root, "own_data", DATASET.layout)
    parts = [split for split in base.SPLITS if (root / split).is_dir()]
    found = [
        (path, kind, split)
        for split in parts or [""]
        for kind in ("live", "spoof")
        for path in _media(root / split / kind)
    ]
    if not found:
        names = sorted(p.name for p in root.iterdir())[:8]
        raise InputError(
            f"own_data found no videos or pictures under {root}. Expected live/ and"
            " spoof/<attack type>/ there, or below train/, development/ and test/,"
            f" with files ending in {' '.join(sorted(SUFFIXES))};"
            f" it holds {', '.join(names) or 'nothing'}."
        )
    sources = [_source(root, *one) for one in found]
    return sources if parts else base.split_by_subject(sources)


def _source(root, path, kind, split):
    below = path.relative_to(root / split / kind).parts
    attack_type = base.LIVE
    if kind == "spoof":
        attack_type, below = (below[0], below[1:]) if len(below) > 1 else (kind, below)
    return base.VideoSource(
        path=path,
        video=base.video_id(path, root),
        subject=below[0] if len(below) > 1 else path.stem,
        domain="own_data",
        attack_type=attack_type,
        label=int(kind == "live"),
        split=split,
        split_source="folder",
    )


def _media(folder: pathlib.Path) -> Iterable[pathlib.Path]:
    """Videos and pictures, but for depth maps: NAME_depth.png and what is in NAME_depth/."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    return sorted(p for p in found if not _is_depth(p.relative_to(folder)))


def _is_depth(path: pathlib.Path) -> bool:
    return any(part.endswith("_depth") for part in (*path.parts[:-1], path.stem))


DATASET = base.Dataset(
    name="own_data",
    title="Your own videos and pictures",
    list_videos=list_videos,
    attack_types=(),
    splits=base.SPLITS,
    polarity="the folders live/ and spoof/",
    layout="the folders live/ and spoof/<attack type>/, in them a folder for each person",
    request="Film it: a folder of your own, nothing to ask for.",
)
