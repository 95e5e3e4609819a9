"""Losses, metrics and outputs of the methods that train F, M and D."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_rfmeta import (
    RATE,
    TinyEstimator,
    TinyExtractor,
    assert_same,
    cls,
    draw_episode,
    gradients,
    tiny,
)
from test_rfmeta import batches as support_batches

from nasfas_jax.methods import feature_nets, mldg, multi_domain, reptile, rfmeta


@pytest.fixture
def problem(x64):
    nets, episode = tiny(), draw_episode()
    params, stats = jax.jit(nets.init)(jax.random.key(0), episode["query"]["image"][:1])
    return nets, stats, episode, params


def joined(episode):
    """All clips of an episode in one batch."""
    return {
        name: np.concatenate([*episode["support"][name], episode["query"][name]])
        for name in ("image", "target", "label")
    }


def depth(nets, stats, params, batch):
    """Mean squared error of D's maps, the targets averaged to their size."""
    call = {"train": True, "mutable": ["batch_stats"]}

    def run(net, name, x):
        variables = {"params": params[name], "batch_stats": stats[name]}
        return net.apply(variables, x, **call)[0]

    maps = run(nets.estimator, "D", run(nets.extractor, "F", batch["image"])[1])
    count, height, width = maps.shape
    blocks = batch["target"].reshape(count, height, 2, width, 2)
    return ((maps - blocks.mean((2, 4))) ** 2).mean()


def domain_loss(nets, stats, params, batch):
    """``(Cls, w Dep)`` of a batch."""
    z = nets.features(params, stats, batch)[0]
    classification = cls(nets, stats, params["M"], z, batch["label"])
    return classification, nets.depth_weight * depth(nets, stats, params, batch)


def test_depth_is_weighted_and_reduced(problem):
    """As sums over samples and pixels it is larger by their number, as Cls by samples."""
    nets, stats, episode, params = problem
    batch, weights = episode["query"], {"depth_weight": 3.0}
    for reduction, pixels, samples in (("mean", 1, 1), ("sum", 4 * 36, 4)):
        one = dataclasses.replace(nets, loss_reduction=reduction, **weights)
        z, dep, _ = one.features(params, stats, batch)
        expected = 3 * pixels * depth(nets, stats, params, batch)
        np.testing.assert_allclose(dep, expected, rtol=1e-12)
        found, _ = one.classification(params["M"], stats["M"], z, batch["label"])
        expected = samples * cls(nets, stats, params["M"], z, batch["label"])
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_without_meta_learning_a_step_follows_all_domains_joined(problem):
    nets, stats, episode, params = problem
    batch = joined(episode)

    def objective(params):
        return sum(domain_loss(nets, stats, params, batch))

    expected = jax.jit(jax.grad(objective))(params)
    found, metrics = gradients(multi_domain.MultiDomain(nets, optax.sgd(1.0)), problem)
    assert_same(found, expected)
    parts = domain_loss(nets, stats, params, batch)
    np.testing.assert_allclose((metrics["cls"], metrics["depth"]), parts, rtol=1e-10)
    np.testing.assert_allclose(metrics["loss"], sum(parts), rtol=1e-10)


def test_metrics_of_rfmeta_are_the_terms_of_its_loss(problem):
    """Means over the support domains; ``cosine`` is that of eq. 10's two gradients."""
    nets, stats, episode, params = problem
    _, metrics = gradients(rfmeta.RFMeta(nets, optax.sgd(1.0), RATE), problem)

    def classify(m, features_of, label):
        return cls(nets, stats, m, features_of, label)

    z_q = nets.features(params, stats, episode["query"])[0]
    label_q, by_m = episode["query"]["label"], jax.grad(classify)
    d_q = by_m(params["M"], z_q, label_q)
    rows = []
    for batch in support_batches(episode):
        z = nets.features(params, stats, batch)[0]
        d_i = by_m(params["M"], z, batch["label"])
        adapted = jax.tree.map(lambda m, d: m - RATE * d, params["M"], d_i)
        dot, *lengths = (
            sum(jax.tree.leaves(jax.tree.map(lambda x, y: (x * y).sum(), *pair)))
            for pair in ((d_i, d_q), (d_i, d_i), (d_q, d_q))
        )
        test = classify(adapted, z_q, label_q)
        cosine = dot / np.sqrt(lengths[0] * lengths[1])
        rows.append((*domain_loss(nets, stats, params, batch), test, cosine))
    found = [metrics[name] for name in ("cls", "depth", "cls_test", "cosine")]
    np.testing.assert_allclose(found, np.mean(rows, 0), rtol=1e-8)
    expected = nets.depth_weight * depth(nets, stats, params, episode["query"])
    np.testing.assert_allclose(metrics["depth_test"], expected, rtol=1e-10)


def test_metrics_of_mldg(problem):
    """``loss`` is ``S(T) + b V(T')``, ``cls_test`` V, the rest of all domains joined."""
    nets, stats, episode, params = problem
    method = mldg.MLDG(nets, optax.sgd(1.0), RATE, query_weight=0.7)
    _, metrics = gradients(method, problem)

    def support(params):
        rows = [
            sum(domain_loss(nets, stats, params, batch))
            for batch in support_batches(episode)
        ]
        return sum(rows) / len(rows)

    @jax.jit
    def terms(params):
        value, slope = jax.value_and_grad(support)(params)
        adapted = jax.tree.map(lambda p, g: p - RATE * g, params, slope)
        return value, sum(domain_loss(nets, stats, adapted, episode["query"]))

    plain, virtual = terms(params)
    np.testing.assert_allclose(metrics["cls_test"], virtual, rtol=1e-10)
    np.testing.assert_allclose(metrics["loss"], plain + 0.7 * virtual, rtol=1e-10)
    parts = domain_loss(nets, stats, params, joined(episode))
    np.testing.assert_allclose((metrics["cls"], metrics["depth"]), parts, rtol=1e-10)


@pytest.mark.parametrize(
    "make",
    [
        lambda nets: mldg.MLDG(nets, optax.sgd(1.0), RATE),
        lambda nets: reptile.Reptile(nets, optax.sgd(1.0), RATE, inner_steps=2),
        lambda nets: multi_domain.MultiDomain(nets, optax.sgd(1.0)),
    ],
)
def test_running_averages_are_those_of_all_domains_joined(problem, make):
    """At the parameters before the step; so is the loss that Reptile reports."""
    nets, stats, episode, params = problem
    method = make(nets)
    state = method.init(jax.random.key(0), episode["query"]["image"][:1])
    state = state.replace(params=params, batch_stats=stats)
    new, metrics = jax.jit(method.step)(state, episode)
    z, _, averages = nets.features(params, stats, joined(episode))
    _, of_m = nets.classification(params["M"], stats["M"], z, joined(episode)["label"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10),
        new.batch_stats,
        {**averages, "M": of_m},
    )
    assert int(new.step) == int(state.step) + 1
    if isinstance(method, reptile.Reptile):
        loss = sum(domain_loss(nets, stats, params, joined(episode)))
        np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-10)


class Linear(nn.Module):
    """M whose logit is linear in the mean of its features, less a running average."""

    @nn.compact
    def __call__(self, x, *, train):
        average = self.variable("batch_stats", "mean", jnp.zeros, (3,), x.dtype)
        return nn.Dense(1, param_dtype=x.dtype)(
            (x - average.value[None, None, None]).mean((1, 2))
        )[..., 0]


def test_predictions_and_attention_use_the_running_averages(x64):
    """``sigmoid(M(F(x)))``, and Grad-CAM's closed form for an M that is linear."""
    nets = feature_nets.FeatureNets(TinyExtractor(), Linear(), TinyEstimator())
    image = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (5, 6, 6, 3)))
    params, stats = jax.jit(nets.init)(jax.random.key(0), image[:1])
    stats["F"]["ConvBlock_0"]["BatchNorm_0"]["mean"] += 0.3
    stats["M"]["mean"] += 0.2
    params["M"]["Dense_0"]["kernel"] = np.array([[2.0], [-1.0], [1.0]])
    features, _ = nets.extractor.apply(
        {"params": params["F"], "batch_stats": stats["F"]}, image, train=False
    )
    features, params = np.asarray(features), jax.device_get(params)
    kernel, bias = (params["M"]["Dense_0"][name] for name in ("kernel", "bias"))
    logit = (features.mean((1, 2)) - 0.2) @ kernel[:, 0] + bias[0]
    found = nets.predict(params, stats, image)
    assert found.shape == (5, 1, 1)
    np.testing.assert_allclose(found[:, 0, 0], 1 / (1 + np.exp(-logit)), rtol=1e-10)
    maps = np.asarray(nets.attention(params, stats, image))
    expected = np.maximum((features * kernel[:, 0] / 36).sum(-1), 0)
    np.testing.assert_allclose(maps, expected, rtol=1e-10, atol=1e-15)
    assert maps.shape == (5, 6, 6) and (maps == 0).any() and (maps > 0).any()
