"""Networks by name, from a description that a file can hold."""

import pathlib

import flax.linen as nn

from nasfas_jax.errors import InputError
from nasfas_jax.nets.depthnet import CDN, VARIANTS
from nasfas_jax.nets.searched import SearchedNet
from nasfas_jax.search import genotype

NAMES = ("searched", "cdcn_pp", *VARIANTS)


def describe(
    name: str,
    *,
    width: float = 1.0,
    map_size: int = 32,
    genotype_file: str | pathlib.Path | None = None,
) -> dict:
    """A JSON description from which `build` makes the network.

    Args:
      name: one of `NAMES`.
      width: multiplier of the channels of DepthNet and the CDNs.
      map_size: side of the map of DepthNet and the CDNs; a genotype has its own.
      genotype_file: genotype of the searched network.

    Raises:
      InputError: an unknown name, or a genotype file that does not fit.
    """
    if name == "searched":
        if genotype_file is None:
            raise InputError(
                "The searched network needs a genotype file; `nasfas search` writes one."
            )
        return {"network": name, "genotype": genotype.load(genotype_file).as_dict()}
    if name == "cdcn_pp":
        return {"network": name, "genotype": genotype.CDCN_PP.as_dict()}
    if name in VARIANTS:
        return {"network": name, "width": width, "map_size": map_size}
    raise InputError(f"There is no network {name!r}; choose one of {list(NAMES)}.")


def build(description: dict) -> nn.Module:
    """Returns the network of a description made by `describe`.

    Raises:
      InputError: ``width`` or ``map_size`` out of range, or a genotype that does not fit.
    """
    if "genotype" in description:
        return SearchedNet(genotype.parse(description["genotype"]))
    return CDN(
        **VARIANTS[description["network"]],
        width=description["width"],
        map_size=description["map_size"],
    )
