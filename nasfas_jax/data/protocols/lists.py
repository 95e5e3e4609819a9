"""The lists of a protocol: three parts of videos, their hash, counts and soundness."""

import collections
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence

from nasfas_jax.data.datasets import REGISTRY
from nasfas_jax.data.datasets.sources import SPLITS as PARTS
from nasfas_jax.data.datasets.sources import VideoSource
from nasfas_jax.data.protocols.counts import OFFICIAL, Pair
from nasfas_jax.errors import InputError, some

# Real and attack are taken for swapped where both are nearer to the other's count.
ENOUGH = 0.5  # ... of a list that holds at least this part of the official videos
FIRST = 3  # names of videos in a line


@dataclasses.dataclass(frozen=True)
class Lists:
    """Videos of the parts, each with its `split` set to the part.

    Attributes:
      protocol: its name.
      train, development, test: the videos.
      first_frames: as in `Protocol`.
      dropped: videos left out of train and development because their subject is tested.
      compared: whether the dataset's own list files were there to compare with, on one
        line; '' for a dataset whose lists are not read.
      without_clips: where they are prepared, of each part the ids of videos that gave no
        clip, and why.
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

    def part(self, name: str) -> Sequence[VideoSource]:
        """Videos of 'train', 'development' or 'test'."""
        return getattr(self, name)

    def __iter__(self) -> Iterator[VideoSource]:
        return (one for part in PARTS for one in self.part(part))

    @property
    def hash(self) -> str:
        """Ten hexadecimal digits of what is in which part, whatever the order.

        Paths do not enter: copies of a dataset in two places have one hash.
        """
        lines = sorted(
            "\t".join((v.split, v.domain, v.video, v.attack_type, str(v.label)))
            for v in self
        )
        text = "\n".join((*lines, str(self.first_frames)))
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Numbers of 'live' and 'spoof' videos and of 'subjects' of each part."""
        return {
            part: {
                "live": sum(one.label == 1 for one in self.part(part)),
                "spoof": sum(one.label == 0 for one in self.part(part)),
                "subjects": len({one.subject for one in self.part(part)}),
            }
            for part in PARTS
        }

    def require_sound(self) -> None:
        """Raise InputError for a video given twice, a shared subject, a missing class."""
        seen = collections.Counter((one.domain, one.video) for one in self)
        twice = [f"{video} of {domain}" for (domain, video), n in seen.items() if n > 1]
        if twice:
            raise InputError(
                f"The protocol {self.protocol} would hold {len(twice)} videos twice:"
                f" {some(twice)}. Expected each once; list the folder once."
            )
        self._require_disjoint()
        for part, counts in self.counts.items():
            lacking = [kind for kind in ("live", "spoof") if not counts[kind]]
            if lacking:
                raise InputError(
                    f"The protocol {self.protocol} gets no {' and no '.join(lacking)}"
                    f" video for {part} (of {len(self.part(part))} there). Each part"
                    " needs both: add videos, or choose another protocol."
                )

    def _require_disjoint(self) -> None:
        parts = {part: {one.subject for one in self.part(part)} for part in PARTS}
        for one, other in (PARTS[:2], PARTS[1:], PARTS[::2]):
            both = sorted(parts[one] & parts[other])
            if both:
                seen = [self._first_video(part, both[0]) for part in (one, other)]
                raise InputError(
                    f"The protocol {self.protocol} has {len(both)} subjects both in"
                    f" {one} and in {other}: {some(both)}; {both[0]} is seen in"
                    f" {seen[0]} and in {seen[1]}. Expected every person in one part"
                    " only; check the folders or lists that say so."
                )

    def _first_video(self, part: str, subject: str) -> str:
        return next(one.video for one in self.part(part) if one.subject == subject)

    def check(self, *, whole: bool = False) -> str:
        """Compare with the official numbers of live and spoof videos.

        Args:
          whole: the set is meant to be complete, and a difference is an error.

        Returns:
          What was compared, a line for each count; where nothing official is known,
          that.

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
        """The lines of `check` that are not as official.

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
        """Sentences on missing videos, for the readers of its numbers.

        Raises:
          InputError: live and spoof look swapped.
        """
        lines = [f"not the official videos: {line}" for line in self.differences()]
        return lines + self.left_out()

    def left_out(self) -> list[str]:
        """A line for each part with videos that gave no clip: how many, which, and why."""
        lines = []
        for part, videos in self.without_clips.items():
            some = "; ".join(f"{name}: {reason}" for name, reason in videos[:FIRST])
            lines.append(
                f"{part}: {len(videos)} of {len(self.part(part))} videos have no clip"
                f" ({some}{'; ...' if len(videos) > FIRST else ''}); manifest.csv of the"
                " prepared data names them all"
            )
        return lines

    def _against(self, group: str) -> str:
        """The counts of a group of parts beside the official ones."""
        came, allowed = self._pair(group), OFFICIAL[self.protocol][group]
        expected = " or ".join(f"{live}, {spoof}" for live, spoof in allowed)
        said = "as official" if came in allowed else f"official: {expected}"
        return f"{group} {came[0]} live, {came[1]} spoof ({said})"

    def _pair(self, group: str) -> Pair:
        counts = [self.counts[part] for part in group.split("+")]
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
                f" {allowed[0][1]} spoof: the labels are likely swapped, for the other"
                f" way round the counts would be off by {off((came[1], came[0]))} and"
                f" not by {off(came)}. Live is 1 and spoof 0 here, while some published"
                f" lists write 0 for live; {'; '.join(ways)}. Look which files are"
                " taken for live ('nasfas data show'), and put them right."
            )


def _missing(came: Pair, official: Pair) -> str:
    parts = [
        f"{abs(there - here)} {kind} {'missing' if there > here else 'too many'}"
        for kind, here, there in zip(("live", "spoof"), came, official, strict=True)
        if here != there
    ]
    return f"That is {' and '.join(parts)}."
