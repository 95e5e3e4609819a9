"""List files that are distributed with a dataset, compared with the table of protocols.

OULU-NPU: `Protocols/Protocol_3/Train_2.txt` has lines as `+1,1_1_01_1` and
`-1,1_1_01_2`: a sign, any digits, and the stem of a video. Public sources do not define
the digit, so the instrument is that of the stem's last number, and the sign must agree.

Replay-Attack: `protocols/real-train.txt` and `attack-grandtest-allsupports-train.txt`
have a path per line, relative to the dataset's folder, with or without a suffix. The
database package of its authors reads them so (bob.db.replay, create.py); the lists of
enrolment videos and of clients are not used here.
"""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Sequence

from nasfas_jax.data.datasets.sources import SPLITS, VideoSource
from nasfas_jax.data.media.video import VIDEOS
from nasfas_jax.data.protocols.lists import Lists
from nasfas_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Form:
    """Format of the lists of a dataset.

    Attributes:
      title: name of the dataset.
      folder: folder of the lists, relative to the dataset's.
      files: function from a protocol's name within the dataset and a split to the paths
        of the lists, relative to `folder`.
      parse: function from a list's name and a line to the key of the video; raises
        ValueError with what is wrong.
      key: function from a video to the key that lists have for it.
      pattern: glob of a key's file, relative to the dataset's folder.
    """

    title: str
    folder: str
    files: Callable[[str, str], list[str]]
    parse: Callable[[str, str], str]
    key: Callable[[VideoSource], str]
    pattern: str


def _oulu_files(protocol: str, split: str) -> list[str]:
    number, _, fold = protocol.partition(".")
    name = ("Train", "Dev", "Test")[SPLITS.index(split)]
    return [f"Protocol_{number}/{name}{'_' + fold if fold else ''}.txt"]


def _oulu_line(name: str, line: str) -> str:
    del name
    match = re.fullmatch(r"\s*([+-])\d*\s*,\s*(\d_\d_\d\d_(\d))\s*", line)
    if not match:
        raise ValueError(
            "expected a sign, a digit and a video, as '+1,1_1_01_1'; got"
            f" {line[:60]!r}. Restore the official file"
        )
    sign, stem, file = match.groups()
    if (sign == "+") != (file == "1"):
        raise ValueError(
            f"{line.strip()!r} calls {stem} {'live' if sign == '+' else 'spoof'}, but"
            f" file {file} of OULU-NPU is {'live' if file == '1' else 'spoof'}: wrong"
            " polarity. '+' is live"
        )
    return stem


def _replay_files(protocol: str, split: str) -> list[str]:
    group = ("train", "devel", "test")[SPLITS.index(split)]
    return [f"real-{group}.txt", f"attack-{protocol}-allsupports-{group}.txt"]


def _replay_line(name: str, line: str) -> str:
    match = re.fullmatch(r"\s*(\w+/(real|attack)/[\w/]+)(?:\.\w+)?\s*", line)
    if not match:
        raise ValueError(
            "expected the path of a video, as"
            " 'train/real/client001_session01_webcam_authenticate_adverse_1.mov'; got"
            f" {line[:60]!r}. Restore the official file"
        )
    stem, kind = match.groups()
    listed = name.partition("-")[0]
    if kind != listed:
        raise ValueError(
            f"{stem} lies in {kind}/, but the list's name says {listed}: wrong"
            " polarity. Restore the official file"
        )
    return stem


FORMS = {
    "oulu_npu": Form(
        title="OULU-NPU",
        folder="Protocols",
        files=_oulu_files,
        parse=_oulu_line,
        key=lambda video: video.path.stem,
        pattern="*_files/{}.*",
    ),
    "replay_attack": Form(
        title="Replay-Attack",
        folder="protocols",
        files=_replay_files,
        parse=_replay_line,
        key=lambda video: video.video.rpartition(".")[0],
        pattern="{}.*",
    ),
}


def read(paths: Sequence[pathlib.Path], form: Form) -> dict[str, str]:
    """Places, file and line, of the videos in the official lists of a split, by key.

    Raises:
      InputError: no such file, a line of another form or with a contradiction, or a
        video given twice.
    """
    keys: dict[str, str] = {}
    for path in paths:
        for number, line in enumerate(_lines(path, form), 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                key = form.parse(path.name, line)
            except ValueError as error:
                raise InputError(f"{where}: {error}.") from None
            if key in keys:
                raise InputError(
                    f"{where}: {key} is listed twice, first in {keys[key]}. Restore the"
                    " official file."
                )
            keys[key] = where
    return keys


def _lines(path: pathlib.Path, form: Form) -> list[str]:
    try:
        return path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        came = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise InputError(
            f"The protocol file {path} cannot be read ({came}). Expected the list that"
            f" comes with {form.title}; copy it there, or rename the folder"
            f" {form.folder}/ to go by the rule alone."
        ) from None


def require_agreement(lists: Lists) -> str:
    """Compares with the official files, if their folder is beside the videos.

    Returns:
      A sentence on what was compared; '' for a dataset whose lists are not read.

    Raises:
      InputError: a file is missing or malformed, lists a video that is absent, or differs
        from the protocol's rule.
    """
    dataset, _, protocol = lists.protocol.partition("@")
    form = FORMS.get(dataset)
    if form is None:
        return ""
    root = _root(lists.train[0])
    if not (root / form.folder).is_dir():
        return f"{form.title}'s list files: none in {root / form.folder}, not compared"
    for split in SPLITS:
        paths = [root / form.folder / name for name in form.files(protocol, split)]
        listed = read(paths, form)
        ours = {form.key(one) for one in lists.of(split)}
        absent = [key for key in listed if key not in ours]
        if absent:
            key = absent[0]
            # An annotation may be there without its video.
            found = root.glob(form.pattern.format(key))
            there = any(one.suffix.lower() in VIDEOS for one in found)
            raise InputError(
                f"{listed[key]}: lists {key}, which"
                f" {'does not belong to' if there else 'is absent from'} the {split}"
                f" videos under {root} ({len(absent)} such lines). Expected a list of"
                f" videos that are there, chosen as {lists.protocol} says."
            )
        extra = sorted(ours - listed.keys())
        if extra:
            files = " and ".join(str(path) for path in paths)
            raise InputError(
                f"{files}: does not list {extra[0]} and {len(extra) - 1} others, which"
                f" {lists.protocol} takes for {split}. Restore the official file, or"
                f" rename the folder {root / form.folder} to go by the rule alone."
            )
    return f"{form.title}'s list files in {root / form.folder}: the same videos"


def _root(video: VideoSource) -> pathlib.Path:
    """The dataset's folder: the id of a video is its path below it."""
    return video.path.parents[video.video.count("/")]
