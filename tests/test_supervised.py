"""One supervised step against its loss differentiated by hand-written JAX."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from nasfas_jax import losses
from nasfas_jax.layers import ConvBlock
from nasfas_jax.methods.supervised import Supervised


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
        return state, expected, new, metrics, maps

    state, ((value, stats), grads), new, metrics, maps = run(batch)
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
