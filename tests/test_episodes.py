"""Several episodes a step: the same numbers however many devices share them."""

import dataclasses

import chex
import jax
import numpy as np
import optax
import pytest
import test_meta_nas
from jax.extend import core
from test_data_pipeline import assert_equal_trees, prepared, take  # noqa: F401
from test_meta_nas import (
    ARCH,
    OUTER,
    OneEdge,
    WrittenOut,
    assert_close,
    descend,
    search,
    small,
)
from test_meta_nas import draw_episode as draw_search_episode
from test_rfmeta import draw_episode, tiny

from nasfas_jax import losses, runtime
from nasfas_jax.data.loading import pipeline
from nasfas_jax.errors import InputError
from nasfas_jax.methods import metareg, mldg, multi_domain, reptile, rfmeta
from nasfas_jax.methods.episodes import over_episodes
from nasfas_jax.runtime import loop
from nasfas_jax.search.fas import options

RATE, EPISODES = 0.3, 4
#: 1 x 1, 2 x 1, 4 x 1 and 4 x 2 slices of ('episode', 'data'): loops, and split batches.
DEVICES = (1, 2, 4, 8)


def feature_methods():
    nets, sgd = tiny(), optax.sgd(1.0)
    return {
        "rfmeta": rfmeta.RFMeta(nets, sgd, RATE),
        "mldg": mldg.MLDG(nets, sgd, RATE),
        "reptile": reptile.Reptile(nets, sgd, RATE, inner_steps=2),
        "metareg": metareg.MetaReg(nets, sgd, 3, RATE),
        "multi_domain": multi_domain.MultiDomain(nets, sgd),
    }


def meta_nas(monkeypatch):
    """The least net; one direction of contrast, one width, one support domain."""
    monkeypatch.setattr(losses, "NEIGHBORS", [(0, 1)])
    monkeypatch.setattr(options, "EXPANSIONS", (1.2,))
    monkeypatch.setattr(test_meta_nas, "SUPPORTS", 1)
    return search(OneEdge(small()))


def draw_episodes(one, dtype="float64"):
    """Stacked, and the list of them: random numbers in the place of ``one``'s."""
    rng = np.random.default_rng(3)

    def draw(like):
        kept = not np.issubdtype(like.dtype, np.floating)
        return like if kept else rng.uniform(size=like.shape).astype(dtype)

    several = [jax.tree.map(draw, one) for _ in range(EPISODES)]
    if "query_domain" in one:
        several = [e | {"query_domain": np.int64(i % 3)} for i, e in enumerate(several)]
    return jax.tree.map(lambda *x: np.stack(x), *several), several


def begin(method, episodes, dtype="float64"):
    """A state whose alphas, if it has any, differ from each other."""
    image = episodes["query"]["image"][0, :1]
    state = jax.device_get(jax.jit(method.init)(jax.random.key(0), image))
    if hasattr(state, "alphas"):
        rng = np.random.default_rng(1)
        draw = {k: rng.normal(size=x.shape) for k, x in state.alphas.items()}
        state = state.replace(alphas={k: x.astype(dtype) for k, x in draw.items()})
    assert all(x.dtype == dtype for x in jax.tree.leaves(state.params))
    return state


def on_devices(method, count):
    """The method and its compiled step on so many devices, placed as `fit` does.

    On the larger meshes all arrays of the state that can be are divided.
    """
    mesh = runtime.make_mesh(jax.devices()[:count], episodes=EPISODES)
    method = dataclasses.replace(method, mesh=mesh)
    rule = "fsdp" if count > 2 else "replicated"

    def run(state, episodes):
        axes = runtime.PART_AXES
        if "support" in episodes:
            axes = {name: runtime.episode_axes(EPISODES)[name] for name in episodes}
        shardings = runtime.devices.state_shardings(state, mesh, rule, least=1)
        step = loop.compile_step(method.step, shardings, mesh)
        state = jax.device_put(state, shardings)
        places = jax.tree.map(place_of, state)
        new, metrics = step(state, runtime.devices.place(episodes, axes, mesh))
        assert jax.tree.map(place_of, new) == places
        return new, metrics

    return run


def place_of(leaf):
    return leaf.dtype, leaf.sharding


@pytest.mark.parametrize("name", feature_methods())
def test_a_step_is_the_mean_of_single_ones_on_any_number_of_devices(x64, name):
    method = feature_methods()[name]
    stacked, several = draw_episodes(draw_episode(supports=2, size=4))
    state = begin(method, stacked)
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(method.step, n=1))
    step(
        step(state, several[0])[0], several[1]
    )  # the state after a step is like before
    ones = [jax.device_get(step(state, episode)) for episode in several]
    mean, means = jax.tree.map(lambda *x: np.mean(x, 0), *ones)
    for count in DEVICES:
        new, metrics = jax.device_get(on_devices(method, count)(state, stacked))
        # Plain descent: the mean of the updates is the update by the mean gradient.
        assert_close(new.params, mean.params, 1e-10)
        assert_close(new.batch_stats, mean.batch_stats, 1e-10)
        for key in set(means) - {"l2_grads", "l2_updates"}:
            np.testing.assert_allclose(metrics[key], means[key], rtol=1e-10)


def test_meta_nas_differentiates_through_the_common_update(x64, monkeypatch):
    """Eq. 12 to 14 of the mean objectives, written out and left to ``jax.grad``."""
    method = meta_nas(monkeypatch)
    stacked, _ = draw_episodes(draw_search_episode(6, 4))
    state = begin(method, stacked)

    def mean(f):
        """Over episodes; ``f`` of the equations of one."""

        def one(episode):
            return f(WrittenOut(method.net, state.batch_stats, episode))

        return jax.lax.map(one, stacked).mean()

    def update(phi, alpha):
        grads = jax.grad(lambda phi: mean(lambda e: e.meta_objective(phi, alpha)))(phi)
        return descend(phi, grads, OUTER)

    def query_loss(phi, alpha):
        updated = update(phi, alpha)
        return mean(lambda e: e.loss(updated, alpha, e.episode["query"]))

    @jax.jit
    def reference(phi, alpha):
        return update(phi, alpha), *jax.value_and_grad(query_loss, 1)(phi, alpha)

    params, loss, d_alphas = jax.device_get(reference(state.params, state.alphas))
    for count in DEVICES:
        new, metrics = jax.device_get(on_devices(method, count)(state, stacked))
        found = jax.tree.map(lambda a, b: (a - b) / ARCH, state.alphas, new.alphas)
        np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-10)
        assert_close(new.params, params, 1e-10)
        assert_close(found, d_alphas, 1e-10)


@pytest.mark.parametrize("name", ["rfmeta", "meta_nas"])
def test_in_float32_devices_change_nothing_but_rounding(name, monkeypatch):
    is_search = name == "meta_nas"
    method = meta_nas(monkeypatch) if is_search else feature_methods()[name]
    one = draw_search_episode(6, 4) if is_search else draw_episode(size=4)
    stacked, _ = draw_episodes(one, "float32")
    state = begin(method, stacked, "float32")
    parts = ("params", "batch_stats", *(["alphas"] if is_search else []))
    expected, *others = (
        jax.device_get(on_devices(method, count)(state, stacked)[0])
        for count in (DEVICES[::3] if is_search else DEVICES[::2])
    )
    for found in others:
        for part in parts:
            start = getattr(state, part)
            updates = [
                jax.tree.map(np.subtract, start, getattr(x, part))
                for x in (found, expected)
            ]
            assert_close(*updates, 1e-5)


def collectives(program, path=()):
    """Of every program within that has any: the path to it, and places from its end.

    What takes a sum apart into its arrays is not counted.
    """
    names = [equation.primitive.name for equation in program.eqns]
    kinds = ("psum", "pmean", "all_", "ppermute", "reduce_scatter")
    counted = [n for n in reversed(names) if n not in ("split", "reshape")]
    if found := [i for i, name in enumerate(counted) if name.startswith(kinds)]:
        yield path, found
    for name, equation in zip(names, program.eqns, strict=True):
        for inner in core.jaxprs_in_params(equation.params):
            deeper = path if name in ("jit", "pjit") else (*path, name)
            yield from collectives(getattr(inner, "jaxpr", inner), deeper)


@pytest.mark.parametrize("name", ["rfmeta", "meta_nas"])
def test_no_collective_before_the_mean(name, monkeypatch):
    """They are the last that a slice does, and never within what is differentiated."""
    is_search = name == "meta_nas"
    method = meta_nas(monkeypatch) if is_search else feature_methods()[name]
    one = draw_search_episode(6, 4) if is_search else draw_episode(size=4)
    stacked, _ = draw_episodes(one, "float32")
    mesh = runtime.make_mesh(jax.devices()[:2], episodes=EPISODES)
    image = stacked["query"]["image"][0]
    state = jax.eval_shape(method.init, jax.random.key(0), image)
    step = dataclasses.replace(method, mesh=mesh).step
    found = list(collectives(jax.make_jaxpr(step)(state, stacked).jaxpr))
    # One each. Meta-NAS: the meta-gradient, the query's, and, under cond, the products.
    means = [("shard_map",)] * 2 + [("cond", "shard_map")]
    assert sorted(path for path, _ in found) == sorted(
        means if is_search else means[:1]
    )
    assert all(places == [0] for _, places in found)


def square(shared, episode):
    return {"x": (shared * episode["x"] ** 2).sum(), "n": episode["x"].mean(0)}


@pytest.mark.parametrize("count", [1, 6, 8, 16])
def test_the_mean_of_any_function(count):
    x = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    mesh = runtime.make_mesh(episodes=count)
    found = jax.jit(lambda s, e: over_episodes(square, mesh)(s, e))(2.0, {"x": x})
    np.testing.assert_allclose(found["x"], 2 * (x**2).sum(1).mean(), rtol=1e-6)
    np.testing.assert_allclose(found["n"], x.mean(), rtol=1e-5)


def test_without_a_mesh_it_is_a_plain_call():
    def f(shared, episode):
        return shared, episode

    shared, episode = object(), object()
    assert over_episodes(f, None)(shared, episode) == (shared, episode)


@pytest.mark.parametrize("wrong", [{"x": (3, 2)}, {"x": (4, 2), "y": ()}, {"x": (2,)}])
def test_episodes_that_do_not_fit_the_mesh_are_refused(wrong):
    mesh = runtime.make_mesh(episodes=4)
    arrays = {name: np.zeros(shape) for name, shape in wrong.items()}
    with pytest.raises(ValueError, match="4 slices of the mesh; got the shapes"):
        over_episodes(square, mesh)(1.0, arrays)


@pytest.mark.parametrize(
    ("episodes", "shape"), [(1, (1, 8)), (4, (4, 2)), (3, (1, 8)), (12, (4, 2))]
)
def test_the_mesh_has_as_many_slices_as_divide_both(episodes, shape):
    mesh = runtime.make_mesh(episodes=episodes)
    assert dict(mesh.shape) == {"episode": shape[0], "data": shape[1]}


def test_fewer_episodes_than_one_are_refused(prepared):  # noqa: F811
    with pytest.raises(
        InputError, match="episodes: expected an integer of 1 or more, got 0"
    ):
        runtime.make_mesh(episodes=0)
    with pytest.raises(InputError, match=r"episodes: .* got 0"):
        pipeline.episodes(prepared, episodes=0)


def test_a_step_draws_the_next_episodes_of_the_single_stream(prepared):  # noqa: F811
    options = {"batch_size": 4, "seed": 2}
    ones = take(pipeline.episodes(prepared, **options), 6)
    stream = pipeline.episodes(prepared, episodes=3, **options)
    first, place, second = next(stream), stream.get_state(), next(stream)
    assert first["support"]["image"].shape == (3, 2, 4, 8, 8, 3)
    for drawn, singles in ((first, ones[:3]), (second, ones[3:])):
        assert_equal_trees(drawn, jax.tree.map(lambda *x: np.stack(x), *singles))
    again = pipeline.episodes(prepared, episodes=3, **options)
    again.set_state(place)
    assert_equal_trees(next(again), second)


class Stream:
    """The same episodes at every step."""

    def __init__(self, episodes):
        self.episodes = episodes

    def __next__(self):
        return self.episodes

    def get_state(self):
        return {}

    def set_state(self, state):
        pass


def test_the_loop_takes_episodes_over_devices_in_one_compile(tmp_path, caplog):
    stacked, _ = draw_episodes(draw_episode(size=4), "float32")
    mesh = runtime.make_mesh(episodes=EPISODES)
    method = dataclasses.replace(feature_methods()["multi_domain"], mesh=mesh)
    state = begin(method, stacked, "float32")
    with jax.log_compiles():
        new, _ = runtime.fit(
            "test",
            method.step,
            state,
            Stream(stacked),
            steps=3,
            folder=tmp_path,
            batch_axes=runtime.episode_axes(EPISODES),
            mesh=mesh,
        )
    compiled = [r for r in caplog.messages if r.startswith("Compiling jit(step)")]
    assert len(compiled) == 1
    assert int(new.step) == 3 and len(new.step.devices()) == 8
