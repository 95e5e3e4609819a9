"""Several episodes a step: the same numbers however many devices share them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nasfas_jax import losses, runtime
from nasfas_jax.data import pipeline
from nasfas_jax.errors import InputError
from nasfas_jax.methods import (
    meta_nas,
    metareg,
    mldg,
    multi_domain,
    reptile,
    rfmeta,
)
from nasfas_jax.methods.episodes import over_episodes
from tests import test_data_pipeline, test_meta_nas, test_rfmeta

prepared = test_data_pipeline.prepared
RATE, EPISODES = 0.3, 8


def mesh_of(devices, episodes=EPISODES):
    return runtime.make_mesh(jax.devices()[:devices], episodes=episodes)


def draw_episodes(count=EPISODES, dtype=np.float64):
    """Stacked episodes, and the list of them; the query domain turns."""
    rng = np.random.default_rng(3)

    def draw(like):
        if np.issubdtype(like.dtype, np.floating):
            return rng.uniform(size=like.shape).astype(dtype)
        return like

    one = test_rfmeta.draw_episode(supports=2, size=4, batch=4)
    several = [jax.tree.map(draw, one) for _ in range(count)]
    several = [e | {"query_domain": np.int64(i % 3)} for i, e in enumerate(several)]
    return jax.tree.map(lambda *x: np.stack(x), *several), several


def methods():
    nets = test_rfmeta.tiny()
    sgd = optax.sgd(1.0)
    return {
        "rfmeta": rfmeta.RFMeta(nets, sgd, RATE),
        "rfmeta_reverse": rfmeta.RFMeta(nets, sgd, RATE, mode="reverse_over_reverse"),
        "mldg": mldg.MLDG(nets, sgd, RATE),
        "reptile": reptile.Reptile(nets, sgd, RATE, inner_steps=2),
        "metareg": metareg.MetaReg(nets, sgd, 3, RATE),
        "multi_domain": multi_domain.MultiDomain(nets, sgd),
    }


def run(method, state, episodes, mesh):
    """One step on a mesh, as `runtime.fit` places things."""
    method = dataclasses.replace(method, mesh=mesh)
    count = len(jax.tree.leaves(episodes)[0])
    axes = runtime.episode_axes(count)
    placed = runtime.devices.place(episodes, {k: axes[k] for k in episodes}, mesh)
    state = jax.device_put(state, runtime.replicated(mesh))
    return jax.device_get(jax.jit(method.step)(state, placed))


def start(method, episodes, dtype=np.float64):
    image = episodes["query"]["image"][0, :1]
    state = jax.device_get(jax.jit(method.init)(jax.random.key(0), image))
    assert all(
        x.dtype == dtype for x in jax.tree.leaves((state.params, state.batch_stats))
    )
    return state


def assert_close(actual, expected, rtol):
    """Relative to the largest element of each array's tree."""
    test_meta_nas.assert_close(actual, expected, rtol)


def parts(state, metrics):
    """What must not depend on the devices; norms are of the gradient."""
    return [state.params, state.batch_stats, *({k: v} for k, v in metrics.items())]


@pytest.mark.parametrize("name", methods())
def test_a_step_is_the_mean_over_episodes_on_any_number_of_devices(x64, name):
    method = methods()[name]
    stacked, several = draw_episodes()
    state = start(method, stacked)
    step = jax.jit(method.step)
    ones = [jax.device_get(step(state, episode)) for episode in several]
    mean = jax.tree.map(lambda *x: np.mean(x, 0), *ones)
    for devices in (1, 2, 8):
        found = run(method, state, stacked, mesh_of(devices))
        # Plain descent: the mean of the updates is the update by the mean.
        assert_close(found[0].params, mean[0].params, 1e-10)
        assert_close(found[0].batch_stats, mean[0].batch_stats, 1e-10)
        for key in set(mean[1]) - {"l2_grads", "l2_updates", "regularizer"}:
            np.testing.assert_allclose(found[1][key], mean[1][key], rtol=1e-10)
