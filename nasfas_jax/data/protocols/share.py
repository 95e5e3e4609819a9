"""Protocols as shares of datasets for training, development and test."""

import dataclasses
from collections.abc import Mapping, Sequence

from nasfas_jax.data.datasets.sources import SPLITS, VideoSource
from nasfas_jax.data.protocols import cuts, official_lists
from nasfas_jax.data.protocols.lists import Lists
from nasfas_jax.errors import InputError

SPOOF = "spoof."


@dataclasses.dataclass(frozen=True)
class Share:
    """Videos of one dataset, selected by split and by properties.

    Attributes:
      dataset: name of the dataset.
      splits: the dataset's own splits, after `cuts.recut`.
      where: allowed values by property (attack_type, domain, or a key of
        `VideoSource.attributes`); 'spoof.medium' restricts the medium of spoofs only.
    """

    dataset: str
    splits: tuple[str, ...]
    where: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def take(self, videos: Sequence[VideoSource]) -> list[VideoSource]:
        """The videos of the dataset that belong to the share, in their order."""
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
      title: short description.
      train, development, test: shares of the splits.
      source: publication that defines it.
      first_frames: number of first frames of a video that training and development clips
        are taken from; 0 for no limit.
      drop_tested: whether subjects of the test split are left out of the other two, where
        the source does not define how they are kept apart; if not, they are an error.
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
        """Names of its datasets, in their order of use."""
        return list(
            dict.fromkeys(s.dataset for split in SPLITS for s in self.of(split))
        )

    def of(self, split: str) -> tuple[Share, ...]:
        """Shares of 'train', 'development' or 'test'."""
        return getattr(self, split)

    def lists(self, videos: Mapping[str, Sequence[VideoSource]]) -> Lists:
        """The lists of this protocol, from the videos of each of its datasets.

        Args:
          videos: videos by the name of their dataset, as its reader lists them.

        Raises:
          InputError: a missing dataset, an empty share, a split without live or spoof, a
            repeated video, a subject in two splits, or an official list file that differs.
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
        splits = {split: self._collect(split, own) for split in SPLITS}
        dropped = 0
        if self.drop_tested:
            tested = {one.subject for one in splits["test"]}
            for split in ("train", "development"):
                kept = [one for one in splits[split] if one.subject not in tested]
                dropped += len(splits[split]) - len(kept)
                splits[split] = kept
        lists = Lists(
            self.name,
            *(splits[split] for split in SPLITS),
            first_frames=self.first_frames,
            dropped=dropped,
        )
        lists.require_sound()
        compared = official_lists.require_agreement(lists)
        return dataclasses.replace(lists, compared=compared)

    def _collect(self, split: str, own: Mapping) -> list[VideoSource]:
        found = []
        for share in self.of(split):
            taken = share.take(own[share.dataset])
            if not taken:
                raise InputError(
                    f"The protocol {self.name} takes for {split} the {share}, but there"
                    f" is no such video; {_there_is(share, own[share.dataset])}. Add"
                    " what is missing, or choose another protocol."
                )
            found += [
                dataclasses.replace(one, split=split, split_source=self.name)
                for one in taken
            ]
        return found


def value(video: VideoSource, name: str) -> str:
    """A property of a video; '' where its name does not have it."""
    if name in ("attack_type", "domain", "subject"):
        return getattr(video, name)
    return video.attributes.get(name, "")


def _there_is(share: Share, videos: Sequence[VideoSource]) -> str:
    here = sorted({one.split for one in videos})
    texts = [f"the {len(videos)} videos have the splits {', '.join(here)}"]
    if len({one.subject for one in videos if one.split != "test"}) < 2:
        texts.append("of fewer than two training subjects none can be held out")
    for name in share.where:
        values = sorted({value(one, name.removeprefix(SPOOF)) for one in videos})
        texts.append(f"{name} {', '.join(values) or 'nothing'}")
    return "; ".join(texts)
