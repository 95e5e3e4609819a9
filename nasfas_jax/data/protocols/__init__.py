"""Protocols by name, `dataset@protocol`: who trains, who chooses, who is tested.

A protocol is data: for each of its three parts the shares of datasets that it takes
(`table`).  Applied to the videos that a reader listed it gives `Lists`, which carry a
hash of their content and compare themselves with the official counts (`counts`).

Where a dataset has no official development part, whole subjects of its training part
are held out (`cuts`); the list files of OULU-NPU and Replay-Attack, where they lie
beside the videos, must say what the table says (`official_lists`).
"""

import difflib
from collections.abc import Iterable

from nasfas_jax.data.protocols.counts import OFFICIAL
from nasfas_jax.data.protocols.lists import Lists
from nasfas_jax.data.protocols.share import Protocol, Share
from nasfas_jax.data.protocols.table import FOLDS, PROTOCOLS
from nasfas_jax.errors import InputError

__all__ = [
    "FOLDS",
    "OFFICIAL",
    "PROTOCOLS",
    "Lists",
    "Protocol",
    "Share",
    "folds",
    "get",
    "names",
]

#: What a name without its reading means: SSDG's, the one most papers compare in.
READING = ".ssdg"


def names(dataset: str = "") -> list[str]:
    """Names of all protocols, or of those that use the dataset.

    >>> names("oulu_npu")[:4]
    ['oulu_npu@1', 'oulu_npu@2', 'oulu_npu@3.1', 'oulu_npu@3.2']
    """
    return [
        name
        for name, protocol in PROTOCOLS.items()
        if not dataset or dataset in protocol.datasets
    ]


def get(name: str) -> Protocol:
    """The protocol of this name, blanks around it aside.

    `ocim@X_to_Y` without a reading is SSDG's.

    >>> get("ocim@O&C&I_to_M").name
    'ocim@O&C&I_to_M.ssdg'

    Raises:
      InputError: there is none; the message lists the names that are near, whatever
        their case.
    """
    name = name.strip()
    if name + READING in PROTOCOLS:
        name += READING
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if name in FOLDS:
        raise InputError(
            f"The protocol {name!r} is the mean over its folds; name one of them:"
            f" {', '.join(FOLDS[name])}."
        )
    near = _near(name, PROTOCOLS) or [
        other for other in PROTOCOLS if _family(other) == _family(name)
    ]
    raise InputError(
        f"There is no protocol {name!r}; expected dataset@protocol, as"
        f" {', '.join(near or ['oulu_npu@1'])}. 'nasfas data list' shows all."
    )


def folds(family: str) -> tuple[str, ...]:
    """Names of the protocols over which a family's published number is the mean.

    >>> folds("siw@3")
    ('siw@3.1', 'siw@3.2')

    Raises:
      InputError: there is no such family.
    """
    family = family.strip()
    if family not in FOLDS:
        near = _near(family, FOLDS) or list(FOLDS)
        raise InputError(
            f"There is no family of folds {family!r}; expected {' or '.join(near)}."
            " 'nasfas data list' shows all."
        )
    return FOLDS[family]


def _near(name: str, known: Iterable[str]) -> list[str]:
    """Known names that are like it, whatever their case."""
    spelled = {other.lower(): other for other in known}
    found = difflib.get_close_matches(name.lower(), spelled, n=5)
    return [spelled[other] for other in found]


def _family(name: str) -> str:
    return name.lower().split("@")[0]
