"""Small objectives for the tests of bilevel, and how they compare results."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from nasfas_jax import bilevel


def inner_loss(phi, h, batch):
    """Smooth, and no second derivative of it is constant."""
    residual = jnp.sin(batch["x"] @ (phi["w"] * h)) * phi["b"] - batch["y"]
    return jnp.mean(residual**2)


def outer_loss(phi, h, batch):
    """Depends on ``h`` directly as well."""
    return inner_loss(phi, h, batch) + phi["w"] @ jnp.sin(h)


inner_gradient = jax.grad(inner_loss, (0, 1))


def problem():
    """Parameters, hyperparameters, and an inner and an outer batch."""
    rng = np.random.default_rng(0)

    def batch():
        return {"x": jnp.asarray(rng.normal(size=(5, 3))), "y": jnp.ones(5)}

    phi = {"w": jnp.asarray(rng.normal(size=3)), "b": jnp.asarray(1.5)}
    return phi, jnp.asarray([0.7, 1.2, -0.4]), batch(), batch()


def written_out(optimizer, steps, gradient=inner_gradient, outer=outer_loss):
    """The objective as its equation stands, one step after the other.

    ``optimizer`` is a transformation or makes one of ``h``. With ``steps`` None there is
    one step for each slice of the inner batch.
    """

    def objective(phi, h, inner_batch, outer_batch):
        transformation = optimizer(h) if callable(optimizer) else optimizer
        state = transformation.init(phi)
        count = steps or len(jax.tree.leaves(inner_batch)[0])
        for i in range(count):
            one = inner_batch
            if steps is None:
                one = jax.tree.map(lambda leaf, i=i: leaf[i], inner_batch)
            grads = gradient(phi, h, one)[0]
            with jax.numpy_dtype_promotion("standard"):
                updates, state = transformation.update(grads, state, phi)
            phi = optax.apply_updates(phi, updates)
        return outer(phi, h, outer_batch)

    return objective


@functools.cache
def hypergradient(optimizer, steps, mode, gradient=inner_gradient):
    """Of the problem above, compiled, as a function of its four arguments."""

    @jax.jit
    def compute(phi, h, inner_batch, outer_batch):
        return bilevel.hypergradient(
            outer_loss,
            gradient,
            phi,
            h,
            inner_batch=inner_batch,
            outer_batch=outer_batch,
            optimizer=optimizer,
            steps=steps,
            mode=mode,
        )

    return compute


class Net(nn.Module):
    """Convolution, BatchNorm, ReLU, max pooling, a line: all with few elements."""

    @nn.compact
    def __call__(self, x, theta):
        x = nn.Conv(3, (3, 3), param_dtype=x.dtype)(x)
        x = x + theta * x**2  # so that BatchNorm does not undo theta
        # Averages that move fast, so that tests see them move.
        norm = nn.BatchNorm(
            use_running_average=False,
            momentum=0.5,
            param_dtype=x.dtype,
            force_float32_reductions=False,
        )
        x = nn.max_pool(nn.relu(norm(x)), (2, 2), (2, 2))
        line = nn.Dense(1, param_dtype=x.dtype)
        return line(x.reshape(len(x), -1))[:, 0]


def network():
    """``(loss with state, params, h, state, draw)``; ``draw(*shape)`` makes batches."""
    rng = np.random.default_rng(0)

    def draw(*lead):
        image = rng.normal(size=(*lead, 8, 4, 4, 1))
        return {"x": jnp.asarray(image), "y": jnp.asarray(image.mean((-3, -2, -1)))}

    net, h = Net(), jnp.asarray(1.3)
    variables = net.init(jax.random.key(0), draw()["x"], h)
    variables = jax.tree.map(lambda leaf: leaf.astype(h.dtype), variables)

    def loss(phi, h, batch, stats):
        out, new = net.apply(
            {"params": phi, "batch_stats": stats},
            batch["x"],
            h,
            mutable=["batch_stats"],
        )
        return jnp.mean((out - batch["y"]) ** 2), new["batch_stats"]

    return loss, variables["params"], h, variables["batch_stats"], draw


def assert_close(actual, expected, rtol):
    """Relative to the largest element of each leaf."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.abs(b).max())


def assert_all_close(actual, expected, rtol):
    """Relative to the largest element of the tree: some leaves are zero but for rounding."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    leaves = jax.tree.leaves(expected)
    scale = max(np.abs(leaf).max() for leaf in leaves)
    for a, b in zip(jax.tree.leaves(actual), leaves, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * scale)


def random_like(tree, seed):
    """Normal numbers in a tree's shapes."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), tree)


def dot(a, b):
    """The inner product of two trees."""
    return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, a, b)))


def central_difference(f, x, direction, eps=1e-5):
    """Error: eps^2 of truncation, 1e-16 / eps of rounding; both near 1e-10."""

    def move(sign):
        return jax.tree.map(lambda a, d: a + sign * eps * d, x, direction)

    return (f(move(1)) - f(move(-1))) / (2 * eps)
