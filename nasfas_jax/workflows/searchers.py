"""Search methods and their settings."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import optax

from nasfas_jax import limits
from nasfas_jax.errors import InputError, did_you_mean
from nasfas_jax.methods import darts, meta_nas
from nasfas_jax.methods.state import BELOW_ONE, adam
from nasfas_jax.search.cost import COSTS
from nasfas_jax.search.space import SearchSpace

#: Optimizers of the weights: Adam, gradient descent, and descent with momentum 0.9.
OPTIMIZERS = ("adam", "sgd", "momentum")
DECAYS = ("constant", "cosine")


def _optimizer(
    name: str,
    rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float,
    eps_root: float = 0.0,
) -> optax.GradientTransformation:
    """An optimizer of `OPTIMIZERS`, with L2 regularization inside the gradient.

    Raises:
      InputError: an unknown name, or a number out of range.
    """
    limits.require(optimizer=(name, limits.OneOf(OPTIMIZERS)))
    if name == "adam":
        return adam(rate, weight_decay=weight_decay, eps_root=eps_root)
    if not callable(rate):
        limits.require(learning_rate=(rate, limits.POSITIVE))
    limits.require(weight_decay=(weight_decay, limits.NOT_NEGATIVE))
    momentum = 0.9 if name == "momentum" else None
    return optax.chain(
        optax.add_decayed_weights(weight_decay), optax.sgd(rate, momentum=momentum)
    )


def _alpha_optimizer(settings: Any) -> optax.GradientTransformation:
    """Adam for the alphas.

    Raises:
      InputError: a setting out of range, by its name.
    """
    limits.require(
        alpha_learning_rate=(settings.alpha_learning_rate, limits.POSITIVE),
        alpha_momentum=(settings.alpha_momentum, BELOW_ONE),
        alpha_weight_decay=(settings.alpha_weight_decay, limits.NOT_NEGATIVE),
    )
    return adam(
        settings.alpha_learning_rate,
        weight_decay=settings.alpha_weight_decay,
        b1=settings.alpha_momentum,
    )


@dataclasses.dataclass(frozen=True)
class MetaNASSettings:
    """Settings of Meta-NAS (NAS-FAS Algorithm 1).

    Attributes:
      alphas_from: step from which on the alphas are updated.
      inner_steps: inner updates per learner.
      inner_learning_rate: rate of the inner updates by SGD (eq. 12).
      optimizer: optimizer of the weights (eq. 13), one of `OPTIMIZERS`: 'adam' as in
        sec. 6.1, or 'sgd' as the equation is written.
      learning_rate: its rate.
      weight_decay: L2 coefficient of the weights.
      eps_root: constant under Adam's root, for the weights; positive where `arch_order`
        is 'exact' and `optimizer` 'adam'.
      alpha_learning_rate: rate of Adam for the alphas (eq. 14).
      alpha_momentum: decay of the first moment of this Adam.
      alpha_weight_decay: L2 coefficient of the alphas.
      weight_order: 'exact' or 'first', order of eq. 13.
      arch_order: 'exact', 'second' or 'first', order of eq. 14, see `meta_nas.MetaNAS`.
      exact_from: step from which on these orders apply; those before are of first order.
      mode: differentiation mode, a key of `bilevel.MODES`.
      shared_alphas: whether all cells have the same alphas.
      sample_temperature: temperature of Gumbel-softmax samples in the place of the
        mixtures softmax(alpha), see `search_method.SearchMethod`; None: no samples.
      cost_weight: weight of the relative cost in the loss of the alphas.
      cost: 'macs', 'parameters' or 'latency' on this device, a name of `search.cost.COSTS`.
    """

    alphas_from: int = 12
    inner_steps: int = 1
    inner_learning_rate: float = 0.01
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    weight_decay: float = 5e-5
    eps_root: float = 1e-8
    alpha_learning_rate: float = 0.02
    alpha_momentum: float = 0.5
    alpha_weight_decay: float = 1e-3
    weight_order: str = "exact"
    arch_order: str = "exact"
    mode: str = "forward_over_reverse"
    exact_from: int = 0
    shared_alphas: bool = False
    sample_temperature: float | None = None
    cost_weight: float = 0.0
    cost: str = "macs"

    def __post_init__(self):
        limits.require(cost=(self.cost, limits.OneOf(COSTS)))

    def make_method(self, space: SearchSpace, *, steps: int = 1) -> meta_nas.MetaNAS:
        """The search method.

        Args:
          space: the search space.
          steps: number of search steps; no rate depends on it.

        Raises:
          InputError: a setting out of range.
        """
        del steps
        return meta_nas.MetaNAS(
            net=space.supernet(),
            inner_optimizer=optax.sgd(self.inner_learning_rate),
            optimizer=_optimizer(
                self.optimizer,
                self.learning_rate,
                weight_decay=self.weight_decay,
                eps_root=self.eps_root,
            ),
            alpha_optimizer=_alpha_optimizer(self),
            inner_steps=self.inner_steps,
            weight_order=self.weight_order,
            arch_order=self.arch_order,
            mode=self.mode,
            alphas_from=self.alphas_from,
            exact_from=self.exact_from,
            shared_alphas=self.shared_alphas,
            sample_temperature=self.sample_temperature,
            cost_weight=self.cost_weight,
        )


@dataclasses.dataclass(frozen=True)
class DARTSSettings:
    """Settings of DARTS and PC-DARTS; defaults of NAS-FAS sec. 6.1, but for the warm-up.

    The inner step of eq. 11 is plain gradient descent at the rate of the weights.

    Attributes:
      alphas_from: first step that updates the alphas.
      optimizer: optimizer of the weights, one of `OPTIMIZERS`.
      learning_rate: its rate (eq. 10).
      decay: course of this rate, 'constant' or 'cosine', to 0.
      weight_decay: L2 coefficient of the weights.
      alpha_learning_rate: rate of Adam for the alphas (eq. 11).
      alpha_momentum: decay of the first moment of this Adam.
      alpha_weight_decay: L2 coefficient of the alphas.
      arch_order: 'exact' or 'first', order of eq. 11.
      exact_from: step from which on it applies; those before are of first order.
      mode: differentiation mode, a key of `bilevel.MODES`.
      shared_alphas: whether all cells have the same alphas.
      sample_temperature: temperature of Gumbel-softmax samples in the place of the
        mixtures softmax(alpha), see `search_method.SearchMethod`; None: no samples.
      cost_weight: weight of the relative cost in the loss of the alphas.
      cost: 'macs', 'parameters' or 'latency' on this device, a name of `search.cost.COSTS`.
    """

    alphas_from: int = 0
    optimizer: str = "adam"
    learning_rate: float = 1e-4
    decay: str = "constant"
    weight_decay: float = 5e-5
    alpha_learning_rate: float = 6e-4
    alpha_momentum: float = 0.5
    alpha_weight_decay: float = 1e-3
    arch_order: str = "exact"
    mode: str = "forward_over_reverse"
    exact_from: int = 0
    shared_alphas: bool = False
    sample_temperature: float | None = None
    cost_weight: float = 0.0
    cost: str = "macs"

    def __post_init__(self):
        limits.require(cost=(self.cost, limits.OneOf(COSTS)))

    def make_method(self, space: SearchSpace, *, steps: int = 1) -> darts.DARTS:
        """The search method.

        Args:
          space: the search space.
          steps: number of search steps, the length of the decay.

        Raises:
          InputError: a setting out of range.
        """
        limits.require(
            decay=(self.decay, limits.OneOf(DECAYS)),
            learning_rate=(self.learning_rate, limits.POSITIVE),
        )
        rate = self.learning_rate
        if self.decay == "cosine":
            rate = optax.cosine_decay_schedule(rate, steps)
        return darts.DARTS(
            net=space.supernet(),
            inner_optimizer=optax.sgd(self.learning_rate),
            optimizer=_optimizer(self.optimizer, rate, weight_decay=self.weight_decay),
            alpha_optimizer=_alpha_optimizer(self),
            arch_order=self.arch_order,
            mode=self.mode,
            alphas_from=self.alphas_from,
            exact_from=self.exact_from,
            shared_alphas=self.shared_alphas,
            sample_temperature=self.sample_temperature,
            cost_weight=self.cost_weight,
        )


@dataclasses.dataclass(frozen=True)
class RandomSettings:
    """Settings of random search, which has none: it takes a random architecture."""


#: Settings by the name of the method.
METHODS: Mapping[str, type] = {
    "meta_nas": MetaNASSettings,
    "darts": DARTSSettings,
    "random": RandomSettings,
}
#: Settings of Auto-FAS (sec. 3.3) for the method 'darts'.
AUTO_FAS: Mapping[str, Any] = {
    "optimizer": "momentum",
    "learning_rate": 0.05,
    "decay": "cosine",
    "weight_decay": 1e-4,
    "alpha_learning_rate": 6e-3,
    "alpha_weight_decay": 1e-3,
    "arch_order": "exact",
}


def settings_of(method: str, **settings: Any) -> Any:
    """Settings of a search method by name; those that are absent have their defaults.

    Args:
      method: a key of `METHODS`.
      **settings: fields of its settings.

    Raises:
      InputError: an unknown method or setting.
    """
    limits.require(method=(method, limits.OneOf(METHODS)))
    names = [field.name for field in dataclasses.fields(METHODS[method])]
    for name in settings:
        if name not in names:
            raise InputError(
                f"expected a setting of the search {method!r}, "
                f"{', '.join(names) or 'which has none'}.{did_you_mean(name, names)}",
                field=name,
            )
    return METHODS[method](**settings)
