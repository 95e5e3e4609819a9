"""MetaReg's networks and classifiers after a step; its regularizer is in test_rfmeta."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from test_rfmeta import assert_same, cls, draw_episode, tiny

from nasfas_jax.methods import metareg

RATE = 0.3


def test_networks_learn_from_all_domains_under_the_penalty(x64):
    """M's loss is penalized, F follows it; each T_i takes one step on its own domain."""
    nets, episode = tiny(), draw_episode()
    method = metareg.MetaReg(nets, optax.sgd(1.0), 3, RATE)
    rng = np.random.default_rng(1)
    order = (0, 2, 1)  # of the batches: the query's domain is 1

    def some(tree):
        return jax.tree.map(lambda x: rng.uniform(0.1, 1, x.shape), tree)

    key, image = jax.random.key(0), episode["query"]["image"][:1]
    state = jax.eval_shape(method.init, key, image)
    state = state.replace(
        step=np.int32(0),
        params=some(state.params),
        batch_stats=some(state.batch_stats),
        opt_state=method.optimizer.init({}),
    )
    tasks, phi = state.params["tasks"], state.params["phi"]
    params = {name: state.params[name] for name in "FMD"}

    @jax.jit
    def run(state, episode):
        stats = state.batch_stats
        joined = {
            name: jnp.concatenate([*episode["support"][name], episode["query"][name]])
            for name in ("image", "target", "label")
        }

        def objective(params):
            z, depth, _ = nets.features(params, stats, joined)
            absolute = jax.tree.map(jnp.abs, params["M"])
            terms = jax.tree.map(lambda f, a: (f * a).sum(), phi, absolute)
            penalty = sum(jax.tree.leaves(terms))
            loss = cls(nets, stats, params["M"], z, joined["label"]) + depth + penalty
            return loss, penalty

        (loss, penalty), grads = jax.value_and_grad(objective, has_aux=True)(params)
        learned = []
        for place, domain in enumerate(order):
            batch = (
                {k: v[place] for k, v in episode["support"].items()}
                if (place < 2)
                else episode["query"]
            )
            z = nets.features(params, stats, batch)[0]
            task = jax.tree.map(lambda x, i=domain: x[i], tasks)
            slope = jax.grad(lambda t, z=z, b=batch: cls(nets, stats, t, z, b["label"]))
            step = jax.tree.map(lambda t, g: t - RATE * g, task, slope(task))
            learned.append((domain, step))
        learned = [step for _, step in sorted(learned, key=lambda pair: pair[0])]
        expected = {
            **jax.tree.map(jnp.subtract, params, grads),
            "tasks": jax.tree.map(lambda *x: jnp.stack(x), *learned),
        }
        return (loss, penalty), expected, method.step(state, episode)

    (loss, penalty), expected, (new, metrics) = run(state, episode)
    found = {name: new.params[name] for name in expected}
    assert_same(found, expected)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-10)
    np.testing.assert_allclose(metrics["regularizer"], penalty, rtol=1e-10)
    assert new.step == 1
