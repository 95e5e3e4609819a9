"""MAML on images: initial weights from which a few steps learn new classes.

As in Finn, Abbeel and Levine 2017, sec. 5.2, with five classes, five examples of each and
a network of convolutions with batch statistics. The images are synthetic: a class is a
smooth random pattern, and an example shows it shifted, with noise.
"""

import math

import jax
import jax.numpy as jnp
import optax

from nasfas_jax import bilevel, ops

TASKS, WAYS, SHOTS, SIDE, CHANNELS, RATE, STEPS = 4, 5, 5, 20, (32, 32), 0.1, 3


def draw(key, tasks=TASKS):
    """Weights, no hyperparameters, support and query of ``tasks`` sets of classes."""
    keys = jax.random.split(key, 2)
    return start(keys[0]), (), *episodes(keys[1], tasks)


def start(key):
    """Random kernels, unit scales and zero biases."""
    params, before = {}, 1
    for i, width in enumerate(CHANNELS):
        draw = jax.random.normal(jax.random.fold_in(key, i), (3, 3, before, width))
        params |= {f"k{i}": draw / math.sqrt(9 * before), f"b{i}": jnp.zeros(width)}
        before = width
    pixels = (SIDE // 2 ** len(CHANNELS)) ** 2
    last = jax.random.normal(
        jax.random.fold_in(key, len(CHANNELS)), (pixels * before, WAYS)
    )
    return params | {"w": 0.1 * last / math.sqrt(pixels * before), "b": jnp.zeros(WAYS)}


def episodes(key, tasks=TASKS):
    """Support and query: ``x`` [tasks, 25, 20, 20, 1] and labels ``y`` [tasks, 25]."""
    keys = jax.random.split(key, 3)
    coarse = jax.random.normal(keys[0], (tasks, WAYS, 1, 5, 5))
    pattern = jax.image.resize(coarse, (tasks, WAYS, 1, SIDE, SIDE), "linear")
    count = 2 * SHOTS
    shift = jax.random.randint(keys[1], (tasks, WAYS, count, 2), -2, 3)
    noise = 0.5 * jax.random.normal(keys[2], (tasks, WAYS, count, SIDE, SIDE))
    shown = jnp.broadcast_to(pattern, noise.shape).reshape(-1, SIDE, SIDE)
    moved = jax.vmap(lambda x, by: jnp.roll(x, by, (0, 1)))(shown, shift.reshape(-1, 2))
    x = (moved.reshape(noise.shape) + noise)[..., None]
    y = jnp.broadcast_to(jnp.arange(WAYS)[:, None], (tasks, WAYS, SHOTS))
    return tuple(
        {"x": half.reshape(tasks, -1, SIDE, SIDE, 1), "y": y.reshape(tasks, -1)}
        for half in (x[:, :, :SHOTS], x[:, :, SHOTS:])
    )


def predict(params, x):
    """Logits [N, 5] of images [N, 20, 20, 1].

    `ops.convolve` is `jax.lax.conv_general_dilated` with derivatives that are fast on
    CPUs, also inside loops.
    """
    for i in range(len(CHANNELS)):
        x = ops.convolve(x, params[f"k{i}"])
        deviation = jnp.sqrt(x.var((0, 1, 2)) + 1e-5)
        x = jax.nn.relu((x - x.mean((0, 1, 2))) / deviation + params[f"b{i}"])
        x = jnp.maximum(x[:, ::2], x[:, 1::2])  # pooling of 2 x 2
        x = jnp.maximum(x[:, :, ::2], x[:, :, 1::2])
    return x.reshape(len(x), -1) @ params["w"] + params["b"]


def loss(params, hyper, batch):
    """Mean cross entropy on the images of one task."""
    del hyper
    logits = predict(params, batch["x"])
    return optax.losses.softmax_cross_entropy_with_integer_labels(
        logits, batch["y"]
    ).mean()


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

    `bilevel.scan_sum` computes the tasks one after another: under `jax.vmap` each task
    would have its own kernels, and such convolutions are slow on CPUs.
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
    return jax.tree.map(lambda x: x / len(support["y"]), total)
