"""``nasfas demo``: the whole road, from videos to the report."""

import time

from rich.console import Console
from rich.table import Table

from nasfas_jax.commands import evaluate, prepare, report, search, train
from nasfas_jax.commands.run import Run
from nasfas_jax.report import page


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
    """The results of all networks, as the report has them."""
    rows = [report.row(run, *item) for item in evaluate.read_results(run).items()]
    target = run.target_domain or "the test parts"
    table = Table(title=f"Tested on {target}, threshold from source development data")
    for column in ("network", "HTER %", "AUC", "parameters", "MACs", "seconds"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for row in rows:
        table.add_row(
            row.network,
            page.percent(row.result["test"]["hter"]),
            f"{row.result['auc']:.4f}",
            f"{row.parameters:,}",
            page.count(row.macs),
            f"{row.seconds:.0f}",
        )
    Console().print(table)
