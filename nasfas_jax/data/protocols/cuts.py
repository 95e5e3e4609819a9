"""Development splits for the datasets that have none: whole subjects, by hash.

The subjects are sorted by their attack types and then by the SHA-256 of their name, and
evenly spaced ones are held out. The cut depends on the videos alone, is the same in every
protocol of a dataset, and has an exact size.

Of SiW ten subjects are held out, as many as by bob.db.siw, whose list of ten is not known
here: only train and development together equal its counts.
"""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

from nasfas_jax.data.datasets.base import name_hash
from nasfas_jax.data.datasets.sources import VideoSource

#: Shares of all subjects held out for test and for development, by dataset; with a test
#: share of 0, the test split is the official one and development is cut from training.
CUTS: dict[str, tuple[Fraction, Fraction]] = {
    "siw": (Fraction(0), Fraction(10, 90)),  # 10 of 90, as many as bob.db.siw
    "casia_mfsd": (Fraction(0), Fraction(5, 20)),  # as many as bob.pad.face
    "msu_mfsd": (Fraction(0), Fraction(3, 15)),  # one of the five folds' size
    # DTN tests on a fifth of live; of the rest an eighth is for development.
    "siw_m": (Fraction(1, 5), Fraction(1, 10)),
    "three_dmad": (Fraction(5, 17), Fraction(5, 17)),  # sizes of bob's 7/5/5
    "hkbu_mars": (Fraction(4, 12), Fraction(3, 12)),
    "casia_surf_3dmask": (Fraction(16, 48), Fraction(8, 48)),
}


def recut(dataset: str, videos: Sequence[VideoSource]) -> list[VideoSource]:
    """The videos with `split` as protocols see it; unchanged where all is official."""
    if dataset not in CUTS:
        return list(videos)
    test, development = CUTS[dataset]
    cut = [one for one in videos if test or one.split != "test"]
    split_of = {}
    for group in _groups(cut):
        tested = _evenly(group, test)
        rest = [subject for subject in group if subject not in tested]
        held = _evenly(rest, development / (1 - test))
        split_of |= dict.fromkeys(rest, "train") | dict.fromkeys(held, "development")
        split_of |= dict.fromkeys(tested, "test")
    return [
        dataclasses.replace(one, split=split_of[one.subject])
        if test or one.split != "test"
        else one
        for one in videos
    ]


def _groups(videos: Sequence[VideoSource]) -> list[list[str]]:
    """Subjects with a live video and those without, each sorted: types, then hash."""
    shows: dict[str, set[str]] = {}
    for one in videos:
        shows.setdefault(one.subject, set()).add(one.attack_type)
    order = sorted(shows, key=lambda name: (sorted(shows[name]), name_hash(name)))
    return [
        [s for s in order if ("live" in shows[s]) == live] for live in (True, False)
    ]


def _evenly(subjects: Sequence[str], share: Fraction) -> set[str]:
    """About this share of the subjects, at least one of two or more, evenly spaced."""
    if not share or len(subjects) < 2:
        return set()
    count = max(1, round(len(subjects) * share))
    return {subjects[(2 * i + 1) * len(subjects) // (2 * count)] for i in range(count)}
