"""The lists of a protocol: three splits of videos, their hash, counts and checks."""

import collections
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence

from nasfas_jax.data.datasets import REGISTRY
from nasfas_jax.data.datasets.sources import SPLITS, VideoSource
from nasfas_jax.data.protocols.counts import OFFICIAL, Pair
from nasfas_jax.errors import InputError, some

#: Least share of the official videos in a list whose polarity is checked: live and spoof
#: count as swapped if their numbers are nearer to the official ones of the other class.
ENOUGH = 0.5
FIRST = 3  # names of videos in a line


@dataclasses.dataclass(frozen=True)
class Lists:
    """Videos of each split of a protocol, with their `split` set to it.

    Attributes:
      protocol: name of the protocol.
      train, development, test: the videos.
      first_frames: as in `Protocol`.
      dropped: number of videos left out of train and development because their subject
        is tested.
      compared: sentence on the comparison with the dataset's own list files; '' for a
        dataset whose lists are not read.
      without_clips: for prepared data, by split the ids of the videos without a clip,
        with the reasons.
    """

    protocol: str
    train: Sequence[VideoSource]
    development: Sequence[VideoSource]
    test: Sequence[VideoSource]
    first_frames: int = 0
    dropped: int = 0
    compared: str = ""
    without_clips: Mapping[str, Sequence[tuple[str, str]]] = dataclasses.field(
        default_factory=dict, hash=False
    )

    def of(self, split: str) -> Sequence[VideoSource]:
        """Videos of 'train', 'development' or 'test'."""
        return getattr(self, split)

    def __iter__(self) -> Iterator[VideoSource]:
        return (one for split in SPLITS for one in self.of(split))

    @property
    def hash(self) -> str:
        """Ten hexadecimal digits of the videos of each split, in any order.

        It does not depend on paths: copies of a dataset have one hash.
        """
        lines = sorted(
            "\t".join((v.split, v.domain, v.video, v.attack_type, str(v.label)))
            for v in self
        )
        text = "\n".join((*lines, str(self.first_frames)))
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Numbers of 'live' and 'spoof' videos and of 'subjects' of each split."""
        return {
            split: {
                "live": sum(one.label == 1 for one in self.of(split)),
                "spoof": sum(one.label == 0 for one in self.of(split)),
                "subjects": len({one.subject for one in self.of(split)}),
            }
            for split in SPLITS
        }

    def require_sound(self) -> None:
        """Requires different videos, disjoint subjects, and both classes in every split.

        Raises:
          InputError: a repeated video, a shared subject or a missing class.
        """
        seen = collections.Counter((one.domain, one.video) for one in self)
        twice = [f"{video} of {domain}" for (domain, video), n in seen.items() if n > 1]
        if twice:
            raise InputError(
                f"The protocol {self.protocol} would have {len(twice)} videos twice:"
                f" {some(twice)}. Expected each once; list the folder once."
            )
        self._require_disjoint()
        for split, counts in self.counts.items():
            lacking = [kind for kind in ("live", "spoof") if not counts[kind]]
            if lacking:
                raise InputError(
                    f"The protocol {self.protocol} gets no {' and no '.join(lacking)}"
                    f" video for {split} (of {len(self.of(split))} there). Each split"
                    " needs both: add videos, or choose another protocol."
                )

    def _require_disjoint(self) -> None:
        splits = {split: {one.subject for one in self.of(split)} for split in SPLITS}
        for one, other in (SPLITS[:2], SPLITS[1:], SPLITS[::2]):
            both = sorted(splits[one] & splits[other])
            if both:
                seen = [self._first_video(split, both[0]) for split in (one, other)]
                raise InputError(
                    f"The protocol {self.protocol} has {len(both)} subjects both in"
                    f" {one} and in {other}: {some(both)}; {both[0]} is seen in"
                    f" {seen[0]} and in {seen[1]}. Expected every person in one split"
                    " only; check the folders or lists that make the splits."
                )

    def _first_video(self, split: str, subject: str) -> str:
        return next(one.video for one in self.of(split) if one.subject == subject)

    def check(self, *, whole: bool = False) -> str:
        """Compares with the official numbers of live and spoof videos.

        Args:
          whole: whether the set is meant to be complete, so that a difference is an error.

        Returns:
          A line for each count, or a line that states that no official ones are known.

        Raises:
          InputError: live and spoof look swapped, or, if `whole`, a count differs.
        """
        official = OFFICIAL.get(self.protocol, {})
        if not official:
            return "no official counts are known"
        different = self.differences()
        if whole and different:
            group = different[0].split()[0]
            raise InputError(
                f"The protocol {self.protocol} has {different[0]}."
                f" {_missing(self._pair(group), official[group][0])} Check that the copy"
                " is complete."
            )
        return "\n".join(self._against(group) for group in official)

    def differences(self) -> list[str]:
        """The lines of `check` that differ from the official counts.

        Raises:
          InputError: live and spoof look swapped.
        """
        official = OFFICIAL.get(self.protocol, {})
        for group, allowed in official.items():
            self._require_polarity(group, self._pair(group), allowed)
        return [
            self._against(group)
            for group, allowed in official.items()
            if self._pair(group) not in allowed
        ]

    def notes(self) -> list[str]:
        """Sentences on missing videos, which results are reported with.

        Raises:
          InputError: live and spoof look swapped.
        """
        lines = [f"not the official videos: {line}" for line in self.differences()]
        return lines + self.left_out()

    def left_out(self) -> list[str]:
        """A line for each split that has videos without a clip, with the reasons."""
        lines = []
        for split, videos in self.without_clips.items():
            some = "; ".join(f"{name}: {reason}" for name, reason in videos[:FIRST])
            lines.append(
                f"{split}: {len(videos)} of {len(self.of(split))} videos have no clip"
                f" ({some}{'; ...' if len(videos) > FIRST else ''}); manifest.csv of the"
                " prepared data names them all"
            )
        return lines

    def _against(self, group: str) -> str:
        """The counts of a group of splits, compared with the official ones."""
        came, allowed = self._pair(group), OFFICIAL[self.protocol][group]
        expected = " or ".join(f"{live}, {spoof}" for live, spoof in allowed)
        said = "as official" if came in allowed else f"official: {expected}"
        return f"{group} {came[0]} live, {came[1]} spoof ({said})"

    def _pair(self, group: str) -> Pair:
        counts = [self.counts[split] for split in group.split("+")]
        return sum(c["live"] for c in counts), sum(c["spoof"] for c in counts)

    def _require_polarity(self, group, came: Pair, allowed) -> None:
        def off(pair: Pair) -> int:
            return min(abs(pair[0] - a) + abs(pair[1] - b) for a, b in allowed)

        total = sum(allowed[0])
        if sum(came) >= ENOUGH * total and off((came[1], came[0])) < off(came):
            datasets = sorted({one.domain for one in self if one.domain in REGISTRY})
            ways = [
                f"{name} writes it by {REGISTRY[name].polarity}" for name in datasets
            ]
            raise InputError(
                f"The protocol {self.protocol} has {came[0]} live and {came[1]} spoof"
                f" videos in {group}, but officially {allowed[0][0]} are live and"
                f" {allowed[0][1]} spoof: the labels are likely swapped, since swapped"
                f" counts would differ by {off((came[1], came[0]))} instead of"
                f" {off(came)}. Live is 1 and spoof 0 here, while some published lists"
                f" write 0 for live; {'; '.join(ways)}. See which files are read as live"
                " ('nasfas data show'), and correct the labels."
            )


def _missing(came: Pair, official: Pair) -> str:
    phrases = [
        f"{abs(there - here)} {kind} {'missing' if there > here else 'too many'}"
        for kind, here, there in zip(("live", "spoof"), came, official, strict=True)
        if here != there
    ]
    return f"That is {' and '.join(phrases)}."
