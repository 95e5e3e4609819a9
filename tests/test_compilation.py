"""Programs that are executed once: values, placement, number of compiles."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

import nasfas_jax as nf
from nasfas_jax.compilation import run_once

PACKAGE = pathlib.Path(nf.__file__).parent


def _init(key, image):
    """Weights of the distributions that networks start from."""
    normal, uniform = jax.random.split(key)
    normal = jax.random.truncated_normal(normal, -2, 2, (3, 3, 2, 5))
    return normal, jax.random.uniform(uniform, (7,)), jnp.zeros(image.shape[-1])


def test_weights_are_those_of_an_optimized_program():
    arguments = jax.random.key(3), np.zeros((1, 4, 4, 2), np.float32)
    for found, expected in zip(
        run_once(_init, *arguments), jax.jit(_init)(*arguments), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=5e-7)


def test_the_program_is_compiled_once_for_all_keys(caplog):
    image = np.zeros((1, 4, 4, 2), np.float32)

    def init(key, image):
        return _init(key, image)

    with jax.log_compiles():
        states = [run_once(init, jax.random.key(seed), image) for seed in range(3)]
    compiled = [r for r in caplog.messages if r.startswith("Compiling jit(init)")]
    assert len(compiled) == 1
    assert not np.array_equal(states[0][0], states[1][0])


def test_a_traced_program_holds_it():
    found = jax.eval_shape(lambda: run_once(jnp.sqrt, jnp.ones(3)))
    assert found.shape == (3,)


def test_arrays_on_a_mesh_keep_their_devices():
    mesh = jax.make_mesh((jax.device_count(),), ("data",))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    x = jax.device_put(np.arange(4.0 * jax.device_count()), sharding)
    y = run_once(lambda x: x + 1, x)
    assert y.sharding.is_equivalent_to(sharding, 1)
    np.testing.assert_array_equal(y, np.arange(4.0 * jax.device_count()) + 1)


def test_initial_states_are_compiled_by_run_once():
    """Optimizing an initialization takes ten times as long as without."""
    optimized = re.compile(r"jax\.jit\(\s*[\w.]*\binit\)")
    found = [
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if optimized.search(path.read_text(encoding="utf-8"))
    ]
    assert not found
