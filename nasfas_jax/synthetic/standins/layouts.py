"""The nine trees: subjects of each split, and names of their files.

Names are those of the datasets. Details without a public source are assumptions, marked
"chosen" below: a real tree may differ, and readers must not rely on them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping

PORTRAIT, LANDSCAPE = 9 / 16, 16 / 9


@dataclasses.dataclass(frozen=True)
class File:
    """One video of a tree.

    Attributes:
      path: path below the root, with '/'.
      attack_type: "live" or one of `synthetic.ATTACKS`.
      aspect: columns over rows of the upright picture.
      variant: variant of the attack, as in `synthetic.VideoSpec`; "" for a random one.
      camera: name of the camera; files of one camera share lens and setting.
      turn: counterclockwise quarter turns of the stored frames.
      tagged: whether the container stores the turn, so that decoders undo it.
      subject: name of the person; "" for split and number, set by `Layout.plan`.
      split: split of the tree, set by `Layout.plan`.
    """

    path: str
    attack_type: str
    aspect: float
    variant: str = ""
    camera: str = ""
    turn: int = 0
    tagged: bool = False
    subject: str = ""
    split: str = ""


@dataclasses.dataclass(frozen=True)
class Layout:
    """One dataset's tree.

    Attributes:
      people: numbers of the subjects by split, those with unusual names first.
      few: number of subjects of a small stand-in in each split.
      files: function (split, number) -> the files of one subject.
      domain: domain of `synthetic.DOMAINS` with the camera, light and room.
      fps: frames per second.
    """

    people: Mapping[str, tuple[int, ...]]
    few: int
    files: Callable[[str, int], Iterator[File]]
    domain: str
    fps: float = 25.0

    def plan(self, subjects: int | None) -> list[File]:
        """The files of `subjects` people in every split; of all people if None."""
        return [
            dataclasses.replace(
                file, subject=file.subject or f"{split}_{number}", split=split
            )
            for split, numbers in self.people.items()
            for number in numbers[:subjects]
            for file in self.files(split, number)
        ]


def _numbers(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


def _others(taken: tuple[int, ...], last: int, count: int) -> tuple[int, ...]:
    """The first `count` numbers up to `last` that are not taken."""
    return tuple(n for n in _numbers(1, last) if n not in taken)[:count]


def _oulu(split: str, user: int) -> Iterator[File]:
    folder = {"train": "Train", "development": "Dev", "test": "Test"}[split]
    kinds = ("live", "print", "print", "replay", "replay")
    grid = itertools.product(_numbers(1, 6), _numbers(1, 3), enumerate(kinds, start=1))
    for phone, session, (number, kind) in grid:
        stem = f"{phone}_{session}_{user:02d}_{number}"
        yield File(f"{folder}_files/{stem}.avi", kind, PORTRAIT, camera=str(phone))


# (type digit, media, sessions).  Chosen: prints in session 1 only, which gives a
# subject 8 live and 20 spoof videos; the released set is not complete.
_SIW = {"live": ("1", 2, 2), "print": ("2", 2, 1), "replay": ("3", 4, 2)}


def _siw(split: str, subject: int) -> Iterator[File]:
    folder = "Train" if split == "train" else "Test"
    for kind, (digit, media, sessions) in _SIW.items():
        below = f"{folder}/{'live' if kind == 'live' else 'spoof'}/{subject:03d}"
        grid = itertools.product((1, 2), _numbers(1, media), _numbers(1, sessions))
        for sensor, medium, session in grid:
            suffix = ".mov" if sensor == 1 else ".mp4"  # chosen
            # 16 files of the real test split end so; which ones is chosen.
            if (kind, sensor, medium, session) == ("replay", 1, 4, 2):
                suffix = ".m.mov" if 91 <= subject <= 106 else suffix
            stem = f"{subject:03d}-{sensor}-{digit}-{medium}-{session}"
            path = f"{below}/{stem}{suffix}"
            yield File(path, kind, LANDSCAPE, camera=str(sensor))


_CASIA = {
    ("live", ""): ("1", "2", "HR_1"),
    ("print", "bent"): ("3", "4", "HR_2"),
    ("print", "cut"): ("5", "6", "HR_3"),
    ("replay", "video"): ("7", "8", "HR_4"),
}


def _casia(split: str, subject: int) -> Iterator[File]:
    for (kind, variant), stems in _CASIA.items():
        for stem, aspect in zip(stems, (4 / 3, 3 / 4, PORTRAIT), strict=True):
            path = f"{split}_release/{subject}/{stem}.avi"
            yield File(path, kind, aspect, variant, camera=f"{aspect:.2f}")


_REPLAY_TRAIN = (1, 2, 4, 6, 7, 8, 12, 16, 18, 25, 27, 103, 105, 108, 110)
_REPLAY_DEVEL = (3, 5, 10, 15, 17, 22, 29, 30, 101, 111, 113, 114, 116, 118, 119)
_REPLAY_TEST = (
    *_others(_REPLAY_TRAIN + _REPLAY_DEVEL, 32, 13),
    *(102, 104, 106, 107, 109, 112, 115),
)
_REPLAY_MEDIA = {
    "print": ("highdef_photo",),
    "mobile": ("mobile_photo", "mobile_video"),
    "highdef": ("highdef_photo", "highdef_video"),
}


def _replay_attack(split: str, number: int) -> Iterator[File]:
    client = f"client{number:03d}_session01"
    folder = "devel" if split == "development" else split
    for light in ("controlled", "adverse"):
        enrolled = f"enroll/{folder}/{client}_webcam_enroll_{light}.mov"
        yield File(enrolled, "live", 4 / 3)
        for take in (1, 2):
            stem = f"{client}_webcam_authenticate_{light}_{take}"
            yield File(f"{folder}/real/{stem}.mov", "live", 4 / 3)
        for support, device in itertools.product(("fixed", "hand"), _REPLAY_MEDIA):
            for medium in _REPLAY_MEDIA[device]:
                stem = f"attack_{device}_{client}_{medium}_{light}"
                kind, variant = "replay", medium.split("_")[1]
                if device == "print":
                    kind, variant = "print", ""
                path = f"{folder}/attack/{support}/{stem}.mov"
                yield File(path, kind, 4 / 3, variant)


_MSU_TRAIN = (5, 3, 2, 6, 7, 8, 9, 11, 12, 21, 22, 34, 53, 54, 55)
_MSU_TURNED = {3, 5, 6, 7, 8, 9}  # of these, 005's container says so
_MSU = {"ipad_video": "replay", "iphone_video": "replay", "printed_photo": "print"}


def _msu(split: str, number: int) -> Iterator[File]:
    cameras = {"android": (".mp4", 3 / 2), "laptop": (".mov", 4 / 3)}
    for camera, (suffix, aspect) in cameras.items():
        stem = f"client{number:03d}_{camera}_SD"
        turned = camera == "android" and number in _MSU_TURNED
        yield File(
            f"scene01/real/real_{stem}_scene01{suffix}",
            "live",
            aspect,
            camera=camera,
            turn=2 * turned,
            tagged=number == 5,
        )
        for device, kind in _MSU.items():
            path = f"scene01/attack/attack_{stem}_{device}_scene01{suffix}"
            yield File(path, kind, aspect, camera=camera)


# Name group: kind, and how many the lists of the STDN authors count (660 live by the
# paper; no list of all 968 spoofs is public).
SIW_M = {
    "Live": ("live", 660),
    "Makeup_Co": ("cosmetic", 14),
    "Makeup_Im": ("impersonation", 61),
    "Makeup_Ob": ("obfuscation", 23),
    "Mask_Half": ("half_mask", 72),
    "Mask_Mann": ("mannequin", 40),
    "Mask_Paper": ("paper_mask", 17),
    "Mask_Silicone": ("silicone_mask", 27),
    "Mask_Trans": ("transparent_mask", 88),
    "Paper": ("print", 118),
    "Partial_Eye": ("partial_paper", 57),
    "Partial_Funnyeye": ("funny_eye", 160),
    "Partial_Mouth": ("partial_paper", 29),
    "Partial_Paperglass": ("paper_glasses", 127),
    "Replay": ("replay", 98),
}


_SIW_M_VARIANTS = {"Partial_Eye": "eyes", "Partial_Mouth": "mouth"}


def _siw_m(split: str, number: int) -> Iterator[File]:
    """One video of each group, each of somebody else.

    The names do not tell who is seen. The tree and the container are chosen.
    """
    for group, (kind, count) in SIW_M.items():
        if number <= count:
            folder = "Live" if kind == "live" else f"Spoof/{group}"
            path = f"{folder}/{group}_{number}.mov"
            variant = _SIW_M_VARIANTS.get(group, "")
            yield File(path, kind, LANDSCAPE, variant, subject=f"{group}_{number}")


def _three_dmad(split: str, client: int) -> Iterator[File]:
    for session, shot in itertools.product(_numbers(1, 3), _numbers(1, 5)):
        kind, variant = ("mannequin", "resin") if session == 3 else ("live", "")
        yield File(f"Data/{client:02d}_{session}_{shot}.hdf5", kind, 4 / 3, variant)


_HKBU_TURNS = {4: 1, 5: -1, 6: -1}


def _hkbu(split: str, subject: int) -> Iterator[File]:
    masks = ("real", "live"), ("attack", "silicone_mask")
    grid = itertools.product(masks, _numbers(1, 7), _numbers(1, 6))
    for (folder, kind), camera, light in grid:
        last = "9" if (folder, subject) == ("attack", 9) else f"{subject:02d}"
        yield File(
            f"{folder}/{subject:02d}/{camera:02d}_{light:02d}_{last}.avi",
            kind,
            4 / 3,
            camera=str(camera),
            turn=_HKBU_TURNS.get(camera, 0),
        )


def _surf_3dmask(split: str, number: int) -> Iterator[File]:
    """Chosen: the day in the names, and files of .mp4 (the found list names folders)."""
    who = f"0927_{number:03d}"
    for take in (1, 15, 16, 17, 22, 23):
        yield File(f"Real/{who}/{take}.mp4", "live", LANDSCAPE)
    takes = _numbers(1, 4) if number == 21 else _numbers(1, 6)
    for decoration, take in itertools.product(_numbers(1, 3), takes):
        path = f"Fake/{who}/{decoration}/{take}.mp4"
        yield File(path, "mannequin", LANDSCAPE, "plastic")


# Chosen: who is in SiW's two splits, and the test clients of Replay-Attack and MSU-MFSD,
# of whom only the number is known.
LAYOUTS: dict[str, Layout] = {
    "oulu_npu": Layout(
        {
            "train": _numbers(1, 20),
            "development": _numbers(21, 35),
            "test": _numbers(36, 55),
        },
        1,
        _oulu,
        "dom_o",
        30.0,
    ),
    "siw": Layout(
        {"train": _numbers(1, 90), "test": _numbers(91, 165)}, 4, _siw, "dom_m", 30.0
    ),
    "casia_mfsd": Layout(
        {"train": _numbers(1, 20), "test": _numbers(1, 30)}, 4, _casia, "dom_c"
    ),
    "replay_attack": Layout(
        {
            "train": _REPLAY_TRAIN,
            "development": _REPLAY_DEVEL,
            "test": _REPLAY_TEST,
        },
        1,
        _replay_attack,
        "dom_i",
    ),
    "msu_mfsd": Layout(
        {"train": _MSU_TRAIN, "test": _others(_MSU_TRAIN, 55, 20)},
        4,
        _msu,
        "dom_m",
        30.0,
    ),
    "siw_m": Layout({"test": _numbers(1, 660)}, 5, _siw_m, "dom_m", 30.0),
    "three_dmad": Layout({"test": _numbers(1, 17)}, 3, _three_dmad, "dom_i", 30.0),
    "hkbu_mars": Layout(
        {"test": (9, *_numbers(1, 8), *_numbers(10, 12))}, 3, _hkbu, "dom_c"
    ),
    "casia_surf_3dmask": Layout(
        {"test": (21, *_numbers(1, 20), *_numbers(22, 48))},
        3,
        _surf_3dmask,
        "dom_m",
        30.0,
    ),
}
