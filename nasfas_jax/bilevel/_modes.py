"""How the second derivative of an inner loss meets a vector."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nasfas_jax.bilevel import _checks, _trees

PyTree = Any
GradientFunction = Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]
Mode = Callable[
    [GradientFunction, PyTree, PyTree, PyTree, PyTree], tuple[PyTree, PyTree]
]


def second_derivative_product(
    gradient: GradientFunction,
    params: PyTree,
    hyper: PyTree,
    batch: PyTree,
    v: PyTree,
    *,
    mode: str | Mode,
) -> tuple[PyTree, PyTree]:
    """``(d2L/dphi dphi . v, d2L/dh dphi . v)`` for the ``L`` that ``gradient`` belongs to.

    Raises:
      TypeError: a ``custom_vjp`` under the loss met forward mode.
      ValueError: ``mode`` is neither a key of ``MODES`` nor a function like them.
    """
    product = get(mode)
    with _checks.explained():
        return product(gradient, params, hyper, batch, v)


def get(mode: str | Mode) -> Mode:
    """The function behind a mode's name.

    Raises:
      ValueError: nothing has this name.
    """
    if callable(mode):
        return mode
    if mode not in MODES:
        raise ValueError(
            f"Unknown mode {mode!r} of differentiation; choose one of {sorted(MODES)}, "
            "or a function like `finite_difference(epsilon)`. The implicit derivative "
            "is no mode but a function, `implicit_hypergradient`: it belongs to the "
            "inner optimum, not to the steps."
        )
    return MODES[mode]


def finite_difference(epsilon: float = 0.01) -> Mode:
    """Central difference of the gradient along ``v``, as DARTS eq. 8: a mode.

    ``(g(phi + e v) - g(phi - e v)) / 2e`` with ``e = epsilon / |v|``, for both parts of
    ``g``: two more gradients and no second derivative, which are taken to commute. The
    error falls with
    ``epsilon^2`` until rounding, which grows with ``1 / epsilon``, passes it.
    """

    def product(gradient, params, hyper, batch, v):
        size = _trees.norm(v)
        # At v = 0 the quotient is 0 for any step that is finite.
        step = jax.lax.stop_gradient(
            epsilon / jnp.maximum(size, jnp.finfo(size.dtype).tiny)
        )

        def shifted(sign):
            moved = jax.tree.map(
                lambda p, d: p + sign * step.astype(p.dtype) * d, params, v
            )
            return gradient(moved, hyper, batch)

        return jax.tree.map(
            lambda plus, minus: (plus - minus) / (2 * step.astype(plus.dtype)),
            shifted(1),
            shifted(-1),
        )

    return product


def _forward_over_reverse(gradient, params, hyper, batch, v):
    """Second derivatives commute: the row ``v^T d(dL/dphi)`` is a derivative along ``v``.

    One forward-mode pass over the gradient, nothing stored for a second backward pass
    (MixFlow-MG, arXiv 2505.00793, without its ``custom_vjp``: this nests further). They
    commute where ``gradient`` is the gradient of something: not if a hand-written
    derivative under the loss is another function's, as gradient reversal is.
    """

    def along(phi, v):
        return jax.jvp(lambda phi: gradient(phi, hyper, batch), (phi,), (v,))[1]

    return _checks.has_forward_mode(along)(params, v)


def _reverse_over_reverse(gradient, params, hyper, batch, v):
    """As automatic differentiation of the unrolled program does it: transpose."""
    _, pull_back = jax.vjp(lambda phi, h: gradient(phi, h, batch)[0], params, hyper)
    return pull_back(v)


def _first_order(gradient, params, hyper, batch, v):
    """The inner gradient is a constant: no second derivative."""
    del gradient, batch, v
    return jax.tree.map(jnp.zeros_like, (params, hyper))


#: The modes of `hypergradient`. 'unrolled' differs from 'reverse_over_reverse' in what
#: is kept in memory only, so of a single product they are the same.
MODES: dict[str, Mode] = {
    "first_order": _first_order,
    "finite_difference": finite_difference(),
    "forward_over_reverse": _forward_over_reverse,
    "reverse_over_reverse": _reverse_over_reverse,
    "unrolled": _reverse_over_reverse,
}
#: Those without approximation.
EXACT = ("forward_over_reverse", "reverse_over_reverse", "unrolled")
