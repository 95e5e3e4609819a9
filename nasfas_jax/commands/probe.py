"""``nasfas probe``: AUC of probes of the synthetic set's labels."""

import pathlib
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from nasfas_jax import synthetic
from nasfas_jax.commands import settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.errors import InputError
from nasfas_jax.files import write_json
from nasfas_jax.runtime import Progress
from nasfas_jax.synthetic import Annotation, probes


def run(
    *,
    workdir: Path | None = None,
    manual_dir: Path | None = None,
    output: Path | None = None,
) -> None:
    """Probes the synthetic videos of ``manual_dir``, or of ``workdir``.

    Writes ``probe.json`` to ``output``: to the workdir if it is None, to the current
    folder if ``manual_dir`` is given alone. `probes.production`, which must stay near
    chance, and `probes.appearance` have a linear probe, `probes.texture` a small network.
    The AUC is measured within a domain (no subject in two folds), and on a domain with a
    probe trained on all others.

    Raises:
      InputError: no finished set there, too few people or a damaged video in it, or
        scikit-learn is not installed.
    """
    root = pathlib.Path(workdir or ("." if manual_dir else settings.WORKDIR))
    folder = pathlib.Path(manual_dir or root / "videos")
    videos = synthetic.read_index(folder)
    try:
        results = {
            features.__name__: _measure(videos, features, fit)
            for features, fit in (
                (probes.production, probes.linear),
                (probes.appearance, probes.linear),
                (probes.texture, probes.network),
            )
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
    path = settings.make_folder(output or root, "--output") / "probe.json"
    write_json(path, numbers)
    print(f"wrote {path}")


def _measure(
    videos: Sequence[pathlib.Path],
    features: Callable[[Annotation], dict[str, float]],
    fit: probes.Fit,
) -> dict[str, dict[str, probes.Result]]:
    """Results of one group of features within and across each domain."""
    name = features.__name__
    with Progress(f"{name}: videos", len(videos)) as progress:
        table = probes.tabulate(videos, features, progress)
    domains = sorted(set(table.domains.tolist()))
    results = {}
    with Progress(f"{name}: domains", len(domains)) as progress:
        for done, domain in enumerate(domains, start=1):
            own = table.where(table.domains == domain)
            results[domain] = {
                "within": probes.within(own, fit=fit),
                "across": probes.across(table, domain, fit=fit),
            }
            progress(done, domain)
    return results


def _print(results: dict[str, dict[str, dict[str, probes.Result]]]) -> None:
    table = Table(title="AUC of probes; chance is 50 %")
    for column in ("domain", "features", "within, %", "trained on the others, %"):
        table.add_column(column)
    for name, domains in results.items():
        for domain, found in domains.items():
            table.add_row(domain, name, str(found["within"]), str(found["across"]))
    Console().print(table)
