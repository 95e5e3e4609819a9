"""The differentiable cost of a search against multiply-adds counted in programs."""

import numpy as np
import pytest

from nasfas_jax import nets
from nasfas_jax.nets import SearchedNet
from nasfas_jax.search import genotype, spaces

SPACE = spaces.get(
    "nas_fas", stem_channels=2, channels=8, head_channels=2, partial=2, map_size=4
)


def counted(found):
    return nets.macs(SearchedNet(found), (1, 16, 16, 3))


def certain(found):
    """Alphas whose softmax is one at the genotype's operations."""
    rows = [
        [[1e3 * (name == chosen) for name in SPACE.operations] for chosen in cell]
        for cell in found.cells
    ]
    return {
        cell: np.array(r, np.float32) for cell, r in zip(SPACE.cells, rows, strict=True)
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_macs_of_a_decided_architecture_are_those_of_its_network(seed):
    space = SPACE.for_retraining()
    skips = genotype.Genotype(space, (("skip",) * 4,) * 3)
    widest = genotype.Genotype(space, ((SPACE.operations[-1],) * 4,) * 3)
    found = SPACE.sample(seed)
    expected = (counted(found) - counted(skips)) / (counted(widest) - counted(skips))
    np.testing.assert_allclose(SPACE.relative_macs(certain(found)), expected, rtol=1e-6)
