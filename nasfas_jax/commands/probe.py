"""``nasfas probe``: what a linear probe tells live from spoof by, in the synthetic set."""

import pathlib

from rich.console import Console
from rich.table import Table

from nasfas_jax import synthetic
from nasfas_jax.commands.run import Run
from nasfas_jax.errors import InputError
from nasfas_jax.files import write_json
from nasfas_jax.synthetic import probes


def run(run: Run) -> None:
    """Probes the synthetic videos of ``--manual_dir``, or of the workdir.

    Writes ``probe.json`` to ``--output``, or to the workdir; to the current folder if
    ``--manual_dir`` is given and ``--workdir`` is not. The features are `probes.making`,
    which must stay near chance, and `probes.look`; the AUC is measured within a domain
    (no subject in two folds), and on a domain with a probe trained on all others.

    Raises:
      InputError: no finished set there, too few people or a damaged video in it, or
        scikit-learn is not installed.
    """
    folder = pathlib.Path(run.manual_dir or run.workdir / "videos")
    videos = synthetic.read_index(folder)
    results = {}
    try:
        for features in (probes.making, probes.look):
            table = probes.tabulate(videos, features)
            results[features.__name__] = {
                domain: {
                    "within": probes.within(table.where(table.domains == domain)),
                    "across": probes.across(table, domain),
                }
                for domain in sorted(set(table.domains.tolist()))
            }
    except ModuleNotFoundError as error:
        raise InputError(
            f"nasfas probe needs scikit-learn ({error}): pip install -e '.[baselines]'."
        ) from None
    _print(results)
    numbers = {
        name: {
            domain: {where: vars(result) for where, result in found.items()}
            for domain, found in domains.items()
        }
        for name, domains in results.items()
    }
    path = run.output_folder(of_run=not run.manual_dir) / "probe.json"
    write_json(path, numbers)
    print(f"wrote {path}")


def _print(results: dict[str, dict[str, dict[str, probes.Result]]]) -> None:
    table = Table(title="AUC of a linear probe; chance is 50 %")
    for column in ("domain", "by", "within, %", "learned on the others, %"):
        table.add_column(column)
    for name, domains in results.items():
        for domain, found in domains.items():
            table.add_row(domain, name, str(found["within"]), str(found["across"]))
    Console().print(table)
