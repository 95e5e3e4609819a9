"""Protocols by name, `dataset@protocol`: videos for training, development and test.

A protocol consists of shares of datasets for each of its three splits (`table`). Applied
to the videos that a reader listed, it makes `Lists`, which have a hash of their content
and are compared with the official counts (`counts`).

Where a dataset has no official development split, whole subjects of its training split
are held out (`cuts`). The list files of OULU-NPU and Replay-Attack, where they are stored
beside the videos, must agree with the table (`official_lists`).
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

#: Reading of a name without one: SSDG's, in which most papers compare.
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
    """The protocol of this name; blanks around it are ignored.

    `ocim@X_to_Y` without a reading is SSDG's.

    >>> get("ocim@O&C&I_to_M").name
    'ocim@O&C&I_to_M.ssdg'

    Raises:
      InputError: no such protocol; the message lists similar names.
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
    """Names of the protocols of a family, whose published number is their mean.

    >>> folds("siw@3")
    ('siw@3.1', 'siw@3.2')

    Raises:
      InputError: no such family.
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
    """Similar names, in any case."""
    spelled = {other.lower(): other for other in known}
    found = difflib.get_close_matches(name.lower(), spelled, n=5)
    return [spelled[other] for other in found]


def _family(name: str) -> str:
    return name.lower().split("@")[0]
