"""Networks of equal multiply-adds, and random architectures by name."""

import dataclasses
import pathlib
from typing import ClassVar

import flax.linen as nn
import pytest

from nasfas_jax import nets
from nasfas_jax.commands import checks, fields, settings
from nasfas_jax.errors import InputError
from nasfas_jax.search import genotype, spaces

ROOT = pathlib.Path(__file__).parent.parent
SHAPE = (1, 16, 16, 3)


@pytest.fixture
def config():
    return fields.load(f"{ROOT}/configs/synthetic.py:smoke")


def test_the_width_is_the_nearest_to_the_budget():
    found = spaces.get("nas_fas", convolution="conv", pool="max").sample(1)
    budget = 5e6
    wide = nets.with_macs(nets.SearchedNet(found), budget, SHAPE)
    assert wide.genotype.cells == found.cells
    costs = {}
    for channels in range(wide.genotype.space.channels - 1, 128):
        one = nets.SearchedNet(genotype.widened(found, channels / 128))
        costs[one.genotype.space.channels] = nets.macs(one, SHAPE)
        if costs[one.genotype.space.channels] > budget:
            break
    nearest = min(costs, key=lambda channels: abs(costs[channels] - budget))
    assert abs(wide.genotype.space.channels - nearest) <= 1
    assert nets.macs(wide, SHAPE) == pytest.approx(budget, rel=0.1)


def test_all_channels_are_multiplied():
    found = spaces.get("nas_baseline", channels=8, stem_channels=(4, 8, 16)).sample(0)
    wide = genotype.widened(found, 1.5).space
    assert wide.channels == 24 and wide.stem_channels == (12, 24, 48)
    assert genotype.widened(found, 1e-3).space.stem_channels == (1, 1, 1)


@pytest.mark.parametrize(
    ("net", "macs", "message"),
    [
        (nets.build("depthnet"), 10.0, "the nearest width has"),
        (nets.build("depthnet"), 0.0, "macs"),
        (nn.Dense(3), 1e6, "expected a network with a width"),
    ],
)
def test_an_impossible_budget_is_refused(net, macs, message):
    with pytest.raises(InputError, match=message):
        nets.with_macs(net, macs, SHAPE)


@pytest.mark.parametrize("shape", [(16, 16, 3), (1, 16, 16, 0), 16, (1, 16, 16.0, 3)])
def test_another_shape_is_refused(shape):
    with pytest.raises(
        InputError, match=r"input_shape: expected a shape \(N, H, W, C\)"
    ):
        nets.with_macs(nets.build("depthnet"), 20e6, shape)


def test_a_random_architecture_is_that_of_its_seed(config):
    drawn = settings.space(config.search).sample(3)
    named = settings.describe(config, "random_3")
    assert named["network"] == "random_3"
    assert nets.from_description(named).genotype == drawn


def test_networks_of_a_config_have_one_budget(config):
    config.train.macs = 4.3e6
    for name in ("random_1", "depthnet"):
        net = nets.from_description(settings.describe(config, name))
        assert nets.macs(net, SHAPE) == pytest.approx(4.3e6, rel=0.1)
    config.train.macs = 10.0
    with pytest.raises(InputError, match=r"config\.train\.macs.*nearest"):
        settings.describe(config, "depthnet")


@pytest.mark.parametrize(("name", "theta"), [("cdn_cdc", 0.0), ("depthnet", 0.7)])
def test_a_budget_keeps_theta(config, name, theta):
    config.train.update(macs=4.3e6, theta=theta)
    described = settings.describe(config, name)
    assert described["network"] == name
    assert nets.from_description(described).theta == theta


def test_a_space_without_partial_channels_has_widths():
    @dataclasses.dataclass(frozen=True)
    class Space:
        channels: int = 4
        cells: ClassVar = {"cell": 0}
        choices: ClassVar = ()

    found = genotype.widened(genotype.Genotype(Space(), ((),)), 2.0)
    assert found.space == Space(8)


def test_a_random_architecture_needs_a_space(config):
    plain = config.to_dict()
    del plain["search"]
    with pytest.raises(InputError, match=r"config\.search: this section is missing"):
        checks.check(plain, network="random_0")


@pytest.mark.parametrize("name", ["random", "random_x", "random_-1", "random_01"])
def test_other_names_of_random_architectures_are_refused(config, name):
    config.networks = (name,)
    with pytest.raises(InputError, match="'random_0'"):
        checks.check(config)
