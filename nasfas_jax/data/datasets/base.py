"""Datasets, their source files, and the listing of files by name.

Listing uses names only; no video is opened.
"""

import collections
import dataclasses
import hashlib
import os
import pathlib
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from nasfas_jax import names
from nasfas_jax.data.datasets.annotations import Annotation
from nasfas_jax.data.media.video import PICTURES, VIDEOS
from nasfas_jax.errors import InputError

SPLITS = ("train", "development", "test")
LIVE = "live"
#: Values of `VideoSource.split_source` for splits by `split_by_subject` and by folder.
BY_SUBJECT, BY_FOLDER = "by subject", "folder"

# Characters that would be ambiguous in the name of a clip, VIDEO#FRAME, or end a line.
UNSAFE = re.compile("[%#\x00-\x1f\x7f-\x9f\u2028\u2029\udc80-\udcff]")


@dataclasses.dataclass(frozen=True)
class VideoSource:
    """A source file and the properties that its folder and name state.

    `subject`, `domain` and `attack_type` are normalized (`names.normalize`), so that two
    Unicode spellings are one name; `path` is kept as on disk.

    Attributes:
      path: the file, or the folder of its frames as pictures.
      video: unique id, see `video_id`.
      subject: the person shown; no subject is in two splits.
      domain: dataset or capture condition.
      attack_type: 'live', or the type of the attack.
      label: live 1, spoof 0.
      split: 'train', 'development' or 'test'; '' if there is a `problem`.
      split_source: source of the split.
      annotation: reader of the video's annotation, a function of `path`; None without one.
      attributes: other properties in the file's name, numbers without padding.
      rotate: clockwise rotation in degrees that makes the stored frames upright: 0, 90, 180
        or 270.
      problem: reason why the file cannot be used, if its name shows one; such files are
        listed for the manifest only.
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
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    rotate: int = 0
    problem: str = ""

    def __post_init__(self):
        for field in ("subject", "domain", "attack_type"):
            object.__setattr__(self, field, names.normalize(getattr(self, field)))


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset: the listing of its files, and its description for users.

    Attributes:
      name: name for `--dataset`, and domain of its videos.
      title: name as written by its authors.
      list_videos: function from a folder to its files; raises InputError for no files.
      attack_types: attack types of its spoofs.
      splits: splits that the dataset itself defines.
      polarity: encoding of live and spoof in its own files and lists.
      layout: folder tree that `list_videos` expects.
      citation: BibTeX entry.
      homepage: address of its description.
      request: how to obtain it.
      version: format version of its files, where they exist in several.
    """

    name: str
    title: str
    list_videos: Callable[[pathlib.Path], list[VideoSource]]
    attack_types: tuple[str, ...]
    splits: tuple[str, ...]
    polarity: str
    layout: str
    citation: str = ""
    homepage: str = ""
    request: str = ""
    version: int | None = None


@dataclasses.dataclass(frozen=True)
class Sidecar:
    """Reader of the annotation of a video from another file."""

    path: pathlib.Path
    parse: Callable[[pathlib.Path], Annotation]

    def __call__(self, video: pathlib.Path) -> Annotation:
        """The annotation; `video` itself is not read."""
        del video
        return self.parse(self.path)


@dataclasses.dataclass(frozen=True)
class Tree:
    """Relative paths, with '/', of all files below a folder."""

    root: pathlib.Path
    names: frozenset[str]

    @classmethod
    def walk(cls, root: pathlib.Path, dataset: str, layout: str) -> "Tree":
        """Lists all files below `root`.

        Hidden and system files and folders (`names.is_ignored`) are skipped. Links to
        folders are followed, except into a folder that is being walked already.

        Raises:
          InputError: there is no such folder, or one in it cannot be listed.
        """
        require_folder(root, dataset, layout)
        start = len(os.path.join(root, ""))
        found = []
        for folder, files in _walk(root):
            below = folder[start:].replace(os.sep, "/")
            found += [f"{below}/{name}" if below else name for name in files]
        return cls(root, frozenset(found))

    def picture_folders(self) -> set[str]:
        """The folders that contain pictures."""
        return {
            folder
            for name in self.names
            for folder, file in [os.path.split(name)]
            if folder and os.path.splitext(file)[1].lower() in PICTURES
        }

    def sidecar(
        self, parse: Callable[[pathlib.Path], Annotation], *names: str
    ) -> Sidecar | None:
        """Reader of the first of the files that exists.

        None without any: the boxes are then the detector's, as the manifest records.
        """
        there = next((name for name in names if name in self.names), None)
        return None if there is None else Sidecar(self.root / there, parse)


Describe = Callable[[re.Match[str], Tree], dict[str, Any]]


def list_by_name(
    root: pathlib.Path,
    dataset: str,
    layout: str,
    pattern: str,
    describe: Describe,
    *,
    suffixes: Iterable[str] = VIDEOS,
    folders: bool = False,
    ignore: tuple[str, ...] = (),
) -> list[VideoSource]:
    """Lists the files whose path below `root` matches `pattern`.

    A file with one of `suffixes` is listed with a `problem` if its path does not match, or
    if it differs from another file in its suffix alone; all other files are ignored.

    Args:
      root: the dataset's folder.
      dataset: name of the dataset, domain of its videos and prefix of its subjects.
      layout: expected folder tree, for the message when nothing matches.
      pattern: regular expression of a whole path without the suffix.
      describe: function from a match and the tree to the `VideoSource` fields attack_type,
        split and subject, and others that differ from their defaults.
      suffixes: suffixes of videos.
      folders: whether a folder of pictures is a video; its path has no suffix.
      ignore: prefixes of paths to ignore.

    Raises:
      InputError: a missing folder, or no match in it.
    """
    tree = Tree.walk(root, dataset, layout)
    compiled, suffixes = re.compile(pattern), frozenset(suffixes)
    videos = {
        name: stem
        for name in tree.names
        for stem, suffix in [os.path.splitext(name)]
        if suffix.lower() in suffixes and not name.startswith(ignore)
    }
    if folders:
        videos |= {name: name for name in tree.picture_folders()}
    found, strays = [], []
    first: dict[str, str] = {}
    for name, stem in sorted(videos.items()):
        match = compiled.fullmatch(stem)
        if not match:
            strays.append(stray(root, name, dataset))
            continue
        facts = describe(match, tree)
        if first.setdefault(stem, name) != name:
            facts |= {"split": "", "problem": f"a second copy of {first[stem]}"}
        found.append(source(root, name, dataset, **facts))
    require_some(found, strays, root, dataset, layout)
    return found + strays


def source(
    root: pathlib.Path, name: str, dataset: str, *, subject: str, **facts: Any
) -> VideoSource:
    """A `VideoSource` of the path `name` below `root`; the attack type gives the label."""
    return VideoSource(
        path=root / name,
        video=video_id(name),
        subject=f"{dataset}/{subject}",
        domain=dataset,
        label=int(facts["attack_type"] == LIVE),
        **facts,
    )


def stray(root: pathlib.Path, name: str, dataset: str) -> VideoSource:
    """Source entry of a video whose name does not fit the dataset."""
    return source(
        root,
        name,
        dataset,
        subject="unknown",
        attack_type="unknown",
        split="",
        problem=f"the path {name} does not belong to {dataset}; 'nasfas data info"
        f" --dataset={dataset}' shows the expected tree",
    )


def plain(**numbers: str) -> dict[str, str]:
    """Attributes without the zero padding of numbers.

    >>> plain(user="01", quality_group="HR")
    {'user': '1', 'quality_group': 'HR'}
    """
    return {
        name: str(int(value)) if value.isdecimal() else value
        for name, value in numbers.items()
    }


def require_folder(root: pathlib.Path, dataset: str, layout: str) -> None:
    """Requires `root` to be a folder."""
    if not root.is_dir():
        problem = "it is a file" if root.exists() else "it does not exist"
        raise InputError(
            f"The folder {root} of dataset '{dataset}' cannot be read: {problem}. Expected"
            f" a folder with {layout}; give its path (--manual_dir on the command line,"
            " source_dir in Python)."
        )


def require_some(
    found: Sequence[VideoSource],
    strays: Sequence[VideoSource],
    root: pathlib.Path,
    dataset: str,
    layout: str,
) -> None:
    """Requires at least one file; the message lists the content of `root`."""
    if found:
        return
    first = f" The first video in it is {strays[0].video}." if strays else ""
    raise InputError(
        f"{dataset} found none of its videos under {root}. Expected there {layout};"
        f" it holds {content(root)}.{first}"
    )


def content(root: pathlib.Path, most: int = 8) -> str:
    """The first names in a folder, for messages."""
    held = sorted(p.name for p in root.iterdir() if not names.is_ignored(p.name))
    return ", ".join(map(names.printable, held[:most])) or "nothing"


def identity(name: str) -> str:
    """The person or attack type named by a user's folder or file.

    Names are normalized (`names.normalize`) and in lower case, so that two spellings of a
    name are one person.

    >>> identity("Ann  B") == identity(" ann b")
    True
    """
    return names.normalize(name).casefold()


def split_by_subject(
    sources: Sequence[VideoSource], known: Mapping[str, str] = MappingProxyType({})
) -> list[VideoSource]:
    """Assigns whole subjects to train, development and test.

    A subject in `known` keeps its split. The others, ordered by a hash of their name, are
    assigned to test and then development until each has a fifth of the subjects (rounded,
    at least one); the rest are assigned to train. A single subject is assigned to train; of
    two subjects, one is assigned to train and one to test. Subjects that are only live,
    only spoof, and both are assigned separately, so that each split gets live and spoof
    subjects if there are enough; in a small collection a split may lack one of them.

    Args:
      sources: all files; those with a `problem` are returned unchanged and do not count.
      known: splits of subjects that were assigned earlier.
    """
    kinds: dict[str, set[int]] = {}
    for one in sources:
        if not one.problem:
            kinds.setdefault(one.subject, set()).add(one.label)
    split_of = {}
    for kind in ({0}, {1}, {0, 1}):
        group = sorted((s for s, k in kinds.items() if k == kind), key=name_hash)
        split_of |= _fill(group, known)
    return [
        one
        if one.problem
        else dataclasses.replace(
            one, split=split_of[one.subject], split_source=BY_SUBJECT
        )
        for one in sources
    ]


def _fill(group: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    """The split of each subject of a group; see `split_by_subject`."""
    share = max(1, round(len(group) / 5))
    sizes = {"test": share * (len(group) > 1), "development": share * (len(group) > 2)}
    split_of = {subject: known[subject] for subject in group if subject in known}
    counts = collections.Counter(split_of.values())
    for subject in group:
        if subject not in split_of:
            split = next((s for s, size in sizes.items() if counts[s] < size), "train")
            split_of[subject] = split
            counts[split] += 1
    return split_of


def video_id(name: str) -> str:
    """The id of the file with the path `name` below the dataset's folder.

    '#', which separates video and frame in the name of a clip, '%', control characters and
    bytes that are not UTF-8 are percent-encoded.

    >>> video_id("live/a#1, 50%.mp4")
    'live/a%231, 50%25.mp4'
    """
    return UNSAFE.sub(
        lambda match: urllib.parse.quote_from_bytes(os.fsencode(match[0]), ""), name
    )


def _walk(root: pathlib.Path) -> Iterator[tuple[str, list[str]]]:
    """The folders from `root` down, each with the names of its files.

    Raises:
      InputError: a folder cannot be listed.
    """
    above = {
        str(root): {os.path.realpath(root)}
    }  # real paths from the root to a folder
    for folder, folders, files in os.walk(root, onerror=_refuse, followlinks=True):
        trail = above.pop(folder)
        yield folder, [name for name in files if not names.is_ignored(name)]
        folders[:] = [name for name in folders if not names.is_ignored(name)]
        for name in list(folders):
            path = os.path.join(folder, name)
            real = os.path.realpath(path)
            if real in trail:
                folders.remove(name)
            else:
                above[path] = trail | {real}


def _refuse(error: OSError):
    raise InputError(
        f"The folder {error.filename} cannot be listed: {error.strerror}. Expected all"
        " folders of a dataset to be readable; correct its permissions."
    ) from error


def name_hash(name: str) -> str:
    """Machine-independent hash used to order names arbitrarily."""
    return hashlib.sha256(name.encode()).hexdigest()
