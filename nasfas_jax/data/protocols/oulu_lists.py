"""OULU-NPU's own list files: read where they are, and held against the table.

`Protocols/Protocol_3/Train_2.txt` has lines as `+1,1_1_01_1` and `-1,1_1_01_2`: a sign,
any digits, and the stem of a video.  Whether the digit tells the instrument is not
settled in public sources, so the stem's last number does, and the sign must agree.
"""

import pathlib
import re

from nasfas_jax.data.protocols.lists import PARTS, Lists
from nasfas_jax.data.sources import VideoSource
from nasfas_jax.errors import InputError

OULU = "oulu_npu"
FOLDER = "Protocols"
FILES = dict(zip(PARTS, ("Train", "Dev", "Test"), strict=True))
LINE = re.compile(r"\s*([+-])\d*\s*,\s*(\d_\d_\d\d_(\d))\s*")


def read(path: pathlib.Path) -> dict[str, int]:
    """Stem to line number of an official list.

    Raises:
      InputError: no such file, a line of another form, a sign that contradicts the
        stem, or a stem given twice.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The protocol file {path} cannot be read ({error}). Expected the list that"
            " comes with OULU-NPU; copy it there, or remove the folder"
            f" {path.parents[1]} to go by the rule alone."
        ) from None
    stems: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = LINE.fullmatch(line)
        if not match:
            raise InputError(
                f"{path}, line {number}: expected a sign, a digit and a video, as"
                f" '+1,1_1_01_1'; got {line[:60]!r}. Restore the official file."
            )
        sign, stem, file = match.groups()
        if (sign == "+") != (file == "1"):
            raise InputError(
                f"{path}, line {number}: {line.strip()!r} calls {stem}"
                f" {'live' if sign == '+' else 'spoof'}, but file {file} of OULU-NPU is"
                f" {'live' if file == '1' else 'spoof'}: wrong polarity. '+' is live."
            )
        if stem in stems:
            raise InputError(
                f"{path}, line {number}: {stem} is listed twice, first in line"
                f" {stems[stem]}. Restore the official file."
            )
        stems[stem] = number
    return stems


def require_agreement(lists: Lists) -> None:
    """Compare with the official files, if the folder Protocols/ is beside the videos.

    Raises:
      InputError: a file is missing or malformed, lists a video that is absent, or is
        not what the protocol's rule gives.
    """
    dataset, _, protocol = lists.protocol.partition("@")
    if dataset != OULU:
        return
    root = _root(lists.train[0])
    if not (root / FOLDER).is_dir():
        return
    number, _, fold = protocol.partition(".")
    for part, name in FILES.items():
        file = f"{name}{'_' + fold if fold else ''}.txt"
        path = root / FOLDER / f"Protocol_{number}" / file
        listed = read(path)
        ours = {one.path.stem for one in lists.part(part)}
        absent = [stem for stem in listed if stem not in ours]
        if absent:
            stem = absent[0]
            there = any(root.glob(f"*_files/{stem}.avi"))
            raise InputError(
                f"{path}, line {listed[stem]}: lists {stem}, which"
                f" {'does not belong to' if there else 'is absent from'} the {part}"
                f" videos under {root} ({len(absent)} such lines). Expected a list of"
                f" videos that are there, chosen as {lists.protocol} says."
            )
        extra = sorted(ours - listed.keys())
        if extra:
            raise InputError(
                f"{path}: does not list {extra[0]} and {len(extra) - 1} others, which"
                f" {lists.protocol} takes for {part}. Restore the official file, or"
                f" remove the folder {root / FOLDER} to go by the rule alone."
            )


def _root(video: VideoSource) -> pathlib.Path:
    """The dataset's folder: the id of a video is its path below it."""
    return video.path.parents[video.video.count("/")]
