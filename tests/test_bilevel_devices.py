"""Hypergradients on a mesh of devices: explicit axes, and inside `jax.shard_map`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bilevel_problems import (
    assert_all_close,
    inner_gradient,
    inner_loss,
    outer_loss,
    problem,
)
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from nasfas_jax import bilevel

SGD = optax.sgd(0.1)
ADAM = optax.adam(0.1, eps_root=1e-6)
REPLICATED, BY_TASK = PartitionSpec(), PartitionSpec("task")


def tasks():
    """Parameters, hyperparameters, and inner and outer batches of four tasks."""
    phi, h, inner, outer = problem()
    scales = jnp.asarray([1.0, 0.5, -1.0, 2.0])

    def draw(batch):
        return jax.tree.map(lambda x: jnp.stack([scale * x for scale in scales]), batch)

    return phi, h, draw(inner), draw(outer)


def mesh_of(axis_type):
    return jax.make_mesh((4,), ("task",), axis_types=(axis_type,))


def episode(optimizer=SGD, mode="forward_over_reverse", **losses):
    """``(phi, h, inner batch, outer batch) -> Hypergradient``, three steps."""
    inner = losses.get("inner", inner_loss)
    outer = losses.get("outer", outer_loss)
    gradient = jax.grad(inner, (0, 1))

    def call(phi, h, inner_batch, outer_batch):
        return bilevel.hypergradient(
            outer,
            gradient,
            phi,
            h,
            inner_batch=inner_batch,
            outer_batch=outer_batch,
            optimizer=optimizer,
            steps=3,
            mode=mode,
        )

    return call


def each_task(call):
    return jax.jit(jax.vmap(call, (None, None, 0, 0)))


@functools.cache
def one_device(optimizer, mode):
    """Of every task, without a mesh."""
    with jax.enable_x64(True):
        return jax.device_get(each_task(episode(optimizer, mode))(*tasks()))


@pytest.mark.parametrize("mode", bilevel.MODES)
def test_arrays_left_off_an_explicit_mesh(x64, mode):
    """Tasks over the axis that `jax.make_mesh` gives; phi and h on no mesh or on it."""
    mesh = jax.make_mesh((4,), ("task",))
    assert mesh.axis_types == (AxisType.Explicit,)
    phi, h, *batches = tasks()
    batches = jax.device_put(batches, NamedSharding(mesh, BY_TASK))
    on_mesh = jax.device_put((phi, h), NamedSharding(mesh, REPLICATED))
    call = each_task(episode(SGD, mode))
    for arguments in ((phi, h), (on_mesh[0], h), (phi, on_mesh[1]), on_mesh):
        result = call(*arguments, *batches)
        assert result.value.sharding.spec == BY_TASK
        assert_all_close(jax.device_get(result), one_device(SGD, mode), 1e-12)


def test_the_same_for_adam_the_update_and_the_optimum(x64):
    """Also below another ``jit``, with Python floats, and with a state."""
    mesh = mesh_of(AxisType.Explicit)
    phi, h, *batches = tasks()
    batches = jax.device_put(batches, NamedSharding(mesh, BY_TASK))
    inner_call = jax.jit(episode(ADAM, "forward_over_reverse"))
    result = each_task(inner_call)(phi, h, *batches)
    expected = one_device(ADAM, "forward_over_reverse")
    assert_all_close(jax.device_get(result), expected, 1e-12)

    def update(phi, h, batch):
        return bilevel.inner_update(
            inner_gradient, phi, h, batch=batch, optimizer=ADAM, steps=3
        )

    def with_state(phi, h, batch, state):
        return inner_loss(phi, h, batch), state + 1.0

    def carried(phi, h, batch):
        return bilevel.inner_update(
            jax.grad(with_state, (0, 1), has_aux=True),
            phi,
            h,
            batch=batch,
            optimizer=SGD,
            steps=2,
            state=0.0 * h[0],
            policy="carry",
        )

    def optimum(phi, h, batch):
        return bilevel.implicit_hypergradient(
            outer_loss,
            inner_gradient,
            phi,
            h,
            inner_batch=batch,
            outer_batch=batch,
            solver=bilevel.neumann(0.1, 3),
        )

    for function in (update, carried, optimum):
        mapped = jax.jit(jax.vmap(function, (None, None, 0)))
        alone = mapped(phi, h, jax.device_get(batches[0]))
        assert_all_close(
            jax.device_get(mapped(phi, h, batches[0])), jax.device_get(alone), 1e-12
        )


def test_without_a_mesh_or_vmap_nothing_moves(x64):
    """Eagerly, and on a mesh where only the batch's examples are split."""
    phi, h, inner, outer = problem()
    expected = episode()(phi, h, inner, outer)
    mesh = mesh_of(AxisType.Explicit)
    x = jnp.concatenate([inner["x"], outer["x"]])[:8]
    batch = {"x": x, "y": jnp.ones(8)}
    split = jax.device_put(batch, NamedSharding(mesh, BY_TASK))

    def loss(phi, h, batch):
        residual = jnp.sin((batch["x"] * phi["w"][None] * h[None]).sum(1)) * phi["b"]
        return jnp.mean((residual - batch["y"]) ** 2)

    call = jax.jit(episode(inner=loss, outer=loss))
    assert_all_close(call(phi, h, split, split), call(phi, h, batch, batch), 1e-12)
    again = episode()(phi, h, inner, outer)
    assert_all_close(again, expected, 0)


def in_shard_map(function, *batches, **options):
    """``function(phi, h, *batches)`` on four devices, a task on each."""
    phi, h, *_ = tasks()
    run = jax.shard_map(
        lambda phi, h, *batches: function(
            phi, h, *jax.tree.map(lambda x: x[0], batches)
        ),
        mesh=mesh_of(AxisType.Auto),
        in_specs=(REPLICATED, REPLICATED, *[BY_TASK for _ in batches]),
        out_specs=REPLICATED,
        **options,
    )
    return jax.device_get(jax.jit(run)(phi, h, *batches))


@pytest.mark.parametrize("mode", bilevel.EXACT)
def test_episodes_of_their_own_in_shard_map(x64, mode):
    """The two documented patterns, and what happens without them."""
    _, _, *batches = tasks()
    call = episode(SGD, mode)
    expected = jax.tree.map(lambda x: x.mean(0), one_device(SGD, mode))

    def mean(phi, h, *batches):
        return jax.lax.pmean(call(phi, h, *batches), "task")

    def varying(phi, h, *batches):
        return mean(*jax.lax.pcast((phi, h), "task", to="varying"), *batches)

    assert_all_close(in_shard_map(varying, *batches), expected, 1e-12)
    unchecked = in_shard_map(mean, *batches, check_vma=False)
    assert_all_close(unchecked, expected, 1e-12)
    # By default every inner step follows the sum of the gradients of all devices.
    summed = in_shard_map(mean, *batches)
    assert abs(summed.value - expected.value) > 1e-3

    def sum_of_tasks(phi, h, batches):
        return sum(
            inner_loss(phi, h, jax.tree.map(lambda x, i=i: x[i], batches))
            for i in range(4)
        )

    gradient = jax.grad(sum_of_tasks, (0, 1))
    phi, h, inner, outer = tasks()
    steps = jax.jit(
        lambda phi, h: (
            bilevel.inner_update(
                gradient, phi, h, batch=inner, optimizer=SGD, steps=3
            ).params
        )
    )(phi, h)
    values = jax.vmap(outer_loss, (None, None, 0))(steps, h, outer)
    np.testing.assert_allclose(summed.value, values.mean(), rtol=1e-10)


@pytest.mark.parametrize("mode", bilevel.EXACT)
def test_one_inner_problem_over_all_devices_in_shard_map(x64, mode):
    """Losses that end in ``pmean``, under the default check."""
    phi, h, inner, outer = tasks()

    def over_tasks(loss):
        return lambda phi, h, batches: jax.vmap(loss, (None, None, 0))(
            phi, h, batches
        ).mean()

    def over_devices(loss):
        return lambda phi, h, batch: jax.lax.pmean(loss(phi, h, batch), "task")

    def losses(over):
        return {"inner": over(inner_loss), "outer": over(outer_loss)}

    expected = jax.jit(episode(SGD, mode, **losses(over_tasks)))(phi, h, inner, outer)
    found = in_shard_map(episode(SGD, mode, **losses(over_devices)), inner, outer)
    assert_all_close(found, jax.device_get(expected), 1e-12)
