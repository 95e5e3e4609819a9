"""The plan of a set: its list of videos."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

from nasfas_jax import limits
from nasfas_jax.attack_types import MACRO_TYPES
from nasfas_jax.errors import InputError
from nasfas_jax.synthetic.domains import DOMAINS

SPLITS = ("train", "development", "test")
FACE_SIZES = limits.Range(24, 1024, whole=True)
ATTACKS = {  # the thirteen attack types of SiW-M, with the variants of each
    "replay": ("video", "photo", "projection", "animated"),
    "print": ("flat", "bent", "cut", "card", "copy"),
    "half_mask": ("upper", "lower"),
    "silicone_mask": ("silicone",),
    "transparent_mask": ("transparent",),
    "paper_mask": ("holes", "whole"),
    "mannequin": ("plastic", "resin"),
    "obfuscation": ("paint", "beard"),
    "impersonation": ("impersonation",),
    "cosmetic": ("cosmetic",),
    "funny_eye": ("funny_eye",),
    "paper_glasses": ("paper_glasses",),
    "partial_paper": ("eyes", "mouth"),
}
#: Rendered attack types, by macro type.
BY_MACRO_TYPE = {
    macro: tuple(name for name in ATTACKS if MACRO_TYPES[name] == macro)
    for macro in dict.fromkeys(MACRO_TYPES.values())
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoSpec:
    """Specification of one video, which determines all of it.

    Attributes:
      domain: key of `domains.DOMAINS`: camera, light, room, frame size.
      attack_type: "live" or a key of `ATTACKS`.
      subject_seed: entropy of the person: the same in all videos of a subject.
      seed: entropy of the clip.
      variant: variant of the attack type in `ATTACKS`; "" for a random one by `seed`.
      camera_seed: entropy of the camera and its setting; `seed` if None.
      frames: number of frames.
      fps: frames per second.
      face_size: approximate height of the face box in pixels; varied by domains.
      video: unique name, the stem of the file.
      subject: name of the person, in one domain and one split only.
      split: "train", "development" or "test".
    """

    domain: str
    attack_type: str
    subject_seed: int
    seed: int
    variant: str = ""
    camera_seed: int | None = None
    frames: int = 24
    fps: float = 25.0
    face_size: int = 64
    video: str = ""
    subject: str = ""
    split: str = ""

    def __post_init__(self):
        variants = ATTACKS.get(self.attack_type, ())
        _check("domain", f"one of {list(DOMAINS)}", self.domain, self.domain in DOMAINS)
        known = self.attack_type == "live" or bool(variants)
        expected = f"'live' or one of {list(ATTACKS)}"
        _check("attack_type", expected, self.attack_type, known)
        expected = f"'' or one of {list(variants)} for {self.attack_type}"
        _check("variant", expected, self.variant, self.variant in ("", *variants))
        limits.require(
            frames=(self.frames, limits.COUNT),
            fps=(self.fps, limits.POSITIVE),
            face_size=(self.face_size, FACE_SIZES),
        )

    @property
    def label(self) -> int:
        """1 live, 0 spoof."""
        return int(self.attack_type == "live")

    @property
    def suffix(self) -> str:
        """The file name's ending, by the domain's codec."""
        return DOMAINS[self.domain].suffix

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of a frame."""
        return DOMAINS[self.domain].size(self.face_size)


def plan(
    *,
    subjects_per_domain: Sequence[int] = (8, 4, 4),
    live_videos: int = 2,
    attacks: Sequence[str] = ("print", "replay", "mask"),
    frames: int = 24,
    fps: float = 25.0,
    face_size: int = 64,
    seed: int = 0,
) -> list[VideoSpec]:
    """The list of videos, a function of the arguments alone.

    Every subject belongs to one domain and one split, and has `live_videos` live videos
    and one of each of `attacks`.

    Args:
      subjects_per_domain: people in train, development and test, in each domain.
      live_videos: live videos of a person.
      attacks: attack types, or macro types (keys of `BY_MACRO_TYPE`), whose attack types
        are assigned to the subjects in turn.
      frames: number of frames per video.
      fps: frames per second.
      face_size: approximate height of the face box in pixels: 56 to 80 for a 64 x 64 crop,
        about 230 for a 256 x 256 crop.
      seed: seed of the whole set.

    Raises:
      InputError: a number out of range, or an unknown attack.
    """
    people = subjects_per_domain
    good = len(people) == 3 and all(n in limits.COUNT_OR_NONE for n in people)
    good = good and sum(people) > 0
    _check("subjects_per_domain", "three integers >= 0, not all 0", people, good)
    limits.require(live_videos=(live_videos, limits.COUNT))
    groups = {**{name: (name,) for name in ATTACKS}, **BY_MACRO_TYPE}
    good = len(set(attacks)) == len(attacks) and set(attacks) <= set(groups)
    _check("attacks", f"different ones of {list(groups)}", list(attacks), good)
    specs = []
    for number, (domain, split, subject) in enumerate(_people(people)):
        takes = [(f"live{take + 1}", "live") for take in range(live_videos)]
        for name in attacks:
            kind = groups[name][number % len(groups[name])]
            takes.append((kind, kind))
        specs += [
            VideoSpec(
                video=f"{subject}_{take}",
                subject=subject,
                domain=domain,
                attack_type=attack_type,
                split=split,
                subject_seed=derive(seed, subject),
                seed=derive(seed, f"{subject}_{take}"),
                frames=frames,
                fps=fps,
                face_size=face_size,
            )
            for take, attack_type in takes
        ]
    return specs


def _people(subjects_per_domain: Sequence[int]) -> Iterator[tuple[str, str, str]]:
    """Domain, split and name of every subject."""
    for domain in DOMAINS:
        splits = [
            split
            for split, count in zip(SPLITS, subjects_per_domain, strict=True)
            for _ in range(count)
        ]
        for number, split in enumerate(splits, start=1):
            yield domain, split, f"{domain}_{number:03d}"


def _check(field: str, expected: str, value, good: bool) -> None:
    if not good:
        raise InputError(
            f"expected {expected} for the synthetic set, got {value!r}.", field=field
        )


def derive(seed: int, name: str) -> int:
    """The seed of a name, independent of order, workers and other names."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little")
