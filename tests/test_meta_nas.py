"""The meta-gradient of Meta-NAS against NAS-FAS eq. 12 to 14 written out in loops."""

import functools
import itertools
from typing import Any

import chex
import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from nasfas_jax import losses, ops
from nasfas_jax.methods import meta_nas
from nasfas_jax.methods.state import adam
from nasfas_jax.search import fas, spaces
from nasfas_jax.search.fas import options, supernet

EXACT = ("forward_over_reverse", "reverse_over_reverse")
SUPPORTS, BATCH = 2, 4
#: gamma_1, gamma~_1 and gamma_2.
INNER, OUTER, ARCH = 0.5, 0.1, 0.05


@pytest.fixture(autouse=True)
def one_direction(monkeypatch):
    """Contrastive depth in one direction of eight: a fifth of the least program."""
    monkeypatch.setattr(losses, "NEIGHBORS", [(0, 1)])


class OneEdge(nn.Module):
    """The least net with alphas, BatchNorm, ReLU and max pooling: one edge."""

    space: fas.FASSpace

    @nn.compact
    def __call__(self, x, alphas, *, train):
        edge = supernet.MixedEdge(self.space)
        x, _ = edge(x, alphas["low"][0], self.space.own_theta, train)
        return ops.max_pool(x).mean(-1)


def small(**options):
    """A space as narrow as partial channels allow."""
    widths = {"stem_channels": 2, "channels": 4, "head_channels": 2, "map_size": 3}
    return spaces.get("nas_fas", partial=2, **widths | options)


def draw_episode(size, channels, seed=0):
    rng = np.random.default_rng(seed)

    def batch(*lead):
        return {
            "image": rng.uniform(-1, 1, (*lead, size, size, channels)),
            "target": rng.uniform(size=(*lead, 3, 3)),
        }

    return {"support": batch(SUPPORTS, BATCH), "query": batch(BATCH)}


def start(method, episode):
    """A state away from the alphas' first values, where all operations are alike.

    As NumPy arrays, here and below: arithmetic outside a compiled function compiles
    nothing.
    """
    image = episode["query"]["image"][:1]
    state = jax.device_get(jax.jit(method.init)(jax.random.key(0), image))
    rng = np.random.default_rng(1)
    alphas = {cell: rng.normal(size=x.shape) for cell, x in state.alphas.items()}
    return state.replace(alphas=alphas)


def search(net, **options):
    """Meta-NAS with the plain gradient steps of the paper."""
    rates: dict[str, Any] = {
        "inner_optimizer": optax.sgd(INNER),
        "optimizer": optax.sgd(OUTER),
        "alpha_optimizer": optax.sgd(ARCH),
    }
    return meta_nas.MetaNAS(net, **rates | options)


def descend(params, grads, rate):
    return jax.tree.map(lambda p, g: p - rate * g, params, grads)


class WrittenOut:
    """Eq. 12 to 14 as they stand. ``freeze`` makes the first order of eq. 13."""

    def __init__(self, net, batch_stats, episode, weight_order="exact"):
        self.net, self.batch_stats, self.episode = net, batch_stats, episode
        first = weight_order == "first"
        self.freeze = jax.lax.stop_gradient if first else lambda grads: grads

    def loss(self, phi, alpha, batch):
        variables = {"params": phi, "batch_stats": self.batch_stats}
        call = {"train": True, "mutable": ["batch_stats"]}
        maps, _ = self.net.apply(variables, batch["image"], alpha, **call)
        return losses.depth_loss(maps, batch["target"])

    def meta_objective(self, phi, alpha):
        total = 0.0
        for i in range(SUPPORTS):
            support = {name: x[i] for name, x in self.episode["support"].items()}
            grads = self.freeze(jax.grad(self.loss)(phi, alpha, support))
            phi_i = descend(phi, grads, INNER)
            total += self.loss(phi_i, alpha, self.episode["query"])
        return total

    def update(self, phi, alpha):
        return descend(phi, jax.grad(self.meta_objective)(phi, alpha), OUTER)

    def query_loss(self, phi, alpha):
        return self.loss(self.update(phi, alpha), alpha, self.episode["query"])


def step_gradients(method, state, episode):
    """What one step took for the derivatives by weights and alphas."""
    new, metrics = jax.device_get(jax.jit(method.step)(state, episode))
    rates = ((state.params, new.params, OUTER), (state.alphas, new.alphas, ARCH))
    d_phi, d_alpha = (
        jax.tree.map(lambda a, b, rate=rate: (a - b) / rate, old, changed)
        for old, changed, rate in rates
    )
    return d_phi, d_alpha, metrics


def dot(a, b):
    return sum(jax.tree.leaves(jax.tree.map(lambda x, y: np.sum(x * y), a, b)))


def assert_close(actual, expected, rtol):
    """Relative to the largest element of the whole tree."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * scale)


def check_slopes(f, x, gradient, rtol=1e-6):
    """Central differences of ``f`` along the gradient and two random directions.

    ReLU and max make the objective piecewise smooth, and the inner gradient in it
    jumps at each kink. A step of 1e-6 times a unit vector meets none of the thousands
    of kinks; its rounding error is near 1e-16 / 1e-6, its truncation error far below.
    """
    rng = np.random.default_rng(2)
    noise = [jax.tree.map(lambda a: rng.normal(size=a.shape), x) for _ in range(2)]
    for direction in (gradient, *noise):
        norm = np.sqrt(dot(direction, direction))
        d = jax.tree.map(lambda a, norm=norm: a / norm, direction)
        plus, minus = f(descend(x, d, -1e-6)), f(descend(x, d, 1e-6))
        np.testing.assert_allclose((plus - minus) / 2e-6, dot(gradient, d), rtol=rtol)


@pytest.mark.parametrize("weight_order", meta_nas.ORDERS)
def test_every_order_and_mode_is_the_equations_differentiated(x64, weight_order):
    net, episode = OneEdge(small()), draw_episode(6, 4)
    state = start(search(net), episode)
    equations = WrittenOut(net, state.batch_stats, episode, weight_order)

    @jax.jit
    def reference(phi, alpha):
        value, d_phi = jax.value_and_grad(equations.meta_objective)(phi, alpha)
        updated = descend(phi, d_phi, OUTER)
        direct = jax.grad(equations.loss, 1)(updated, alpha, episode["query"])
        v = jax.grad(equations.loss)(updated, alpha, episode["query"])

        def along(alpha):
            """-gamma~_1 v . dM/dphi, with every learner at phi."""
            grads = jax.grad(equations.loss)(phi, alpha, episode["query"])
            return -OUTER * SUPPORTS * optax.tree.vdot(v, grads)

        second = jax.tree.map(jax.numpy.add, direct, jax.grad(along)(alpha))
        exact = jax.grad(equations.query_loss, 1)(phi, alpha)
        return value, d_phi, {"first": direct, "second": second, "exact": exact}

    value, d_phi, d_alpha = jax.device_get(reference(state.params, state.alphas))
    assert np.abs(d_alpha["exact"]["low"] - d_alpha["first"]["low"]).max() > 1e-3
    for arch_order, mode in itertools.product(meta_nas.ARCH_ORDERS, EXACT):
        orders = {"weight_order": weight_order, "arch_order": arch_order}
        if mode == EXACT[1] and arch_order in ("second", weight_order):
            continue  # First: no mode in use. Exact: the next tests compare them.
        method = search(net, **orders, mode=mode)
        *actual, metrics = step_gradients(method, state, episode)
        np.testing.assert_allclose(metrics["meta_objective"], value, rtol=1e-12)
        np.testing.assert_allclose(
            metrics["l2_grads"], np.sqrt(dot(d_phi, d_phi)), rtol=1e-10
        )
        # Rounding of (old - new) / rate is 1e-16 / 0.05.
        assert_close(actual[0], d_phi, 1e-10)
        assert_close(actual[1], d_alpha[arch_order], 1e-10)


def test_supernet_meta_gradients_are_central_differences(x64, monkeypatch):
    """The whole supernet, but one cell and two widths: compiling is what costs."""
    monkeypatch.setattr(options, "CELLS", ("low",))
    monkeypatch.setattr(options, "EXPANSIONS", (1.2, 2.0))
    net, episode = (
        supernet.Supernet(small(pool="max", attention=False)),
        draw_episode(6, 3),
    )
    state = start(search(net), episode)
    equations = WrittenOut(net, state.batch_stats, episode)
    (*forward, _), (*reverse, _) = (
        step_gradients(search(net, mode=mode), state, episode) for mode in EXACT
    )
    assert_close(reverse, forward, 1e-10)
    d_phi, d_alpha = forward
    objective = jax.jit(equations.meta_objective)
    check_slopes(lambda phi: objective(phi, state.alphas), state.params, d_phi)
    query_loss = jax.jit(equations.query_loss)
    check_slopes(lambda alpha: query_loss(state.params, alpha), state.alphas, d_alpha)


def adam_search(mode=EXACT[0]):
    """The papers' optimizers, several inner steps, alphas fixed for one step."""
    own_adam = functools.partial(adam, weight_decay=1e-3, eps_root=1e-8)
    return search(
        OneEdge(small()),
        inner_optimizer=optax.sgd(INNER, momentum=0.9),
        optimizer=own_adam(0.01),
        alpha_optimizer=own_adam(0.05, b1=0.5),
        inner_steps=2,
        mode=mode,
        alphas_from=1,
    )


def test_steps_with_adam(x64):
    """One compile; alphas wait; modes agree; and more devices change nothing."""
    episodes = [draw_episode(6, 4, seed) for seed in range(3)]
    method = adam_search()
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(method.step, n=1))
    states = [jax.device_put(start(method, episodes[0]))]
    for episode in episodes:
        states.append(step(states[-1], episode)[0])
    assert_close(states[1].alphas, states[0].alphas, 0)
    assert_close(states[1].alpha_opt_state, states[0].alpha_opt_state, 0)
    assert np.abs(states[2].alphas["low"] - states[1].alphas["low"]).max() > 1e-3
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(states[3]))

    # The other mode, and the batches over four devices. Adam divides by the roots of
    # small numbers, which magnifies rounding; and still:
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    place = {"support": PartitionSpec(None, "data"), "query": PartitionSpec("data")}
    place = {name: NamedSharding(mesh, spec) for name, spec in place.items()}
    new, _ = jax.jit(adam_search(EXACT[1]).step)(
        jax.device_put(states[1], NamedSharding(mesh, PartitionSpec())),
        jax.device_put(episodes[1], place),
    )
    assert len(new.params["MixedEdge_0"]["first"]["kernel"].devices()) == 4
    for part in ("params", "alphas", "batch_stats"):
        assert_close(getattr(new, part), getattr(states[2], part), 1e-10)


def test_running_averages_are_of_the_query_pass_at_the_new_weights(x64):
    net, episode = OneEdge(small()), draw_episode(6, 4)
    method = search(net, weight_order="first", arch_order="first")
    state = start(method, episode)
    new, metrics = jax.jit(method.step)(state, episode)

    @jax.jit
    def query_pass(params, query):
        variables = {"params": params, "batch_stats": state.batch_stats}
        call = {"train": True, "mutable": ["batch_stats"]}
        maps, updated = net.apply(variables, query["image"], state.alphas, **call)
        loss = losses.depth_loss(maps, query["target"])
        return loss, updated["batch_stats"]

    loss, batch_stats = query_pass(new.params, episode["query"])
    assert_close(new.batch_stats, batch_stats, 1e-12)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-12)
    old = query_pass(state.params, episode["query"])[1]["MixedEdge_0"]["first"][
        "BatchNorm_0"
    ]["mean"]
    now = batch_stats["MixedEdge_0"]["first"]["BatchNorm_0"]["mean"]
    assert np.abs(old - now).max() > 1e-6


def test_the_cost_enters_the_loss_of_the_alphas_with_its_weight(x64):
    """``L + cost_weight * relative_macs``: the cost's slope by central differences."""
    space = small()
    net, episode = OneEdge(space), draw_episode(6, 4)
    first = {"weight_order": "first", "arch_order": "first"}
    state = start(search(net, **first), episode)

    @jax.jit
    def step(weight):
        return search(net, **first, cost_weight=weight).step(state, episode)

    (plain, metrics), (weighted, _) = jax.device_get((step(0.0), step(0.3)))
    relative = jax.jit(space.relative_macs)
    np.testing.assert_allclose(
        metrics["relative_cost"], relative(state.alphas), rtol=1e-12
    )
    total = 0.0
    for cell in options.CELLS:
        slope = (plain.alphas[cell] - weighted.alphas[cell]) / (ARCH * 0.3)
        for place in np.ndindex(slope.shape):
            moved = [state.alphas | {cell: state.alphas[cell].copy()} for _ in "ab"]
            moved[0][cell][place] += 1e-5
            moved[1][cell][place] -= 1e-5
            expected = (relative(moved[0]) - relative(moved[1])) / 2e-5
            np.testing.assert_allclose(slope[place], expected, atol=1e-9)
            total += expected**2
    np.testing.assert_allclose(metrics["l2_cost_grads"], np.sqrt(total), rtol=1e-6)
    moved = jax.tree.map(lambda a, b: (a - b) / ARCH, state.alphas, plain.alphas)
    np.testing.assert_allclose(
        metrics["l2_alpha_grads"], np.sqrt(dot(moved, moved)), rtol=1e-9
    )


@pytest.mark.parametrize("name", ["weight_order", "arch_order", "mode"])
def test_an_unknown_choice_is_named(name):
    with pytest.raises(ValueError, match=rf"{name}.*'third'"):
        search(OneEdge(small()), **{name: "third"})
