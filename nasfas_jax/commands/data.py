"""``nasfas data list | info | stats | show``: what data there is, in numbers and faces."""

import collections
import csv
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from nasfas_jax import files, names
from nasfas_jax.commands import settings, tables
from nasfas_jax.commands.settings import Path
from nasfas_jax.data import datasets, protocols
from nasfas_jax.data.datasets import sources
from nasfas_jax.data.loading import prepared, select
from nasfas_jax.data.preparation import prepare, recipe
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import contact_sheets

#: Columns where the output is no terminal.
WIDTH = 160


def run_list(*, protocol: str | None = None) -> None:
    """Prints tables of the datasets, the protocols and their families of folds.

    With ``protocol``, a family, only the names of its folds, a line each, for a loop.
    """
    if protocol is not None:
        print("\n".join(protocols.folds(protocol)))
        return
    table = Table(title="Datasets (nasfas data info --dataset=NAME)")
    for column in ("name", "dataset", "own splits", "attack types", "protocols"):
        table.add_column(column)
    for dataset in datasets.REGISTRY.values():
        own = [n for n in protocols.names(dataset.name) if _family(n) == dataset.name]
        types = ", ".join(dataset.attack_types)
        count = (
            f"{len(own)} + {len(protocols.names(dataset.name)) - len(own)} with others"
        )
        table.add_row(
            dataset.name, dataset.title, ", ".join(dataset.splits), types, count
        )
    _print(table)
    table = Table(
        title="Protocols (--protocol=NAME); official numbers are live / spoof videos",
        caption="TD: training and development together; all: with test",
    )
    for column in ("name", "what it asks", "official videos", "defined by"):
        table.add_column(column)
    for name in protocols.names():
        found = protocols.get(name)
        table.add_row(name, found.title, _official(name), found.source)
    _print(table)
    table = Table(
        title="Families whose published number is the mean over their folds",
        caption="nasfas data list --protocol=FAMILY prints the names, for a loop",
    )
    for column in ("family", "folds", "from", "to"):
        table.add_column(column, justify="right" if column == "folds" else "left")
    for name, folds in protocols.FOLDS.items():
        table.add_row(name, str(len(folds)), folds[0], folds[-1])
    _print(table)


def _family(protocol: str) -> str:
    return protocol.split("@")[0]


def _official(name: str) -> str:
    """The official counts of a protocol on one line."""
    short = {"train+development": "TD", "train+development+test": "all"}
    return ", ".join(
        f"{short.get(group, group)} {' or '.join(f'{a}/{b}' for a, b in allowed)}"
        for group, allowed in protocols.OFFICIAL.get(name, {}).items()
    )


def run_info(*, dataset: str | None = None) -> None:
    """Prints layout, splits, protocols and citation of a dataset, and how to get it."""
    found = datasets.get(_named(dataset))
    facts = {
        "layout": found.layout,
        "live and spoof": found.polarity,
        "own splits": ", ".join(found.splits) or "none",
        "attack types": ", ".join(found.attack_types) or "as the folder has them",
        "protocols": ", ".join(protocols.names(found.name)) or "none",
        "homepage": found.homepage,
        "how to get it": found.request,
    }
    table = Table(title=f"{found.title} ({found.name})", show_header=False)
    for name, text in facts.items():
        if text:
            table.add_row(name, text)
    _print(table)
    if found.citation:
        print(found.citation.strip())


def run_stats(
    *,
    workdir: Path = settings.WORKDIR,
    data_dir: Path | None = None,
    dataset: str | None = None,
    protocol: str | None = None,
    manual_dir: Path | None = None,
) -> None:
    """Prints counts of ``manual_dir``, or else of the prepared data.

    People of your own collection have the splits that the prepared folder, if there is
    one, has recorded. With a protocol the counts are those of its splits, with the lists'
    hash, beside the official ones.
    """
    folder = settings.data_folder(workdir, data_dir)
    if protocol:
        lists, clips = _lists(protocol, folder, manual_dir)
        _print(_counts(f"Protocol {lists.protocol}", lists, clips))
        print(f"lists {lists.hash}")
        print(lists.check())
        if lists.compared:
            print(lists.compared)
        for line in lists.left_out():
            print(line)
        if lists.dropped:
            print(f"{lists.dropped} videos left training: their subjects are tested")
    elif manual_dir:
        name = _named(dataset)
        found = sources.list_videos(name, manual_dir)
        found = prepare.keep_splits(found, folder)
        _print(_counts(f"{name} in {manual_dir}", found, {}))
        reasons = [(one.video, one.problem) for one in found if one.problem]
        print("".join(tables.left_out(reasons)), end="")
    else:
        _prepared_stats(folder)


def _named(dataset: str | None) -> str:
    if dataset is None:
        raise InputError(
            f"--dataset is missing: expected one of {', '.join(datasets.REGISTRY)}."
        )
    return dataset


def _lists(
    name: str, folder: pathlib.Path, manual_dir: Path | None
) -> tuple[protocols.Lists, Mapping]:
    """The protocol's lists, and clips of each of their videos if they are prepared."""
    protocol = protocols.get(name)
    if manual_dir:
        return protocol.lists(_raw(protocol, manual_dir, folder)), {}
    data = select.open_protocol(folder, protocol)
    tables = [data.splits[split].table for split in sources.SPLITS]
    videos = [name for table in tables for name in table["video"].tolist()]
    domains = [name for table in tables for name in table["domain"].tolist()]
    if len(protocol.datasets) > 1:  # the dataset's name is in front
        videos = [name.partition("/")[2] for name in videos]
    assert data.lists is not None  # of the protocol
    return data.lists, collections.Counter(zip(domains, videos, strict=True))


def _raw(
    protocol: protocols.Protocol, manual_dir: Path, prepared_dir: pathlib.Path
) -> dict[str, list[sources.VideoSource]]:
    """Videos of each dataset: in ``--manual_dir``, or in folders of their names in it."""
    root = pathlib.Path(manual_dir)
    several = len(protocol.datasets) > 1
    below = {name: name if several else "" for name in protocol.datasets}
    return {
        name: prepare.keep_splits(
            sources.list_videos(name, root / folder), prepared_dir / folder
        )
        for name, folder in below.items()
    }


def _prepared_stats(folder: pathlib.Path) -> None:
    data = prepared.open_dataset(folder)
    clips: collections.Counter = collections.Counter()
    for split in data.splits.values():
        columns = (split.table["domain"].tolist(), split.table["video"].tolist())
        clips.update(zip(*columns, strict=True))
    _print(_counts(f"{data.dataset} in {folder}", select.listed(folder), clips))
    about = recipe.read(folder)
    print(f"recipe {about['hash']}: {data.recipe}")
    print(f"content {about['content'][:10]}, {clips.total()} clips")
    with (folder / prepare.MANIFEST).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] != prepare.OK]
    reasons = [(row["video"], row["reason"]) for row in rows]
    print("".join(tables.left_out(reasons)), end="")


def _counts(title: str, videos: Iterable[sources.VideoSource], clips: Mapping) -> Table:
    """Videos, subjects and, if any are known, clips by split, domain and attack type."""
    table = Table(title=title)
    for column in ("split", "domain", "attack type"):
        table.add_column(column)
    for column in ("videos", "subjects", *(["clips"] if clips else [])):
        table.add_column(column, justify="right")
    groups: dict[tuple[str, str, str], list[sources.VideoSource]] = {}
    total = []
    for one in videos:
        if not one.problem:
            groups.setdefault((one.split, one.domain, one.attack_type), []).append(one)
            total.append(one)
    order = {name: i for i, name in enumerate(sources.SPLITS)}
    for key in sorted(
        groups, key=lambda k: (order[k[0]], k[1], contact_sheets.live_first(k[2]))
    ):
        table.add_row(*key, *_numbers(groups[key], clips))
    table.add_section()
    table.add_row("all", "", "", *_numbers(total, clips))
    return table


def _numbers(videos: Sequence[sources.VideoSource], clips: Mapping) -> list[str]:
    numbers = [len(videos), len({one.subject for one in videos})]
    if clips:
        numbers.append(sum(clips.get((one.domain, one.video), 0) for one in videos))
    return [f"{number:,}" for number in numbers]


def run_show(
    *,
    workdir: Path | None = None,
    data_dir: Path | None = None,
    dataset: str | None = None,
    protocol: str | None = None,
    manual_dir: Path | None = None,
    output: Path | None = None,
) -> None:
    """Writes a contact sheet of ``manual_dir``, or else of the prepared data.

    It is ``contact_sheet.png`` in ``output``; if that is None, in ``show/`` in the
    workdir, or in the current folder if another folder's data are shown.
    """
    root = workdir or (None if manual_dir or data_dir else settings.WORKDIR)
    folder = settings.data_folder(root or settings.WORKDIR, data_dir)
    if manual_dir:
        if protocol:
            found = list(_lists(protocol, folder, manual_dir)[0])
        else:
            found = sources.list_videos(_named(dataset), manual_dir)
        picture, unread = contact_sheets.of_videos(
            [one for one in found if not one.problem]
        )
        for video, reason in unread:
            print(f"not shown: {names.printable(video)}: {reason}")
    elif protocol:
        chosen = protocols.get(protocol)
        picture = contact_sheets.of_prepared(select.open_protocol(folder, chosen))
    else:
        picture = contact_sheets.of_prepared(prepared.open_dataset(folder))
    beside = pathlib.Path(root) / "show" if root else "."
    path = settings.make_folder(output or beside, "--output") / "contact_sheet.png"
    with files.writing(path.parent, "Give another --output."):
        picture.save(path)
    print(path)


def _print(table: Table) -> None:
    console = Console()
    width = console.width if console.is_terminal else WIDTH
    Console(width=width, markup=False, emoji=False).print(table)
