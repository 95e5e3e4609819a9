"""RFMeta's three networks, and the base class and loss of the methods that train them."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from nasfas_jax import limits, ops
from nasfas_jax.layers import KEEP_CONVOLUTIONS
from nasfas_jax.methods.state import TrainState
from nasfas_jax.ops import platform

REDUCTIONS = {"sum": jnp.sum, "mean": jnp.mean}


@dataclasses.dataclass(frozen=True)
class FeatureNets:
    """F, M and D, the networks of RFMeta and of the methods compared with it.

    BatchNorm uses the statistics of each batch. The method decides which batches enter
    its running averages (`rfmeta.AVERAGES`).

    Attributes:
      extractor: F, from images to (features for M, features for D).
      learner: M, from features to logits.
      estimator: D, from features to maps.
      depth_weight: w, weight of the depth loss; 1 in the paper, 10 in the authors' code.
      loss_reduction: 'sum' over samples and pixels as in the paper, or 'mean' over
        them as in the authors' code.
    """

    extractor: nn.Module
    learner: nn.Module
    estimator: nn.Module
    depth_weight: float = 10.0
    loss_reduction: str = "mean"

    def __post_init__(self):
        limits.require(
            depth_weight=(self.depth_weight, limits.NOT_NEGATIVE),
            loss_reduction=(self.loss_reduction, limits.OneOf(REDUCTIONS)),
        )

    def init(self, key: Array, image: ArrayLike) -> tuple[dict, dict]:
        """``(params, batch_stats)``, each ``{'F': ..., 'M': ..., 'D': ...}``."""
        keys = jax.random.split(key, 3)
        extractor = self.extractor.init(keys[0], image, train=False)
        features, joined = self._run("F", extractor, image)
        variables = {
            "F": extractor,
            "M": self.learner.init(keys[1], features, train=False),
            "D": self.estimator.init(keys[2], joined, train=False),
        }
        params = {name: v["params"] for name, v in variables.items()}
        return params, {name: v["batch_stats"] for name, v in variables.items()}

    def features(self, params: dict, stats: dict, batch: dict) -> tuple:
        """Features for M, ``w Dep`` and the new averages of F and D, for one batch.

        The backward pass stores the outputs of convolutions alone. (XLA's CPU backend
        merges the recomputation with the first computation and stores everything.)
        """
        features = jax.checkpoint(self._features, policy=KEEP_CONVOLUTIONS)
        return features(params, stats, batch)

    def _features(self, params: dict, stats: dict, batch: dict) -> tuple:
        (features, joined), new_f = self.extractor.apply(
            {"params": params["F"], "batch_stats": stats["F"]},
            batch["image"],
            train=True,
            mutable=["batch_stats"],
        )
        maps, new_d = self.estimator.apply(
            {"params": params["D"], "batch_stats": stats["D"]},
            joined,
            train=True,
            mutable=["batch_stats"],
        )
        target = ops.average_to(batch["target"][..., None], maps.shape[1:])[..., 0]
        error = maps.astype(target.dtype) - target
        depth = REDUCTIONS[self.loss_reduction](error**2)
        new = {"F": new_f["batch_stats"], "D": new_d["batch_stats"]}
        return features, self.depth_weight * depth, new

    def classification(
        self, learner: Any, stats: Any, features: Array, label: Array
    ) -> tuple[Array, Any]:
        """``Cls`` of features for given parameters of M, and M's new averages."""
        logits, new = self.learner.apply(
            {"params": learner, "batch_stats": stats},
            features,
            train=True,
            mutable=["batch_stats"],
        )
        entropy = optax.sigmoid_binary_cross_entropy(logits, label.astype(logits.dtype))
        return REDUCTIONS[self.loss_reduction](entropy), new["batch_stats"]

    @platform.full_precision
    def predict(self, params: dict, batch_stats: dict, image: Array) -> Array:
        """``sigmoid(M(F(x)))`` of images [B, S, S, C], as maps [B, 1, 1]."""
        variables = {
            name: {"params": params[name], "batch_stats": batch_stats[name]}
            for name in ("F", "M")
        }
        features, _ = self._run("F", variables["F"], image)
        return nn.sigmoid(self._run("M", variables["M"], features))[:, None, None]

    def attention(self, params: dict, batch_stats: dict, image: Array) -> Array:
        """Grad-CAM maps [B, S/8, S/8] for the live class, not negative.

        Class activation maps of F's features, each channel weighted by the mean derivative
        of the logit (Grad-CAM, ICCV 2017). The paper's figure 6 uses M's last map, which is
        too small for small faces.
        """
        variables = {
            name: {"params": params[name], "batch_stats": batch_stats[name]}
            for name in ("F", "M")
        }
        features, _ = self._run("F", variables["F"], image)
        d_logit = jax.grad(lambda z: self._run("M", variables["M"], z).sum())(features)
        weights = d_logit.mean((1, 2), keepdims=True)
        return nn.relu((weights * features).sum(-1))

    def _run(self, name: str, variables: Any, x: ArrayLike) -> Any:
        """Output of one network, with running averages."""
        net = {"F": self.extractor, "M": self.learner, "D": self.estimator}[name]
        return net.apply(variables, x, train=False)


@dataclasses.dataclass(frozen=True)
class FeatureMethod:
    """Base of the methods that train `FeatureNets`; each adds its ``step``.

    Attributes:
      nets: F, M and D.
      optimizer: optimizer of the three together.
    """

    nets: FeatureNets
    optimizer: optax.GradientTransformation

    def init(self, key: Array, image: ArrayLike) -> TrainState:
        """Fresh state for images like ``image`` [1, S, S, C]."""
        params, batch_stats = self.nets.init(key, image)
        return TrainState(
            jnp.zeros((), jnp.int32), params, batch_stats, self.optimizer.init(params)
        )

    def predict(self, params: dict, batch_stats: dict, image: Array) -> Array:
        """Maps [B, 1, 1] of images [B, S, S, C], see `FeatureNets.predict`."""
        return self.nets.predict(params, batch_stats, image)


def join(episode: dict) -> dict:
    """All domains of an episode as one batch, the query domain's last."""
    return jax.tree.map(
        lambda s, q: jnp.concatenate([s.reshape(-1, *s.shape[2:]), q]),
        episode["support"],
        episode["query"],
    )


def loss(nets: FeatureNets, params: dict, stats: dict, batch: dict) -> tuple:
    """``Cls + w Dep`` of a batch, and (the new running averages, metrics)."""
    features, depth, new = nets.features(params, stats, batch)
    cls, new["M"] = nets.classification(
        params["M"], stats["M"], features, batch["label"]
    )
    return cls + depth, (new, {"cls": cls, "depth": depth})
