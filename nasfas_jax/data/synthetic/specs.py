"""The plan: which videos the set has, before any is rendered."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

from nasfas_jax.data.synthetic.domains import DOMAINS
from nasfas_jax.errors import InputError

SPLITS = ("train", "development", "test")
ATTACKS = ("print", "replay", "mask")


@dataclasses.dataclass(frozen=True)
class VideoSpec:
    """One video of the plan; everything in it follows from these fields.

    Attributes:
      video: unique name, also the file's stem.
      subject: the person; of one domain and one split only.
      domain: key of `domains.DOMAINS`.
      attack_type: "live", "print", "replay" or "mask".
      label: 1 live, 0 spoof.
      split: "train", "development" or "test".
      subject_seed, seed: entropy of the person and of the clip.
      frames: number of frames.
      fps: frames a second.
      face_size: height of the face box in pixels, about; domains vary it.
    """

    video: str
    subject: str
    domain: str
    attack_type: str
    label: int
    split: str
    subject_seed: int
    seed: int
    frames: int
    fps: float
    face_size: int

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
    frames: int = 24,
    fps: float = 25.0,
    face_size: int = 64,
    seed: int = 0,
) -> list[VideoSpec]:
    """The list of videos, the same for the same arguments.

    Every subject belongs to one domain and one split, and has `live_videos` live videos
    and one of each attack type.

    Args:
      subjects_per_domain: people in train, development and test, in each domain.
      live_videos: live videos of a person.
      frames: frames of a video.
      fps: frames a second.
      face_size: height of the face box in pixels, about: a 64 x 64 crop wants 56 to 80,
        a 256 x 256 crop about 230.
      seed: of everything.

    Raises:
      InputError: a number that makes no set.
    """
    people = subjects_per_domain
    good = len(people) == 3 and min(people) >= 0 and sum(people) > 0
    _check("subjects_per_domain", "three numbers >= 0, not all 0", people, good)
    _check("live_videos", "at least 1", live_videos, live_videos >= 1)
    _check("frames", "at least 1", frames, frames >= 1)
    _check("fps", "above 0", fps, fps > 0)
    _check("face_size", "24 to 1024 pixels", face_size, 24 <= face_size <= 1024)
    takes = [(f"live{number + 1}", "live") for number in range(live_videos)]
    takes += [(attack, attack) for attack in ATTACKS]
    return [
        VideoSpec(
            video=f"{subject}_{take}",
            subject=subject,
            domain=domain,
            attack_type=attack_type,
            label=int(attack_type == "live"),
            split=split,
            subject_seed=_derive(seed, subject),
            seed=_derive(seed, f"{subject}_{take}"),
            frames=frames,
            fps=fps,
            face_size=face_size,
        )
        for domain, split, subject in _people(people)
        for take, attack_type in takes
    ]


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
            f"Synthetic set: {field} must be {expected}, but is {value!r}. Change "
            f"{field}."
        )


def _derive(seed: int, name: str) -> int:
    """A seed for a name: independent of order, of workers and of what else is made."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little")
