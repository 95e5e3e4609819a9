"""What the source files are: one `VideoSource` a file, listed from a folder."""

import dataclasses
import hashlib
import json
import pathlib
import zipfile
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from nasfas_jax.data import synthetic, video
from nasfas_jax.errors import InputError

SPLITS = ("train", "development", "test")
LIVE = "live"


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What is known about a video of T frames, in pixels of its frames.

    A box with no width means that the frame shows no face.
    """

    boxes: np.ndarray  # [T, 4] x, y, w, h, tight
    eyes: np.ndarray | None = None  # [T, 2, 2] x, y, the image's left eye first
    depth: np.ndarray | None = None  # [T, D, D] uint8, 255 nearest, 0 background
    face: np.ndarray | None = None  # [T, D, D] uint8, 255 in the face's contour, else 0
    map_box: np.ndarray | None = None  # [T, 4] the part of the frame both maps cover


@dataclasses.dataclass(frozen=True)
class VideoSource:
    """One source file and everything its folder and name say about it.

    Attributes:
      path: the file.
      video: unique id, the path below the dataset's folder with '/', suffix included;
        '#' is written '%23', for it divides video and frame in a clip's name.
      subject: who is seen; no subject is in two splits.
      domain: dataset or capture condition.
      attack_type: 'live', or the kind of spoof.
      label: live 1, spoof 0.
      split: 'train', 'development' or 'test'.
      split_source: what decided the split.
      annotation: reads the video's annotation from `path`; None where there is none.
    """

    path: pathlib.Path
    video: str
    subject: str
    domain: str
    attack_type: str
    label: int
    split: str
    split_source: str = "dataset"
    annotation: Callable[[pathlib.Path], Annotation] | None = None


def own_data(root: pathlib.Path) -> list[VideoSource]:
    """List a user's collection: `live/` and `spoof/<attack type>/`, nested at will.

    Below `live/` and below an attack type's folder the first folder, if any, names the
    subject; a file that lies there directly is a subject of its own, named by its stem.
    Folders `train/`, `development/` and `test/` above `live/` and `spoof/` give the
    splits; without them `split_by_subject` does.

    Raises:
      InputError: no such folder, or neither `live/` nor `spoof/` in it.
    """
    _require_folder(root, "own_data", "the folders live/ and spoof/<attack type>/")
    parts = [split for split in SPLITS if (root / split).is_dir()]
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
            f" with files ending in {' '.join(sorted(video.VIDEOS | video.PICTURES))};"
            f" it holds {', '.join(names) or 'nothing'}."
        )
    sources = [_own_source(root, *one) for one in found]
    return sources if parts else split_by_subject(sources)


def split_by_subject(sources: Sequence[VideoSource]) -> list[VideoSource]:
    """Cut into train, development and test, each subject wholly in one of them.

    Subjects that are only live, only spoof, and both are dealt out separately, in the
    order of a hash of their name, so that each part gets live and spoof as far as there
    are subjects.  Of n subjects, about a fifth (at least one) go to test and to
    development each, the rest to train; two subjects are one for train and one for
    test, a single one is for train.  Nothing is used twice, so that a small collection
    has parts without live or without spoof.
    """
    kinds: dict[str, set[int]] = {}
    for source in sources:
        kinds.setdefault(source.subject, set()).add(source.label)
    split_of = {}
    for kind in ({0}, {1}, {0, 1}):
        group = sorted((s for s, k in kinds.items() if k == kind), key=_hash)
        held = max(1, round(len(group) / 5))
        test, development = (held * (len(group) > n) for n in (1, 2))
        for i, subject in enumerate(group):
            part = (i >= test) + (i >= test + development)
            split_of[subject] = ("test", "development", "train")[part]
    return [
        dataclasses.replace(
            source, split=split_of[source.subject], split_source="by subject"
        )
        for source in sources
    ]


def synthetic_set(root: pathlib.Path) -> list[VideoSource]:
    """List a finished set of `synthetic.write_videos`.

    Raises:
      InputError: no such folder, or the set is not finished.
    """
    _require_folder(root, "synthetic", "a set of synthetic videos and its index.json")
    paths = synthetic.read_index(root)
    index = json.loads((root / "index.json").read_text("utf-8"))["videos"]
    names = ("subject", "domain", "attack_type", "label", "split")
    return [
        VideoSource(
            path=path,
            video=video_id(path, root),
            annotation=_synthetic_annotation,
            **{name: entry[name] for name in names},
        )
        for path, entry in zip(paths, index, strict=True)
    ]


def _synthetic_annotation(path: pathlib.Path) -> Annotation:
    try:
        known = synthetic.read_annotation(path)
    except (InputError, EOFError, zipfile.BadZipFile) as error:
        # One broken file is no reason to stop the others.
        raise video.VideoError(f"the annotation cannot be read: {error}") from error
    return Annotation(
        boxes=known.boxes,
        eyes=known.eyes,
        depth=known.depth,
        face=known.contour,
        map_box=known.depth_box,
    )


DATASETS: dict[str, Callable[[pathlib.Path], list[VideoSource]]] = {
    "own_data": own_data,
    "synthetic": synthetic_set,
}


def list_videos(dataset: str, root: pathlib.Path) -> list[VideoSource]:
    """All source files of a dataset, in the order of their ids.

    Raises:
      InputError: an unknown dataset, a missing folder, or no file where expected.
    """
    if dataset not in DATASETS:
        raise InputError(
            f"Unknown dataset '{dataset}'; expected {' or '.join(sorted(DATASETS))}."
        )
    sources = DATASETS[dataset](pathlib.Path(root))
    return sorted(sources, key=lambda source: source.video)


def video_id(path: pathlib.Path, root: pathlib.Path) -> str:
    """The id of a file: its path below `root`.

    >>> video_id(pathlib.Path("data/live/a#1.mp4"), pathlib.Path("data"))
    'live/a%231.mp4'
    """
    return path.relative_to(root).as_posix().replace("#", "%23")


def _own_source(root, path, kind, split):
    below = path.relative_to(root / split / kind).parts
    attack_type = LIVE
    if kind == "spoof":
        attack_type, below = (below[0], below[1:]) if len(below) > 1 else (kind, below)
    return VideoSource(
        path=path,
        video=video_id(path, root),
        subject=below[0] if len(below) > 1 else path.stem,
        domain="own_data",
        attack_type=attack_type,
        label=int(kind == "live"),
        split=split,
        split_source="folder",
    )


def _media(folder: pathlib.Path) -> Iterable[pathlib.Path]:
    suffixes = video.VIDEOS | video.PICTURES
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes)


def _require_folder(root, dataset, content):
    if not root.is_dir():
        came = "it is a file" if root.exists() else "it does not exist"
        raise InputError(
            f"The folder {root} of dataset '{dataset}' cannot be read: {came}. Expected"
            f" a folder with {content}; give its path as the dataset's source."
        )


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
