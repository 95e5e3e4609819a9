"""AUC of a small convolutional network on the texture of a synthetic set.

    python docs/texture.py runs/faces64/videos [--domain dom_o]

The network sees gray faces whose local mean and contrast are removed, and learns within one
domain; no person is in more than one of the three folds. The figures in docs/data.md are of
720 videos with faces of 64 pixels.
"""

import argparse
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from nasfas_jax import synthetic
from nasfas_jax.synthetic import dataset, probes

SIDE, FRAMES, FOLDS = 64, 5, 3
STEPS, BATCH, SHIFT = 400, 32, 4  # clips of a batch, half of them live; pixels


class Net(nn.Module):
    """Four convolutions, mean over pixels, one logit."""

    @nn.compact
    def __call__(self, x, train: bool):
        """Logits [N] of faces [N, SIDE, SIDE, 1]."""
        for features, stride in ((16, 1), (32, 2), (32, 2), (48, 2)):
            x = nn.Conv(features, (3, 3), stride, use_bias=False)(x)
            x = nn.relu(nn.BatchNorm(not train, momentum=0.9)(x))
        x = nn.Dropout(0.3, deterministic=not train)(x.mean((1, 2)))
        return nn.Dense(1)(x)[:, 0]


NET = Net()
OPTIMIZER = optax.adamw(optax.cosine_decay_schedule(3e-3, STEPS), weight_decay=1e-3)


@jax.jit
def start(key):
    """Initial parameters, averages and state of the optimizer."""
    variables = NET.init({"params": key}, jnp.zeros((1, SIDE, SIDE, 1)), False)
    return {**variables, "optimizer": OPTIMIZER.init(variables["params"])}


@jax.jit
def step(state, images, labels, key):
    """One update on faces [N, SIDE, SIDE, 1] and labels [N]."""

    def loss(params):
        logits, new = NET.apply(
            {"params": params, "batch_stats": state["batch_stats"]},
            images,
            True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        return optax.sigmoid_binary_cross_entropy(logits, labels).mean(), new

    grads, new = jax.grad(loss, has_aux=True)(state["params"])
    updates, optimizer = OPTIMIZER.update(grads, state["optimizer"], state["params"])
    params = optax.apply_updates(state["params"], updates)
    return {"params": params, **new, "optimizer": optimizer}


@jax.jit
def logits(state, images):
    """Logits [N] with the running averages."""
    variables = {name: state[name] for name in ("params", "batch_stats")}
    return NET.apply(variables, images, False)


def fit(table: probes.Table):
    """A function from values [N, FRAMES * SIDE * SIDE] to scores [N], for `probes.within`."""
    rng, state = np.random.default_rng(0), start(jax.random.key(0))
    shape = (-1, FRAMES, SIDE, SIDE)
    images = table.values.reshape(shape)
    kinds = [np.flatnonzero(table.labels == label) for label in (1, 0)]
    for number in range(STEPS):
        rows = np.concatenate([rng.choice(kind, BATCH // 2) for kind in kinds])
        seen = images[rows, rng.integers(FRAMES, size=BATCH)]
        mirrored = rng.random(BATCH) < 0.5
        seen = np.where(mirrored[:, None, None], seen[:, :, ::-1], seen)
        seen = np.roll(seen, rng.integers(-SHIFT, SHIFT + 1, 2), (1, 2))
        key = jax.random.key(number)
        labels = jnp.asarray(table.labels[rows], jnp.float32)
        state = step(state, jnp.asarray(seen[..., None], jnp.float32), labels, key)

    def score(values):
        frames = np.moveaxis(values.reshape(shape), 1, 0)[..., None]
        found = [logits(state, jnp.asarray(frame, jnp.float32)) for frame in frames]
        return np.mean(found, 0)

    return score


def tabulate(videos) -> probes.Table:
    """Normalized faces of the videos, in the form of `probes.tabulate`."""
    notes = [dataset.read_annotation(video) for video in videos]
    values = [
        np.ravel([probes.normalize(face, SIDE) for face in probes.faces(note, FRAMES)])
        for note in notes
    ]
    columns = ("label", "subject", "domain", "attack_type")
    texts = (np.array([getattr(note, name) for note in notes]) for name in columns)
    return probes.Table((), np.stack(values), *texts)


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("videos", type=pathlib.Path)
    parser.add_argument("--domain", choices=list(synthetic.DOMAINS))
    arguments = parser.parse_args()
    table = tabulate(synthetic.read_index(arguments.videos))
    print("| domain | AUC, % |\n|---|---|")
    for domain in [arguments.domain] if arguments.domain else synthetic.DOMAINS:
        own = table.where(table.domains == domain)
        print(f"| {domain} | {probes.within(own, folds=FOLDS, fit=fit)} |", flush=True)


if __name__ == "__main__":
    main()
