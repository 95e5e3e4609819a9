"""``nasfas demo``: the whole pipeline, from videos to the report."""

import pathlib
import statistics
import time
from collections.abc import Mapping
from typing import Any

from nasfas_jax.commands import (
    evaluate,
    prepare,
    report,
    search,
    settings,
    tables,
    train,
)
from nasfas_jax.commands.settings import Path
from nasfas_jax.report import page
from nasfas_jax.workflows import hand_crafted, registry

#: The stages after `prepare`.
STAGES = {
    "search": search.run,
    "train": train.run,
    "evaluate": evaluate.run,
    "report": report.run,
}

HEADER = [
    *("network", "HTER, % (95 %)", "AUC, % (95 %)"),
    *("parameters", "MACs", "training, s"),
]
#: After the name of a network that is not shown to be better than chance.
MARK = " *"


def run(
    config: Any,
    *,
    workdir: Path = settings.WORKDIR,
    data_dir: Path | None = None,
    **of_prepare: Any,
) -> None:
    """Prepares, searches, trains, evaluates, reports; prints the table of results.

    Args:
      config: sections of all these commands.
      workdir: folder of the run.
      data_dir: folder of the records; ``data/`` in ``workdir`` if None.
      **of_prepare: other arguments of `prepare.run`.
    """
    hand_crafted.require_libraries(config.networks)
    for name in config.networks:  # an impossible budget is named before the work
        if name != "searched":
            settings.describe(config, name)
    where = {"workdir": workdir, "data_dir": data_dir}
    began = time.monotonic()
    print("== prepare", flush=True)
    prepare.run(config, **where, **of_prepare)
    for name, stage in STAGES.items():
        print(f"== {name}", flush=True)
        stage(config, **where)
    print_table(config, workdir)
    page_path = pathlib.Path(workdir).absolute() / "report.html"
    print(f"{page.duration(time.monotonic() - began)} in all; the report: {page_path}")


def print_table(config: Any, workdir: Path) -> None:
    """Prints the results of all networks, and which of them may be at chance."""
    results = evaluate.read_results(workdir, config.networks)
    lines = [table_row(report.row(workdir, *item)) for item in results.items()]
    drawn = [
        one for name, one in results.items() if registry.random_seed(name) is not None
    ]
    if len(drawn) > 1:
        hter = statistics.fmean(one["test"]["hter"] for one in drawn)
        auc = statistics.fmean(one["auc"] for one in drawn)
        means = [f"random, mean of {len(drawn)}", page.percent(hter), page.percent(auc)]
        lines.append([*means, "", "", ""])
    target = settings.target(config) or "the test split"
    title = f"Tested on {target}, threshold from source development data"
    tables.show(title, [HEADER, *lines])
    if any(line[0].endswith(MARK) for line in lines):
        print(f"{MARK.strip()} not shown to be better than chance on development data")


def table_row(row: page.Row) -> list[str]:
    """A network's cells below `HEADER`."""
    result = row.result
    chance = any(text.startswith("chance:") for text in result["warnings"])
    return [
        row.label + MARK * chance,
        _rate(result["test"]["hter"], result["intervals"].get("hter")),
        _rate(result["auc"], result["intervals"].get("auc")),
        f"{row.parameters:,}",
        page.count(row.macs),
        f"{row.seconds:.0f}",
    ]


def _rate(value: float, interval: Mapping[str, float] | None) -> str:
    """A rate and its interval in percent."""
    text = page.percent(value)
    if interval is not None:
        text += (
            f" ({page.percent(interval['low'])} to {page.percent(interval['high'])})"
        )
    return text
