"""The page of patterns runs, and every framework gives the same derivative."""

import pathlib
import re

import jax
import numpy as np

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "patterns.md"


def close(tree, expected, tolerance):
    """Equal leaves, in the order of each framework's own names."""
    pairs = zip(jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True)
    for ours, other in pairs:
        np.testing.assert_allclose(ours, other, atol=tolerance, rtol=tolerance)


def test_every_pattern_gives_the_same_derivative(capsys):
    names = {"__name__": "patterns"}
    with jax.numpy_rank_promotion("allow"):
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S):
            exec(block, names)
    expected = names["expected"]
    assert float(abs(expected.hyper)) > 1e-3
    for name in (
        "linen_result",
        "nnx_result",
        "equinox_result",
        "on_automatic",
        "remat",
    ):
        close(names[name].grads, expected.grads, 1e-5)
    close(names["fsdp"], expected.grads, 1e-5)
    assert names["fsdp"][0]["w0"].sharding == names["shardings"]["w0"]
    for name in ("on_explicit", "mapped_by_device", "scanned"):
        close(names[name], names["mapped"], 1e-5)
    gap = optimum_gap(names["in_bfloat16"].grads, expected.grads)
    assert 1e-4 < gap < 0.05  # rounding of bfloat16
    assert names["in_bfloat16"].params["w0"].dtype == np.float32
    check_batch_norm(names)
    check_the_steps(names)
    check_the_panels(names)


def check_batch_norm(names):
    """Derivatives and running averages of Linen and NNX are the same."""
    linen, nnx = names["linen_norm"], names["nnx_norm"]
    np.testing.assert_allclose(linen.hyper, nnx.hyper, rtol=1e-5)
    ours = {"hidden": "Dense_0", "norm": "BatchNorm_0", "out": "Dense_1"}
    for name, linens in ours.items():
        close(nnx.params[name], linen.params[linens], 1e-5)
    for part in ("mean", "var"):
        average = linen.state["BatchNorm_0"][part]
        np.testing.assert_allclose(nnx.state["norm"][part][...], average, atol=1e-5)
        initial = float(part == "var")
        assert abs(average - initial).max() > 1e-3


def optimum_gap(tree, expected):
    """Relative difference of two trees."""
    a, b = (
        np.concatenate([np.ravel(x) for x in jax.tree.leaves(t)])
        for t in (tree, expected)
    )
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def check_the_steps(names):
    """Schedule, clipping and mask, with the steps written out."""
    plain, h, train, valid = (names[n] for n in ("plain", "h", "train", "valid"))

    def objective(w):
        velocity = 0.0 * w["w1"]
        for t in range(3):
            grad = jax.grad(plain)(w, h, train)["w1"]
            grad = grad / jax.numpy.maximum(1.0, jax.numpy.linalg.norm(grad) / 0.5)
            velocity = 0.9 * velocity + grad
            rate = 0.1 * 0.5 * (1 + np.cos(np.pi * t / 3))
            w = w | {"w1": w["w1"] - rate * velocity}
        return plain(w, h, valid)

    written = jax.jit(jax.grad(objective))(names["w"])
    close(names["scheduled"].params, written, 1e-5)


def check_the_panels(names):
    """The panel on models of Equinox and NNX agrees: they are one network."""
    equinox, nnx = names["panels"]
    assert [a.mode for a in equinox.agreements] == [a.mode for a in nnx.agreements]
    for a, b in zip(equinox.agreements, nnx.agreements, strict=True):
        np.testing.assert_allclose(a.cosine, b.cosine, atol=1e-5)
        assert a.mode == "first_order" or a.cosine > 0.99999
    assert min(a.cosine for a in equinox.agreements) < 0.999
    assert all(cost.temporary_bytes > 0 for cost in [*equinox.costs, *nnx.costs])
