"""Base class of search methods, and their state."""

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.typing import ArrayLike

from nasfas_jax import bilevel, limits
from nasfas_jax.errors import InputError
from nasfas_jax.ops import platform


@struct.dataclass
class SearchState:
    """Everything that a search step changes.

    Attributes:
      step: number of steps taken, a scalar int32.
      params: weights of the supernet.
      alphas: architecture parameters.
      batch_stats: running averages of BatchNorm.
      opt_state: state of the optimizer of the weights.
      alpha_opt_state: state of the optimizer of the alphas.
      key: data of the random key of sampled paths; () without them.
    """

    step: jax.Array
    params: Any
    alphas: Any
    batch_stats: Any
    opt_state: Any
    alpha_opt_state: Any
    key: Any = ()


class SearchMethod(abc.ABC):
    """Base class of search methods: initial state, loss of a supernet, and alphas.

    Shared alphas are equal ``{cell: alphas}`` of all cells, which remain equal since each
    is updated by the sum of their derivatives.

    A sampled path of a step gives the supernet the alphas ``(alpha + g) / tau`` with Gumbel
    noise g, so that its mixtures are samples of the Gumbel-softmax distribution (Jang et
    al., ICLR 2017): near one-hot for a small temperature tau, the candidate k with the
    probability ``softmax(alpha)_k`` the largest. All passes of a step use one sample.
    Derivatives are those of the loss for constant g, of all orders.
    """

    net: Any
    optimizer: optax.GradientTransformation
    alpha_optimizer: optax.GradientTransformation
    cost: Callable[[Any], jax.Array] | None
    loss: Callable[[jax.Array, jax.Array], jax.Array] | None
    cost_weight: float
    alphas_from: int
    exact_from: int
    shared_alphas: bool
    sample_temperature: float | None

    @abc.abstractmethod
    def _in_first_order(self) -> "SearchMethod":
        """Returns this method with first-order derivatives by weights and alphas."""

    @abc.abstractmethod
    def _step(self, state: SearchState, episode: dict) -> tuple[SearchState, dict]:
        """`step` in the orders of the method."""

    @abc.abstractmethod
    def _alpha_gradient(self, state: SearchState, episode: dict) -> tuple[Any, Any]:
        """`alpha_gradient` in the orders of the method, by `given` alphas."""

    def _in_order(self, run: Callable[..., Any], state: SearchState, episode: dict):
        """``run(method)(state, episode)``, in first order before ``exact_from``."""
        if not self.exact_from:
            return run(self)(state, episode)
        exact, first = run(self), run(self._in_first_order())
        return jax.lax.cond(state.step >= self.exact_from, exact, first, state, episode)

    @platform.full_precision
    def step(self, state: SearchState, episode: dict) -> tuple[SearchState, dict]:
        """The state after one step on an episode, and its metrics.

        Args:
          state: the state before.
          episode: ``support``: ``image`` [G, B, S, S, 3] and ``target`` [G, B, h, w] of G
            groups; ``query``: the same without the first axis. With a mesh, E of them on a
            leading axis.
        """
        return self._in_order(lambda method: method._step, state, episode)

    @platform.full_precision
    def alpha_gradient(self, state: SearchState, episode: dict) -> tuple[Any, Any]:
        """Query loss of a step, and its derivative by the alphas that the step follows.

        Without the relative cost, the regularization and the warm-up of the alphas.

        Args:
          state: the state before the step.
          episode: as in ``step``.
        """
        loss, grads = self._in_order(
            lambda method: method._alpha_gradient, self.given(state), episode
        )
        return loss, self._summed(self._by_alphas(grads))

    def given(self, state: SearchState) -> SearchState:
        """The state with the alphas that the supernet is given: sampled, if any are."""
        if self.sample_temperature is None:
            return state
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
        leaves, tree = jax.tree.flatten(state.alphas)
        keys = jax.random.split(key, len(leaves))
        sampled = [
            (alpha + jax.random.gumbel(k, alpha.shape, alpha.dtype))
            / self.sample_temperature
            for alpha, k in zip(leaves, keys, strict=True)
        ]
        return dataclasses.replace(state, alphas=jax.tree.unflatten(tree, sampled))

    def _by_alphas(self, grads: Any) -> Any:
        """Derivatives by the alphas from those by the alphas that the net is given."""
        if self.sample_temperature is None:
            return grads
        return jax.tree.map(lambda g: g / self.sample_temperature, grads)

    def _summed(self, grads: Any) -> Any:
        """Sum of the derivatives by the alphas of all cells in each, if shared."""
        if not self.shared_alphas:
            return grads
        cells = list(self.net.space.cells)
        total = jax.tree.map(lambda *each: sum(each), *(grads[name] for name in cells))
        return {**grads, **dict.fromkeys(cells, total)}

    def _updated_alphas(
        self, state: SearchState, grads: Any, d_cost: Any
    ) -> tuple[Any, optax.OptState]:
        """New alphas, and the new state of their optimizer.

        Args:
          state: the state before.
          grads: derivatives of the loss by the alphas that the supernet was given.
          d_cost: derivatives of the relative cost by the alphas.
        """
        grads = jax.tree.map(
            lambda g, c: g + self.cost_weight * c, self._by_alphas(grads), d_cost
        )
        return bilevel.apply_update(
            self.alpha_optimizer,
            state.alphas,
            state.alpha_opt_state,
            self._summed(grads),
        )

    def relative_cost(self, alphas: Any) -> jax.Array:
        """The relative cost of alphas that ``cost_weight`` weights, a scalar."""
        return (self.net.space.relative_macs if self.cost is None else self.cost)(
            alphas
        )

    def init(self, key: jax.Array, image: ArrayLike) -> SearchState:
        """Initial state for images like ``image`` [1, S, S, 3]."""
        alpha_key, param_key = jax.random.split(key)
        alphas = self.net.space.init_alphas(alpha_key, jnp.result_type(image))
        if self.shared_alphas:
            alphas = _shared(alphas, self.net.space)
        sampled = self.sample_temperature is not None
        variables = self.net.init(param_key, image, alphas, train=False)
        return SearchState(
            step=jnp.zeros((), jnp.int32),
            params=variables["params"],
            alphas=alphas,
            batch_stats=variables["batch_stats"],
            opt_state=self.optimizer.init(variables["params"]),
            alpha_opt_state=self.alpha_optimizer.init(alphas),
            key=jax.random.key_data(jax.random.fold_in(key, 2)) if sampled else (),
        )

    @platform.full_precision
    def supernet_loss(
        self, params: Any, alphas: Any, batch_stats: Any, batch: dict
    ) -> jax.Array:
        """``L(B, phi, alpha)``, with the batch's statistics in BatchNorm; a scalar.

        Args:
          params: ``phi``.
          alphas: ``alpha``.
          batch_stats: running averages of BatchNorm, which it does not depend on.
          batch: ``image`` [B, S, S, 3] and ``target`` [B, h, w].
        """
        return self._loss(params, alphas, batch_stats, batch)[0]

    def _loss(
        self, params: Any, alphas: Any, batch_stats: Any, batch: dict
    ) -> tuple[jax.Array, Any]:
        """``L(B, phi, alpha)``, and the new running averages."""
        predicted, new = self.net.apply(
            {"params": params, "batch_stats": batch_stats},
            batch["image"],
            alphas,
            train=True,
            mutable=["batch_stats"],
        )
        loss = self.net.space.loss if self.loss is None else self.loss
        target = batch["target"]
        return loss(predicted.astype(target.dtype), target), new["batch_stats"]

    @functools.cached_property
    def _loss_alone(self) -> Callable[..., jax.Array]:
        """`_loss` without the averages, traced once for all of its derivatives."""
        return jax.jit(lambda *arguments: self._loss(*arguments)[0])


def _shared(alphas: Any, space: Any) -> Any:
    """The alphas with those of the first cell in every cell.

    Raises:
      InputError: cells whose alphas differ in shape.
    """
    cells = list(space.cells)
    shapes = [jax.tree.map(jnp.shape, alphas[name]) for name in cells]
    if any(shape != shapes[0] for shape in shapes):
        raise InputError(
            "expected False, since the cells of this search space differ in their edges or"
            f" operations: {dict(zip(cells, shapes, strict=True))}.",
            field="shared_alphas",
        )
    return {**alphas, **dict.fromkeys(cells, alphas[cells[0]])}


def levers(method: SearchMethod) -> dict[str, tuple[Any, limits.Allowed]]:
    """The common settings of search methods with their limits, for `limits.require`."""
    return {
        "alphas_from": (method.alphas_from, limits.COUNT_OR_NONE),
        "exact_from": (method.exact_from, limits.COUNT_OR_NONE),
        "shared_alphas": (method.shared_alphas, limits.FLAG),
        "sample_temperature": (
            method.sample_temperature,
            limits.OrNone(limits.POSITIVE),
        ),
        "cost_weight": (method.cost_weight, limits.NOT_NEGATIVE),
    }
