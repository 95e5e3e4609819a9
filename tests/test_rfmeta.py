"""RFMeta's gradient against Algorithm 1 written out and differentiated by jax.grad."""

import dataclasses

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nasfas_jax.errors import InputError
from nasfas_jax.layers import ConvBlock, at_least_float32
from nasfas_jax.methods import (
    feature_nets,
    metareg,
    mldg,
    multi_domain,
    reptile,
    rfmeta,
)
from nasfas_jax.nets import cost
from nasfas_jax.nets.rfmeta import DepthEstimator, FeatureExtractor, MetaLearner

RATE = 0.3


class TinyExtractor(nn.Module):
    """Same interface as F, one convolution."""

    bn_momentum: float = 0.1

    @nn.compact
    def __call__(self, x, *, train):
        x = ConvBlock(3, bias=True, bn_momentum=self.bn_momentum)(
            x, theta=0.0, train=train
        )
        return x, x


class TinyLearner(nn.Module):
    bn_momentum: float = 0.1

    @nn.compact
    def __call__(self, x, *, train):
        x = ConvBlock(2, bn_momentum=self.bn_momentum)(x, theta=0.0, train=train)
        wide = at_least_float32(x)
        return nn.Dense(1, param_dtype=wide)(x.mean((1, 2)).astype(wide))[..., 0]


class TinyEstimator(nn.Module):
    bn_momentum: float = 0.1

    @nn.compact
    def __call__(self, x, *, train):
        return ConvBlock(1, bn_momentum=self.bn_momentum)(x, theta=0.0, train=train)[
            ..., 0
        ]


def tiny(**options):
    return feature_nets.FeatureNets(
        TinyExtractor(), TinyLearner(), TinyEstimator(), **options
    )


def draw_episode(supports=2, size=6, batch=4):
    rng = np.random.default_rng(0)

    def draw(*lead):
        return {
            "image": rng.uniform(size=(*lead, size, size, 3)),
            "target": rng.uniform(size=(*lead, 2 * size, 2 * size)),
            "label": np.broadcast_to(np.arange(batch) % 2, lead).copy(),
        }

    return {
        "support": draw(supports, batch),
        "query": draw(batch),
        "query_domain": np.int64(1),
    }


def cls(nets, stats, m, z, label):
    """Mean cross entropy, as eq. 1 has it."""
    variables = {"params": m, "batch_stats": stats["M"]}
    logits, _ = nets.learner.apply(variables, z, train=True, mutable=["batch_stats"])
    p, y = jax.nn.sigmoid(logits), label.astype(float)
    return -(y * jnp.log(p) + (1 - y) * jnp.log(1 - p)).mean()


def descend(params, grads):
    return jax.tree.map(lambda p, g: p - RATE * g, params, grads)


def batches(episode):
    count = len(episode["support"]["label"])
    return [
        {name: x[i] for name, x in episode["support"].items()} for i in range(count)
    ]


def rfmeta_written_out(nets, stats, episode, params, order="exact"):
    """L as in Algorithm 1, domain by domain, nothing but ``jax.grad`` inside."""
    freeze = jax.lax.stop_gradient if order == "first" else lambda x: x
    z_q, total, _ = nets.features(params, stats, episode["query"])
    for batch in batches(episode):
        z_i, depth, _ = nets.features(params, stats, batch)
        inner = jax.grad(lambda m, z, y: cls(nets, stats, m, z, y))
        adapted = descend(params["M"], freeze(inner(params["M"], z_i, batch["label"])))
        total += cls(nets, stats, params["M"], z_i, batch["label"]) + depth
        total += cls(nets, stats, adapted, z_q, episode["query"]["label"])
    return total


def mldg_written_out(nets, stats, episode, params):
    def loss(params, batch):
        z, depth, _ = nets.features(params, stats, batch)
        return cls(nets, stats, params["M"], z, batch["label"]) + depth

    def support(params):
        return sum(loss(params, batch) for batch in batches(episode)) / 2

    adapted = descend(params, jax.grad(support)(params))
    return support(params) + 0.7 * loss(adapted, episode["query"])


def reptile_written_out(nets, stats, episode, params):
    """Not a loss: the mean of T - T_i after two steps."""

    def loss(params, batch):
        z, depth, _ = nets.features(params, stats, batch)
        return cls(nets, stats, params["M"], z, batch["label"]) + depth

    total = jax.tree.map(jnp.zeros_like, params)
    for batch in [*batches(episode), episode["query"]]:
        adapted = params
        for _ in range(2):
            adapted = descend(adapted, jax.grad(loss)(adapted, batch))
        total = jax.tree.map(lambda t, p, a: t + (p - a) / 3, total, params, adapted)
    return total


@pytest.fixture
def problem(x64):
    nets, episode = tiny(), draw_episode()
    params, stats = jax.jit(nets.init)(jax.random.key(0), episode["query"]["image"][:1])
    return nets, stats, episode, params


def gradients(method, problem):
    """What a step of plain descent at rate one subtracted."""
    _, stats, episode, params = problem
    state = method.init(jax.random.key(0), episode["query"]["image"][:1])
    state = state.replace(params={**state.params, **params}, batch_stats=stats)
    new, metrics = jax.jit(method.step)(state, episode)
    return jax.tree.map(
        lambda a, b: a - b, params, {k: new.params[k] for k in params}
    ), metrics


def assert_same(found, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10),
        found,
        dict(expected),
    )


@pytest.mark.parametrize("mode", ["forward_over_reverse", "reverse_over_reverse"])
def test_rfmeta_follows_the_algorithm_exactly(problem, mode):
    nets, stats, episode, params = problem
    value, expected = jax.jit(
        jax.value_and_grad(lambda p: rfmeta_written_out(nets, stats, episode, p))
    )(params)
    method = rfmeta.RFMeta(nets, optax.sgd(1.0), RATE, mode=mode)
    found, metrics = gradients(method, problem)
    np.testing.assert_allclose(metrics["loss"], value, rtol=1e-12)
    assert_same(found, expected)


def test_first_order_holds_the_inner_gradient_fixed(problem):
    nets, stats, episode, params = problem
    expected = jax.jit(
        jax.grad(lambda p: rfmeta_written_out(nets, stats, episode, p, "first"))
    )(params)
    method = rfmeta.RFMeta(nets, optax.sgd(1.0), RATE, order="first")
    assert_same(gradients(method, problem)[0], expected)


def test_aggregation_is_one_support_domain_of_all_clips(problem):
    nets, stats, episode, params = problem
    joined = {
        name: x.reshape(1, -1, *x.shape[2:]) for name, x in episode["support"].items()
    }
    expected = jax.jit(
        jax.grad(
            lambda p: rfmeta_written_out(nets, stats, {**episode, "support": joined}, p)
        )
    )(params)
    method = rfmeta.RFMeta(nets, optax.sgd(1.0), RATE, fine_grained=False)
    assert_same(gradients(method, problem)[0], expected)


def test_mldg_adapts_all_parameters(problem):
    nets, stats, episode, params = problem
    expected = jax.jit(jax.grad(lambda p: mldg_written_out(nets, stats, episode, p)))(
        params
    )
    method = mldg.MLDG(nets, optax.sgd(1.0), RATE, query_weight=0.7)
    assert_same(gradients(method, problem)[0], expected)
    assert mldg.MLDG.query_weight == 1  # the original's


def test_reptile_moves_to_the_mean_of_the_adapted(problem):
    nets, stats, episode, params = problem
    expected = jax.jit(lambda p: reptile_written_out(nets, stats, episode, p))(params)
    method = reptile.Reptile(nets, optax.sgd(1.0), RATE, inner_steps=2)
    assert_same(gradients(method, problem)[0], expected)


@pytest.mark.parametrize(("step", "query"), [(0, 1), (1, 1), (2, 0), (3, 2), (4, 2)])
def test_metareg_learns_its_weights_through_the_steps(problem, step, query):
    """phi from the support domain a whose turn it is; every T_i on its own domain."""
    nets, stats, episode, params = problem
    episode = {**episode, "query_domain": np.int64(query)}
    method = metareg.MetaReg(
        nets, optax.sgd(1.0), 3, RATE, regularizer_learning_rate=1.0
    )
    state = method.init(jax.random.key(0), episode["query"]["image"][:1])
    rng = np.random.default_rng(1)
    tasks = jax.tree.map(
        lambda x: x + 0.1 * rng.normal(size=x.shape), state.params["tasks"]
    )
    phi = jax.tree.map(lambda x: rng.uniform(size=x.shape), state.params["phi"])
    state = state.replace(
        step=jnp.int32(step),
        params={**params, "tasks": tasks, "phi": phi},
        batch_stats=stats,
    )
    # Two support domains take turns; they come in the order of their numbers.
    turn, support = step % 2, [domain for domain in range(3) if domain != query]
    batch_of = dict(zip(support, batches(episode), strict=True))
    batch_of[query] = episode["query"]

    def task_loss(task, domain):
        batch = batch_of[domain]
        z = nets.features(params, stats, batch)[0]
        return cls(nets, stats, task, z, batch["label"])

    def of(domain):
        return jax.tree.map(lambda x: x[domain], tasks)

    def written_out(phi):
        def regularized(task):
            size = jax.tree.map(lambda f, t: (f * abs(t)).sum(), phi, task)
            return task_loss(task, support[turn]) + sum(jax.tree.leaves(size))

        task = of(support[turn])
        for _ in range(2):
            task = descend(task, jax.grad(regularized)(task))
        return task_loss(task, query)

    expected = jax.jit(jax.grad(written_out))(phi)
    new, _ = jax.jit(method.step)(state, episode)
    assert_same(
        jax.tree.map(lambda a, b: a - b, phi, dict(new.params["phi"])), expected
    )
    for domain in range(3):
        learned = descend(of(domain), jax.grad(task_loss)(of(domain), domain))
        found = jax.tree.map(lambda x, i=domain: x[i], new.params["tasks"])
        assert_same(found, learned)


def test_without_meta_learning_both_streams_train(problem):
    nets, _, episode, _ = problem
    for kind, batch in (
        ("episodes", episode),
        ("pooled", feature_nets.join({k: episode[k] for k in ("support", "query")})),
    ):
        method = multi_domain.MultiDomain(nets, optax.sgd(0.1), kind)
        state = method.init(jax.random.key(0), episode["query"]["image"][:1])
        step = jax.jit(method.step)
        losses = []
        for _ in range(5):
            state, metrics = step(state, batch)
            losses.append(float(metrics["loss"]))
        assert losses[-1] < losses[0]


def test_parameters_of_the_three_nets():
    """RFMeta's supplement, Table 2, at 6 input channels."""
    key, image = jax.random.key(0), jax.ShapeDtypeStruct((1, 256, 256, 6), jnp.float32)
    nets = feature_nets.FeatureNets(FeatureExtractor(), MetaLearner(), DepthEstimator())
    params, _ = jax.eval_shape(nets.init, key, image)
    counts = {k: cost.parameters({"params": v}) for k, v in params.items()}
    assert counts == {"F": 1_731_108, "M": 1_625_217, "D": 517_251}


def test_wrong_choices_are_said():
    with pytest.raises(
        InputError, match="loss_reduction: expected one of 'sum', 'mean', got 'max'"
    ):
        tiny(loss_reduction="max")
    with pytest.raises(
        InputError, match="order: expected one of 'first', 'exact', got 'second'"
    ):
        rfmeta.RFMeta(tiny(), optax.sgd(1.0), order="second")


def averages_after_each(nets, params, stats, batches):
    """BatchNorm's own updates, one batch after the other, as PyTorch makes them."""
    for batch in batches:
        z, _, new = nets.features(params, stats, batch)
        _, new["M"] = nets.classification(params["M"], stats["M"], z, batch["label"])
        stats = {**stats, **new}
    return stats


def test_sequential_averages_follow_the_domains_in_turn(problem):
    nets, stats, episode, params = problem
    method = rfmeta.RFMeta(nets, optax.sgd(RATE), RATE, averages="sequential")
    _, (found, _) = jax.jit(method.objective)(params, stats, episode)
    support = batches(episode)
    after_all = averages_after_each(nets, params, stats, [*support, episode["query"]])
    after_support = averages_after_each(nets, params, stats, support)
    expected = {"F": after_all["F"], "D": after_all["D"], "M": after_support["M"]}
    chex.assert_trees_all_close(found, expected, rtol=1e-9)


def test_mean_averages_weigh_the_query_domain_by_a_half(problem):
    nets, stats, episode, params = problem
    method = rfmeta.RFMeta(nets, optax.sgd(RATE), RATE)
    _, (found, _) = jax.jit(method.objective)(params, stats, episode)
    first, second, query = (
        averages_after_each(nets, params, stats, [batch])
        for batch in [*batches(episode), episode["query"]]
    )
    mean = jax.tree.map(lambda a, b: (a + b) / 2, first, second)
    half = jax.tree.map(lambda a, b: (a + b) / 2, mean, query)
    expected = {"F": half["F"], "D": half["D"], "M": mean["M"]}
    chex.assert_trees_all_close(found, expected, rtol=1e-9)


def test_the_learner_of_the_code_keeps_the_last_batch_alone(problem):
    nets, stats, episode, params = problem
    learner = dataclasses.replace(nets.learner, bn_momentum=1.0)
    nets = dataclasses.replace(nets, learner=learner)
    method = rfmeta.RFMeta(nets, optax.sgd(RATE), RATE, averages="sequential")
    _, (found, _) = jax.jit(method.objective)(params, stats, episode)
    last = averages_after_each(nets, params, stats, batches(episode)[-1:])
    chex.assert_trees_all_close(found["M"], last["M"], rtol=1e-9)
