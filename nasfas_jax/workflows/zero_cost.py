"""Random architectures of a search space, ranked without training."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from nasfas_jax import limits, nets, runtime, tables
from nasfas_jax.compilation import run_once
from nasfas_jax.data.loading import pipeline, prepared, views
from nasfas_jax.search import zero_cost as scores
from nasfas_jax.search.genotype import Genotype
from nasfas_jax.search.space import SearchSpace
from nasfas_jax.workflows.data import domains
from nasfas_jax.workflows.search import SPACES, view_of


@dataclasses.dataclass(frozen=True, repr=False)
class Ranking:
    """Scores of architectures at initialization, see `search.zero_cost`.

    Attributes:
      genotypes: the architectures.
      seeds: seed that each was drawn with.
      scores: by the names of `search.zero_cost.SCORES`, a value of each architecture.
      parameters: number of parameters of each.
      macs: multiply-adds of each for one image.
      space: title of the search space.
    """

    genotypes: list[Genotype]
    seeds: list[int]
    scores: dict[str, np.ndarray]
    parameters: list[int]
    macs: list[int]
    space: str

    @property
    def order(self) -> list[int]:
        """Indices of the architectures from the smallest mean rank to the largest.

        In each score the largest value has rank 1; equal values share the mean of theirs.
        """
        ranks = [scipy.stats.rankdata(-values) for values in self.scores.values()]
        return np.argsort(np.mean(ranks, 0), kind="stable").tolist()

    @property
    def best(self) -> Genotype:
        """The architecture of the smallest mean rank."""
        return self.genotypes[self.order[0]]

    def table(self) -> list[list[str]]:
        """Header and rows: the architectures in their order."""
        header = ["seed", *self.scores, "parameters", "MACs"]
        rows = [
            [
                str(self.seeds[i]),
                *(f"{values[i]:.4g}" for values in self.scores.values()),
                str(self.parameters[i]),
                str(self.macs[i]),
            ]
            for i in self.order
        ]
        return [header, *rows]

    def correlations(self) -> list[list[str]]:
        """Header and rows: rank correlation of scores and costs with each other."""
        sizes = {"parameters": np.array(self.parameters), "MACs": np.array(self.macs)}
        values = {**self.scores, **sizes}
        matrix = scores.rank_correlations(values)
        rows = zip(values, matrix, strict=True)
        return [
            ["rank correlation", *values],
            *([name, *(f"{x:.2f}" for x in row)] for name, row in rows),
        ]

    def __repr__(self) -> str:
        return "\n".join(map(tables.as_text, (self.table(), self.correlations())))

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return tables.as_html(self.table()) + tables.as_html(self.correlations())


def zero_cost(
    data: prepared.Prepared,
    space: SearchSpace,
    *,
    target: str = "",
    view: pipeline.View | None = None,
    count: int = 20,
    batch_size: int = 16,
    seed: int = 0,
) -> Ranking:
    """Draws random architectures of a space and scores their networks at initialization.

    All networks have the same seed of their weights and the same batch, half live and half
    spoof, without augmentation. A score is a first look at a space: it is a hypothesis
    about accuracy, which only training measures.

    Args:
      data: prepared data; the batch is from the training split of the source domains.
      space: search space of `search.spaces.get`; the networks are those for retraining.
      target: domain held out for testing; '' for none, or with a protocol.
      view: input of the batch, as of `search_architecture`.
      count: number of architectures, 2 or more.
      batch_size: number of clips of the batch; repeated ones are left out.
      seed: seed of the weights, the batch and the first architecture; the others have the
        next ones.

    Raises:
      InputError: an argument out of range, or an unknown target.
    """
    limits.require(
        data=(data, prepared.DATA),
        space=(space, SPACES),
        view=(view, views.VIEW),
        count=(count, limits.TWO_OR_MORE),
        batch_size=(batch_size, pipeline.BATCH_SIZES),
        seed=(seed, limits.SEED),
    )
    view = view_of(space, view)
    sources, _ = domains(data, target)
    batch = next(
        pipeline.train_batches(
            data,
            domains=sources,
            batch_size=batch_size,
            seed=seed,
            augment="none",
            view=view,
        )
    )
    # A small dataset repeats clips in a batch, and equal images have equal codes.
    flat = batch["image"].reshape(len(batch["image"]), -1)
    different = np.sort(np.unique(flat, axis=0, return_index=True)[1])
    batch = {name: value[different] for name, value in batch.items()}
    seeds = list(range(seed, seed + count))
    genotypes = [space.sample(number) for number in seeds]
    rows = []
    with runtime.Progress("score", count) as progress:
        for one in genotypes:
            rows.append(_scored(one, batch, seed))
            progress(len(rows))
    found: dict[str, Any] = {k: [row[k] for row in rows] for k in rows[0]}
    by_score = {name: np.array(found[name]) for name in scores.SCORES}
    return Ranking(
        genotypes, seeds, by_score, found["parameters"], found["macs"], space.title
    )


def _scored(genotype: Genotype, batch: dict[str, np.ndarray], seed: int) -> dict:
    """The scores and costs of an architecture."""
    net, image, target = (
        nets.SearchedNet(genotype),
        *(jnp.asarray(batch[name]) for name in ("image", "target")),
    )
    shape = (1, *image.shape[1:])
    variables = run_once(
        lambda key, x: net.init(key, x, train=False), jax.random.key(seed), image[:1]
    )
    loss = genotype.space.loss
    return {
        "gradient_norm": scores.gradient_norm(net, variables, image, target, loss),
        "synflow": scores.synflow(
            nets.SearchedNet(scores.plain(genotype)), shape, seed
        ),
        "naswot": scores.naswot(net, variables, image),
        "parameters": nets.parameters(variables),
        "macs": nets.macs(net, shape),
    }
