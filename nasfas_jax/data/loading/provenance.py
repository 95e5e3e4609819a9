"""Training data of a network or an architecture, compared with what it is tested on."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from nasfas_jax.data.loading.prepared import Prepared
from nasfas_jax.errors import InputError, some


@dataclasses.dataclass(frozen=True)
class Provenance:
    """The training clips of some domains of a prepared dataset.

    Attributes:
      dataset: name of the dataset or of the protocol.
      recipe: fields of the preparation recipe.
      digest: `Prepared.digest`, of the records of all splits.
      lists: hash of the protocol's lists; '' without a protocol.
      domains: source domains, sorted.
      subjects: subjects of the training clips, sorted.
      clips: number of training clips.
    """

    dataset: str
    recipe: dict[str, Any]
    digest: str
    lists: str
    domains: list[str]
    subjects: list[str]
    clips: int

    @classmethod
    def of(cls, data: Prepared, domains: Sequence[str]) -> "Provenance":
        """The provenance of what learns from the training clips of these domains."""
        split = data.splits["train"]
        rows = split.rows(domains)
        return cls(
            dataset=data.dataset,
            recipe=dataclasses.asdict(data.recipe),
            digest=data.digest,
            lists=data.lists.hash if data.lists else "",
            domains=sorted(domains),
            subjects=sorted(set(split.table["subject"][rows].tolist())),
            clips=len(rows),
        )

    def differences(self, other: "Provenance") -> list[str]:
        """One phrase for each difference between these data and ``other``."""
        phrases = [
            f"{field} was {before!r} and is {now!r}"
            for field in ("dataset", "lists", "domains")
            for before, now in [(getattr(self, field), getattr(other, field))]
            if before != now
        ]
        phrases += [
            f"recipe.{field} was {value!r} and is {other.recipe.get(field)!r}"
            for field, value in self.recipe.items()
            if other.recipe.get(field) != value
        ]
        changed = {
            "added": sorted(set(other.subjects) - set(self.subjects)),
            "removed": sorted(set(self.subjects) - set(other.subjects)),
        }
        phrases += [
            f"{len(subjects)} training subjects were {verb} ({some(subjects)})"
            for verb, subjects in changed.items()
            if subjects
        ]
        if self.digest != other.digest and not phrases:
            phrases.append(
                "the prepared records differ (other files, or files with other content)"
            )
        return phrases


def require_unseen(
    learned: Provenance, data: Prepared, tested: dict[str, Any], *, what: str
) -> None:
    """Requires that no tested subject and no held-out domain was learned from.

    Args:
      learned: training data of a network or an architecture.
      data: the data to test on.
      tested: ``splits`` and ``domains`` that are tested, and ``unseen``: whether the
        domains as a whole must be new.
      what: subject of the message, as "The search".

    Raises:
      InputError: a tested subject or domain was learned from.
    """
    domains = set(tested["domains"])
    if tested["unseen"] and (both := sorted(domains & set(learned.domains))):
        raise InputError(
            f"{what} learned from {', '.join(learned.domains)}; testing on"
            f" {', '.join(both)} as an unseen domain would report training data. Search"
            " and train for this target in another folder (--workdir of the commands)."
        )
    subjects = {
        subject
        for name in tested["splits"]
        for split in [data.splits[name]]
        for subject in split.table["subject"][split.rows(tested["domains"])].tolist()
    }
    if both := sorted(subjects & set(learned.subjects)):
        raise InputError(
            f"{what} learned from {len(both)} subjects of the test set"
            f" ({some(both)}). Expected disjoint subjects: search and train in another"
            " folder (--workdir of the commands) with the present data."
        )
