"""Protocol files and subject lists in the formats of the datasets that have them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence

from nasfas_jax.synthetic.standins.layouts import File

Lists = Mapping[str, str]

_FILES = {"train": "Train", "development": "Dev", "test": "Test"}
_SHORT = {"train": "train", "development": "devel", "test": "test"}


def oulu_npu(files: Sequence[File]) -> Lists:
    """Protocols/Protocol_p/Split[_fold].txt with lines `+1,stem`, `-1,stem`, `-2,stem`.

    The -2 for displays is chosen: sources agree on the sign alone.
    """
    lists = {}
    for protocol, fold in [(1, 0), (2, 0), *((p, f) for p in (3, 4) for f in _SIX)]:
        for split, first in _FILES.items():
            lines = []
            for file in files:
                stem = pathlib.PurePosixPath(file.path).stem
                if file.split == split and _in_oulu(stem, protocol, fold, split):
                    lines.append(f"{_OULU_SIGNS[stem[-1]]},{stem}\n")
            name = f"{first}_{fold}.txt" if fold else f"{first}.txt"
            lists[f"Protocols/Protocol_{protocol}/{name}"] = "".join(lines)
    return lists


_SIX = range(1, 7)
_OULU_SIGNS = {"1": "+1", "2": "-1", "3": "-1", "4": "-2", "5": "-2"}


def _in_oulu(stem: str, protocol: int, fold: int, split: str) -> bool:
    """Whether a video is in a split of a protocol: unseen room, instruments, phone, all."""
    phone, session, _, number = stem.split("_")
    test = split == "test"
    return (
        (protocol not in (1, 4) or (session == "3") == test)
        and (protocol not in (2, 4) or number in ("135" if test else "124"))
        and (protocol not in (3, 4) or (phone == str(fold)) == test)
    )


def replay_attack(files: Sequence[File]) -> Lists:
    """protocols/: clients, real, recognition (enrolment) and attack lists, one path per line.

    `smalltest`, whose choice of clients is not public, is left out.
    """
    clients = {}
    for file in files:
        number = int(file.subject.split("_")[1])
        clients[number] = f"{number:03d} {_SHORT[file.split]}\n"
    lists = {"protocols/clients.txt": "".join(clients[n] for n in sorted(clients))}
    for short in _SHORT.values():
        kinds = {
            f"real-{short}": (f"{short}/real/", ""),
            f"recognition-{short}": (f"enroll/{short}/", ""),
        }
        for protocol, needle in _REPLAY_PROTOCOLS.items():
            name = f"attack-{protocol}-allsupports-{short}"
            kinds[name] = (f"{short}/attack/", needle)
        for name, (start, needle) in kinds.items():
            lists[f"protocols/{name}.txt"] = "".join(
                f"{file.path}\n"
                for file in files
                if file.path.startswith(start)
                and needle in file.path
                and not ("digitalphoto" in name and "attack_print" in file.path)
            )
    return lists


_REPLAY_PROTOCOLS = {
    "grandtest": "",
    "print": "attack_print",
    "mobile": "attack_mobile",
    "highdef": "attack_highdef",
    "photo": "_photo_",
    "video": "_video_",
    "digitalphoto": "_photo_",
}


def msu_mfsd(files: Sequence[File]) -> Lists:
    """train_sub_list.txt and test_sub_list.txt: a two-digit client per line."""
    lists = {}
    for split in ("train", "test"):
        people = {int(f.subject.split("_")[1]) for f in files if f.split == split}
        lines = [f"{number:02d}\n" for number in sorted(people)]
        lists[f"{split}_sub_list.txt"] = "".join(lines)
    return lists


LISTS: dict[str, Callable[[Sequence[File]], Lists]] = {
    "oulu_npu": oulu_npu,
    "replay_attack": replay_attack,
    "msu_mfsd": msu_mfsd,
}
