"""Thousands of hyperparameters: one L2 penalty for each weight of a classifier.

Maclaurin, Duvenaud and Adams, "Gradient-based Hyperparameter Optimization through
Reversible Learning", 2015, sec. 3.2. The classifier is fitted by 100 steps with momentum
on a training set that is smaller than its number of weights; the penalties are learned
from a validation set. `implicit_gradient` differentiates the optimum instead (Lorraine,
Vicol and Duvenaud, "Optimizing Millions of Hyperparameters by Implicit
Differentiation", 2020).
"""

import jax
import jax.numpy as jnp
import optax

from nasfas_jax import bilevel

FEATURES, CLASSES, EXAMPLES = 400, 10, 256
RATE, MOMENTUM, STEPS = 0.1, 0.9, 100
#: Stopping of the linear solver of `implicit_gradient`.
ITERATIONS, TOLERANCE = 100, 1e-5


def draw(key, features=FEATURES):
    """Weights, log penalties, training and validation set.

    Only a tenth of the features determine the labels.
    """
    keys = jax.random.split(key, 3)
    truth = jax.random.normal(keys[0], (features, CLASSES))
    truth = truth * (jnp.arange(features) % 10 == 0)[:, None]

    def examples(key):
        keys = jax.random.split(key)
        x = jax.random.normal(keys[0], (EXAMPLES, features))
        return {"x": x, "y": jax.random.categorical(keys[1], x @ truth)}

    params = {"w": jnp.zeros((features, CLASSES)), "b": jnp.zeros(CLASSES)}
    hyper = {"w": jnp.full((features, CLASSES), -4.0), "b": jnp.full(CLASSES, -4.0)}
    return params, hyper, examples(keys[1]), examples(keys[2])


def outer_loss(params, hyper, batch):
    """Mean cross entropy."""
    del hyper
    logits = batch["x"] @ params["w"] + params["b"]
    return optax.losses.softmax_cross_entropy_with_integer_labels(
        logits, batch["y"]
    ).mean()


def inner_loss(params, hyper, batch):
    """Cross entropy with a penalty ``exp(h)`` on the square of each weight."""
    penalty = sum(jnp.vdot(jnp.exp(hyper[name]), params[name] ** 2) for name in params)
    return outer_loss(params, hyper, batch) + penalty


def meta_gradient(
    params,
    hyper,
    train,
    valid,
    *,
    inner_loss=inner_loss,
    outer_loss=outer_loss,
    mode="forward_over_reverse",
    steps=STEPS,
    segments="sqrt",
):
    """Validation loss after the steps, and its derivative, a tree like ``hyper``."""
    result = bilevel.hypergradient(
        outer_loss,
        jax.grad(inner_loss, (0, 1)),
        params,
        hyper,
        inner_batch=train,
        outer_batch=valid,
        optimizer=optax.sgd(RATE, momentum=MOMENTUM),
        steps=steps,
        mode=mode,
        segments=segments,
    )
    return result.value, result.hyper


def fit(params, hyper, train, *, inner_loss=inner_loss, steps=1000):
    """Weights near the optimum of the inner loss, where `implicit_gradient` applies."""
    return bilevel.inner_update(
        jax.grad(inner_loss, (0, 1)),
        params,
        hyper,
        batch=train,
        optimizer=optax.sgd(RATE, momentum=MOMENTUM),
        steps=steps,
    ).params


def implicit_gradient(
    params, hyper, train, valid, *, inner_loss=inner_loss, outer_loss=outer_loss
):
    """The same at ``params``, the optimum of the inner loss, by conjugate gradients."""
    result = bilevel.implicit_hypergradient(
        outer_loss,
        jax.grad(inner_loss, (0, 1)),
        params,
        hyper,
        inner_batch=train,
        outer_batch=valid,
        solver=bilevel.conjugate_gradient(ITERATIONS, tolerance=TOLERANCE),
    )
    return result.value, result.hyper
