"""``nasfas demo``: the whole road, from videos to the report."""

import time
from collections.abc import Mapping

from nasfas_jax.commands import evaluate, prepare, report, search, tables, train
from nasfas_jax.commands.run import Run
from nasfas_jax.report import page

HEADER = [
    *("network", "HTER, % (95 %)", "AUC, % (95 %)"),
    *("parameters", "MACs", "training, s"),
]
#: After the name of a network that is not shown to be better than chance.
MARK = " *"


def run(run: Run) -> None:
    """Prepares, searches, trains, evaluates, reports; prints the table of results."""
    stages = {
        "prepare": prepare.run,
        "search": search.run,
        "train": train.run,
        "evaluate": evaluate.run,
        "report": report.run,
    }
    began = time.monotonic()
    for name, stage in stages.items():
        print(f"== {name}", flush=True)
        stage(run)
    print_table(run)
    print(
        f"{page.duration(time.monotonic() - began)} in all; the report: "
        f"{(run.workdir / 'report.html').absolute()}"
    )


def print_table(run: Run) -> None:
    """Prints the results of all networks, and which of them may be at chance."""
    results = evaluate.read_results(run)
    lines = [table_row(report.row(run, *item)) for item in results.items()]
    target = run.target_domain or "the test split"
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
