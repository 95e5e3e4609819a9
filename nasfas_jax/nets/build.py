"""Networks by name, from a description that a file can hold."""

import dataclasses
import inspect
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from nasfas_jax import limits
from nasfas_jax import theta as thetas
from nasfas_jax.errors import InputError, did_you_mean
from nasfas_jax.nets.depthnet import CDN, VARIANTS
from nasfas_jax.nets.eulernet import EulerNet
from nasfas_jax.nets.searched import SearchedNet
from nasfas_jax.search import fas, genotype, spaces

NAMES = ("searched", "cdcn_pp", *VARIANTS, "eulernet")
#: Options of EulerNet, beside its width and map size.
EULERNET_OPTIONS = tuple(
    field.name
    for field in dataclasses.fields(EulerNet)
    if field.name not in ("width", "map_size", "parent", "name")
)


def describe(
    name: str,
    *,
    width: float = 1.0,
    map_size: int = 32,
    theta: thetas.Weight | None = None,
    lam: thetas.Weight | None = None,
    genotype_file: str | pathlib.Path | None = None,
    **options: Any,
) -> dict:
    """A JSON description from which `from_description` makes the network.

    Args:
      name: one of `NAMES`.
      width: multiplier of the channels of DepthNet, the CDNs and EulerNet.
      map_size: side of the map of these networks; a genotype has its own.
      theta: share of central differences in the convolutions, from 0 to 1: a number, a dict
        ``{layer: number or one number per output channel}`` for all layers of
        `layer_channels`, or `theta.Learned`. None for the network's own, that of Table 1
        or of the genotype's search space.
      lam: share of central differences in the pooling, likewise; None for 0.7, or that of
        the search space.
      genotype_file: genotype of the searched network.
      **options: attributes of `EulerNet`, for eulernet.

    Raises:
      InputError: an unknown name, theta or lam out of range or for a network without such
        layers, or a genotype file that does not fit.
    """
    limits.require(
        name=(name, limits.OneOf(NAMES)),
        genotype_file=(genotype_file, limits.OrNone(limits.PATH)),
    )
    weights = {"theta": theta, "lam": lam}
    given = {k: thetas.parse(k, v) for k, v in weights.items() if v is not None}
    parameters = inspect.signature(describe).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    known += EULERNET_OPTIONS if name == "eulernet" else ()
    for option in options:
        if option not in known:
            raise InputError(
                f"expected an option of {name}, {', '.join(known)}."
                f"{did_you_mean(option, known)}",
                field=option,
            )
    if name == "eulernet":
        if given:
            raise _no_weights()
        options = {**options, "width": width, "map_size": map_size}
        return description_of(EulerNet(**options))
    if name in VARIANTS:
        _require_pooling("lam" in given, name, VARIANTS[name]["pool"])
        options = {k: thetas.as_json(v) for k, v in given.items()}
        return {"network": name, "width": width, "map_size": map_size, **options}
    if name == "searched":
        if genotype_file is None:
            raise InputError(
                "The searched network needs a genotype file; `nasfas search` writes one."
            )
        found = genotype.load(genotype_file)
    else:
        found = fas.CDCN_PP
    return {"network": name, "genotype": _with_options(found, given).as_dict()}


def _require_pooling(given: bool, name: str, pool: str) -> None:
    if given and pool != "cdp":
        raise InputError(
            f"expected None for {name}, whose pooling is {pool!r}, not 'cdp'. Networks"
            " with central difference pooling are cdn and cdn_cdp.",
            field="lam",
        )


def _with_options(
    found: genotype.Genotype, options: Mapping[str, Any]
) -> genotype.Genotype:
    space = spaces.with_options(found.space, **options) if options else found.space
    return genotype.Genotype(space, found.cells)


def from_description(description: Mapping[str, Any]) -> nn.Module:
    """Returns the network of a description made by `describe`.

    Raises:
      InputError: a field out of range, a genotype that does not fit, or values of theta or
        lambda for other layers or channels than the network has.
    """
    if "genotype" in description:
        net = SearchedNet(genotype.parse(description["genotype"]))
    else:
        fields = {k: v for k, v in description.items() if k != "network"}
        if description["network"] == "eulernet":
            return EulerNet(**_euler_options(fields))
        net = CDN(**{**VARIANTS[description["network"]], **fields})
    _require_layers(net)
    return net


def _euler_options(options: Mapping[str, Any]) -> dict[str, Any]:
    allowed = limits.OneOf((*EULERNET_OPTIONS, "width", "map_size"))
    for name in options:
        limits.require(**{"option of eulernet": (name, allowed)})
    return dict(options)


def _no_weights() -> InputError:
    return InputError(
        "expected None for eulernet, whose convolutions and pooling have no"
        " central differences.",
        field="theta, lam",
    )


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
    if isinstance(net, EulerNet):
        raise _no_weights()
    if isinstance(found, genotype.Genotype):
        new = SearchedNet(_with_options(found, given))
    elif isinstance(net, CDN):
        _require_pooling("lam" in given, "this network", net.pool)
        new = net.clone(**given)
    else:
        raise _no_network(net)
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
    if isinstance(net, EulerNet):
        names = ("width", "map_size", *EULERNET_OPTIONS)
        fields = {name: getattr(net, name) for name in names}
        return {"network": "eulernet", **fields, "units": list(net.units)}
    if not isinstance(net, CDN):
        raise _no_network(net)
    own = {"pool": net.pool, "theta": net.theta, "lam": net.lam}

    def differing(name: str) -> dict[str, Any]:
        named = CDN(**VARIANTS[name])
        return {k: thetas.as_json(v) for k, v in own.items() if v != getattr(named, k)}

    alike = [name for name in VARIANTS if "pool" not in differing(name)]
    # Of two that differ in theta alone, the vanilla one is for theta 0.
    vanilla = {name: VARIANTS[name].get("theta") == 0 for name in alike}
    name = min(alike, key=lambda n: (vanilla[n] != (net.theta == 0), len(differing(n))))
    size = {"width": net.width, "map_size": net.map_size}
    return {"network": name, **size, **differing(name)}


def _no_network(net: Any) -> InputError:
    return InputError(
        f"expected a network of nets.build, got {type(net).__name__}. Train other"
        " modules with methods.supervised.Supervised.",
        field="net",
    )
