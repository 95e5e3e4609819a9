# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What theta does
#
# Central difference convolution mixes a plain convolution (theta 0) with differences to
# the center pixel (theta 1). theta is traced: one compiled program serves a sweep, and
# derivatives with respect to theta are available. Runs in seconds on a CPU.

# %%
import jax
import jax.numpy as jnp
import numpy as np

from nasfas_jax import ops

# %% [markdown]
# A step edge under a blur kernel: flat regions vanish as theta approaches 1, the edge
# remains.

# %%
image = jnp.zeros((1, 16, 16, 1)).at[:, :, 8:].set(1.0)
kernel = jnp.full((3, 3, 1, 1), 1 / 9)
thetas = jnp.linspace(0.0, 1.0, 5)
sweep = jax.vmap(lambda theta: ops.cdc(image, kernel, theta))(thetas)
for theta, row in zip(thetas, sweep[:, 0, 8, :, 0], strict=True):
    print(f"theta {theta:.2f}:", np.array2string(np.asarray(row[4:12]), precision=2))
flat, edge = sweep[:, 0, 8, 12, 0], jnp.abs(sweep[:, 0, 8, 7, 0])
np.testing.assert_allclose(flat, 1 - thetas, atol=1e-6)

# %% [markdown]
# The derivative of the response's energy with respect to theta. The energy is quadratic
# in theta, so central differences are exact up to rounding.


# %%
def energy(theta):
    """Mean square of the response."""
    return jnp.mean(ops.cdc(image, kernel, theta) ** 2)


slope = jax.grad(energy)(0.7)
difference = (energy(0.8) - energy(0.6)) / 0.2
print(f"d energy / d theta at 0.7: {slope:.4f}, by differences {difference:.4f}")
np.testing.assert_allclose(slope, difference, rtol=1e-3)
