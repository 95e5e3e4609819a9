"""Options of a search: first order before exact, shared alphas, sampled paths."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import test_darts
from test_darts import RATE

from nasfas_jax.errors import InputError
from nasfas_jax.methods import darts
from nasfas_jax.search import spaces
from nasfas_jax.workflows import searchers

CELLS = {"one": 1, "two": 1}
ARCH = 0.5


class Space(test_darts.Space):
    """Two cells of two mixed operations."""

    cells = CELLS

    def init_alphas(self, key, dtype):
        keys = jax.random.split(key, len(CELLS))
        cells = zip(CELLS, keys, strict=True)
        return {cell: jax.random.normal(k, (1, 2), dtype) for cell, k in cells}

    def relative_macs(self, alphas):
        return sum(jax.nn.softmax(alphas[cell])[0, 1] for cell in CELLS) / 2


class Uneven(Space):
    """A second cell of two edges."""

    def init_alphas(self, key, dtype):
        return {"one": jnp.zeros((1, 2), dtype), "two": jnp.zeros((2, 2), dtype)}


class Net(test_darts.Net):
    """The product of the maps of both cells."""

    space = Space()

    def apply(self, variables, x, alphas, train, mutable):
        settings = (variables, x), (train, mutable)
        maps = [
            super(Net, self).apply(*settings[0], {"cell": alphas[cell]}, *settings[1])
            for cell in CELLS
        ]
        return maps[0][0] * maps[1][0], maps[0][1]


def setup(**settings):
    rates = optax.sgd(RATE), optax.sgd(RATE), optax.sgd(ARCH)
    method = darts.DARTS(Net(), *rates, **settings)
    _, _, episode = test_darts.setup()
    image = jnp.zeros((1, 3, 3, 3))
    return method, method.init(jax.random.key(3), image), episode


def query_loss(method, state, episode, alphas):
    """Eq. 11 as it stands."""

    def loss(params, batch):
        return method.supernet_loss(params, alphas, state.batch_stats, batch)

    grads = jax.grad(loss)(state.params, darts.joined(episode["support"]))
    moved = jax.tree.map(lambda p, g: p - RATE * g, state.params, grads)
    return loss(moved, episode["query"])


def assert_trees_close(actual, expected):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)


def test_steps_are_of_first_order_until_exact_from(x64):
    method, state, episode = setup(exact_from=1)
    for order in ("first", "exact"):
        plain = dataclasses.replace(method, exact_from=0, arch_order=order)
        expected = jax.jit(plain.step)(state, episode)
        gradient = jax.jit(method.alpha_gradient)(state, episode)
        assert_trees_close(gradient, jax.jit(plain.alpha_gradient)(state, episode))
        state, metrics = jax.jit(method.step)(state, episode)
        assert_trees_close((state, metrics), expected)


def test_shared_alphas_follow_the_derivative_by_one_set(x64):
    method, state, episode = setup(shared_alphas=True, cost_weight=0.3)
    new, _ = jax.jit(method.step)(state, episode)

    @jax.jit
    @jax.grad
    def slope(alpha):
        alphas = dict.fromkeys(CELLS, alpha)
        cost = method.relative_cost(alphas)
        return query_loss(method, state, episode, alphas) + 0.3 * cost

    for cell in CELLS:
        expected = state.alphas["one"] - ARCH * slope(state.alphas["one"])
        np.testing.assert_allclose(new.alphas[cell], expected, atol=1e-10)


def test_a_sampled_path_is_differentiated_for_constant_noise(x64):
    temperature = 0.7
    method, state, episode = setup(sample_temperature=temperature)
    state = state.replace(step=state.step + 5)
    given = jax.jit(method.given)(state).alphas
    noise = jax.tree.map(lambda g, a: temperature * g - a, given, state.alphas)

    @jax.jit
    @jax.grad
    def slope(alphas):
        sampled = jax.tree.map(lambda a, g: (a + g) / temperature, alphas, noise)
        return query_loss(method, state, episode, sampled)

    new, _ = jax.jit(method.step)(state, episode)
    expected = jax.tree.map(
        lambda a, g: a - ARCH * g, state.alphas, slope(state.alphas)
    )
    assert_trees_close(new.alphas, expected)
    _, grads = jax.jit(method.alpha_gradient)(state, episode)
    assert_trees_close(grads, slope(state.alphas))


def test_samples_have_the_probabilities_of_the_softmax(x64):
    method, state, _ = setup(sample_temperature=0.1)
    steps = jnp.arange(4000)
    given = jax.jit(jax.vmap(lambda step: method.given(state.replace(step=step))))
    largest = np.argmax(given(steps).alphas["one"][:, 0], -1)
    p = jax.nn.softmax(state.alphas["one"])[0, 1]
    assert abs(largest.mean() - p) < 4 * np.sqrt(p * (1 - p) / len(steps))


def test_settings_reach_the_method_and_are_named():
    space = spaces.get("nas_fas")
    levers = {"exact_from": 2, "shared_alphas": True, "sample_temperature": 0.5}
    for name in ("meta_nas", "darts"):
        chosen = searchers.settings_of(name, alpha_momentum=0.9, **levers)
        method = chosen.make_method(space)
        assert {field: getattr(method, field) for field in levers} == levers
        plain = searchers.settings_of(name, alpha_momentum=1.0)
        with pytest.raises(InputError, match=r"alpha_momentum: .* below 1|got 1\.0"):
            plain.make_method(space)


def test_cells_of_different_shapes_share_no_alphas():
    sgd = optax.sgd(RATE)
    net = Net()
    net.space = Uneven()
    method = darts.DARTS(net, sgd, sgd, sgd, shared_alphas=True)
    with pytest.raises(InputError, match=r"shared_alphas: expected False, .*\(2, 2\)"):
        method.init(jax.random.key(0), jnp.zeros((1, 3, 3, 3)))
