"""The supernet of cells written edge by edge, from the parameters of the fast one."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasfas_jax.search.dag import operations, structure

EPS = 1e-5


def normalize(x):
    """BatchNorm of a batch, without scale and shift."""
    mean, variance = (f((0, 1, 2), keepdims=True) for f in (x.mean, x.var))
    return (x - mean) / jnp.sqrt(variance + EPS)


def convolve(x, kernel, *, stride=1, dilation=1, groups=1):
    pads = [(dilation * (k // 2),) * 2 for k in kernel.shape[:2]]
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), pads, rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups,
    )  # fmt: skip


def window(x, stride, reduce, start):
    return lax.reduce_window(
        x, np.asarray(start, x.dtype), reduce, (1, 3, 3, 1), (1, stride, stride, 1),
        ((0, 0), (1, 1), (1, 1), (0, 0)),
    )  # fmt: skip


def separable(x, depthwise, pointwise, stride, dilation=1):
    x = nn.relu(x)
    x = convolve(x, depthwise, stride=stride, dilation=dilation, groups=x.shape[-1])
    return normalize(convolve(x, pointwise))


def candidate(name, x, own, stride, theta, lam):
    """One operation with the parameters ``own`` of its edge."""
    if name == "none":
        return 0 * x[:, ::stride, ::stride]
    if name == "skip" and stride == 1:
        return x
    if name == "skip":
        half = x.shape[-1] // 2
        shifted = jnp.pad(x[:, 1:, 1:], ((0, 0), (0, 1), (0, 1), (0, 0)))
        views = [nn.relu(v)[:, ::2, ::2] for v in (x, shifted)]
        kernels = own["skip"][..., :half], own["skip"][..., half:]
        parts = [convolve(v, k) for v, k in zip(views, kernels, strict=True)]
        return normalize(jnp.concatenate(parts, -1))
    if name == "max_pool":
        return normalize(window(x, stride, lax.max, -np.inf))
    if name in ("avg_pool", "cdp"):
        total = window(x, stride, lax.add, 0)
        if name == "cdp":
            return normalize(total / 9 - lam * x[:, ::stride, ::stride])
        return normalize(total / window(jnp.ones_like(x), stride, lax.add, 0))
    if name == "cdc":
        y = convolve(nn.relu(x), own["cdc"], stride=stride)
        center = own["cdc"].sum((0, 1), keepdims=True)
        return normalize(
            y - theta * convolve(nn.relu(x)[:, ::stride, ::stride], center)
        )
    if name == "dil_conv_3":
        kernels = own[f"{name}_first_depthwise"], own[f"{name}_first"]
        return separable(x, *kernels, stride, dilation=2)
    for stage, step in (("first", stride), ("second", 1)):
        kernels = own[f"{name}_{stage}_depthwise"], own[f"{name}_{stage}"]
        x = separable(x, *kernels, step)
    return x


def mixed_edge(space, x, weights, own, stride):
    """Partial channels, mixture and shuffle of one edge (PC-DARTS)."""
    width = x.shape[-1] // space.partial
    part, rest = x[..., :width], x[..., width:]
    outputs = [
        candidate(name, part, own, stride, space.own_theta, space.own_lam)
        for name in space.operations
    ]
    mixed = sum(w * out for w, out in zip(weights, outputs, strict=True))
    if stride == 2:
        odd = [(0, side % 2) for side in rest.shape[1:3]]
        rest = jnp.pad(rest, ((0, 0), *odd, (0, 0)), constant_values=-jnp.inf)
        rest = lax.reduce_window(
            rest,
            np.asarray(-np.inf, x.dtype),
            lax.max,
            (1, 2, 2, 1),
            (1, 2, 2, 1),
            "VALID",
        )
    y = jnp.concatenate([mixed, rest], -1)
    groups = y.reshape(*y.shape[:3], space.partial, -1)
    return groups.swapaxes(-1, -2).reshape(y.shape)


def cell(space, params, s0, s1, alphas, stride):
    """A cell, edge by edge; ``params`` of `MixedCell`."""
    weights = jax.nn.softmax(alphas["alpha"])
    features, edge = [s0, s1], 0
    for node in range(2, 6):
        count = node
        shares = np.ones(count)
        if space.edge_weights:
            shares = jax.nn.softmax(alphas["beta"][edge : edge + count])
        total = 0.0
        for source in range(count):
            if source < 2:
                own = {k: v[source, node - 2] for k, v in params["inputs"].items()}
            else:
                place = (source - 2, node - 1 - source)
                own = {k: v[place] for k, v in params["nodes"].items()}
            step = stride if source < 2 else 1
            y = mixed_edge(space, features[source], weights[edge], own, step)
            total += shares[source] * y
            edge += 1
        features.append(total)
    assert edge == len(structure.EDGES) and set(space.operations) <= set(
        operations.NAMES
    )
    return jnp.concatenate(features[2:], -1)
