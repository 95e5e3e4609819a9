"""Weights of training examples, learned from a few examples with clean labels.

Ren, Zeng, Yang and Urtasun, "Learning to Reweight Examples for Robust Deep Learning",
2018: the derivative of the clean loss after one step on the weighted training loss shows
which examples help. Here the weights are kept between steps and learned by it.
"""

import math

import jax
import jax.numpy as jnp
import optax

from nasfas_jax import bilevel

FEATURES, HIDDEN, CLASSES, EXAMPLES, CLEAN = 64, 256, 10, 2000, 200
NOISE, RATE, STEPS, CHUNK = 0.4, 0.1, 1, 500


def draw(key, examples=EXAMPLES):
    """Network, logits of the weights, training set with wrong labels and clean set.

    A share of ``NOISE`` of the training labels is drawn at random; 'wrong' marks the
    labels that changed, for evaluation only.
    """
    keys = jax.random.split(key, 7)
    centers = 0.4 * jax.random.normal(keys[0], (CLASSES, FEATURES))
    clean = _examples(centers, keys[1], keys[2], CLEAN)
    train = _examples(centers, keys[3], keys[4], examples)
    random = jax.random.randint(keys[5], (examples,), 0, CLASSES)
    chosen = jax.random.uniform(keys[6], (examples,)) < NOISE
    noisy = jnp.where(chosen, random, train["y"])
    train = train | {"y": noisy, "wrong": noisy != train["y"]}
    params = {
        "w0": jax.random.normal(keys[0], (FEATURES, HIDDEN)) / math.sqrt(FEATURES),
        "b0": jnp.zeros(HIDDEN),
        "w1": jax.random.normal(keys[1], (HIDDEN, CLASSES)) / math.sqrt(HIDDEN),
        "b1": jnp.zeros(CLASSES),
    }
    return params, jnp.zeros(examples), train, clean


def _examples(centers, label_key, noise_key, count):
    """Points around the centers of their classes."""
    y = jax.random.randint(label_key, (count,), 0, CLASSES)
    noise = jax.random.normal(noise_key, (count, FEATURES))
    return {"x": centers[y] + noise, "y": y}


def entropies(params, batch):
    """Cross entropy of each example, [N].

    Derivatives recompute the activations, of ``CHUNK`` examples at a time.
    """

    @jax.checkpoint
    def of_example(example):
        x = jnp.tanh(example["x"] @ params["w0"] + params["b0"])
        logits = x @ params["w1"] + params["b1"]
        return optax.losses.softmax_cross_entropy_with_integer_labels(
            logits, example["y"]
        )

    return jax.lax.map(of_example, batch, batch_size=CHUNK)


def inner_loss(params, hyper, batch):
    """Mean cross entropy with a weight between 0 and 1 for each example."""
    return jnp.mean(jax.nn.sigmoid(hyper) * entropies(params, batch))


def outer_loss(params, hyper, batch):
    """Mean cross entropy of the clean examples."""
    del hyper
    return entropies(params, batch).mean()


def meta_gradient(
    params,
    hyper,
    train,
    clean,
    *,
    inner_loss=inner_loss,
    outer_loss=outer_loss,
    mode="forward_over_reverse",
    steps=STEPS,
):
    """Clean loss after a step, and its derivative, shaped like ``hyper``."""
    result = bilevel.hypergradient(
        outer_loss,
        jax.grad(inner_loss, (0, 1)),
        params,
        hyper,
        inner_batch=train,
        outer_batch=clean,
        optimizer=optax.sgd(RATE),
        steps=steps,
        mode=mode,
    )
    return result.value, result.hyper
