"""What can be trained by name: a network, and the method that trains it."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

from nasfas_jax import limits, nets
from nasfas_jax.commands import hand_crafted
from nasfas_jax.commands.run import Run
from nasfas_jax.errors import InputError
from nasfas_jax.methods import (
    metareg,
    mldg,
    multi_domain,
    optimizers,
    reptile,
    rfmeta,
    supervised,
)
from nasfas_jax.nets.rfmeta import DepthEstimator, FeatureExtractor, MetaLearner

#: Methods that train RFMeta's nets, from (nets, optimizer, description): RFMeta and its
#: ablations (figure 5), its rivals (Table 2), and training without meta-learning.
FEATURE_METHODS: dict[str, Callable[[rfmeta.FeatureNets, Any, dict], Any]] = {
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

#: All that can be trained.
NAMES = (*nets.NAMES, *FEATURE_METHODS, *hand_crafted.NAMES)


def describe(run: Run, name: str) -> dict:
    """A JSON description of what `name` trains, from which `make_method` makes it.

    A method's also needs ``domains``, how many are learned from.

    Raises:
      InputError: an unknown name, or a genotype file that does not fit.
    """
    limits.require(network=(name, limits.OneOf(NAMES)))
    config = run.config.train
    if name in FEATURE_METHODS:
        rates = run.config.meta.to_dict()
        return {"method": name, "width": config.width, **rates}
    return nets.describe(
        name,
        width=config.width,
        map_size=config.map_size,
        genotype_file=run.genotype_file,
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
            f"config.train.batch_size: expected a multiple of {domains}, the number of "
            f"domains to learn from, with two clips or more of each, got {batch_size}. "
            f"The nearest are {near} and {near + domains}."
        )
    return size


def make_method(config: Any, description: dict) -> Any:
    """The method of a description, under the rates of ``config.train``."""
    schedule = optimizers.schedule(
        config.decay, config.learning_rate, steps=config.steps
    )
    optimizer = optimizers.adam(schedule, weight_decay=config.weight_decay)
    if "method" not in description:
        return supervised.Supervised(nets.build(description), optimizer)
    name, width = description["method"], description["width"]
    net = rfmeta.FeatureNets(
        FeatureExtractor(width),
        MetaLearner(width, description["learner_bn_momentum"]),
        DepthEstimator(width),
        depth_weight=0.0 if name in WITHOUT_DEPTH else description["depth_weight"],
        loss_reduction=description["loss_reduction"],
    )
    return FEATURE_METHODS[name](net, optimizer, description)


def read(path: pathlib.Path, config: Any) -> Any:
    """The method of the description in a ``network.json`` that `nasfas train` wrote.

    Raises:
      InputError: no such file, or not one that `nasfas train` wrote.
    """
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        return make_method(config, description)
    except FileNotFoundError:
        raise InputError(
            f"There is no trained network at {path.parent}: {path} is "
            "missing. Train it first: nasfas train --network=NAME with this --workdir."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} does not describe a network ({error!r}); `nasfas train` writes it."
        ) from None
