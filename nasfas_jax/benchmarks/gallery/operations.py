"""DARTS in a space of 15 lines: one operation for each edge of a small cell.

Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", 2019, eq. 6 to 8,
second order, without the finite difference. The cell has three nodes; on every edge the
softmax of the alphas weights four operations.
"""

import math

import jax
import jax.numpy as jnp
import optax

from nasfas_jax import bilevel

FEATURES, WIDTH, CLASSES, EXAMPLES, RATE, STEPS = 32, 64, 5, 256, 0.1, 1
EDGES = ((0, 1), (0, 2), (1, 2))  # (from, to); node 0 is the input
DENSE = (jnp.tanh, jax.nn.relu, jnp.sin)  # activations of dense layers


def draw(key, examples=EXAMPLES):
    """Weights, alphas, training and validation examples."""
    keys = jax.random.split(key, 4)
    dense = {kernel(*edge, f): (WIDTH, WIDTH) for edge in EDGES for f in DENSE}
    shapes = {"stem": (FEATURES, WIDTH), "head": (WIDTH, CLASSES)} | dense
    params = {}
    for i, (name, shape) in enumerate(shapes.items()):
        w = jax.random.normal(jax.random.fold_in(keys[0], i), shape)
        params[name] = w / math.sqrt(shape[0])
    alphas = 0.1 * jax.random.normal(keys[1], (len(EDGES), 1 + len(DENSE)))
    x = jax.random.normal(keys[2], (2, examples, FEATURES))
    mixed = jnp.sin(x @ jax.random.normal(keys[3], (FEATURES, CLASSES)) / 2)
    y = mixed.argmax(-1)
    train, valid = ({"x": x[i], "y": y[i]} for i in (0, 1))
    return params, alphas, train, valid


def kernel(a, b, activation):
    """Name of the weights of a dense operation on the edge from ``a`` to ``b``."""
    return f"{a}{b} {activation.__name__}"


def network(params, alphas, x):
    """Logits [N, 5] of the supernet: the space itself."""
    nodes = {0: x @ params["stem"]}
    for edge, (a, b) in enumerate(EDGES):
        skip, *dense = jax.nn.softmax(alphas[edge])
        mixed = skip * nodes[a]
        for weight, activation in zip(dense, DENSE, strict=True):
            w = params[kernel(a, b, activation)]
            mixed += weight * activation(nodes[a] @ w)
        nodes[b] = nodes.get(b, 0.0) + mixed
    return nodes[2] @ params["head"]


def loss(params, alphas, batch):
    """Mean cross entropy, the loss of both levels."""
    logits = network(params, alphas, batch["x"])
    return optax.losses.softmax_cross_entropy_with_integer_labels(
        logits, batch["y"]
    ).mean()


def meta_gradient(
    params,
    alphas,
    train,
    valid,
    *,
    inner_loss=loss,
    outer_loss=loss,
    mode="forward_over_reverse",
    steps=STEPS,
):
    """Validation loss after a step, and its derivative, shaped like ``alphas`` (eq. 7)."""
    result = bilevel.hypergradient(
        outer_loss,
        jax.grad(inner_loss, (0, 1)),
        params,
        alphas,
        inner_batch=train,
        outer_batch=valid,
        optimizer=optax.sgd(RATE),
        steps=steps,
        mode=mode,
    )
    return result.value, result.hyper


def genotype(alphas) -> list[str]:
    """The strongest operation of each edge."""
    names = ["skip", *(f.__name__ for f in DENSE)]
    return [names[int(i)] for i in alphas.argmax(1)]
