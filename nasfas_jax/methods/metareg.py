"""MetaReg (NeurIPS 2018), compared in RFMeta Table 2: a regularizer learned across domains.

Every domain has its own classifier T_i. T_a is trained on domain a for a few steps with the
weighted L1 norm R as regularizer, and evaluated on another domain b; the weights ``phi`` of
R follow that loss, differentiated through the steps:

    T' = T_a - g d[Cls_a(T) + R_phi(T)]/dT, l times;    phi = phi - e dCls_b(T')/dphi

The original then trains a new network with R_phi. Here both are trained together: M learns
on all domains jointly with the current phi, and the features follow M's loss alone.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh
from jax.typing import ArrayLike

from nasfas_jax import bilevel, limits
from nasfas_jax.methods import feature_nets
from nasfas_jax.methods.episodes import over_episodes
from nasfas_jax.methods.feature_nets import FeatureMethod
from nasfas_jax.methods.state import MODES, TrainState, update
from nasfas_jax.ops import platform


@dataclasses.dataclass(frozen=True)
class MetaReg(FeatureMethod):
    """Step of MetaReg.

    Attributes:
      nets: F, M and D.
      optimizer: optimizer of F, M and D together.
      domains: N, number of domains per episode.
      task_learning_rate: g, learning rate of the domains' classifiers.
      regularizer_learning_rate: e, learning rate of ``phi``.
      inner_steps: l, number of inner updates.
      mode: differentiation mode, a name of `bilevel.MODES` or a mode.
      mesh: mesh for several episodes per step, see `over_episodes`; None: one episode.
    """

    domains: int
    task_learning_rate: float = 1e-2
    regularizer_learning_rate: float = 1e-2
    inner_steps: int = 2
    mode: bilevel.AnyMode = "forward_over_reverse"
    mesh: Mesh | None = None

    batches = "episodes"

    def __post_init__(self):
        limits.require(
            domains=(self.domains, limits.Range(2, whole=True)),
            task_learning_rate=(self.task_learning_rate, limits.POSITIVE),
            regularizer_learning_rate=(
                self.regularizer_learning_rate,
                limits.NOT_NEGATIVE,
            ),
            mode=(self.mode, MODES),
            inner_steps=(self.inner_steps, limits.COUNT),
        )

    def init(self, key: Array, image: ArrayLike) -> TrainState:
        """Initial state; ``params`` has 'tasks' [N, ...] and 'phi' besides F, M, D."""
        params, batch_stats = self.nets.init(key, image)
        learner = params["M"]
        tasks = jax.tree.map(lambda x: jnp.stack([x] * self.domains), learner)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params={
                **params,
                "tasks": tasks,
                "phi": jax.tree.map(jnp.zeros_like, learner),
            },
            batch_stats=batch_stats,
            opt_state=self.optimizer.init(params),
        )

    @platform.full_precision
    def step(self, state: TrainState, episode: dict) -> tuple[TrainState, dict]:
        """One update on an episode; its ``query_domain`` is the index of the query domain.

        With a mesh, E episodes on a leading axis. All start from the same T_i and phi and
        make one plain gradient step, so the mean of the results is the step by the mean.
        """
        result, learned = over_episodes(self._learn, self.mesh)(state, episode)
        (value, (batch_stats, metrics)), grads = result
        params = {name: state.params[name] for name in grads}
        new, metrics = update(
            self.optimizer,
            dataclasses.replace(state, params=params),
            value,
            grads,
            batch_stats,
            metrics,
        )
        return dataclasses.replace(new, params={**new.params, **learned}), metrics

    def _learn(self, state: TrainState, episode: dict) -> tuple[Any, dict]:
        """Gradient of the networks, and the new 'tasks' and 'phi', for one episode."""
        params = dict(state.params)
        tasks, phi = params.pop("tasks"), params.pop("phi")
        batch = feature_nets.join(
            {name: episode[name] for name in ("support", "query")}
        )

        def objective(params):
            value, (batch_stats, metrics) = feature_nets.loss(
                self.nets, params, state.batch_stats, batch
            )
            penalty = weighted_l1(phi, params["M"])
            return value + penalty, (batch_stats, {**metrics, "regularizer": penalty})

        result = jax.value_and_grad(objective, has_aux=True)(params)
        tasks, phi = self._learn_regularizer(state, tasks, phi, episode)
        return result, {"tasks": tasks, "phi": phi}

    def _learn_regularizer(self, state, tasks, phi, episode) -> tuple[Any, Any]:
        """Classifiers of the domains and weights of the regularizer after a step."""

        def features(batch):
            return self.nets.features(state.params, state.batch_stats, batch)[0]

        def cls(task, _, batch):
            return self.nets.classification(
                task, state.batch_stats["M"], batch["z"], batch["label"]
            )[0]

        def regularized(task, phi, batch):
            return cls(task, phi, batch) + weighted_l1(phi, task)

        joined = jax.tree.map(
            lambda s, q: jnp.concatenate([s, q[None]]),
            episode["support"],
            episode["query"],
        )
        batches = {"z": jax.lax.map(features, joined), "label": joined["label"]}
        # Batches are in the order of the domains, except that the query's is last.
        query = jnp.asarray(episode["query_domain"], jnp.int32)
        others = jnp.arange(self.domains - 1, dtype=jnp.int32)
        order = jnp.append(jnp.where(others >= query, others + 1, others), query)
        in_order = jax.tree.map(lambda x: x[order], tasks)

        a = state.step % (self.domains - 1)

        def take(tree, i):
            return jax.tree.map(lambda x: x[i], tree)

        meta = bilevel.hypergradient(
            cls,
            jax.grad(regularized, (0, 1)),
            take(in_order, a),
            phi,
            inner_batch=take(batches, a),
            outer_batch=take(batches, -1),
            optimizer=optax.sgd(self.task_learning_rate),
            steps=self.inner_steps,
            mode=self.mode,
        )
        new_phi = descend(phi, meta.hyper, self.regularizer_learning_rate)

        def learn(pair):
            task, batch = pair
            grads = jax.grad(cls)(task, phi, batch)
            return descend(task, grads, self.task_learning_rate)

        learned = jax.lax.map(learn, (in_order, batches))
        return jax.tree.map(lambda x, y: x.at[order].set(y), tasks, learned), new_phi


def weighted_l1(phi: Any, params: Any) -> Array:
    """``R_phi = sum_k phi_k |T_k|``."""
    return jnp.asarray(optax.tree.vdot(phi, jax.tree.map(jnp.abs, params)))


def descend(params: Any, grads: Any, rate: float) -> Any:
    """One step of plain gradient descent."""
    return jax.tree.map(lambda p, g: p - rate * g, params, grads)
