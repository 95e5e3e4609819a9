"""Functions of known value and derivative."""

import jax
import jax.numpy as jnp
import pytest

from nasfas_jax import bilevel


def test_with_derivative_has_the_value_and_the_derivative_given(x64):
    at = {"a": jnp.array([0.3, -2.0]), "b": jnp.array(1.5)}
    given = {"a": jnp.array([5.0, 7.0]), "b": jnp.array(-1.0)}

    def objective(at):
        value = jnp.sin(at["a"]).sum()  # its own derivative is not used
        return 3.0 * bilevel.with_derivative(value, given, at)

    value, grads = jax.value_and_grad(objective)(at)
    assert value == pytest.approx(3 * float(jnp.sin(at["a"]).sum()), rel=1e-15)
    assert jax.tree.all(
        jax.tree.map(lambda g, d: bool((g == 3 * d).all()), grads, given)
    )
    second = jax.hessian(objective)(at)
    assert not any(leaf.any() for leaf in jax.tree.leaves(second))
