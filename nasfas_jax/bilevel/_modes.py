"""Second-derivative-vector products, one per differentiation mode."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nasfas_jax.bilevel import _checks, _trees

PyTree = Any
GradientFunction = Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]
#: ``(gradient, params, hyper, batch, v)`` to the pair of `second_derivative_product`.
Product = Callable[
    [GradientFunction, PyTree, PyTree, PyTree, PyTree], tuple[PyTree, PyTree]
]


@dataclasses.dataclass(frozen=True)
class Mode:
    """Mode of computing products with the second derivatives of a loss.

    Modes are made by `forward_over_reverse`, `reverse_over_reverse`, `unrolled`,
    `finite_difference` and `first_order`; modes with equal options are equal. Called as a
    function, a mode returns the pair of `second_derivative_product`.

    Attributes:
      name: name of the function that makes it.
      product: ``(gradient, params, hyper, batch, v) -> products``.
      refuse_custom_vjp: whether `jax.custom_vjp` functions under the loss are an error,
        since the mode assumes symmetric second derivatives.
      computes_gradient: whether the product computes the gradient at ``params`` too, so
        that a recursion need not store it.
    """

    name: str
    product: Product
    refuse_custom_vjp: bool = False
    computes_gradient: bool = True

    def check(self, gradient: Callable, *arguments: PyTree) -> None:
        """Checks the loss of ``gradient`` for functions that the mode refuses.

        Raises:
          TypeError: the loss uses a `jax.custom_vjp` function.
        """
        if self.refuse_custom_vjp:
            _checks.has_no_custom_vjp(gradient, arguments, self.name)

    def __call__(
        self,
        gradient: GradientFunction,
        params: PyTree,
        hyper: PyTree,
        batch: PyTree,
        v: PyTree,
    ) -> tuple[PyTree, PyTree]:
        """The products, after `check`."""
        self.check(gradient, params, hyper, batch)
        return self.product(gradient, params, hyper, batch, v)


#: A mode, its name, or a function with the signature of its product.
AnyMode = str | Mode | Product


def second_derivative_product(
    gradient: GradientFunction,
    params: PyTree,
    hyper: PyTree,
    batch: PyTree,
    v: PyTree,
    *,
    mode: AnyMode,
) -> tuple[PyTree, PyTree]:
    """``(d2L/dphi dphi . v, d2L/dh dphi . v)`` of the loss ``L`` of a gradient function.

    Args:
      gradient: gradient function of ``L``, ``jax.grad(loss, (0, 1))``.
      params: ``phi``.
      hyper: ``h``.
      batch: passed to ``gradient``.
      v: tree like ``params``.
      mode: a `Mode` or its name.

    Raises:
      TypeError: a `jax.custom_vjp` function under the loss, see `forward_over_reverse`.
      ValueError: unknown ``mode``.
    """
    product = get(mode)
    with _checks.explained():
        return product(gradient, params, hyper, batch, v)


def get(mode: AnyMode) -> Mode:
    """The mode of a name or of a function.

    Raises:
      TypeError: a function that makes a mode and was not called.
      ValueError: unknown name.
    """
    if isinstance(mode, Mode):
        return mode
    if callable(mode):
        name = getattr(mode, "__name__", type(mode).__name__)
        if getattr(mode, "__module__", None) == __name__ and name in MODES:
            raise TypeError(
                f"`mode` is the function bilevel.{name}, which makes a mode and was not "
                f"called. Write `bilevel.{name}()`, or its name {name!r}."
            )
        return Mode(name, mode)
    if mode not in MODES:
        raise ValueError(
            f"Unknown mode of differentiation {mode!r}; choose one of {sorted(MODES)}, "
            "or a mode with options, e.g. `bilevel.finite_difference(epsilon)`. The "
            "implicit derivative is another function, `implicit_hypergradient`: it is a "
            "derivative of the inner optimum, not of the steps."
        )
    return MODES[mode]


@dataclasses.dataclass(frozen=True)
class FiniteDifference(Mode):
    """A `finite_difference`, which can estimate its error.

    Attributes:
      epsilon: length of the step.
    """

    epsilon: float = 0.01

    def error(self, grads: PyTree, v: PyTree) -> jax.Array:
        """Estimated norm of the error of the product with ``v``, a scalar."""
        size = _trees.norm(v)
        rounding = float(jnp.finfo(size.dtype).eps) / (2 * self.epsilon)
        return (rounding + self.epsilon**2 / 6) * _trees.norm(grads) * size


def forward_over_reverse(*, assume_symmetric: bool = False) -> Mode:
    """Forward-mode derivative of the gradient along ``v``; exact for symmetric ones.

    Second derivatives of a loss commute, so ``v^T d(dL/dphi)`` is the derivative of
    ``(dL/dphi, dL/dh)`` along ``v``: one forward-mode pass that stores nothing for a
    second backward pass (MixFlow-MG, arXiv 2505.00793, here without a ``custom_vjp``, so
    that levels nest).

    They do not commute if a hand-written derivative under the loss is not the derivative of
    its function, as in gradient reversal; then this mode is wrong and the reverse modes are
    exact. A `jax.custom_vjp` function is an error if ``gradient`` is
    ``jax.grad(loss, ...)``, also under `jax.jit`, and at any depth of the loss; it is not
    detected in other gradient functions (a lambda, another hypergradient). A
    `jax.custom_jvp` function is no error, since many functions of JAX are defined so;
    `check_symmetry` detects a wrong one. `jax.lax.stop_gradient` keeps second derivatives
    symmetric: the stopped values are constants in every derivative, in all modes as in
    ``jax.grad`` of the written-out steps.

    Args:
      assume_symmetric: whether hand-written rules under the loss are known to be true
        derivatives, so that `jax.custom_vjp` functions are accepted.
    """
    return Mode("forward_over_reverse", _jvp_of_gradient, not assume_symmetric)


def _jvp_of_gradient(gradient, params, hyper, batch, v):
    def along(phi, v):
        return jax.jvp(lambda phi: gradient(phi, hyper, batch), (phi,), (v,))[1]

    return _checks.has_forward_mode(along)(params, v)


def finite_difference(epsilon: float = 0.01, *, assume_symmetric: bool = False) -> Mode:
    """Central difference of the gradient along ``v`` (DARTS eq. 8).

    ``(g(phi + e v) - g(phi - e v)) / 2e`` with ``e = epsilon / |v|``, for both parts of
    ``g``: two more gradients and no second derivative. Symmetry is assumed as in
    `forward_over_reverse`.

    Its error is about ``|v| |g| (eps / (2 epsilon) + epsilon^2 / 6)``: rounding in a
    dtype of precision ``eps``, and truncation for parameters of order 1 (where the third
    derivative of ``g`` along a unit vector is of the size of ``g``). It grows with
    ``v``, which an optimizer may magnify: Adam by ``rate / sqrt(eps_root)`` at a
    parameter without gradient, while ``H v`` need not grow at all. Where this error
    exceeds a tenth of the outer loss's derivative by ``phi_k``, `hypergradient` returns
    NaN derivatives.

    Args:
      epsilon: length of the step.
      assume_symmetric: see `forward_over_reverse`.
    """

    product = _CentralDifference(epsilon)
    return FiniteDifference(
        "finite_difference", product, not assume_symmetric, False, epsilon
    )


@dataclasses.dataclass(frozen=True)
class _CentralDifference:
    epsilon: float

    def __call__(self, gradient, params, hyper, batch, v):
        size = _trees.norm(v)
        # At v = 0 the quotient is 0 for any finite step.
        step = jax.lax.stop_gradient(
            self.epsilon / jnp.maximum(size, jnp.finfo(size.dtype).tiny)
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


def reverse_over_reverse() -> Mode:
    """Transposed derivative of the gradient, as autodiff of the written-out steps."""
    return Mode("reverse_over_reverse", _vjp_of_gradient)


def unrolled() -> Mode:
    """Reverse mode through all inner steps at once, ``jax.grad`` of the objective.

    As a single product it equals `reverse_over_reverse`; they differ in what
    `hypergradient` stores.
    """
    return Mode("unrolled", _vjp_of_gradient)


def _vjp_of_gradient(gradient, params, hyper, batch, v):
    _, pull_back = jax.vjp(lambda phi, h: gradient(phi, h, batch)[0], params, hyper)
    return pull_back(v)


def first_order() -> Mode:
    """No second derivatives: inner gradients are constant, and products are zero."""
    return Mode("first_order", _zero, computes_gradient=False)


def _zero(gradient, params, hyper, batch, v):
    del gradient, batch, v
    return jax.tree.map(jnp.zeros_like, (params, hyper))


#: The modes of `hypergradient` with their default options, by name.
MODES: dict[str, Mode] = {
    mode.name: mode
    for mode in (
        first_order(),
        finite_difference(),
        forward_over_reverse(),
        reverse_over_reverse(),
        unrolled(),
    )
}
#: Modes without approximation, 'forward_over_reverse' where second derivatives are
#: symmetric (see `check_symmetry`), the others always.
EXACT = ("forward_over_reverse", "reverse_over_reverse", "unrolled")
