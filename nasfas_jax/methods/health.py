"""The numbers that show early when training goes wrong."""

from typing import Any

import jax
import jax.numpy as jnp
import optax


def norms(grads: Any, params: Any, new_params: Any) -> dict[str, jax.Array]:
    """L2 norms of the gradients, the parameters and their update."""
    update = jax.tree.map(jnp.subtract, new_params, params)
    return {
        "l2_grads": optax.tree.norm(grads),
        "l2_params": optax.tree.norm(params),
        "l2_updates": optax.tree.norm(update),
    }
