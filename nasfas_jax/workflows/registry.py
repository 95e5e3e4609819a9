"""Networks and methods by name: JSON descriptions, and what is built from them."""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import optax

from nasfas_jax import limits, losses, nets
from nasfas_jax.data.loading.views import View
from nasfas_jax.errors import InputError
from nasfas_jax.methods import (
    feature_nets,
    metareg,
    mldg,
    multi_domain,
    ranger,
    reptile,
    rfmeta,
    state,
    supervised,
)
from nasfas_jax.nets.rfmeta import DepthEstimator, FeatureExtractor, MetaLearner
from nasfas_jax.theta import Weight
from nasfas_jax.workflows import hand_crafted

#: Methods that train RFMeta's nets, from (nets, optimizer, description): RFMeta and its
#: ablations (figure 5), its rivals (Table 2), and training without meta-learning.
FEATURE_METHODS: dict[str, Callable[[feature_nets.FeatureNets, Any, dict], Any]] = {
    "rfmeta": lambda net, optimizer, d: rfmeta.RFMeta(
        net, optimizer, d["inner_learning_rate"], averages=d["averages"]
    ),
    "rfmeta_first_order": lambda net, optimizer, d: rfmeta.RFMeta(
        net, optimizer, d["inner_learning_rate"], order="first", averages=d["averages"]
    ),
    "rfmeta_aggregation": lambda net, optimizer, d: rfmeta.RFMeta(
        net,
        optimizer,
        d["inner_learning_rate"],
        fine_grained=False,
        averages=d["averages"],
    ),
    "rfmeta_no_depth": lambda net, optimizer, d: rfmeta.RFMeta(
        net, optimizer, d["inner_learning_rate"], averages=d["averages"]
    ),
    "mldg": lambda net, optimizer, d: mldg.MLDG(
        net, optimizer, d["inner_learning_rate"]
    ),
    "reptile": lambda net, optimizer, d: reptile.Reptile(
        net, optimizer, d["task_learning_rate"], d["inner_steps"]
    ),
    "metareg": lambda net, optimizer, d: metareg.MetaReg(
        net,
        optimizer,
        d["domains"],
        task_learning_rate=d["task_learning_rate"],
        regularizer_learning_rate=d["regularizer_learning_rate"],
        inner_steps=d["inner_steps"],
    ),
    "multi_domain": lambda net, optimizer, d: multi_domain.MultiDomain(net, optimizer),
    "multi_domain_pooled": lambda net, optimizer, d: multi_domain.MultiDomain(
        net, optimizer, "pooled"
    ),
    "binary_cnn": lambda net, optimizer, d: multi_domain.MultiDomain(
        net, optimizer, "pooled"
    ),
}
#: Those that learn from labels alone.
WITHOUT_DEPTH = ("rfmeta_no_depth", "mldg", "reptile", "metareg", "binary_cnn")
#: Settings of the methods of `FEATURE_METHODS` that `describe` is not given: the papers',
#: and the authors' code's where a paper has none.
RATES: Mapping[str, Any] = {
    "inner_learning_rate": 1e-3,
    "depth_weight": 10.0,
    "loss_reduction": "mean",
    "learner_bn_momentum": 0.1,
    "averages": "mean",
    "inner_steps": 3,
    "task_learning_rate": 0.1,
    "regularizer_learning_rate": 1e-2,
}

#: Optimizers by name, of (learning rate, weight_decay).
OPTIMIZERS = {"adam": state.adam, "ranger": ranger.ranger}
#: A loss of maps: its name in `losses.BY_NAME`, or a function (predicted, target).
Loss = str | Callable[..., Any]

#: Features with a support vector machine (extra ``baselines``); they have no steps.
HAND_CRAFTED = tuple(hand_crafted.FEATURES)
#: All names that can be trained, beside those of `RANDOM`.
NAMES = (*nets.NAMES, *FEATURE_METHODS, *HAND_CRAFTED)
#: Names of random architectures of a search space, with their seed.
RANDOM = re.compile(r"random_(0|[1-9]\d{0,8})")


class _Networks(limits.OneOf):
    """Names of networks and methods, random architectures included."""

    def __contains__(self, value: Any) -> bool:
        return super().__contains__(value) or random_seed(value) is not None

    def __str__(self) -> str:
        return f"{super().__str__()}, or 'random_0', 'random_1' and so on"


def random_seed(name: Any) -> int | None:
    """The seed of a random architecture by its name; None for other names.

    >>> random_seed("random_3"), random_seed("depthnet")
    (3, None)
    """
    found = RANDOM.fullmatch(name) if isinstance(name, str) else None
    return int(found[1]) if found else None


NETWORKS = _Networks(NAMES)


def describe(
    name: str,
    *,
    width: float = 1.0,
    map_size: int | None = None,
    theta: Weight | None = None,
    lam: Weight | None = None,
    genotype_file: Any = None,
    domains: int | None = None,
    rates: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict:
    """A JSON description of a network or method, from which `make_method` makes it.

    Args:
      name: one of `NAMES`.
      width: multiplier of the channels.
      map_size: side of the map; None for the network's default. A genotype has its own.
      theta: as in `nets.describe`, for the networks that use it (`nets.weights_of`; the
        network 'searched' has that of its search space); None for the network's own.
      lam: as in `nets.describe`, likewise: for cdn and cdn_cdp; None for 0.7.
      genotype_file: genotype of the network 'searched'.
      domains: number of source domains, for the methods of `FEATURE_METHODS`.
      rates: their other settings; those that are absent are as in `RATES`.
      options: other attributes of a network.

    Raises:
      InputError: an unknown name, or a genotype file that does not fit.
    """
    limits.require(name=(name, limits.OneOf(NAMES)))
    if name in HAND_CRAFTED:
        return {"features": name}
    if name in FEATURE_METHODS:
        own = {} if domains is None else {"domains": domains}
        limits.require(**{r: (r, limits.OneOf(tuple(RATES))) for r in rates or ()})
        return {"method": name, "width": width, **RATES, **(rates or {}), **own}
    used = nets.weights_of(name)
    return nets.describe(
        name,
        width=width,
        map_size=map_size,
        theta=theta if "theta" in used else None,
        lam=lam if "lam" in used else None,
        genotype_file=genotype_file,
        **(options or {}),
    )


def parameters(params: Mapping[str, Any]) -> int:
    """Number of parameters without MetaReg's task copies and regularizer."""
    kept = {k: v for k, v in params.items() if k not in ("tasks", "phi")}
    return nets.parameters({"params": kept})


def name_of(description: Mapping[str, Any]) -> str:
    """The name of a network, method or features."""
    kinds = ("method", "features", "network")
    return next(description[kind] for kind in kinds if kind in description)


def default_optimizer(description: Mapping[str, Any]) -> str:
    """Name of the optimizer where none is given: 'ranger' for eulernet, or 'adam'."""
    entry = nets.MODULES.get(description.get("network", ""))
    return getattr(entry and entry.module, "optimizer", "adam")


def takes_frames(name: str) -> bool:
    """Whether the input of a network or of features is the frames of a clip."""
    if name in hand_crafted.OF_CLIPS:
        return True
    entry = nets.MODULES.get(name)
    return getattr(entry and entry.module, "takes_frames", False)


def scorer(description: Mapping[str, Any]) -> nets.Scorer:
    """Function from the maps of a network or method to scores."""
    return functools.partial(nets.score, rule=description.get("score", "mean"))


def loss_of(
    description: Mapping[str, Any], loss: Loss | None
) -> Callable[..., Any] | None:
    """The function of a loss, as `make_method` takes it.

    Raises:
      InputError: an unknown name, or a loss for what is no network.
    """
    if loss is not None and "network" not in description:
        raise InputError(
            f"expected None for {name_of(description)}, which has its own, got {loss!r}.",
            field="loss",
        )
    if loss is None or callable(loss):
        return loss
    limits.require(loss=(loss, limits.OneOf(losses.BY_NAME)))
    require_probabilities(
        loss, nets.from_description(description), name_of(description)
    )
    return losses.BY_NAME[loss]


def require_probabilities(loss: str, net: Any, name: str) -> None:
    """Requires a network, or its class, that predicts what a loss takes.

    Raises:
      InputError: a loss of probabilities, and maps that can exceed 1.
    """
    if loss in losses.OF_PROBABILITIES and not getattr(net, "probabilities", False):
        others = [one for one in losses.BY_NAME if one not in losses.OF_PROBABILITIES]
        raise InputError(
            f"expected one of {', '.join(map(repr, others))} for {name}, whose maps are no"
            f" probabilities and can exceed 1, got {loss!r}.",
            field="loss",
        )


def require_input(description: Mapping[str, Any], view: View) -> None:
    """Requires a view of what a network takes: images, those of branches, or frames.

    Raises:
      InputError: the other one.
    """
    name = name_of(description)
    if takes_frames(name) != (view.input == "frames"):
        raise wrong_input(name, takes_frames(name), view.input)
    branches = description.get("genotype", {}).get("space", {}).get("branches")
    if branches and view.input != (expected := "+".join(branches)):
        raise InputError(
            f"expected {expected!r}, the branches of the architecture, got"
            f" {view.input!r}.",
            field="view.input",
        )


def wrong_input(name: str, frames: bool, found: str) -> InputError:
    """The error about a view's input that a network does not take."""
    expected, of = (
        "'static_dynamic', 'static', 'dynamic' or 'concatenated'",
        "one image",
    )
    if frames:
        expected, of = "'frames'", "the frames of a clip"
    return InputError(
        f"expected {expected} for {name}, whose input is {of}, got {found!r}.",
        field="view.input",
    )


def make_method(
    description: Mapping[str, Any],
    optimizer: optax.GradientTransformation,
    loss: Loss | None = None,
    *,
    remat: bool = False,
) -> Any:
    """The method of a description: ``init``, ``step``, ``predict`` and ``batches``.

    Hand-crafted features, described with the number of their support vectors, have
    ``predict`` alone. The loss is for networks; None for the network's own. So is
    ``remat``, see `Supervised`: the methods of episodes always recompute.

    Raises:
      InputError: a description that does not fit, an unknown loss, or one for a method.
    """
    loss = loss_of(description, loss)
    if "features" in description:
        return hand_crafted.Fitted(
            description["features"], description["support_vectors"]
        )
    if "method" not in description:
        net = nets.from_description(description)
        return supervised.Supervised(net, optimizer, loss=loss, remat=remat)
    name, width = description["method"], description["width"]
    net = feature_nets.FeatureNets(
        FeatureExtractor(width),
        MetaLearner(width, description["learner_bn_momentum"]),
        DepthEstimator(width),
        depth_weight=0.0 if name in WITHOUT_DEPTH else description["depth_weight"],
        loss_reduction=description["loss_reduction"],
    )
    return FEATURE_METHODS[name](net, optimizer, dict(description))


def require_description(description: Mapping[str, Any]) -> None:
    """Requires a description by `describe`.

    Raises:
      InputError: it fits no network, method or features.
    """
    try:
        if "features" in description:
            limits.require(
                features=(description["features"], limits.OneOf(HAND_CRAFTED))
            )
        else:
            make_method(description, optax.identity())
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise InputError(
            "expected a description by workflows.registry.describe, got"
            f" {dict(description)} ({error!r}).",
            field="description",
        ) from None


def require_sizes(name: str, image_size: int, map_size: int) -> None:
    """Requires sizes, in pixels, that a method of `FEATURE_METHODS` can halve.

    Raises:
      InputError: of ``image_size`` or ``map_size``.
    """
    if image_size % 32:
        raise InputError(
            f"expected a multiple of 32, since {name} halves images five"
            f" times, got {image_size}.",
            field="image_size",
        )
    if map_size % (image_size // 8):
        raise InputError(
            f"expected a multiple of {image_size // 8}, an eighth of the image"
            f" size {image_size}, for {name}, got {map_size}.",
            field="map_size",
        )


def clips_per_domain(batch_size: int, domains: int) -> int:
    """Number of clips of each domain in an episode of ``batch_size`` clips.

    Raises:
      InputError: not the same number of clips of each domain, or fewer than two.
    """
    size, rest = divmod(batch_size, domains)
    if rest or size < 2:
        near = max(size, 2) * domains
        raise InputError(
            f"expected a multiple of {domains}, the number of "
            f"domains to learn from, with two clips or more of each, got {batch_size}. "
            f"The nearest are {near} and {near + domains}.",
            field="batch_size",
        )
    return size
