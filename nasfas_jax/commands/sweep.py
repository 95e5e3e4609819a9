"""``nasfas sweep``: networks, or variants of a config, for several targets and seeds."""

import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from nasfas_jax import evaluation, files, limits
from nasfas_jax.commands import (
    checks,
    evaluate,
    parts,
    prepare,
    relations,
    search,
    settings,
    sweep_pictures,
    synthesize,
    tables,
    train,
)
from nasfas_jax.commands.settings import Path
from nasfas_jax.data import protocols
from nasfas_jax.data.preparation import recipe
from nasfas_jax.errors import InputError, renaming
from nasfas_jax.files import write_json
from nasfas_jax.workflows import hand_crafted
from nasfas_jax.workflows import sweep as workflow
from nasfas_jax.workflows.data import domains

Results = dict[str, dict[str, list[dict[str, float]]]]


def run(
    config: Any,
    *,
    workdir: Path = settings.WORKDIR,
    data_dir: Path | None = None,
    network: str | None = None,
    part: str | None = None,
    engine: str | None = None,
    parallel: str | int = 1,
    gpus: str | int = 0,
    cpus: str | int = 8,
    hours: str | float = 24,
    options: str = "",
    **of_prepare: Any,
) -> None:
    """Trains and tests networks for all of config.sweep's targets and seeds.

    The rows are the networks of the config or, where config.sweep.variants are given, those
    of each variant: its fields replace those of the config. A target is a domain, '' for
    the test split, a protocol, or a family of protocols as ``oulu_npu@3``, whose cell is the
    mean and deviation over its folds, or with config.sweep.by_domain those of each tested
    domain alone. The network 'searched' is searched first, for every target or, under
    config.search.protocol, once for all of them.

    The data are prepared once, where they are not yet: of several datasets, each from and
    into a folder of its name. Without ``manual_dir``, and with the section ``standin``, they
    are synthetic stand-ins, which is printed. Each pair has a workdir of its own,
    ``<target>/seed<seed>/``, and in it each variant, so that what is done is not done again;
    a search under another protocol is in the workdir of that protocol.

    Writes ``sweep.json`` (each test), ``sweep.md`` (the table, and those beside
    config.sweep.reference), the development error over
    the trainings where it was measured and, without variants, the pictures of RFMeta's
    figures 4 to 6.

    Args:
      config: section ``sweep`` and those of the stages.
      workdir: folder of the run.
      data_dir: folder of the records; ``data/`` in ``workdir`` if None.
      network: the one network; all of config.networks if None.
      part: 'I/N', of the trainings divided into N parts the I-th alone, from 0, and no
        table; 'data' prepares the data alone.
      engine: of `launch.ENGINES`, which executes the trainings side by side; None trains
        them here, one after the other.
      parallel: number of trainings at the same time.
      gpus: as in `launch.execute`, like the arguments below.
      cpus: see there.
      hours: see there.
      options: see there, in one text.
      **of_prepare: other arguments of `prepare.run`.

    Raises:
      InputError: a target that the prepared data do not have, a part without data or with
        an engine, or an engine that this machine does not have.
    """
    workdir = pathlib.Path(workdir)
    index = parts.parse(part) if part and part != "data" else None
    given = {"parallel": parallel, "gpus": gpus, "cpus": cpus, "hours": hours}
    numbers = {name: settings.number(name, text) for name, text in given.items()}
    parts.require_engine(engine, index, numbers["parallel"])
    folder = settings.data_folder(workdir, data_dir)
    rows = list(_rows(config, network))
    _require_rows(config, [row.title for row in rows])
    # Before hours of training the others.
    hand_crafted.require_libraries([row.network for row in rows])
    folds = {target: _folds(target) for target in config.sweep.targets}
    every = [fold for found in folds.values() for fold in found]
    searched = [
        p for row in rows if (p := row.config.get("search", {}).get("protocol"))
    ]
    datasets = _datasets(config, [*every, *searched])
    if index:
        parts.require_data(folder, datasets)
    _prepare(config, datasets, workdir, folder, **of_prepare)
    if part == "data":
        return

    def records(one: Any) -> pathlib.Path:
        return _records(one, folder, len(datasets) > 1)

    targets, seeds = list(folds), list(config.sweep.seeds)
    with renaming({"target": "config.sweep.targets"}):
        for fold in every:
            one = _config(config, fold, config.seed)
            data = settings.open_data(one, records(one))
            domains(data, settings.target(one))  # a wrong one shows before the work
    tests = [
        Test(target, fold, seed, row, workdir)
        for target, seed in itertools.product(targets, seeds)
        for fold, row in itertools.product(folds[target], rows)
    ]
    groups = parts.grouped(tests)
    if engine:
        parts.execute(groups, workdir, engine, options=options, **numbers)
    chosen = parts.chosen(groups, *index) if index else tests
    found_in: dict[pathlib.Path, pathlib.Path] = {}  # genotype files of the searches
    results: Results = {row.title: {} for row in rows}
    for test in chosen:
        _execute(test, records, found_in)
        one, name = test.config, test.row.network
        for column, found in _rates(one, name, test.workdir, test.target).items():
            results[test.row.title].setdefault(column, []).append(found)
    if index:
        print(f"part {part}: {len(chosen)} of {len(tests)} trainings are tested")
        return
    settings.make_folder(workdir)
    one = tests[-1].config
    write_json(workdir / "sweep.json", results)
    columns = list(next(iter(results.values())))
    written = []
    for title, lines in tables_of(config, results, columns):
        tables.show(title, lines)
        written.append(tables.markdown(lines))
    files.write_text(workdir / "sweep.md", "\n".join(written))
    drawn = sweep_pictures.development(
        [parts.at(workdir, f, s) for f in every for s in seeds], rows
    )
    if random := config.sweep.get("random", {}):
        found = workflow.improvements(results, dict(random))
        tables.show("Searched beside random architectures", found.table())
        drawn["improvement.svg"] = found.picture()
    if not any(row.variant for row in rows) and every == columns:
        drawn |= sweep_pictures.draw(
            config, workdir, settings.open_data(one, records(one)), results
        )
    pictures = workdir / "pictures"
    for name, picture in drawn.items():
        picture.save(settings.make_folder(pictures) / name)
        print(f"wrote {pictures / name}")


def _execute(
    test: "Test",
    records: Callable[[Any], pathlib.Path],
    found_in: dict[pathlib.Path, pathlib.Path],
) -> None:
    """Searches, trains and evaluates where it was not."""
    one, genotype = test.config, None
    if (place := test.search) is not None:
        if place not in found_in:
            found_in[place] = _search(one, place, records)
        genotype = found_in[place]
    _test(one, test.row.network, test.workdir, records(one), genotype)


def _require_rows(config: Any, titles: Sequence[str]) -> None:
    """Requires rows of the table in the fields that name some."""
    given = config.get("sweep", {})
    random = dict(given.get("random", {}))
    named = {
        "random": sorted({*random, *random.values()}),
        "reference": list(given.get("reference", ())),
    }
    for field, names in named.items():
        if names:
            rows = limits.Several(limits.OneOf(titles))
            limits.require(**{f"config.sweep.{field}": (names, rows)})


def tables_of(
    config: Any, results: Results, columns: Sequence[str]
) -> Iterator[tuple[str, list[list[str]]]]:
    """Titles and lines: all rates, and where the config has references those beside them."""
    targets, seeds = list(config.sweep.targets), list(config.sweep.seeds)
    metrics = config.sweep.get("metrics", workflow.DEFAULT_METRICS)
    tested = "the test split" if targets == [""] else "the unseen domain"
    tested = "the protocols' test splits" if _is_protocol(targets[0]) else tested
    title = f"Tested on {tested}; {len(seeds)} seed{'s' * (len(seeds) > 1)}"
    title += "; oracles: selected on test data" * (config.selected_on == "test")
    yield title, workflow.table(results, columns, metrics)
    if reference := list(config.sweep.get("reference", ())):
        beside = workflow.beside(results, reference, metrics)
        yield "Beside random architectures", beside.table()
        if len(seeds) > 1:
            yield "What their results vary with", beside.variance()


class Row(NamedTuple):
    """A network of a config or of one of its variants.

    Attributes:
      config: the config of the variant.
      variant: its name; '' for the config itself.
      network: name of the network.
    """

    config: Any
    variant: str
    network: str

    @property
    def title(self) -> str:
        """First cell of its row in the table."""
        alone = len(self.config.networks) == 1
        return self.variant if self.variant and alone else _joined(*self[1:])


class Test(NamedTuple):
    """A network that is trained and tested, for one target and seed.

    Attributes:
      target: the target, a column of the table.
      fold: protocol of a family; otherwise the target.
      seed: the seed.
      row: the row of the table.
      sweep: folder of the sweep.
    """

    target: str
    fold: str
    seed: int
    row: Row
    sweep: pathlib.Path

    @property
    def config(self) -> Any:
        """Its config."""
        return _config(self.row.config, self.fold, self.seed)

    @property
    def workdir(self) -> pathlib.Path:
        """Its folder."""
        return parts.at(self.sweep, self.fold, self.seed) / self.row.variant

    @property
    def search(self) -> pathlib.Path | None:
        """Folder of the search of its network, maybe shared; None for others."""
        if self.row.network != "searched":
            return None
        shared = self.row.config.search.get("protocol") or self.fold
        return parts.at(self.sweep, shared, self.seed) / self.row.variant

    @property
    def is_done(self) -> bool:
        """Whether it was tested."""
        return (self.workdir / "evaluate" / self.row.network / "result.json").exists()


class Place(NamedTuple):
    """Config and folders of a tested network.

    Attributes:
      config: its config.
      network: its name.
      workdir: its workdir.
      records: folder of its records.
    """

    config: Any
    network: str
    workdir: pathlib.Path
    records: pathlib.Path


def places(
    config: Any, titles: Sequence[str], workdir: Path, data_dir: Path | None
) -> dict[str, Place]:
    """Rows of a sweep, by their titles, at its first target and seed.

    Args:
      config: as in `run`.
      titles: first cells of rows of its table.
      workdir: as in `run`.
      data_dir: as in `run`.

    Raises:
      InputError: a config without a sweep, or a row that it does not have.
    """
    if "sweep" not in config:
        raise InputError("expected a config with the section sweep.", field="rows")
    rows = {row.title: row for row in _rows(config, None)}
    limits.require(rows=(titles, limits.Several(limits.OneOf(rows))))
    target, seed = _folds(config.sweep.targets[0])[0], config.sweep.seeds[0]
    folder = settings.data_folder(workdir, data_dir)
    several = not (folder / recipe.FILE).exists()
    found = {}
    for title in titles:
        row = rows[title]
        one = _config(row.config, target, seed)
        where = parts.at(pathlib.Path(workdir), target, seed) / row.variant
        found[title] = Place(one, row.network, where, _records(one, folder, several))
    return found


def _joined(variant: str, network: str) -> str:
    return f"{variant} {network}".strip()


def _rows(config: Any, network: str | None) -> Iterator[Row]:
    for variant, one in checks.variants(config).items():
        for name in settings.networks(one, network):
            yield Row(one, variant, name)


def _is_protocol(target: str) -> bool:
    return target in protocols.PROTOCOLS or target in protocols.FOLDS


def _folds(target: str) -> tuple[str, ...]:
    """The protocols of a family; the target itself if it is none."""
    return protocols.folds(target) if target in protocols.FOLDS else (target,)


def _datasets(config: Any, targets: Sequence[str]) -> list[str]:
    """Datasets of the protocols among the targets, and that of the config for domains."""
    found = [
        protocols.get(one).datasets if _is_protocol(one) else [config.data.dataset]
        for one in targets
    ]
    return list(dict.fromkeys(itertools.chain(*found)))


def _records(config: Any, folder: pathlib.Path, several: bool) -> pathlib.Path:
    """Folder of the records of a config; a protocol of several datasets has the parent."""
    used = _datasets(config, [config.get("protocol") or ""])
    return folder / used[0] if several and len(used) == 1 else folder


def _prepare(
    config: Any,
    datasets: Sequence[str],
    workdir: pathlib.Path,
    folder: pathlib.Path,
    manual_dir: Path | None = None,
    **options: Any,
) -> None:
    """Prepares the datasets that are not yet: one into ``folder``, several below it."""
    several = len(datasets) > 1
    for name in datasets:
        where = folder / name if several else folder
        if (where / recipe.FILE).exists():
            continue
        source = (
            pathlib.Path(manual_dir) / name if several and manual_dir else manual_dir
        )
        if source is None and name != "synthetic" and "standin" in config:
            source = workdir / "standins" / name
            for problem in relations.video_rules(config, "standin"):
                raise InputError(problem)
            print(f"no --manual_dir: {name} is a synthetic stand-in, {source}")
            synthesize.write(config, name, source)
        one = config.copy_and_resolve_references()
        one.data.dataset = name
        prepare.run(one, workdir=workdir, data_dir=where, manual_dir=source, **options)


def _config(config: Any, target: str, seed: int) -> Any:
    one = config.copy_and_resolve_references()
    place = "protocol" if _is_protocol(target) else "target_domain"
    one.update(**{place: target}, seed=seed)
    return one


def _search(
    config: Any, workdir: pathlib.Path, records: Callable[[Any], pathlib.Path]
) -> pathlib.Path:
    """The genotype file of a search, which is run where it was not.

    Raises:
      InputError: it was run with other settings.
    """
    one = config.copy_and_resolve_references()
    one.protocol = config.search.get("protocol") or config.get("protocol", "")
    search.run(one, workdir=workdir, data_dir=records(one))
    return settings.genotype_file(workdir, None)


def _test(
    config: Any,
    name: str,
    workdir: pathlib.Path,
    data_dir: pathlib.Path,
    genotype: pathlib.Path | None,
) -> None:
    """Trains and evaluates a network where it was not."""
    where: dict[str, Any] = {"workdir": workdir, "data_dir": data_dir}
    # Compares the settings where it was trained.
    train.train(config, name, **where, genotype=genotype)
    if (workdir / "evaluate" / name / "result.json").exists():
        data = settings.open_data(config, data_dir)
        evaluate.require_current(workdir, name, data, settings.target(config))
    else:
        evaluate.evaluate(config, name, **where)


def _rates(
    config: Any, name: str, workdir: pathlib.Path, target: str
) -> dict[str, dict[str, float]]:
    """Error rates of an evaluated network by column: the target or its domains.

    ``within`` is the EER on the development splits of the source domains.
    """
    result = evaluate.read_results(workdir, [name])[name]
    if config.sweep.get("by_domain", False):
        scores = evaluation.read_scores(workdir / "evaluate" / name / "scores.csv")
        found = evaluation.by_domain(scores, rule=result["rule"], seed=config.seed)
        return {domain: workflow.rates(one) for domain, one in found.items()}
    rates = {name: result["test"].get(name) for name in workflow.METRICS}
    rates |= {"auc": result["auc"], "within": result["development_eer"]}
    return {target: rates}
