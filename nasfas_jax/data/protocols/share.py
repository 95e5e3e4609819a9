"""Protocols as shares of datasets for training, development and test."""

import dataclasses
from collections.abc import Mapping, Sequence

from nasfas_jax.data.datasets.sources import VideoSource
from nasfas_jax.data.protocols import cuts, official_lists
from nasfas_jax.data.protocols.lists import PARTS, Lists
from nasfas_jax.errors import InputError

SPOOF = "spoof."


@dataclasses.dataclass(frozen=True)
class Share:
    """Videos of one dataset, selected by split and by properties.

    Attributes:
      dataset: its name.
      splits: the dataset's own splits, after `cuts.recut`.
      where: a property (attack_type, domain, or a key of `VideoSource.attributes`) to
        the values that it may have; 'spoof.medium' asks the medium of spoofs only.
    """

    dataset: str
    splits: tuple[str, ...]
    where: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def take(self, videos: Sequence[VideoSource]) -> list[VideoSource]:
        """Those of the dataset's videos that belong to the share, in their order."""
        return [
            one
            for one in videos
            if one.split in self.splits
            and all(self._fits(one, name) for name in self.where)
        ]

    def _fits(self, video: VideoSource, name: str) -> bool:
        asked = name.removeprefix(SPOOF)
        spared = asked != name and video.label == 1
        return spared or value(video, asked) in self.where[name]

    def __str__(self) -> str:
        having = [f"{name} {' or '.join(held)}" for name, held in self.where.items()]
        return (
            f"{' and '.join(self.splits)} of {self.dataset}"
            f"{' with ' if having else ''}{', '.join(having)}"
        )


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Videos for training, for the choice of the threshold, and for the test.

    Attributes:
      name: `dataset@protocol`.
      title: what it asks, in a few words.
      train, development, test: their shares.
      source: where it is defined.
      first_frames: training and development clips lie within so many first frames of
        their videos; 0 is no limit.
      drop_tested: people of the test part leave the other two, where the source does
        not say how they are kept apart; otherwise such a person is an error.
    """

    name: str
    title: str
    train: tuple[Share, ...]
    development: tuple[Share, ...]
    test: tuple[Share, ...]
    source: str
    first_frames: int = 0
    drop_tested: bool = False

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets it needs, in their order of use."""
        return list(dict.fromkeys(s.dataset for part in PARTS for s in self.part(part)))

    def part(self, name: str) -> tuple[Share, ...]:
        """Shares of 'train', 'development' or 'test'."""
        return getattr(self, name)

    def lists(self, videos: Mapping[str, Sequence[VideoSource]]) -> Lists:
        """The lists of this protocol, from the videos of each of its datasets.

        Args:
          videos: of each dataset by its name, as its reader lists them.

        Raises:
          InputError: a dataset is missing, a share is empty, a part lacks live or
            spoof, a video comes twice, a subject stands in two parts, or an official
            list file disagrees.
        """
        missing = [name for name in self.datasets if not videos.get(name)]
        if missing:
            raise InputError(
                f"The protocol {self.name} needs videos of {', '.join(self.datasets)};"
                f" there are none of {', '.join(missing)}. Give the folders of all."
            )
        own = {
            name: cuts.recut(name, [one for one in videos[name] if not one.problem])
            for name in self.datasets
        }
        parts = {part: self._collect(part, own) for part in PARTS}
        dropped = 0
        if self.drop_tested:
            tested = {one.subject for one in parts["test"]}
            for part in ("train", "development"):
                kept = [one for one in parts[part] if one.subject not in tested]
                dropped += len(parts[part]) - len(kept)
                parts[part] = kept
        lists = Lists(
            self.name,
            *(parts[part] for part in PARTS),
            first_frames=self.first_frames,
            dropped=dropped,
        )
        lists.require_sound()
        compared = official_lists.require_agreement(lists)
        return dataclasses.replace(lists, compared=compared)

    def _collect(self, part: str, own: Mapping) -> list[VideoSource]:
        found = []
        for share in self.part(part):
            taken = share.take(own[share.dataset])
            if not taken:
                raise InputError(
                    f"The protocol {self.name} takes for {part} the {share}, but there"
                    f" is no such video; {_there_is(share, own[share.dataset])}. Add"
                    " what is missing, or choose another protocol."
                )
            found += [
                dataclasses.replace(one, split=part, split_source=self.name)
                for one in taken
            ]
        return found


def value(video: VideoSource, name: str) -> str:
    """A property of a video; '' where its name does not say."""
    if name in ("attack_type", "domain", "subject"):
        return getattr(video, name)
    return video.attributes.get(name, "")


def _there_is(share: Share, videos: Sequence[VideoSource]) -> str:
    here = sorted({one.split for one in videos})
    texts = [f"the {len(videos)} videos have the parts {', '.join(here)}"]
    if len({one.subject for one in videos if one.split != "test"}) < 2:
        texts.append("of fewer than two training subjects none can be held out")
    for name in share.where:
        values = sorted({value(one, name.removeprefix(SPOOF)) for one in videos})
        texts.append(f"{name} {', '.join(values) or 'nothing'}")
    return "; ".join(texts)
