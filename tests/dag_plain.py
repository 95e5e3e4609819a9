"""The supernet of cells written edge by edge, from the parameters of the fast one."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasfas_jax.search.dag import kernels, operations, structure

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
        half = own["skip"].shape[-1] // 2
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
    if name in ("dil_conv_3", "dil_conv_5"):
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


def own_kernels(space, params, source, node, stride, channels):
    """Kernels of an edge of a cell by name; ``params`` of one cell of `MixedCells`."""
    for name, (step, edges) in structure.scans(stride).items():
        edge = structure.EDGES.index((source, node))
        place = np.argwhere(edges == edge)
        if len(place):
            layout = kernels.Layout.of(space, step)
            flat = params[name]["kernels"][tuple(place[0])]
            return kernels.split(layout, flat, channels // space.partial)
    raise AssertionError(f"no parameters of the edge {source} -> {node}")


def cell(space, params, s0, s1, alphas, stride):
    """A cell, edge by edge; ``params`` of one cell of `MixedCells`."""
    weights = jax.nn.softmax(alphas["alpha"])
    features, edge = [s0, s1], 0
    for node in range(2, 6):
        count = node
        shares = np.ones(count)
        if space.edge_weights:
            shares = jax.nn.softmax(alphas["beta"][edge : edge + count])
        total = 0.0
        for source in range(count):
            own = own_kernels(space, params, source, node, stride, s0.shape[-1])
            step = stride if source < 2 else 1
            y = mixed_edge(space, features[source], weights[edge], own, step)
            total += shares[source] * y
            edge += 1
        features.append(total)
    assert edge == len(structure.EDGES) and set(space.operations) <= set(
        operations.NAMES
    )
    return jnp.concatenate(features[2:], -1)


def block(x, own, stride=1, *, relu=True):
    """ReLU, convolution, BatchNorm with the parameters of a `layers.Conv`."""
    y = normalize(convolve(nn.relu(x) if relu else x, own["kernel"], stride=stride))
    one = np.ones(y.shape[-1])
    affine = own.get("BatchNorm_0", {"scale": one, "bias": 0 * one})
    return y * affine["scale"].reshape(1, 1, 1, -1) + affine["bias"].reshape(
        1, 1, 1, -1
    )


def network(space, params, x, alphas):
    """Logits of a supernet, cell by cell; ``params`` of `Supernet`."""
    outputs = []
    for i, (_, stride) in enumerate(space.stem):
        x = block(x, params[f"stem_{i}"], stride, relu=i > 0)
        outputs.append(x)
    s0, s1 = outputs[-2:]
    for i, (kind, _) in enumerate(space.layout):
        first = params[f"cell_{i}_input_0"]
        if s0.shape == s1.shape or s0.shape[1] == s1.shape[1]:
            p0 = block(s0, first)
        else:
            p0 = candidate("skip", s0, {"skip": first["kernel"]}, 2, 0, 0)
        # Every second normal cell shares the arrays of the one before it.
        second = i % 3 == 1
        cells = params[f"cells_{i - second}"]
        own = {"kernel": cells["between"]} if second else params[f"cell_{i}_input_1"]
        p1 = block(s1, own)
        stride = 2 if kind == "reduction" else 1
        groups = {k: v for k, v in cells.items() if k != "between"}
        here = jax.tree.map(lambda leaf, n=int(second): leaf[n], groups)
        s0, s1 = s1, cell(space, here, p0, p1, alphas[kind], stride)
    return convolve(nn.relu(s1), params["head"]["kernel"]) + params["head"][
        "bias"
    ].reshape(1, 1, 1, -1)
