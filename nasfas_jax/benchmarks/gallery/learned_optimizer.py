"""A learned optimizer: a small network computes each of 100 updates.

Andrychowicz et al., "Learning to learn by gradient descent by gradient descent", 2016,
with the per-parameter perceptron of Metz et al., "Understanding and correcting pathologies
in the training of learned optimizers", 2019, instead of an LSTM: it maps the gradient and
the momentum of a parameter to its update. The objective is the final loss plus the mean
loss over the steps. Second derivatives, which the first paper omits, are kept.
"""

import math

import jax
import jax.numpy as jnp
import optax

from nasfas_jax import bilevel

FEATURES, WIDTH, BATCH, STEPS, HIDDEN = 16, 64, 32, 100, 16
SCALE, DECAY = 0.1, 0.9


def draw(key, steps=STEPS):
    """Weights of the inner network and of the rule, a batch per step, and the last one."""
    keys = jax.random.split(key, 6)
    shapes = (keys[0], (FEATURES, WIDTH)), (keys[1], (WIDTH, 1))
    params = {
        f"w{i}": jax.random.normal(k, s) / math.sqrt(s[0])
        for i, (k, s) in enumerate(shapes)
    }
    rule = {
        "in": jax.random.normal(keys[2], (2, HIDDEN)) / math.sqrt(2),
        "bias": jnp.zeros(HIDDEN),
        "out": jax.random.normal(keys[3], (HIDDEN,)) / math.sqrt(HIDDEN),
    }
    x = jax.random.normal(keys[4], (steps, BATCH, FEATURES))
    y = jnp.sin(x @ jax.random.normal(keys[5], (FEATURES, 1)))
    return params, rule, {"x": x, "y": y}, {"x": x[-1], "y": y[-1]}


def learned(rule) -> optax.GradientTransformation:
    """Optimizer with the update rule ``rule``; its state is the momentum."""

    def init(params):
        return jax.tree.map(jnp.zeros_like, params)

    def update(grads, momentum, params=None):
        del params
        momentum = jax.tree.map(
            lambda m, g: DECAY * m + (1 - DECAY) * g, momentum, grads
        )

        def of_leaf(g, m):
            hidden = jnp.tanh(jnp.stack([g, m], -1) @ rule["in"] + rule["bias"])
            return -SCALE * (m + SCALE * hidden @ rule["out"])

        return jax.tree.map(of_leaf, grads, momentum), momentum

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


def loss(params, rule, batch):
    """Mean squared error of the inner network."""
    del rule
    predicted = jnp.tanh(batch["x"] @ params["w0"]) @ params["w1"]
    return jnp.mean((predicted - batch["y"]) ** 2)


def meta_gradient(
    params,
    rule,
    batches,
    last,
    *,
    inner_loss=loss,
    outer_loss=loss,
    mode="forward_over_reverse",
    segments="sqrt",
):
    """Loss after all steps plus the mean over the steps, and its derivative.

    The derivative is a tree like ``rule``. Every step has its own batch
    (``steps=None``), and the mean is over the losses on that batch after the step.
    """
    count = len(batches["y"])
    result = bilevel.hypergradient(
        outer_loss,
        jax.grad(inner_loss, (0, 1)),
        params,
        rule,
        inner_batch=batches,
        outer_batch=last,
        optimizer=learned,
        steps=None,
        step_loss=lambda phi, h, batch, t: inner_loss(phi, h, batch) / count,
        mode=mode,
        segments=segments,
    )
    return result.value, result.hyper
