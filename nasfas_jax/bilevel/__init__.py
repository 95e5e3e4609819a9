"""Derivatives through inner updates, for any loss over pytrees.

The objective is ``F(phi, h) = sum_i L_out(phi_i(phi, h), h)`` where ``phi_i`` is what ``k``
steps of an optimizer on an inner loss make of ``phi``: DARTS, MAML, RFMeta and Meta-NAS
are instances. ``hypergradient`` gives ``dF/dphi`` and ``dF/dh``; its modes differ in one
line only, how the second derivative of the inner loss meets a vector.
"""

from nasfas_jax.bilevel._hypergradient import (
    MODES,
    Hypergradient,
    apply_update,
    hypergradient,
    inner_update,
    pull_back_update,
    second_derivative_product,
)

__all__ = [
    "MODES",
    "Hypergradient",
    "apply_update",
    "hypergradient",
    "inner_update",
    "pull_back_update",
    "second_derivative_product",
]
