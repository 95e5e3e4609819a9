"""Opening prepared data, and which of its domains and splits are learned and tested."""

import os
from typing import Any, NamedTuple

from nasfas_jax import limits, storage
from nasfas_jax.data import protocols
from nasfas_jax.data.loading import pipeline, prepared, select
from nasfas_jax.errors import InputError, did_you_mean


class Tested(NamedTuple):
    """Test data of an evaluation.

    Attributes:
      splits: splits whose clips are tested.
      domains: domains whose clips are tested.
      unseen: whether no clip of these domains may have been learned from.
    """

    splits: list[str]
    domains: list[str]
    unseen: bool


def open_data(
    path: str | os.PathLike, protocol: str = "", **expected: Any
) -> prepared.Prepared:
    """Opens a prepared folder; no record is decoded.

    Args:
      path: the folder that `nasfas prepare` wrote, or, for a protocol of several
        datasets, a folder that holds one of each dataset's name. Of an address, as
        gs://BUCKET/data, a local copy is opened.
      protocol: name of the protocol that makes the splits, as 'oulu_npu@1'; '' for the
        dataset's own splits.
      **expected: fields of the recipe that must have these values, as
        ``image_size=128``.

    Raises:
      InputError: nothing prepared there, prepared with another recipe, an unknown
        protocol, or lists that fail.
    """
    limits.require(path=(path, limits.PATH), protocol=(protocol, limits.TEXT))
    path = storage.local(path)
    if not protocol:
        return pipeline.open_dataset(path, **expected)
    return select.open_protocol(path, protocols.get(protocol), **expected)


def domains(data: prepared.Prepared, target: str = "") -> tuple[list[str], list[str]]:
    """The source domains, for training and the threshold, and the tested domains.

    Args:
      data: prepared data.
      target: domain held out for testing; '' trains and tests on all domains, or on the
        splits of the protocol that the data were opened with.

    Raises:
      InputError: the data have no such domain, or were opened with a protocol.
    """
    limits.require(data=(data, prepared.DATA))
    if data.lists is not None:
        if target != "":
            raise InputError(
                "expected '' for data that were opened with a protocol, since"
                f" {data.dataset} decides what is tested, got {target!r}.",
                field="target",
            )
        learned, tested = (data.splits[split].table for split in ("train", "test"))
        return _domains(learned), _domains(tested)
    if target == "":
        return data.domains, data.domains
    if target not in data.domains:
        raise InputError(
            f"expected one of the domains of {data.data_dir},"
            f" {', '.join(data.domains)}, or '' to test within all of them, got"
            f" {target!r}.{did_you_mean(str(target), data.domains)}",
            field="target",
        )
    return [domain for domain in data.domains if domain != target], [target]


def unseen(data: prepared.Prepared) -> list[str]:
    """Attack types that the protocol tests and does not teach; none without a protocol."""
    if data.lists is None:
        return []  # an unseen domain is asked for, whatever its attacks
    tables = [data.splits[split].table for split in ("test", "train")]
    tested, learned = (set(t["attack_type"][t["label"] == 0].tolist()) for t in tables)
    return sorted(tested - learned)


def tested(data: prepared.Prepared, target: str = "") -> Tested:
    """Test data when ``target`` is held out; arguments as `domains`."""
    sources, targets = domains(data, target)
    # No split of an unseen domain was learned from: all of it is the test set.
    splits = list(data.splits) if target and data.lists is None else ["test"]
    return Tested(splits, targets, unseen=set(sources).isdisjoint(targets))


def _domains(table: dict) -> list[str]:
    return sorted(set(table["domain"].tolist()))
