"""Networks by name, from a description that a file can hold."""

import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from nasfas_jax import limits
from nasfas_jax.errors import InputError, did_you_mean
from nasfas_jax.nets.depthnet import CDN, VARIANTS
from nasfas_jax.nets.searched import SearchedNet
from nasfas_jax.search import fas, genotype

#: theta and lambda; 0 is the vanilla operator, 1 keeps differences alone.
WEIGHTS = limits.Range(0, 1)
NAMES = ("searched", "cdcn_pp", *VARIANTS)


def describe(
    name: str,
    *,
    width: float = 1.0,
    map_size: int = 32,
    theta: float | None = None,
    lam: float | None = None,
    genotype_file: str | pathlib.Path | None = None,
) -> dict:
    """A JSON description from which `from_description` makes the network.

    Args:
      name: one of `NAMES`.
      width: multiplier of the channels of DepthNet and the CDNs.
      map_size: side of the map of DepthNet and the CDNs; a genotype has its own.
      theta: central difference weight of the convolutions of DepthNet and the CDNs, 0 to
        1; None for the one of Table 1.
      lam: central difference weight of their pooling, 0 to 1; None for 0.7.
      genotype_file: genotype of the searched network.

    Raises:
      InputError: an unknown name, theta or lam out of range or given for a genotype, or
        a genotype file that does not fit.
    """
    weights = {"theta": theta, "lam": lam}
    given = {key: value for key, value in weights.items() if value is not None}
    if name in VARIANTS:
        limits.require(**{key: (value, WEIGHTS) for key, value in given.items()})
        return {"network": name, "width": width, "map_size": map_size, **given}
    if given:
        raise InputError(
            f"{', '.join(given)}: expected for {', '.join(VARIANTS)} alone, got it for"
            f" {name!r}, whose search space has its own."
        )
    if name == "searched":
        if genotype_file is None:
            raise InputError(
                "The searched network needs a genotype file; `nasfas search` writes one."
            )
        return {"network": name, "genotype": genotype.load(genotype_file).as_dict()}
    if name == "cdcn_pp":
        return {"network": name, "genotype": fas.CDCN_PP.as_dict()}
    raise InputError(
        f"There is no network {name!r}; choose one of {list(NAMES)}."
        f"{did_you_mean(name, NAMES)}"
    )


def from_description(description: Mapping[str, Any]) -> nn.Module:
    """Returns the network of a description made by `describe`.

    Raises:
      InputError: a field out of range, or a genotype that does not fit.
    """
    if "genotype" in description:
        return SearchedNet(genotype.parse(description["genotype"]))
    fields = {k: v for k, v in description.items() if k != "network"}
    return CDN(**{**VARIANTS[description["network"]], **fields})


def build(name: str, **options: Any) -> nn.Module:
    """The network called ``name``; options as in `describe`.

    >>> build("cdn", theta=0.3, width=0.125).theta
    0.3
    """
    return from_description(describe(name, **options))


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
    if not isinstance(net, CDN):
        raise InputError(
            f"net: expected a network of nets.build, got {type(net).__name__}. Train"
            " other modules with methods.supervised.Supervised."
        )
    own = {"pool": net.pool, "theta": net.theta, "lam": net.lam}

    def differing(name: str) -> dict[str, float]:
        named = CDN(**VARIANTS[name])
        return {k: v for k, v in own.items() if v != getattr(named, k)}

    alike = [name for name in VARIANTS if "pool" not in differing(name)]
    # Of two that differ in theta alone, the vanilla one is for theta 0.
    vanilla = {name: VARIANTS[name].get("theta") == 0 for name in alike}
    name = min(alike, key=lambda n: (vanilla[n] != (net.theta == 0), len(differing(n))))
    size = {"width": net.width, "map_size": net.map_size}
    return {"network": name, **size, **differing(name)}
