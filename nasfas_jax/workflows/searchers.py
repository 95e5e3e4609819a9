"""Search methods and their settings."""

import dataclasses
from typing import Any

import optax

from nasfas_jax.errors import InputError, did_you_mean
from nasfas_jax.methods import meta_nas
from nasfas_jax.methods.state import adam
from nasfas_jax.search.space import SearchSpace


@dataclasses.dataclass(frozen=True)
class MetaNASSettings:
    """Settings of Meta-NAS (NAS-FAS Algorithm 1).

    Attributes:
      alphas_from: step from which on the alphas are updated.
      inner_steps: inner updates per learner.
      inner_learning_rate: rate of the inner updates by SGD (eq. 12).
      learning_rate: rate of Adam for the weights (eq. 13).
      weight_decay: L2 coefficient of the weights.
      eps_root: constant under Adam's root, for the weights; positive where `arch_order`
        is 'exact'.
      alpha_learning_rate: rate of Adam for the alphas (eq. 14).
      alpha_weight_decay: L2 coefficient of the alphas.
      weight_order: 'exact' or 'first', order of eq. 13.
      arch_order: 'exact' or 'first', order of eq. 14.
      mode: differentiation mode, a key of `bilevel.MODES`.
      cost_weight: weight of the relative multiply-adds in the loss of the alphas.
    """

    alphas_from: int = 12
    inner_steps: int = 1
    inner_learning_rate: float = 0.01
    learning_rate: float = 2e-3
    weight_decay: float = 5e-5
    eps_root: float = 1e-8
    alpha_learning_rate: float = 0.02
    alpha_weight_decay: float = 1e-3
    weight_order: str = "exact"
    arch_order: str = "exact"
    mode: str = "forward_over_reverse"
    cost_weight: float = 0.0

    @classmethod
    def of(cls, **settings: Any) -> "MetaNASSettings":
        """Settings by name; those that are absent have their defaults.

        Raises:
          InputError: an unknown name.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in settings:
            if name not in names:
                raise InputError(
                    f"{name}: expected a setting of the search, {', '.join(names)}."
                    f"{did_you_mean(name, names)}"
                )
        return cls(**settings)

    def make_method(self, space: SearchSpace) -> meta_nas.MetaNAS:
        """The search method.

        Raises:
          InputError: a setting out of range.
        """
        return meta_nas.MetaNAS(
            net=space.supernet(),
            inner_optimizer=optax.sgd(self.inner_learning_rate),
            optimizer=adam(
                self.learning_rate,
                weight_decay=self.weight_decay,
                eps_root=self.eps_root,
            ),
            alpha_optimizer=adam(
                self.alpha_learning_rate,
                weight_decay=self.alpha_weight_decay,
                b1=0.5,
            ),
            inner_steps=self.inner_steps,
            weight_order=self.weight_order,
            arch_order=self.arch_order,
            mode=self.mode,
            alphas_from=self.alphas_from,
            cost_weight=self.cost_weight,
        )
