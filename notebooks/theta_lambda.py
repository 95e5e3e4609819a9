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
# # Theta and lambda
#
# Central difference convolution (NAS-FAS eq. 3) is a convolution minus theta times its
# kernel's sum at the center pixel; central difference pooling (eq. 6) is average pooling
# minus lambda times the center. Theta 0 and lambda 0 are the plain operators. This
# notebook trains networks for several values of each on the synthetic set and draws
# NAS-FAS figure 9a: theta on CDN with central difference convolutions and max pooling,
# lambda on CDN with plain convolutions and central difference pooling, for static and
# static-dynamic inputs. It takes a few minutes on two CPU cores.

# %%
import os
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

import nasfas_jax as nf
from nasfas_jax import ops, synthetic
from nasfas_jax.data.preparation import prepare
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.report import ablation

#: Tests run the notebook in a small form.
SMALL = os.environ.get("NASFAS_NOTEBOOK") == "small"

# %% [markdown]
# ## The operators
#
# A step edge through a blur kernel: as theta approaches 1, flat regions vanish and the
# edge remains. Theta is traced, so `vmap` evaluates all values in one program, and the
# response can be differentiated with respect to it.

# %%
image = np.zeros((1, 16, 16, 1), np.float32)
image[:, :, 8:] = 1
kernel = jnp.ones((3, 3, 1, 1)) / 9
thetas = jnp.linspace(0.0, 1.0, 5)
responses = jax.vmap(lambda theta: ops.cdc(image, kernel, theta))(thetas)
for theta, row in zip(thetas, responses[:, 0, 8, :, 0], strict=True):
    print(f"theta {theta:.2f}:", np.array2string(np.asarray(row[4:12]), precision=2))
np.testing.assert_allclose(responses[:, 0, 8, 12, 0], 1 - thetas, atol=1e-6)


def energy(theta):
    """Mean square of the response."""
    return jnp.mean(ops.cdc(image, kernel, theta) ** 2)


print(f"d energy / d theta at 0.7: {jax.grad(energy)(0.7):.4f}")

# %% [markdown]
# ## Data
#
# A synthetic set with four domains; dom_m is held out for testing. Thresholds come from
# development videos of the other domains.

# %%
folder = pathlib.Path(tempfile.mkdtemp())
people = (1, 1, 1) if SMALL else (4, 2, 2)
synthetic.write_videos(
    folder / "videos", subjects_per_domain=people, live_videos=1, frames=8, workers=1
)
recipe = Recipe(image_size=16 if SMALL else 32, clips_per_video=2, method="harmonic")
prepare.prepare("synthetic", folder / "videos", folder / "data", recipe)
data = nf.open_data(folder / "data")

# %% [markdown]
# ## Theta on CDN with central difference convolutions
#
# `ablate` trains every value with every seed, by one program that is compiled once. All
# values of a seed start from the same weights and are given the same batches.

# %%
VALUES = [0.0, 0.7] if SMALL else [i / 10 for i in range(11)]
settings = {
    "seeds": 2,
    "target": "dom_m",
    "inputs": ["static", "static_dynamic"],
    "steps": 2 if SMALL else 40,
    "batch_size": 4,
}
size = {"width": 1 / 32 if SMALL else 1 / 16, "map_size": 8}
by_theta = nf.ablate(data, nf.nets.build("cdn_cdc", **size), theta=VALUES, **settings)
by_theta

# %%
by_theta.curves("acer")

# %% [markdown]
# ## Lambda on CDN with central difference pooling

# %%
by_lambda = nf.ablate(data, nf.nets.build("cdn_cdp", **size), lam=VALUES, **settings)
by_lambda

# %% [markdown]
# Both together. Figure 9a has ACER, which the worst attack type decides: after so few
# steps it is near 50 % for every value, and AUC shows more. Each dot is a seed, a curve
# is the mean over seeds, and a band is one standard deviation. Differences smaller than
# the bands are not resolved. The synthetic set does not predict results on real faces.

# %%
ablation.bands([by_theta.panel("auc"), by_lambda.panel("auc")])

# %% [markdown]
# ## Values per channel, and learned values
#
# A network takes one value per output channel of each layer, or learns them from an
# initial value. `nets.layer_channels` lists the layers.

# %%
net = nf.nets.build("cdn", **size)
channels = nf.nets.layer_channels(net)["theta"]
per_channel = {layer: np.linspace(0, 1, n).tolist() for layer, n in channels.items()}
print(nf.nets.build("cdn", theta=per_channel, **size).theta["ConvBlock_0"])

learned = nf.nets.Learned(initial=0.7, per="layer")
model = nf.train(
    data, net, theta=learned, target="dom_m", steps=settings["steps"], batch_size=4
)
for layer, theta in nf.nets.learned_values("theta", learned, model.params).items():
    print(f"{layer:<13} theta {float(theta):.3f}")
