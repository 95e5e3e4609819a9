"""Instruments of a search: noise of the gradient by the alphas, and curvature in them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from nasfas_jax import bilevel, limits
from nasfas_jax.errors import InputError
from nasfas_jax.methods.meta_nas import SearchMethod, SearchState
from nasfas_jax.ops import platform


class Eigenvalue(NamedTuple):
    """An eigenvalue of a symmetric matrix.

    Attributes:
      value: the eigenvalue, with its sign.
      residual: norm of ``A v - value v`` for its unit vector; an eigenvalue of the matrix is
        as near to ``value`` as that.
      products: number of matrix-vector products.
    """

    value: float
    residual: float
    products: int


def signal_to_noise(gradients: Any) -> Any:
    """Signal-to-noise ratio of the gradient of every edge.

    The norm of the mean over n batches, over the norm of its standard error (the deviation
    with ddof 1 over the square root of n); norms are over the entries of an edge. It is about
    1 for noise of mean zero and any n, since both squares then have the same expectation;
    where there is a signal it grows with the square root of n.

    Args:
      gradients: tree of arrays [n, edges, ...], gradients of n batches at the same state.

    Returns:
      Tree of arrays [edges], NaN where all gradients are 0.

    Raises:
      InputError: fewer than two batches.
    """

    def ratio(values: Any) -> np.ndarray:
        x = np.asarray(values, np.float64)
        if len(x) < 2:
            raise InputError(
                "expected gradients of two or more batches, whose deviation is the noise, got"
                f" {len(x)}.",
                field="batches",
            )
        x = x.reshape(*x.shape[:2], -1)
        error = x.std(0, ddof=1) / np.sqrt(len(x))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.linalg.norm(x.mean(0), axis=-1) / np.linalg.norm(error, axis=-1)

    return jax.tree.map(ratio, gradients)


@platform.full_precision
def curvature_product(
    method: SearchMethod, state: SearchState, batch: dict, direction: Any
) -> Any:
    """``d2L/dalpha2 . v`` of the supernet's loss on a batch, for constant weights.

    Without the relative cost and the regularization of the alphas.

    Args:
      method: the search method.
      state: weights and alphas.
      batch: ``image`` [B, S, S, 3] and ``target`` [B, h, w].
      direction: ``v``, a tree like ``state.alphas``.
    """

    def loss(alphas: Any, params: Any, batch: dict) -> jax.Array:
        return method.supernet_loss(params, alphas, state.batch_stats, batch)

    def gradient(alphas: Any, params: Any, batch: dict) -> tuple[Any, tuple]:
        return jax.grad(loss)(alphas, params, batch), ()

    return bilevel.second_derivative_product(
        gradient,
        state.alphas,
        state.params,
        batch,
        direction,
        mode="forward_over_reverse",
    )[0]


def dominant_eigenvalue(
    product: Callable[[np.ndarray], np.ndarray],
    size: int,
    *,
    tolerance: float = 1e-2,
    products: int = 30,
    seed: int = 0,
) -> Eigenvalue:
    """The eigenvalue of largest magnitude of a symmetric matrix, by Lanczos's method.

    With full reorthogonalization, in float64. Unlike power iteration it separates two
    eigenvalues of equal magnitude and opposite sign.

    Args:
      product: ``A x`` of a vector [size].
      size: rows of the matrix.
      tolerance: residual, relative to the eigenvalue, at which it ends.
      products: the largest number of products; after ``size`` of them it is exact.
      seed: seed of the first vector.

    Raises:
      InputError: a number out of range.
    """
    limits.require(
        size=(size, limits.COUNT),
        tolerance=(tolerance, limits.POSITIVE),
        products=(products, limits.COUNT),
    )
    start = np.random.default_rng(seed).normal(size=size)
    basis = [start / np.linalg.norm(start)]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        x = np.asarray(product(basis[-1]), np.float64)
        diagonal.append(float(x @ basis[-1]))
        rows = np.stack(basis)
        for _ in range(2):  # once leaves rounding of the size of the largest eigenvalue
            x = x - rows.T @ (rows @ x)
        norm = float(np.linalg.norm(x))
        matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        values, vectors = np.linalg.eigh(matrix)
        best = int(np.argmax(np.abs(values)))
        value, residual = float(values[best]), norm * abs(float(vectors[-1, best]))
        done = len(diagonal) >= min(products, size)
        if done or residual <= tolerance * abs(value):
            return Eigenvalue(value, residual, len(diagonal))
        basis.append(x / norm)
        beside.append(norm)
