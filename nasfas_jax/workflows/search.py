"""Searching an architecture on the source domains of prepared data."""

import contextlib
import dataclasses
import pathlib
import tempfile
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax

from nasfas_jax import files, nets, runtime
from nasfas_jax.data.loading import pipeline, prepared, provenance
from nasfas_jax.methods import meta_nas
from nasfas_jax.methods.state import adam
from nasfas_jax.search import genotype, spaces
from nasfas_jax.search.space import SearchSpace
from nasfas_jax.theta import Learned
from nasfas_jax.workflows import records
from nasfas_jax.workflows.data import domains


@dataclasses.dataclass(frozen=True, repr=False)
class Found:
    """An architecture found by a search.

    Attributes:
      genotype: the architecture.
      alphas: architecture weights at the end, ``{cell: [edges, operations]}``.
      metrics: logged metrics, one dictionary per logged step.
      learned: training data of the search.
    """

    genotype: genotype.Genotype
    alphas: dict[str, np.ndarray]
    metrics: list[dict[str, Any]]
    learned: provenance.Provenance

    @property
    def net(self) -> nn.Module:
        """The network to train."""
        return nets.SearchedNet(self.genotype)

    def __repr__(self) -> str:
        cells = self.genotype.as_dict()["cells"]
        return "\n".join(f"{name}: {' -> '.join(ops)}" for name, ops in cells.items())


def search_architecture(
    data: prepared.Prepared,
    space: SearchSpace,
    *,
    target: str = "",
    theta: float | Learned | None = None,
    lam: float | Learned | None = None,
    steps: int = 48,
    alphas_from: int = 12,
    batch_size: int = 4,
    learning_rate: float = 2e-3,
    weight_decay: float = 5e-5,
    inner_learning_rate: float = 0.01,
    inner_steps: int = 1,
    alpha_learning_rate: float = 0.02,
    alpha_weight_decay: float = 1e-3,
    weight_order: str = "exact",
    arch_order: str = "exact",
    mode: str = "forward_over_reverse",
    cost_weight: float = 0.0,
    seed: int = 0,
    folder: str | pathlib.Path | None = None,
    log_every: int = 2,
    save_every: int = 20,
) -> Found:
    """Searches by Domain-aware Meta-NAS (NAS-FAS Algorithm 1).

    Args:
      data: prepared data, see `data.open_data`; two or more source domains.
      space: search space of `search.spaces.get`.
      target: domain held out for testing; '' searches on all domains.
      theta: share of central differences in the convolutions of the supernet and of the
        network that is found, see `theta`; None for the space's own.
      lam: share of central differences in the pooling, likewise.
      steps: number of search steps.
      alphas_from: step from which on the alphas are updated.
      batch_size: clips of each domain in an episode.
      learning_rate: rate of Adam for the weights (eq. 13).
      weight_decay: L2 coefficient of the weights.
      inner_learning_rate: rate of the inner updates by SGD (eq. 12).
      inner_steps: inner updates per learner.
      alpha_learning_rate: rate of Adam for the alphas (eq. 14).
      alpha_weight_decay: L2 coefficient of the alphas.
      weight_order: 'exact' or 'first', order of eq. 13.
      arch_order: 'exact' or 'first', order of eq. 14.
      mode: differentiation mode, a key of `bilevel.MODES`.
      cost_weight: weight of the relative multiply-adds in the loss of the alphas.
      seed: seed of weights, alphas, order and augmentation.
      folder: folder for checkpoints and metrics, from which an interrupted search
        resumes; a temporary one if None.
      log_every: steps between lines of metrics.
      save_every: steps between checkpoints.

    Raises:
      InputError: a setting out of range, an unknown target, fewer than two source
        domains, or a ``folder`` with other settings or data.
      Stopped: by a signal, after a checkpoint.
      Diverged: the loss is not finite.
    """
    sources, _ = domains(data, target)
    weights = {"theta": theta, "lam": lam}
    weights = {name: value for name, value in weights.items() if value is not None}
    space = spaces.with_options(space, **weights)
    method = meta_nas.MetaNAS(
        net=space.supernet(),
        inner_optimizer=optax.sgd(inner_learning_rate),
        optimizer=adam(learning_rate, weight_decay=weight_decay, eps_root=1e-8),
        alpha_optimizer=adam(
            alpha_learning_rate, weight_decay=alpha_weight_decay, b1=0.5
        ),
        inner_steps=inner_steps,
        weight_order=weight_order,
        arch_order=arch_order,
        mode=mode,
        alphas_from=alphas_from,
        cost_weight=cost_weight,
    )
    given = {"batch_size": batch_size, "learning_rate": learning_rate}
    given |= {"weight_decay": weight_decay, "inner_steps": inner_steps}
    given |= {"inner_learning_rate": inner_learning_rate, "alphas_from": alphas_from}
    given |= {"alpha_learning_rate": alpha_learning_rate, "mode": mode}
    given |= {"alpha_weight_decay": alpha_weight_decay, "cost_weight": cost_weight}
    given |= {"weight_order": weight_order, "arch_order": arch_order}
    options = dataclasses.asdict(space).items()
    options = {name: value for name, value in options if value is not None}
    settings = {"seed": seed, "search": given, "space": {"name": space.name, **options}}
    learned = provenance.Provenance.of(data, sources)
    record = records.Record(records.decisive(settings), learned, [steps])
    episodes = pipeline.episodes(
        data,
        domains=sources,
        batch_size=batch_size,
        seed=seed,
        map_size=space.map_size,
    )
    size = data.recipe.image_size
    with contextlib.ExitStack() as stack:
        path = pathlib.Path(
            folder or stack.enter_context(tempfile.TemporaryDirectory())
        )
        stack.enter_context(files.locked(path))
        records.begin(path, record)
        state = jax.jit(method.init)(
            jax.random.key(seed), np.zeros((1, size, size, 3), np.float32)
        )
        state, _ = runtime.fit(
            "search",
            method.step,
            state,
            episodes,
            steps=steps,
            folder=path,
            log_every=log_every,
            save_every=save_every,
            batch_axes=runtime.episode_axes(1),
        )
        metrics = runtime.read_metrics(path)
    alphas = jax.device_get(state.alphas)
    return Found(space.derive(alphas), alphas, metrics, learned)
