"""The network of any genotype, CDCN++ among them."""

import flax.linen as nn

from nasfas_jax.search.fas import CDCN_PP
from nasfas_jax.search.genotype import Genotype


def SearchedNet(genotype: Genotype) -> nn.Module:
    """The network of an architecture, as its search space builds it."""
    return genotype.space.network(genotype)


def CDCNpp() -> nn.Module:
    """CDCN++ (CVPR 2020): 2,257,352 parameters."""
    return SearchedNet(CDCN_PP)
