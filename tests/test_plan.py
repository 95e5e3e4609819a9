"""Plans of steps: compiled for TPU topologies without a TPU, and for this machine."""

import dataclasses
import importlib.util
import re
import shlex

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl import flags
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from test_command_line import documented
from test_episodes import collectives as traced_collectives
from test_meta_nas import OneEdge, small
from test_rfmeta import tiny

import nasfas_jax as nf
from nasfas_jax.commands import parsing
from nasfas_jax.commands import plan as command
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.methods import darts, meta_nas, supervised
from nasfas_jax.runtime import devices, programs, topologies
from nasfas_jax.workflows import abstract_steps, plan, registry

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="compiling for a TPU topology needs libtpu: pip install 'nasfas_jax[tpu]'",
)
EPISODES = 4


class TinyNet(nn.Module):
    """The least network of maps."""

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.Conv(2, (3, 3))(x)
        return nn.BatchNorm(use_running_average=not train)(x).mean(-1)


def searchers():
    sgd = {name: optax.sgd(0.1) for name in ("inner_optimizer", "optimizer")}
    given = {"net": OneEdge(small()), "alpha_optimizer": optax.sgd(0.1), **sgd}
    return {"meta_nas": meta_nas.MetaNAS(**given), "darts": darts.DARTS(**given)}


def step_of(name):
    """A step of 4 episodes by a method with its least networks."""
    common = {"name": name, "batch_size": 4, "groups": 2, "episodes": EPISODES}
    if name == "supervised":
        method = supervised.Supervised(TinyNet(), optax.adam(1e-3))
        common |= {"groups": 0, "episodes": 1, "batch_size": 16}
        return abstract_steps.Step(
            method=method, image_shape=(6, 6, 3), map_size=6, **common
        )
    if name in searchers():
        sizes = {"image_shape": (6, 6, 4), "map_size": 3}
        return abstract_steps.Step(method=searchers()[name], **sizes, **common)
    rates = {**registry.RATES, "domains": 2}
    method = registry.FEATURE_METHODS[name](tiny(), optax.adam(1e-3), rates)
    if method.batches == "pooled":
        common |= {"groups": 0, "episodes": 1, "batch_size": 16}
    sizes = {"image_shape": (6, 6, 3), "map_size": 12}
    return abstract_steps.Step(method=method, **sizes, **common)


METHODS = ("meta_nas", "darts", "supervised", *registry.FEATURE_METHODS)


@needs_libtpu
@pytest.mark.parametrize("name", METHODS)
def test_steps_for_a_tpu_have_no_collective_inside_an_episode(name):
    """None but the mean over episodes crosses episodes: it is the last of a slice.

    Within an episode the batch is split over the axis ``data``, whose collectives
    BatchNorm needs.
    """
    step = step_of(name)
    mesh = step.mesh(topologies.devices("v5e:2x4"))
    assert dict(mesh.shape) == {"episode": step.episodes, "data": 8 // step.episodes}
    with abstract_steps.forms.portable():
        traced = step.trace(mesh)
    for path, places in traced_collectives(traced.jaxpr.jaxpr):
        assert path[-1:] == ("shard_map",)
        assert places == [0]
    products = re.findall(
        r"stablehlo.(?:convolution|dot_general).*", traced.lower().as_text()
    )
    # Of both operands: TPUs and GPUs would otherwise round them.
    assert products
    assert all(product.count("HIGHEST") == 2 for product in products)
    found = plan.plan_step(step, topology="v5e:2x4", modes=[])
    assert found.target == "v5e:2x4" and found.chip.name == "v5e"
    assert not [one for one in found.collectives if one.inside_episode]
    means = [one for one in found.collectives if "episode" in one.axes]
    assert bool(means) == (step.episodes > 1)
    assert found.memory.total > found.memory.arguments > 0
    assert set(found.seconds) == {"compute", "memory", "interconnect"}


@needs_libtpu
@pytest.mark.parametrize("name", ["v5e:3x3", "v7x:2x2x1", "v5litepod-8"])
def test_an_unknown_topology_lists_the_known_ones(name):
    with pytest.raises(InputError, match=r"topology: expected .*v5e: 1x1, 2x2"):
        topologies.devices(name)


@needs_libtpu
def test_every_listed_topology_exists():
    for name in topologies.names():
        assert len(topologies.devices(name)) == topologies.chips_in(name)


def test_without_libtpu_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'nasfas_jax\[tpu\]'"):
        topologies.devices("v5e:2x4")


def test_a_batch_that_the_devices_do_not_divide_is_refused():
    step = dataclasses.replace(step_of("rfmeta"), batch_size=3)
    with pytest.raises(InputError, match=r"multiple of 2 clips of each group.*nearest"):
        plan.plan_step(step)
    with pytest.raises(InputError, match=r"nearest are 2 and 4.* Numbers of devices"):
        plan.plan_step(step)


def test_a_plan_for_this_machine_has_the_figures_of_its_program():
    step = step_of("supervised")
    found = plan.plan_step(step, memory=2**20)
    # 16 images over 8 devices: forward and the kernel's gradient, 3 x 3 x 3 -> 2 channels.
    assert found.flops == 2 * 2 * (2 * 6 * 6 * 9 * 3 * 2)
    assert found.chip is None and not found.seconds
    gradient = 4 * (3 * 3 * 3 * 2)
    sizes = [one.bytes for one in found.collectives if one.kind == "all-reduce"]
    assert sum(sizes) >= gradient
    assert all(one.axes == ("data",) for one in found.collectives)
    assert [fit.mode for fit in found.fits] == ["", "remat"]
    assert all(fit.batch_size > 16 and fit.bytes <= 2**20 for fit in found.fits)
    again = plan.plan_step(step.of(remat=True), modes=[])
    assert "outputs of convolutions" in repr(again)
    assert "memory: temporaries" in repr(found) and "<table>" in found._repr_html_()


def test_a_step_is_lowered_for_another_platform():
    found = plan.plan_step(step_of("multi_domain"), platform="cuda")
    assert found.memory is None and found.flops > 0 and found.xla_flops > 0
    assert "memory: total" not in repr(found)


def test_collectives_are_counted_in_loops_and_by_axes():
    grid = np.array(jax.devices()).reshape(4, 2)
    mesh = Mesh(grid, ("episode", "data"), axis_types=(AxisType.Auto,) * 2)

    def f(x):
        def one(total, _):
            total = jax.lax.psum(total, "data") * 0.5
            return jax.lax.ppermute(total, "data", [(0, 1), (1, 0)]), ()

        total, _ = jax.lax.scan(one, x, length=5)
        return jax.lax.psum(total, "episode"), jax.lax.all_gather(
            x, ("episode", "data")
        )

    spec = PartitionSpec(("episode", "data"))
    mapped = jax.shard_map(
        f, mesh=mesh, in_specs=spec, out_specs=PartitionSpec(), check_vma=False
    )
    x = jax.ShapeDtypeStruct((8, 3), jnp.float32, sharding=NamedSharding(mesh, spec))
    text = jax.jit(mapped).lower(x).compile().as_text()
    found = {
        (c.kind, c.axes): (c.times, c.bytes) for c in programs.collectives(text, mesh)
    }
    assert found[("all-reduce", ("data",))] == (5, 12)
    assert found[("collective-permute", ("data",))] == (5, 12)
    assert found[("all-reduce", ("episode",))] == (1, 12)
    assert found[("all-gather", ("episode", "data"))] == (1, 96)


def test_groups_of_devices_in_each_notation():
    grid = np.empty((4, 2), object)
    mesh = Mesh(np.array(jax.devices()).reshape(grid.shape), ("episode", "data"))
    cases = {
        "replica_groups=[4,2]<=[8], a": ("data",),
        "replica_groups=[2,4]<=[4,2]T(1,0), a": ("episode",),
        "replica_groups={{0,2,4,6},{1,3,5,7}}, a": ("episode",),
        "replica_groups={}, a": ("episode", "data"),
        "source_target_pairs={{1,0},{3,2},{5,4},{7,6}}, a": ("data",),
    }
    for line, axes in cases.items():
        assert programs._axes(line, mesh) == axes, line


@pytest.mark.parametrize(
    ("limit", "expected", "compiles"),
    [(9, (0, 10), 1), (14, (1, 10), 2), (50, (8, 45), 3), (1e9, (1024, 5125), 3)],
)
def test_the_largest_batch_of_linear_memory(limit, expected, compiles):
    found = plan.largest_batch(lambda n: 5 + 5 * n, 1, limit)
    assert (found.batch_size, found.bytes) == expected
    assert found.compiles == compiles


def test_the_largest_batch_where_the_prediction_is_too_large():
    found = plan.largest_batch(lambda n: n if n < 8 else None, 1, 1000)
    assert (found.batch_size, found.bytes) == (4, 4)


def test_workflows_plan_what_train_and_search_take():
    recipe = Recipe(image_size=16)
    net = nf.nets.build("depthnet", width=1 / 64, map_size=8)
    found = nf.plan_training(net, recipe, batch_size=8, platform="cuda")
    assert found.step.image_shape == (16, 16, 3) and found.step.map_size == 8
    space = small()
    with pytest.raises(InputError, match="method: expected one of 'meta_nas', 'darts'"):
        nf.plan_search(space, recipe, method="random")
    with pytest.raises(InputError, match=r"net: .* hand-crafted"):
        nf.plan_training(registry.HAND_CRAFTED[0], recipe)
    with pytest.raises(InputError, match="platform: expected one of"):
        nf.plan_training(net, recipe, platform="tpu")


def test_the_command_prints_a_plan(capsys):
    config = parsing.fields.load(f"{parsing.commands.CONFIGS / 'synthetic.py'}:smoke")
    command.run(config, network="depthnet", platform="cuda")
    shown = capsys.readouterr().out
    assert "training of depthnet" in shown and "operations alone" in shown
    with pytest.raises(InputError, match="command: expected one of 'search', 'train'"):
        command.run(config, command="evaluate")
    with pytest.raises(InputError, match="memory_gb"):
        command.run(config, memory_gb="much")
    with pytest.raises(InputError, match="topology or a platform, got 'v5e:2x4'"):
        command.run(config, network="cdn", platform="cuda", topology="v5e:2x4")


PLANS = [line for line in documented() if re.match("nasfas plan .*--topology=", line)]


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
@pytest.mark.parametrize("line", PLANS)
def test_topologies_of_documented_plans_divide_the_batch(line, monkeypatch):
    planned = []

    def divided(step, *, topology, **_):
        sizes = devices.mesh_sizes(
            topologies.chips_in(topology), episodes=step.episodes
        )
        devices.require_divided(sizes, step.batch_size)
        planned.append(step)

    monkeypatch.setattr(plan, "plan_step", divided)
    monkeypatch.setattr(command, "_show", lambda found: None)
    argv, values = shlex.split(line), flags.FlagValues()
    monkeypatch.setattr("sys.argv", argv)
    parsing.parse(argv, values)
    command.run(**parsing.given("plan", values))
    assert planned
