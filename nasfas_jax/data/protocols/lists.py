"""The lists of a protocol: three parts of videos, their hash, counts and soundness."""

import collections
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

from nasfas_jax.data.protocols.counts import OFFICIAL, Pair
from nasfas_jax.data.sources import SPLITS as PARTS
from nasfas_jax.data.sources import VideoSource
from nasfas_jax.errors import InputError, some

# Real and attack are taken for swapped where both are nearer to the other's count.
ENOUGH = 0.5  # ... of a list that holds at least this part of the official videos


@dataclasses.dataclass(frozen=True)
class Lists:
    """Videos of the parts, each with its `split` set to the part.

    Attributes:
      protocol: its name.
      train, development, test: the videos.
      first_frames: as in `Protocol`.
      dropped: videos left out of train and development because their subject is tested.
    """

    protocol: str
    train: Sequence[VideoSource]
    development: Sequence[VideoSource]
    test: Sequence[VideoSource]
    first_frames: int = 0
    dropped: int = 0

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
                raise InputError(
                    f"The protocol {self.protocol} has {len(both)} subjects both in"
                    f" {one} and in {other}: {some(both)}. Expected every person in"
                    " one part only; check the folders or lists that say so."
                )

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
        lines = []
        for group, allowed in official.items():
            came = self._pair(group)
            self._require_polarity(group, came, allowed)
            same = came in allowed
            text = f"{group} {came[0]} live, {came[1]} spoof"
            expected = " or ".join(f"{live}, {spoof}" for live, spoof in allowed)
            if whole and not same:
                raise InputError(
                    f"The protocol {self.protocol} has {text}; official are {expected}."
                    f" {_missing(came, allowed[0])} Check that the copy is complete."
                )
            lines.append(
                f"{text} ({'as official' if same else f'official: {expected}'})"
            )
        return "\n".join(lines)

    def _pair(self, group: str) -> Pair:
        counts = [self.counts[part] for part in group.split("+")]
        return sum(c["live"] for c in counts), sum(c["spoof"] for c in counts)

    def _require_polarity(self, group, came: Pair, allowed) -> None:
        def off(pair: Pair) -> int:
            return min(abs(pair[0] - a) + abs(pair[1] - b) for a, b in allowed)

        total = sum(allowed[0])
        if sum(came) >= ENOUGH * total and off((came[1], came[0])) < off(came):
            raise InputError(
                f"The protocol {self.protocol} has {came[0]} live and {came[1]} spoof"
                f" videos in {group}, but officially {allowed[0][0]} and"
                f" {allowed[0][1]}: the labels are likely swapped. Live is 1 and spoof"
                " 0 here; some published lists have it the other way round."
            )


def _missing(came: Pair, official: Pair) -> str:
    parts = [
        f"{abs(there - here)} {kind} {'missing' if there > here else 'too many'}"
        for kind, here, there in zip(("live", "spoof"), came, official, strict=True)
        if here != there
    ]
    return f"That is {' and '.join(parts)}."
