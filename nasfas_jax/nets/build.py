"""Networks by name, from a description that a file can hold."""

import dataclasses
import inspect
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from nasfas_jax import limits
from nasfas_jax import theta as thetas
from nasfas_jax.errors import InputError, did_you_mean
from nasfas_jax.nets import operators
from nasfas_jax.nets.deeppixbis import DeepPixBiS
from nasfas_jax.nets.depthnet import CDN, VARIANTS, Auxiliary
from nasfas_jax.nets.eulernet import EulerNet
from nasfas_jax.nets.mobilenet import MobileNetV1, MobileNetV2, MobileNetV3
from nasfas_jax.nets.pnasnet import PNASNet
from nasfas_jax.nets.resnet import ResNet
from nasfas_jax.nets.searched import SearchedNet
from nasfas_jax.nets.shufflenet import ShuffleNetV2
from nasfas_jax.nets.tree import TreeNet
from nasfas_jax.nets.vgg import VGG16
from nasfas_jax.search import fas, genotype, spaces
from nasfas_jax.search.baseline import pc_darts


def _fields(module: type[nn.Module]) -> tuple[str, ...]:
    """Names of a module's own fields."""
    names = (field.name for field in dataclasses.fields(module))
    return tuple(name for name in names if name not in ("parent", "name"))


class Entry(NamedTuple):
    """A network that is a Flax module.

    Attributes:
      module: its class, with the fields ``width`` and ``map_size``.
      fixed: values of fields that its name stands for; of theta, the default.
      stored: fields that its descriptions always hold. Of the others they hold those that
        differ from the defaults.
    """

    module: type[nn.Module]
    fixed: Mapping[str, Any] = {}
    stored: tuple[str, ...] = ("width", "map_size")

    def make(self, fields: Mapping[str, Any]) -> nn.Module:
        """The network with some of its fields."""
        return self.module(**{**self.fixed, **fields})

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the fields beside width, map size, theta and lambda."""
        general = ("width", "map_size", *WEIGHTS, *self.fixed)
        return tuple(name for name in _fields(self.module) if name not in general)

    @property
    def weights(self) -> tuple[str, ...]:
        """Those of theta and lambda that it uses."""
        found = [name for name in WEIGHTS if name in _fields(self.module)]
        unused = "lam" in found and self.fixed["pool"] != "cdp"
        return tuple(name for name in found if not (unused and name == "lam"))


#: Shares of central differences, of convolutions and of pooling.
WEIGHTS = ("theta", "lam")
#: Networks of a genotype; None for the genotype of a file.
GENOTYPES = {"searched": None, "cdcn_pp": fas.CDCN_PP, **pc_darts.GENOTYPES}
#: The other networks: a new one is an entry here.
MODULES: dict[str, Entry] = {
    **{name: Entry(CDN, fixed) for name, fixed in VARIANTS.items()},
    "eulernet": Entry(EulerNet, stored=_fields(EulerNet)),
    "auxiliary": Entry(Auxiliary, VARIANTS["depthnet"]),
    "resnet18": Entry(ResNet, {"blocks": (2, 2, 2, 2), "bottleneck": False}),
    "resnet50": Entry(ResNet, {"blocks": (3, 4, 6, 3), "bottleneck": True}),
    "vgg16": Entry(VGG16),
    "mobilenet_v1": Entry(MobileNetV1),
    "mobilenet_v2": Entry(MobileNetV2),
    "mobilenet_v3": Entry(MobileNetV3),
    "shufflenet_v2": Entry(ShuffleNetV2),
    "pnasnet": Entry(PNASNet, {"stem": 32, "nodes": 54, "cells": 9}),
    "deeppixbis": Entry(DeepPixBiS),
    "tree": Entry(TreeNet),
}
NAMES = (*GENOTYPES, *MODULES)


def weights_of(name: str) -> tuple[str, ...]:
    """Those of theta and lambda that a network uses; none for 'searched'.

    >>> weights_of("cdn"), weights_of("depthnet"), weights_of("eulernet")
    (('theta', 'lam'), ('theta',), ())
    >>> weights_of("cdcn_pp"), weights_of("pc_darts_cifar"), weights_of("searched")
    (('theta',), (), ())
    """
    if name in MODULES:
        return MODULES[name].weights
    found = GENOTYPES[name]
    if found is None:
        return ()
    space: Any = found.space
    pools = (*space.operations, getattr(space, "pool", ""))
    users = {"theta": space.operations, "lam": pools}
    central = {"theta": "cdc", "lam": "cdp"}
    return tuple(name for name in WEIGHTS if central[name] in users[name])


def describe(
    name: str,
    *,
    width: float = 1.0,
    map_size: int | None = None,
    theta: thetas.Weight | None = None,
    lam: thetas.Weight | None = None,
    genotype_file: str | pathlib.Path | None = None,
    **options: Any,
) -> dict:
    """A JSON description from which `from_description` makes the network.

    Args:
      name: one of `NAMES`.
      width: multiplier of the channels; a genotype has its own.
      map_size: side of the map; None for the network's default. A genotype has its own.
      theta: share of central differences in the convolutions, from 0 to 1: a number, a dict
        ``{layer: number or one number per output channel}`` for all layers of
        `layer_channels`, or `theta.Learned`. None for the network's own, that of Table 1
        or of the genotype's search space.
      lam: share of central differences in the pooling, likewise; None for 0.7, or that of
        the search space.
      genotype_file: genotype of the searched network.
      **options: other attributes of the network's class.

    Raises:
      InputError: an unknown name or option, a value out of range, theta or lam for a
        network without such layers, or a genotype file that does not fit.
    """
    limits.require(
        name=(name, limits.OneOf(NAMES)),
        genotype_file=(genotype_file, limits.OrNone(limits.PATH)),
    )
    weights = {"theta": theta, "lam": lam}
    given = {k: thetas.parse(k, v) for k, v in weights.items() if v is not None}
    _require_options(name, options)
    if name in GENOTYPES:
        found = GENOTYPES[name]
        if found is None:
            found = _from_file(genotype_file)
        return {"network": name, "genotype": _with_options(found, given).as_dict()}
    entry = MODULES[name]
    chosen = {**entry.fixed, **options}
    _require_weights(name, entry.module, chosen, given)
    size = {} if map_size is None else {"map_size": map_size}
    net = entry.make({"width": width, **size, **options, **given})
    explicit = {k: thetas.as_json(v) for k, v in given.items()}
    return {**_described(name, net), **explicit}


def _require_options(name: str, options: Mapping[str, Any]) -> None:
    parameters = inspect.signature(describe).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    known += MODULES[name].options if name in MODULES else ()
    for option in options:
        if option not in known:
            raise InputError(
                f"expected an option of {name}, {', '.join(known)}."
                f"{did_you_mean(option, known)}",
                field=option,
            )


def _from_file(path: str | pathlib.Path | None) -> genotype.Genotype:
    if path is None:
        raise InputError(
            "The searched network needs a genotype file; `nasfas search` writes one."
        )
    return genotype.load(path)


def _require_weights(
    name: str,
    module: type[nn.Module],
    fields: Mapping[str, Any],
    given: Mapping[str, Any],
) -> None:
    """Requires a network that uses theta or lambda where they are given."""
    pool, convolution = fields.get("pool"), fields.get("convolution")
    if given and "theta" not in _fields(module):
        raise InputError(
            f"expected None for {name}, whose convolutions and pooling have no"
            " central differences.",
            field="theta, lam",
        )
    if "theta" in given and convolution in operators.WITHOUT_THETA:
        raise InputError(
            f"expected None for {name} with the convolution {convolution!r}, which has"
            " none; 'cdc' and 'selfconv' have.",
            field="theta",
        )
    if "lam" in given and pool != "cdp":
        raise InputError(
            f"expected None for {name}, whose pooling is {pool!r}, not 'cdp'. Networks"
            " with central difference pooling are cdn and cdn_cdp.",
            field="lam",
        )


def _with_options(
    found: genotype.Genotype, options: Mapping[str, Any]
) -> genotype.Genotype:
    space = spaces.with_options(found.space, **options) if options else found.space
    return dataclasses.replace(found, space=space)


def from_description(description: Mapping[str, Any]) -> nn.Module:
    """Returns the network of a description made by `describe`.

    Raises:
      InputError: a field out of range, a genotype that does not fit, or values of theta or
        lambda for other layers or channels than the network has.
    """
    if "genotype" in description:
        net = SearchedNet(genotype.parse(description["genotype"]))
    else:
        name, fields = description["network"], dict(description)
        entry = MODULES[fields.pop("network")]
        known = [
            k for k in _fields(entry.module) if k in WEIGHTS or k not in entry.fixed
        ]
        for option in fields:
            if option not in known:
                found = limits.mismatch(option, limits.OneOf(known))
                raise InputError(
                    found.replace("expected", f"expected as an option of {name}", 1),
                    field="description",
                )
        net = entry.make(fields)
    _require_layers(net)
    return net


def build(name: str, **options: Any) -> nn.Module:
    """The network called ``name``; options as in `describe`.

    >>> build("cdn", theta=0.3, width=0.125).theta
    0.3

    Raises:
      InputError: as `describe`, or no such option.
    """
    return from_description(describe(name, **options))


def with_weights(
    net: nn.Module,
    *,
    theta: thetas.Weight | None = None,
    lam: thetas.Weight | None = None,
) -> nn.Module:
    """The network with another theta or lambda; None keeps its own.

    Args:
      net: a network of `build` or of a genotype.
      theta: as in `describe`.
      lam: as in `describe`.

    Raises:
      InputError: as `build`, or another module.

    >>> with_weights(build("cdn"), theta=0.3).theta
    0.3
    """
    weights = {"theta": theta, "lam": lam}
    given: dict[str, Any] = {k: v for k, v in weights.items() if v is not None}
    if not given:
        return net
    found = getattr(net, "genotype", None)
    if isinstance(found, genotype.Genotype):
        new = SearchedNet(_with_options(found, given))
    else:
        name = description_of(net)["network"]
        who = "this network" if hasattr(net, "pool") else name
        _require_weights(who, type(net), vars(net), given)
        new = net.clone(**given)
    _require_layers(new)
    return new


def layer_channels(net: nn.Module) -> dict[str, dict[str, int]]:
    """Layers that theta and lambda belong to, with their numbers of channels.

    Args:
      net: a network of `build` or of a genotype.

    Returns:
      ``{'theta': {layer: output channels}, 'lam': {layer: channels}}``.

    Raises:
      InputError: another module, or the network of a space of plain convolutions.

    >>> layer_channels(build("cdn", width=0.125))["lam"]
    {'pool_0': 16, 'pool_1': 16, 'pool_2': 16}
    """
    each = thetas.Learned(per="channel")
    pooled = getattr(getattr(net, "genotype", None), "space", net)
    options = {"lam": each} if getattr(pooled, "pool", None) == "cdp" else {}
    learned = with_weights(net, theta=each, **options)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    variables = jax.eval_shape(
        lambda x: learned.init(jax.random.key(0), x, train=False), image
    )
    return {
        name: {
            layer: arrays[name].shape[0]
            for layer, arrays in variables["params"].items()
            if name in arrays
        }
        for name in ("theta", "lam")
    }


def _require_layers(net: nn.Module) -> None:
    """Requires that values by layer have the layers and channels of the network."""
    found = getattr(net, "genotype", None)
    holder = net if found is None else found.space
    given = {k: getattr(holder, k, None) for k in ("theta", "lam")}
    given = {k: v for k, v in given.items() if isinstance(v, Mapping)}
    if not given:
        return
    channels = layer_channels(net)
    for name, values in given.items():
        limits.require(
            **{f"layer of {name}": (k, limits.OneOf(channels[name])) for k in values}
        )
        for layer, count in channels[name].items():
            value = thetas.of_layer(name, values, layer)
            if np.shape(value) not in ((), (count,)):
                raise InputError(
                    f"{name} of the layer {layer!r}: expected a number or {count} numbers,"
                    f" one per channel, got {len(value)}."
                )


def description_of(net: nn.Module) -> dict[str, Any]:
    """The description of a network that `build` or a genotype made.

    >>> description_of(build("cdn_cdc", theta=0.5))
    {'network': 'cdn_cdc', 'width': 1.0, 'map_size': 32, 'theta': 0.5}

    Raises:
      InputError: another module.
    """
    found = getattr(net, "genotype", None)
    if isinstance(found, genotype.Genotype):
        return {"network": "searched", "genotype": found.as_dict()}
    alike = {
        name: differing
        for name, entry in MODULES.items()
        if type(net) is entry.module
        and not (differing := _differing(name, net)).keys() - {*WEIGHTS, *entry.options}
    }
    if not alike:
        raise _no_network(net)
    # Of two that differ in theta alone, the vanilla one is for theta 0.
    vanilla = {name: MODULES[name].fixed.get("theta") == 0 for name in alike}
    own = getattr(net, "theta", None) == 0
    return _described(
        min(alike, key=lambda name: (vanilla[name] != own, len(alike[name]))), net
    )


def _differing(name: str, net: nn.Module) -> dict[str, Any]:
    """The fields of a network that differ from those that a name stands for."""
    entry = MODULES[name]
    default, size = entry.make({}), ("width", "map_size")
    names = [field for field in _fields(entry.module) if field not in size]
    values = {field: getattr(net, field) for field in names}
    return {k: v for k, v in values.items() if v != getattr(default, k)}


def _described(name: str, net: nn.Module) -> dict[str, Any]:
    """The description of a network by one of the names that fit."""
    stored = {field: getattr(net, field) for field in MODULES[name].stored}
    fields = {**stored, **_differing(name, net)}
    return {"network": name} | {
        k: list(v) if isinstance(v, tuple) else thetas.as_json(v)
        for k, v in fields.items()
    }


def _no_network(net: Any) -> InputError:
    return InputError(
        f"expected a network of nets.build, got {type(net).__name__}. Train other"
        " modules with methods.supervised.Supervised.",
        field="net",
    )
