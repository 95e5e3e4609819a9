"""MAML on sinusoids: initial weights from which a few steps fit a new sine.

Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning", 2017, sec. 5.1: 25 tasks of 10
points each, amplitudes from 0.1 to 5, phases from 0 to pi, a network with two hidden layers
of 40 units, steps of gradient descent at 0.01.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import optax

from nasfas_jax import bilevel

TASKS, POINTS, WIDTH, RATE, STEPS = 25, 10, 40, 0.01, 5
SIZES = (1, WIDTH, WIDTH, 1)


def draw(key, tasks=TASKS):
    """Weights, no hyperparameters, support and query of ``tasks`` sines."""
    keys = jax.random.split(key, 2)
    return start(keys[0]), (), *episodes(keys[1], tasks)


def start(key):
    """Random weights and zero biases, ``{'w0': [1, 40], 'b0': [40], ...}``."""
    params = {}
    for i, (a, b) in enumerate(itertools.pairwise(SIZES)):
        draw = jax.random.normal(jax.random.fold_in(key, i), (a, b))
        params |= {f"w{i}": draw / math.sqrt(a), f"b{i}": jnp.zeros(b)}
    return params


def episodes(key, tasks=TASKS):
    """Support and query of sines: ``x`` and ``y`` of shape [tasks, 10, 1]."""
    keys = jax.random.split(key, 3)
    amplitude = jax.random.uniform(keys[0], (tasks, 1, 1), minval=0.1, maxval=5.0)
    phase = jax.random.uniform(keys[1], (tasks, 1, 1), maxval=math.pi)
    x = jax.random.uniform(keys[2], (tasks, 2 * POINTS, 1), minval=-5.0, maxval=5.0)
    y = amplitude * jnp.sin(x - phase)
    return tuple({"x": x[:, i::2], "y": y[:, i::2]} for i in (0, 1))


def predict(params, x):
    """The network, [N, 1] to [N, 1]."""
    for i in range(len(SIZES) - 2):
        x = jax.nn.relu(x @ params[f"w{i}"] + params[f"b{i}"])
    last = len(SIZES) - 2
    return x @ params[f"w{last}"] + params[f"b{last}"]


def loss(params, hyper, batch):
    """Mean squared error on the points of one sine."""
    del hyper
    return jnp.mean((predict(params, batch["x"]) - batch["y"]) ** 2)


def meta_gradient(
    params,
    hyper,
    support,
    query,
    *,
    inner_loss=loss,
    outer_loss=loss,
    mode="forward_over_reverse",
    steps=STEPS,
):
    """Mean loss after the steps on each task, and its derivative, a tree like ``params``.

    `bilevel.scan_sum` computes the tasks one after another, in the memory of one;
    `jax.vmap` of ``of_task`` would compute them at once.
    """

    def of_task(batches):
        support, query = batches
        result = bilevel.hypergradient(
            outer_loss,
            jax.grad(inner_loss, (0, 1)),
            params,
            hyper,
            inner_batch=support,
            outer_batch=query,
            optimizer=optax.sgd(RATE),
            steps=steps,
            mode=mode,
        )
        return (result.value, result.params), ()

    total, _ = bilevel.scan_sum(of_task, (support, query))
    return jax.tree.map(lambda x: x / len(query["y"]), total)
