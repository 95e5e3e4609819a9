"""Zero-cost scores: networks at initialization, ranked without training.

Three scores; higher is better by the hypothesis of their authors. `gradient_norm`
(Abdelfattah et al., ICLR 2021): norm of the gradient of the loss on one batch. `synflow`
(Tanaka et al., NeurIPS 2020): flow through the paths of the network, without data. `naswot`
(Mellor et al., ICML 2021): how differently the ReLUs respond to the images of a batch.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.stats
from jax import Array

from nasfas_jax.compilation import run_once
from nasfas_jax.errors import InputError
from nasfas_jax.layers import ConvBlock, SpatialAttention
from nasfas_jax.search.dag import layers as cells
from nasfas_jax.search.genotype import Genotype

#: Names of the scores.
SCORES = ("gradient_norm", "synflow", "naswot")


def gradient_norm(
    net: nn.Module,
    variables: Any,
    image: Array,
    target: Array,
    loss: Callable[[Array, Array], Array],
) -> float:
    """Euclidean norm of the gradient of the loss by all parameters.

    BatchNorm uses the statistics of the batch.

    Args:
      net: called with images and ``train``.
      variables: its parameters and running averages.
      image: images [N, H, W, C].
      target: targets [N, ...] of the loss.
      loss: of predictions and targets, a scalar.
    """

    def of(params: Any) -> Array:
        given = {**variables, "params": params}
        out, _ = net.apply(given, image, train=True, mutable=["batch_stats"])
        return loss(jnp.asarray(out), target)

    return float(optax.tree.norm(run_once(jax.grad(of), variables["params"])))


def synflow(net: nn.Module, shape: tuple[int, ...], seed: int = 0) -> float:
    """Synaptic flow: the sum over parameters of ``theta dR/dtheta``.

    R is the sum of the outputs of the network in linear form, for an input of ones:
    BatchNorm and spatial attention are the identity, parameters have their absolute values,
    and the outputs are those of the layer ``net.last_layer``, where the network names one,
    without a sigmoid after it. Without normalization values grow with depth, so float64 is
    used.

    Args:
      net: a network without central differences, see `plain`.
      shape: shape of the input, [1, H, W, C].
      seed: seed of the parameters.

    Raises:
      InputError: R is not finite.
    """
    outputs: list[Array] = []
    last = getattr(net, "last_layer", None)

    def linear(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        module = context.module
        if isinstance(module, nn.BatchNorm | SpatialAttention):
            return args[0]
        out = call(*args, **kwargs)
        if module.name == last and context.method_name == "__call__":
            outputs.append(out)
        return out

    def total(params: Any, x: Array) -> Array:
        outputs.clear()
        predicted: Any = net.apply({"params": params}, x, train=False)
        return jnp.stack(
            [out.sum() for out in (outputs if last else [predicted])]
        ).sum()

    def flow(x: Array) -> Array:
        params = net.init(jax.random.key(seed), x, train=False)["params"]
        params = jax.tree.map(jnp.abs, params)
        return jnp.asarray(optax.tree.vdot(params, jax.grad(total)(params, x)))

    with jax.enable_x64(True), nn.intercept_methods(linear):
        found = float(run_once(flow, jnp.ones(shape, jnp.float64)))
    if not np.isfinite(found):
        raise InputError(
            f"synflow: expected a finite flow, got {found} for {type(net).__name__}: its"
            " layers multiply to more than float64 holds. Reduce channels or layers."
        )
    return found


def plain(genotype: Genotype) -> Genotype:
    """The architecture with theta and lambda 0.

    Central differences subtract, so that with positive weights not every path is positive.
    """
    space: Any = genotype.space
    names = (*space.operations, getattr(space, "pool", ""))
    users = {"theta": "cdc", "lam": "cdp"}
    zeros: Any = {name: 0.0 for name, user in users.items() if user in names}
    return dataclasses.replace(genotype, space=dataclasses.replace(space, **zeros))


def naswot(net: nn.Module, variables: Any, image: Array) -> float:
    """``log |det K|``, K the similarity of the images by the signs of their ReLUs.

    ``K[i, j]`` is the number of ReLUs that are on for both images or off for both. BatchNorm
    uses the statistics of the batch.

    Args:
      net: called with images and ``train``.
      variables: its parameters and running averages.
      image: different images [N, H, W, C].

    Returns:
      The logarithm; -inf where K is singular, as with equal codes of two images.

    Raises:
      InputError: no layer with a ReLU, see `relu_codes`.
    """

    def similarity(variables: Any, x: Array) -> Array:
        return hamming_kernel(relu_codes(net, variables, x))

    kernel = np.asarray(run_once(similarity, variables, image), np.float64)
    if np.linalg.matrix_rank(kernel) < len(kernel):
        return -np.inf  # its determinant would be rounding
    return float(np.linalg.slogdet(kernel)[1])


def relu_codes(net: nn.Module, variables: Any, image: Array) -> list[Array]:
    """Whether the input of every ReLU is positive, [N, ...] for each layer in order.

    The calls of the layers of the search spaces are intercepted: a `layers.ConvBlock` ends
    with its ReLU, whose output is positive where its input is; the layers of cells begin
    with theirs. ReLUs of other modules are not recorded.

    Args:
      net: called with images and ``train``.
      variables: its parameters and running averages.
      image: images [N, H, W, C].

    Raises:
      InputError: no such layer with a ReLU.
    """
    codes: list[Array] = []
    first = cells.Conv | cells.Separable | cells.FactorizedReduce

    def record(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        out, module = call(*args, **kwargs), context.module
        if isinstance(module, ConvBlock | first) and getattr(module, "relu", True):
            codes.append((args[0] if isinstance(module, first) else out) > 0)
        return out

    with nn.intercept_methods(record):
        net.apply(variables, image, train=True, mutable=["batch_stats"])
    if not codes:
        raise InputError(
            f"naswot: expected a network with layers of the search spaces that have a ReLU,"
            f" got {type(net).__name__} without any."
        )
    return codes


def hamming_kernel(codes: list[Array]) -> Array:
    """Number of equal bits of every pair of images, [N, N].

    Args:
      codes: binary codes [N, ...], one array per layer.
    """
    count, total = codes[0].shape[0], 0
    for code in codes:
        on = code.reshape(count, -1).astype(jnp.float32)
        total += (on @ on.T + (1 - on) @ (1 - on).T).astype(jnp.int32)
    return jnp.asarray(total)


def rank_correlations(scores: dict[str, np.ndarray]) -> np.ndarray:
    """Spearman's rank correlation of every pair of scores, [scores, scores].

    Equal values share the mean of their ranks; NaN where all values of a score are equal.

    Args:
      scores: values [N] by name.
    """
    ranks = np.stack([scipy.stats.rankdata(values) for values in scores.values()])
    ranks = ranks - ranks.mean(1, keepdims=True)
    norms = np.linalg.norm(ranks, axis=1)
    with np.errstate(invalid="ignore"):
        return ranks @ ranks.T / np.outer(norms, norms)
