"""One supervised step against its loss differentiated by hand-written JAX."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nasfas_jax import losses, nets
from nasfas_jax.bilevel import _checks
from nasfas_jax.layers import ConvBlock
from nasfas_jax.methods.supervised import Supervised
from nasfas_jax.nets.cost import macs_in


class Tiny(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return ConvBlock(1)(x, theta=0.7, train=train)[..., 0]


def norm(tree):
    return np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(tree)))


def test_a_step_descends_the_depth_loss_and_reports_its_norms(x64):
    rng = np.random.default_rng(0)
    batch = {"image": rng.normal(size=(4, 5, 5, 3)), "target": rng.random((4, 5, 5))}
    net = Tiny()
    method = Supervised(net, optax.sgd(0.5))

    @jax.jit
    def run(batch):
        state = method.init(jax.random.key(0), batch["image"][:1])

        def loss(params):
            maps, new = net.apply(
                {"params": params, "batch_stats": state.batch_stats},
                batch["image"],
                train=True,
                mutable=["batch_stats"],
            )
            mse = jnp.square(maps - batch["target"]).mean()
            contrast = losses.contrastive_depth(maps, batch["target"])
            return mse + contrast, new["batch_stats"]

        expected = jax.value_and_grad(loss, has_aux=True)(state.params)
        new, metrics = method.step(state, batch)
        maps = method.predict(new.params, new.batch_stats, batch["image"])
        again = dataclasses.replace(method, remat=True).step(state, batch)
        return state, expected, new, metrics, maps, again

    state, ((value, stats), grads), new, metrics, maps, again = run(batch)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), again, (new, metrics)
    )
    assert (state.step, new.step) == (0, 1)
    moved = jax.tree.map(lambda p, g: p - 0.5 * g, state.params, grads)
    for actual, expected in ((new.params, moved), (new.batch_stats, stats)):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), actual, expected
        )
    expected = {
        "loss": value,
        "l2_grads": norm(grads),
        "l2_params": norm(state.params),
        "l2_updates": 0.5 * norm(grads),
    }
    assert metrics.keys() == expected.keys()
    for name, number in expected.items():
        np.testing.assert_allclose(metrics[name], number, rtol=1e-10)
    # A prediction uses the running averages, so it does not depend on the batch.
    alone = jax.jit(method.predict)(new.params, new.batch_stats, batch["image"][:1])
    np.testing.assert_allclose(maps[:1], alone, rtol=1e-10)


def traced(method, shape):
    """The program of a step on two inputs."""

    def run(key, batch):
        return method.step(method.init(key, batch["image"][:1]), batch)

    image = jax.ShapeDtypeStruct((2, *shape), np.float32)
    target = jax.ShapeDtypeStruct((2, 4, 4), np.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.make_jaxpr(run)(key, {"image": image, "target": target}).jaxpr


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("cdn", (32, 32, 3)),
        ("eulernet", (8, 32, 32, 3)),
        ("resnet18", (32, 32, 3)),
        ("mobilenet_v1", (32, 32, 3)),
        ("vgg16", (32, 32, 3)),
    ],
)
def test_recomputed_are_no_convolutions(name, shape):
    """A layer whose output is not `layers.kept` would be convolved twice."""
    net = nets.build(name)
    method = Supervised(net, optax.sgd(0.1), loss=lambda maps, target: jnp.mean(maps))
    again = traced(dataclasses.replace(method, remat=True), shape)
    found = {one.primitive.name for one in _checks.equations(again)}
    assert any(name.startswith("remat") for name in found)
    assert macs_in(again) <= 1.1 * macs_in(traced(method, shape))
