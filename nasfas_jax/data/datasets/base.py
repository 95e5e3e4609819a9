"""What a dataset is, what one of its files is, and how files are listed by name.

Listing looks at names only: no video is opened.
"""

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nasfas_jax.data.annotations import Annotation
from nasfas_jax.data.video import PICTURES, VIDEOS
from nasfas_jax.errors import InputError

SPLITS = ("train", "development", "test")
LIVE = "live"


@dataclasses.dataclass(frozen=True)
class VideoSource:
    """One source file and everything its folder and name say about it.

    Attributes:
      path: the file, or the folder that holds its frames as pictures.
      video: unique id, the path below the dataset's folder with '/', suffix included;
        '#' is written '%23', for it divides video and frame in a clip's name.
      subject: who is seen; no subject is in two splits.
      domain: dataset or capture condition.
      attack_type: 'live', or the kind of spoof.
      label: live 1, spoof 0.
      split: 'train', 'development' or 'test'; '' where `problem` is said.
      split_source: what decided the split.
      annotation: reads the video's annotation from `path`; None where there is none.
      attributes: what the file's name says beyond that, numbers without padding.
      rotate: degrees clockwise by which the frames, as they are stored, must be turned
        to be upright: 0, 90, 180 or 270.
      problem: why the file cannot be used, if its name already says so; it is listed
        only so that the manifest can name it.
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


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset: how its files are listed, and what a user must know of it.

    Attributes:
      name: as in `--dataset`, and the domain of its videos.
      title: as its authors write it.
      list_videos: the files below a folder; raises InputError if there are none.
      attack_types: the spoofs' `attack_type`.
      splits: the splits that the dataset itself defines.
      polarity: how its own files and lists write live and spoof.
      layout: the tree that `list_videos` expects.
      citation: BibTeX.
      homepage: where it is described.
      request: how one gets it.
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


@dataclasses.dataclass(frozen=True)
class Sidecar:
    """Reads the annotation of a video from another file."""

    path: pathlib.Path
    parse: Callable[[pathlib.Path], Annotation]

    def __call__(self, video: pathlib.Path) -> Annotation:
        """The annotation; `video` itself is not looked at."""
        del video
        return self.parse(self.path)


@dataclasses.dataclass(frozen=True)
class Tree:
    """The names below a folder, relative and with '/'."""

    root: pathlib.Path
    names: frozenset[str]

    @classmethod
    def walk(cls, root: pathlib.Path, dataset: str, layout: str) -> "Tree":
        """All files below `root` but hidden ones; links to folders are followed.

        Raises:
          InputError: there is no such folder, or one in it cannot be listed.
        """
        require_folder(root, dataset, layout)
        start = len(os.path.join(root, ""))
        names = []
        for folder, _, files in os.walk(root, onerror=_refuse, followlinks=True):
            below = folder[start:].replace(os.sep, "/")
            seen = [name for name in files if not name.startswith(".")]
            names += [f"{below}/{name}" if below else name for name in seen]
        return cls(root, frozenset(names))

    def picture_folders(self) -> set[str]:
        """The folders in which pictures lie."""
        return {
            folder
            for name in self.names
            for folder, file in [os.path.split(name)]
            if folder and os.path.splitext(file)[1].lower() in PICTURES
        }

    def sidecar(
        self, parse: Callable[[pathlib.Path], Annotation], *names: str
    ) -> Sidecar | None:
        """Reader of the first of the files that is there.

        None where there is none: then the detector is asked, and the manifest says so.
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
    """List the files whose path below `root` matches `pattern`.

    A file with one of `suffixes` whose path does not match, and a file that differs from
    another one in its suffix alone, is listed with a `problem`; all other files are not
    looked at.

    Args:
      root: the dataset's folder.
      dataset: its name; also the videos' domain and the prefix of subjects.
      layout: said when nothing matches.
      pattern: regular expression of a whole path without the suffix.
      describe: from a match to the `VideoSource` fields attack_type, split and subject,
        and more where the defaults do not hold.
      suffixes: of the files that are videos.
      folders: whether a folder of pictures is a video too; its path has no suffix.
      ignore: beginnings of paths that are not looked at.

    Raises:
      InputError: no such folder, or no file in it matches.
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
    """A `VideoSource` of the path `name` below `root`; the label is the attack type's."""
    return VideoSource(
        path=root / name,
        video=name.replace("#", "%23"),
        subject=f"{dataset}/{subject}",
        domain=dataset,
        label=int(facts["attack_type"] == LIVE),
        **facts,
    )


def stray(root: pathlib.Path, name: str, dataset: str) -> VideoSource:
    """A video whose name is none of the dataset's; the manifest says so."""
    return source(
        root,
        name,
        dataset,
        subject="unknown",
        attack_type="unknown",
        split="",
        problem=f"the path {name} is none of {dataset}'s; 'nasfas data info"
        f" --dataset={dataset}' says what its tree looks like",
    )


def plain(**numbers: str) -> dict[str, str]:
    """Attributes with the padding taken off numbers.

    >>> plain(user="01", quality_group="HR")
    {'user': '1', 'quality_group': 'HR'}
    """
    return {
        name: str(int(value)) if value.isdecimal() else value
        for name, value in numbers.items()
    }


def require_folder(root: pathlib.Path, dataset: str, layout: str) -> None:
    """Raise InputError if `root` is no folder."""
    if not root.is_dir():
        came = "it is a file" if root.exists() else "it does not exist"
        raise InputError(
            f"The folder {root} of dataset '{dataset}' cannot be read: {came}. Expected"
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
    """Raise InputError, with what lies in `root`, if nothing was found."""
    if found:
        return
    held = sorted(path.name for path in root.iterdir())[:8]
    first = f" The first video in it is {strays[0].video}." if strays else ""
    raise InputError(
        f"{dataset} found none of its videos under {root}. Expected there {layout};"
        f" it holds {', '.join(held) or 'nothing'}.{first}"
    )


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
    for one in sources:
        kinds.setdefault(one.subject, set()).add(one.label)
    split_of = {}
    for kind in ({0}, {1}, {0, 1}):
        group = sorted((s for s, k in kinds.items() if k == kind), key=name_hash)
        held = max(1, round(len(group) / 5))
        test, development = (held * (len(group) > n) for n in (1, 2))
        for i, subject in enumerate(group):
            part = (i >= test) + (i >= test + development)
            split_of[subject] = ("test", "development", "train")[part]
    return [
        dataclasses.replace(one, split=split_of[one.subject], split_source="by subject")
        for one in sources
    ]


def video_id(path: pathlib.Path, root: pathlib.Path) -> str:
    """The id of a file: its path below `root`.

    >>> video_id(pathlib.Path("data/live/a#1.mp4"), pathlib.Path("data"))
    'live/a%231.mp4'
    """
    return path.relative_to(root).as_posix().replace("#", "%23")


def _refuse(error: OSError):
    raise InputError(
        f"The folder {error.filename} cannot be listed: {error.strerror}. Expected all"
        " folders of a dataset to be readable; nothing is left out unsaid."
    ) from error


def name_hash(name: str) -> str:
    """An order of names that is nobody's, the same on every machine."""
    return hashlib.sha256(name.encode()).hexdigest()
