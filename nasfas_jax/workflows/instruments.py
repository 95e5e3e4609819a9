"""Instruments of a finished search: noise, curvature, gap, and ranking by the supernet."""

import dataclasses
import html
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import scipy.stats

from nasfas_jax import files, limits, tables
from nasfas_jax.data.loading import prepared
from nasfas_jax.errors import InputError
from nasfas_jax.methods import instruments
from nasfas_jax.report.picture import Format, Picture
from nasfas_jax.report.searches import ranking_points, signal_bars
from nasfas_jax.search.genotype import Genotype
from nasfas_jax.workflows import collapse, finished, records

#: File in the folder of a search.
FILE = "health.json"


@dataclasses.dataclass(frozen=True, repr=False)
class Health:
    """Instruments of a search at its last state.

    Attributes:
      choice: entropies and shares of skips.
      signal: signal-to-noise ratio of the gradient of each edge, by array of the alphas, as
        'low' or 'normal/alpha'; see `methods.instruments.signal_to_noise`.
      eigenvalue: dominant eigenvalue of the Hessian of the query loss in the alphas.
      mixture: loss of the supernet at the alphas, on source development data.
      derived: its loss at the one-hot alphas of the derived architecture.
      batches: number of batches of the gradient.
      steps: number of steps of the search.
    """

    choice: collapse.Choice
    signal: dict[str, list[float]]
    eigenvalue: instruments.Eigenvalue
    mixture: float
    derived: float
    batches: int
    steps: int

    @property
    def warnings(self) -> list[str]:
        """Signs of a collapse, see `collapse.warnings`."""
        return collapse.warnings(
            self.choice, signal=self.signal, mixture=self.mixture, derived=self.derived
        )

    def table(self) -> list[list[str]]:
        """Header and rows: instrument, cell, value."""
        rows = [
            *(["entropy", k, f"{v:.3f}"] for k, v in self.choice.entropy.items()),
            *(["skips, %", k, f"{100 * v:.0f}"] for k, v in self.choice.skips.items()),
        ]
        for name, edges in self.signal.items():
            of = f"signal to noise, {self.batches} batches"
            rows.append([of, name, _range(edges)])
        eigenvalue = f"{self.eigenvalue.value:.3g} +- {self.eigenvalue.residual:.1g}"
        return [
            ["instrument", "of", "value"],
            *rows,
            ["dominant eigenvalue in alpha", "all", eigenvalue],
            ["loss of the mixture", "all", f"{self.mixture:.4g}"],
            ["loss of the derived network", "all", f"{self.derived:.4g}"],
        ]

    def picture(self, *, format: Format = "svg") -> Picture:
        """Signal-to-noise ratio of every edge."""
        return signal_bars(self.signal, collapse.NOISE, format)

    def save(self, path: str | pathlib.Path) -> None:
        """Writes a JSON file."""
        content = dataclasses.asdict(self)
        for name in ("choice", "eigenvalue"):
            content[name] = getattr(self, name)._asdict()
        files.write_json(path, content)

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "Health":
        """Reads a file that `save` wrote.

        Raises:
          InputError: no such file, or other content.
        """
        about = "the instruments of a search, as `nasfas search` writes them"
        with files.reading(path, about, records.SEARCH_AGAIN):
            content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
            choice = collapse.Choice(**content.pop("choice"))
            eigenvalue = instruments.Eigenvalue(**content.pop("eigenvalue"))
            return cls(choice=choice, eigenvalue=eigenvalue, **content)

    def __repr__(self) -> str:
        return "\n".join([tables.as_text(self.table()), *self.warnings])

    def _repr_html_(self) -> str:
        """HTML for notebooks: table, warnings and picture."""
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.warnings)
        return tables.as_html(self.table()) + notes + f"<p>{self.picture().html}</p>"


def search_health(
    data: prepared.Prepared,
    folder: str | pathlib.Path,
    *,
    batches: int = 8,
    development_batches: int = 32,
    seed: int = 0,
) -> Health:
    """Inspects a finished search at its last state.

    The gradient by the alphas is that of the search (eq. 14 or 11, in its order), the Hessian
    that of the supernet's query loss for constant weights (RobustDARTS), both on batches of
    the training split as the search draws them. Losses are those of queries from the
    development split of the source domains without augmentation. BatchNorm uses the
    statistics of the batch, as in the search.

    Args:
      data: prepared data of the search.
      folder: folder of the search.
      batches: number of batches of gradient and Hessian, 2 or more.
      development_batches: number of batches of the losses.
      seed: seed of the order and the augmentation.

    Raises:
      InputError: an argument out of range, a folder without a finished search, other data,
        or a development split without the clips for an episode.
    """
    limits.require(
        batches=(batches, limits.TWO_OR_MORE),
        development_batches=(development_batches, limits.COUNT),
        seed=(seed, limits.SEED),
    )
    search = finished.restore(data, folder)
    held_out = _queries(search, development_batches, "development", seed)
    drawn = search.draw(batches, "train", seed=seed, episodes=search.episodes)
    space, alphas = search.space, jax.device_get(search.state.alphas)
    return Health(
        choice=collapse.Choice.of_alphas(space, alphas),
        signal=_signal(search, drawn),
        eigenvalue=_curvature(search, _queries(search, batches, "train", seed)),
        mixture=search.loss(alphas, held_out),
        derived=search.loss(space.one_hot(space.derive(alphas)), held_out),
        batches=batches,
        steps=int(search.state.step),
    )


@dataclasses.dataclass(frozen=True, repr=False)
class SupernetRanking:
    """Architectures ranked by a supernet and by training alone.

    Attributes:
      genotypes: the architectures.
      supernet: minus the loss of each, cut out of the supernet, on development data.
      alone: score of each after training alone.
      tau: Kendall's tau-b of the two.
      p_value: probability of a tau as far from 0 without any association.
    """

    genotypes: list[Genotype]
    supernet: list[float]
    alone: list[float]
    tau: float
    p_value: float

    def table(self) -> list[list[str]]:
        """Header and rows: the architectures from the best to the worst by the supernet."""
        order = np.argsort(-np.array(self.supernet), kind="stable")
        rows = [
            [str(i), f"{self.supernet[i]:.4g}", f"{self.alone[i]:.4g}"] for i in order
        ]
        return [["architecture", "minus loss in the supernet", "trained alone"], *rows]

    def picture(self, *, format: Format = "svg") -> Picture:
        """Score after training alone over that in the supernet."""
        return ranking_points(self.supernet, self.alone, self.tau, self.p_value, format)

    def __repr__(self) -> str:
        tau = f"Kendall's tau {self.tau:.2f}, p {self.p_value:.2g}"
        return f"{tables.as_text(self.table())}\n{tau}"

    def _repr_html_(self) -> str:
        """HTML for notebooks: table and picture."""
        return tables.as_html(self.table()) + f"<p>{self.picture().html}</p>"


def supernet_ranking(
    data: prepared.Prepared,
    folder: str | pathlib.Path,
    genotypes: Sequence[Genotype],
    alone: Sequence[float],
    *,
    development_batches: int = 32,
    seed: int = 0,
) -> SupernetRanking:
    """Kendall's tau between one-hot scores in a supernet and training alone.

    All architectures have the same batches and one compiled program.

    Args:
      data: prepared data of the search.
      folder: folder of a finished search, whose supernet is used.
      genotypes: architectures of its space, 3 or more; channels may differ, as those of
        ``space.sample(seed)``, the networks ``random_<seed>``.
      alone: score of each after training alone, higher for better, as an AUC or minus an
        error rate.
      development_batches: number of batches of the losses, queries from the development
        split of the source domains.
      seed: seed of their order.

    Raises:
      InputError: fewer than three architectures, scores of another number or not finite, an
        architecture of another space, or as `search_health`.
    """
    limits.require(
        development_batches=(development_batches, limits.COUNT),
        seed=(seed, limits.SEED),
    )
    given = np.asarray(alone, np.float64)
    count = len(genotypes)
    if count < 3 or given.shape != (count,) or not np.isfinite(given).all():
        raise InputError(
            "expected a finite number for each of three or more architectures, got"
            f" {count} architectures and scores {given.tolist()!r:.200}.",
            field="alone",
        )
    search = finished.restore(data, folder)
    one_hot = [search.space.one_hot(genotype) for genotype in genotypes]
    batches = _queries(search, development_batches, "development", seed)
    scores = [-search.loss(alphas, batches) for alphas in one_hot]
    tau: Any = scipy.stats.kendalltau(scores, given)
    return SupernetRanking(
        list(genotypes), scores, given.tolist(), float(tau.statistic), float(tau.pvalue)
    )


def _signal(search: finished.FinishedSearch, batches: list) -> dict[str, list[float]]:
    """Signal-to-noise ratio of the gradient of each edge, by array of the alphas."""
    gradients = [search.alpha_gradient(batch) for batch in batches]
    stacked = jax.tree.map(lambda *each: np.stack(each), *gradients)
    found = instruments.signal_to_noise(stacked)
    ordered = sorted(found, key=[*search.space.cells, "fusion"].index)
    return {
        "/".join([name, *(key.key for key in path)]): ratios.tolist()
        for name in ordered
        for path, ratios in jax.tree_util.tree_leaves_with_path(found[name])
    }


def _curvature(
    search: finished.FinishedSearch, queries: list
) -> instruments.Eigenvalue:
    """Dominant eigenvalue of the Hessian of the mean query loss."""

    def product(direction: np.ndarray) -> np.ndarray:
        return np.mean([search.curvature_product(q, direction) for q in queries], 0)

    size = sum(leaf.size for leaf in jax.tree.leaves(search.state.alphas))
    return instruments.dominant_eigenvalue(product, size)


def _queries(
    search: finished.FinishedSearch, count: int, split: str, seed: int
) -> list:
    """Queries of episodes of a split."""
    return [one["query"] for one in search.draw(count, split, seed=seed)]


def _range(values: Sequence[float]) -> str:
    """Median and range in text; edges without gradient are left out."""
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return "no gradient"
    return f"{np.median(finite):.2f} ({min(finite):.2f} to {max(finite):.2f})"
