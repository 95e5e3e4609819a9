"""Untrained models for tests."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.loading.provenance import Provenance
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.workflows import registry
from nasfas_jax.workflows.model import Model, Threshold

RECIPE = Recipe(image_size=16, clips_per_video=3)
CDN = registry.describe("cdn", width=0.05, map_size=4)
LEARNED = Provenance(
    dataset="synthetic",
    recipe=dataclasses.asdict(RECIPE),
    digest="ab" * 32,
    lists="",
    domains=["dom_c", "dom_o"],
    subjects=["c1", "o1"],
    clips=12,
)
THRESHOLD = Threshold(0.1 + 0.2, "eer", ["dom_c", "dom_o"], "development", 8)


def make_model(network=CDN, view=None, recipe=RECIPE, **fields):
    """A model with random weights and running averages."""
    view = view or pipeline.View(map_size=4)
    method = registry.make_method(network, optax.identity())
    image = np.zeros((1, *view.input_shape(recipe)), np.float32)
    state = jax.eval_shape(method.init, jax.random.key(0), image)
    random = np.random.default_rng(0)
    params, stats = jax.tree.map(
        lambda x: jnp.asarray(random.uniform(0.1, 1, x.shape), x.dtype),
        (state.params, state.batch_stats),
    )
    settings = {"seed": 0, "learning_rate": 1e-3, "decay": "cosine"}
    given = {"settings": settings, "steps": 40, "learned": LEARNED, **fields}
    return Model(network, params, stats, recipe, view, **given)


def natural(model):
    """The model with random weights of usual sizes, with which no output is saturated."""
    random = np.random.default_rng(0)

    def one(path, x):
        name = jax.tree_util.keystr(path)
        if "var" in name or "scale" in name:
            values = random.uniform(0.8, 1.2, x.shape)
        elif "classifier" in name or x.ndim < 2:
            values = random.normal(size=x.shape) * 0.3
        else:
            values = random.normal(size=x.shape) * (2 / np.prod(x.shape[:-1])) ** 0.5
        return jnp.asarray(values, x.dtype)

    weights = {
        name: jax.tree_util.tree_map_with_path(one, getattr(model, name))
        for name in ("params", "batch_stats")
    }
    return dataclasses.replace(model, **weights)
