"""The published cells of PC-DARTS as networks (NAS-FAS Table 2)."""

import jax
import jax.numpy as jnp
import pytest

from nasfas_jax import nets
from nasfas_jax.search import genotype
from nasfas_jax.search.baseline import pc_darts


@pytest.mark.parametrize("name", pc_darts.GENOTYPES)
def test_the_cells_of_table_2(name):
    found = pc_darts.GENOTYPES[name]
    assert genotype.parse(found.as_dict()) == found  # two edges into every node
    operations = {link.operation for cell in found.cells for link in cell}
    central = name.endswith("_cd")
    assert ("cdc" in operations) == central
    assert any(op.startswith(("dil", "avg")) for op in operations) == (not central)
    assert nets.weights_of(name) == (("theta", "lam") if central else ())
    net = nets.build(name)
    assert nets.from_description(nets.describe(name)) == net
    assert (net.map_size, net.target) == (8, "binary")


def test_vanilla_and_central_cells_have_the_same_edges():
    for task in pc_darts.CELLS:
        plain, central = (
            pc_darts.GENOTYPES[f"pc_darts_{task}{suffix}"] for suffix in ("", "_cd")
        )
        for one, other in zip(plain.cells, central.cells, strict=True):
            assert [link[:2] for link in one] == [link[:2] for link in other]


def test_a_network_of_the_cells_predicts_a_map():
    net = nets.build("pc_darts_imagenet")
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    maps, _ = jax.eval_shape(
        lambda x: net.init_with_output(jax.random.key(0), x, train=False), image
    )
    assert maps.shape == (2, 8, 8)
