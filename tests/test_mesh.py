"""One mesh for every method: parts of batches, divided states, bfloat16, refusals."""

import dataclasses
import re

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
import test_darts
from test_data_pipeline import assert_equal_trees, prepared, take  # noqa: F401
from test_episodes import EPISODES, begin, draw_episodes, on_devices
from test_meta_nas import OneEdge, assert_close, search, small
from test_meta_nas import draw_episode as draw_search_episode
from test_rfmeta import draw_episode, tiny

import nasfas_jax as nf
from nasfas_jax import layers, runtime
from nasfas_jax.data.loading import pipeline
from nasfas_jax.errors import InputError
from nasfas_jax.methods import rfmeta, supervised
from nasfas_jax.methods.state import computed_in
from nasfas_jax.ops import platform
from nasfas_jax.runtime import devices
from nasfas_jax.workflows import steps


class Maps(nn.Module):
    """Two layers with BatchNorm."""

    @nn.compact
    def __call__(self, x, *, train):
        for features in (8, 1):
            x = layers.ConvBlock(features)(x, theta=0.7, train=train)
        return x[..., 0]


def draw_batch(parts=EPISODES, dtype="float64"):
    rng = np.random.default_rng(0)
    return {
        "image": rng.uniform(-1, 1, (parts, 4, 6, 6, 3)).astype(dtype),
        "target": rng.uniform(size=(parts, 4, 6, 6)).astype(dtype),
    }


def start(method, image):
    return jax.device_get(jax.jit(method.init)(jax.random.key(0), image[:1]))


def test_parts_of_a_batch_are_averaged_on_any_number_of_devices(x64):
    method = supervised.Supervised(Maps(), optax.sgd(1.0))
    batch = draw_batch()
    state = start(method, batch["image"][0])
    step = jax.jit(method.step)
    ones = [
        jax.device_get(step(state, {k: v[i] for k, v in batch.items()}))
        for i in range(EPISODES)
    ]
    mean, means = jax.tree.map(lambda *x: np.mean(x, 0), *ones)
    for count in (1, 2, 4, 8):
        new, metrics = jax.device_get(on_devices(method, count)(state, batch))
        assert_close(new.params, mean.params, 1e-10)
        assert_close(new.batch_stats, mean.batch_stats, 1e-10)
        np.testing.assert_allclose(metrics["loss"], means["loss"], rtol=1e-10)


def test_darts_gives_the_same_updates_on_any_number_of_devices(x64):
    method, state, episode = test_darts.setup()
    state, (stacked, _) = jax.device_get(state), draw_episodes(episode)
    expected, *others = (
        jax.device_get(on_devices(method, count)(state, stacked)[0])
        for count in (1, 2, 4, 8)
    )
    for found in others:
        assert_close(found, expected, 1e-10)


METHODS = {
    "supervised": lambda: supervised.Supervised(Maps(), optax.sgd(1.0)),
    "rfmeta": lambda: rfmeta.RFMeta(tiny(), optax.sgd(1.0), 0.3),
    "meta_nas": lambda: search(OneEdge(small()), arch_order="first"),
}


@pytest.mark.parametrize("name", METHODS)
def test_bfloat16_computes_near_and_keeps_the_state_in_float32(name):
    method = METHODS[name]()
    if name == "supervised":
        batch = {k: x[0] for k, x in draw_batch(1, "float32").items()}
        state = start(method, batch["image"])
    else:
        one = draw_search_episode(6, 4) if name == "meta_nas" else draw_episode(size=4)
        stacked, (batch, *_) = draw_episodes(one, "float32")
        state = begin(method, stacked, "float32")
    found = {}
    for dtype in ("float32", "bfloat16"):
        step = computed_in(dtype, method.step)
        program = jax.jit(step).lower(state, batch)
        assert ("bf16" in program.as_text()) == (dtype == "bfloat16")
        found[dtype] = jax.device_get(program.compile()(state, batch))
    with platform.portable():
        rounded = jax.jit(computed_in("tensorfloat32", method.step)).trace(state, batch)
    text = rounded.lower().as_text()
    kernels = re.findall(r"stablehlo.convolution.*", text)
    assert kernels and "bf16" not in text
    assert all("HIGH" in line and "HIGHEST" not in line for line in kernels)
    (wide, metrics), (half, near) = found["float32"], found["bfloat16"]
    assert jax.tree.map(lambda x: x.dtype, half) == jax.tree.map(
        lambda x: x.dtype, wide
    )
    assert near["loss"] != metrics["loss"]
    np.testing.assert_allclose(near["loss"], metrics["loss"], rtol=0.05)


def test_another_type_is_refused():
    with pytest.raises(InputError, match="compute: expected one of 'float32', 'tensor"):
        computed_in("float16", lambda state, batch: state)


@pytest.mark.parametrize(
    ("shape", "episodes", "sizes"),
    [
        ("episode:4,data:2", 4, (4, 2)),
        ("data:8", 1, (1, 8)),
        ("episode:2", 4, (2, 4)),
        ("episode:1,data:8", 4, (1, 8)),
    ],
)
def test_a_mesh_is_given_by_its_axes(shape, episodes, sizes):
    mesh = runtime.make_mesh(episodes=episodes, shape=shape)
    assert tuple(mesh.shape.values()) == sizes


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        (
            "episode:3,data:2",
            r"product is 8.* got episode:3,data:2.* Episode may be 1,",
        ),
        ("episode:8,data:1", r"divides the 4 episodes .* got 8. It may be 1, 2, 4;"),
        ("episode:4,model:2", "sizes of the axes episode and data"),
        ("episode:x", "sizes of the axes episode and data"),
        ("", "sizes of the axes episode and data"),
        ("data:16", "product is 8"),
    ],
)
def test_a_mesh_that_does_not_divide_is_refused(shape, match):
    with pytest.raises(InputError, match=f"mesh: expected .*{match}"):
        runtime.make_mesh(episodes=4, shape=shape)


def test_a_batch_that_the_mesh_does_not_divide_is_refused():
    mesh = runtime.make_mesh(shape="data:8")
    with pytest.raises(
        InputError, match=r"multiple of 8 clips.* got 12.* are 8 and 16"
    ):
        devices.require_divided(mesh.shape, 12)
    with pytest.raises(InputError, match=r"of 32 clips, .* in 4 parts .* got 48.* 64"):
        devices.require_divided(mesh.shape, 12, parts=4)


def test_the_longest_axis_that_all_devices_divide_is_split():
    mesh = runtime.make_mesh(episodes=4)
    shapes = {"a": (3, 3, 16, 64), "b": (6, 64), "c": (6, 2), "d": (5,), "e": ()}
    state = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    found = devices.state_shardings(state, mesh, "fsdp", least=5)
    split = {name: sharding.spec for name, sharding in found.items()}
    both = ("episode", "data")
    spec = jax.sharding.PartitionSpec
    assert split["a"] == spec(None, None, None, both)
    assert split["b"] == spec(None, both)
    assert split["c"] == spec(("data",))
    assert split["d"] == split["e"] == spec()
    large = devices.state_shardings(state, mesh, "fsdp")
    assert all(one.is_fully_replicated for one in large.values())
    with pytest.raises(InputError, match="sharding: expected one of 'replicated'"):
        devices.state_shardings(state, mesh, "zero")


def test_shares_of_processes_make_the_whole_batch(prepared):  # noqa: F811
    """Order, shuffling and augmentation are those of one process."""
    options = {"batch_size": 4, "seed": 2, "augment": "cdcn"}
    (whole,) = take(pipeline.episodes(prepared, episodes=2, **options), 1)
    for episode in (0, 1):
        shares = [
            next(
                pipeline.episodes(
                    prepared,
                    episodes=2,
                    share=(slice(episode, episode + 1), slice(first, first + 2)),
                    **options,
                )
            )
            for first in (0, 2)
        ]
        for name, axis in (("support", 2), ("query", 1)):
            joined = jax.tree.map(
                lambda *x, axis=axis: np.concatenate(x, axis),
                *(s[name] for s in shares),
            )
            expected = jax.tree.map(lambda x: x[episode : episode + 1], whole[name])  # noqa: B023
            assert_equal_trees(joined, expected)
    (batch,) = take(pipeline.train_batches(prepared, **options), 1)
    halves = [
        next(pipeline.train_batches(prepared, share=(slice(None), part), **options))
        for part in (slice(0, 1), slice(1, 4))
    ]
    assert_equal_trees(jax.tree.map(lambda *x: np.concatenate(x), *halves), batch)


def test_parts_are_the_next_batches_of_the_stream(prepared):  # noqa: F811
    ones = take(pipeline.train_batches(prepared, batch_size=4), 4)
    stream = pipeline.train_batches(prepared, batch_size=4, parts=2)
    for pair in (ones[:2], ones[2:]):
        expected = jax.tree.map(lambda *x: np.stack(x), *pair)
        assert_equal_trees(next(stream), expected)


def test_a_process_holds_its_part_of_the_mesh(monkeypatch):
    """Of 8 devices, two each in four processes, and three processes that do not fit."""

    @dataclasses.dataclass(frozen=True)
    class Device:
        id: int
        process_index: int

    def shares(owners, shape, index):
        grid = np.array([Device(i, owner) for i, owner in enumerate(owners)])
        mesh = jax.sharding.AbstractMesh(shape, devices.AXES)
        mesh = type("Mesh", (), {"devices": grid.reshape(shape), "shape": mesh.shape})
        monkeypatch.setattr(jax, "process_index", lambda: index)
        return devices.share(mesh, 8, 16)

    four = (0, 0, 1, 1, 2, 2, 3, 3)
    assert shares(four, (4, 2), 1) == (slice(2, 4), slice(0, 16))
    assert shares(four, (2, 4), 3) == (slice(4, 8), slice(8, 16))
    assert shares(four, (8, 1), 0) == (slice(0, 2), slice(0, 16))
    assert shares((0,) * 8, (8, 1), 0) == (slice(0, 8), slice(0, 16))
    with pytest.raises(InputError, match="mesh: expected axes that the 3 devices"):
        shares((0, 0, 0, 1, 1, 1, 2, 2), (4, 2), 0)


def test_a_training_that_its_mesh_does_not_divide_is_refused(data):
    train = {"steps": 1, "target": "dom_m", "mesh": "episode:2,data:4", "accumulate": 2}
    net = nf.nets.build("cdn", width=1 / 16, map_size=4)
    for batch_size, accumulate, match in (
        (12, 2, "batch_size: expected a multiple of 8 clips"),
        (16, 3, "accumulate: expected a divisor of the 16"),
        (16, 1, "mesh: expected an axis episode that divides the 1 episodes"),
    ):
        given = {**train, "batch_size": batch_size, "accumulate": accumulate}
        with pytest.raises(InputError, match=match):
            nf.train(data, net, **given)
    method = METHODS["rfmeta"]()
    with pytest.raises(InputError, match="accumulate: expected 1 for a method of epis"):
        steps.of_training(
            method,
            data,
            sources=["dom_c", "dom_i"],
            batch_size=8,
            episodes=1,
            accumulate=2,
            placement=steps.Placement(),
        )
