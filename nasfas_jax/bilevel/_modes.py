"""Second-derivative-vector products, one per differentiation mode."""

import dataclasses
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nasfas_jax.bilevel import _checks, _difference, _trees

PyTree = Any
GradientFunction = Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]
#: ``(gradient, params, hyper, batch, v)`` to the pair of `second_derivative_product`.
Product = Callable[
    [GradientFunction, PyTree, PyTree, PyTree, PyTree], tuple[PyTree, PyTree]
]


@dataclasses.dataclass(frozen=True)
class Mode:
    """A method of computing products with the second derivatives of a loss.

    Modes are made by `forward_over_reverse`, `reverse_over_reverse`, `unrolled`,
    `finite_difference` and `first_order`; modes with equal options are equal. Called as a
    function, a mode returns the pair of `second_derivative_product`.

    Attributes:
      name: name of the function that makes the mode.
      product: ``(gradient, params, hyper, batch, v) -> products``.
      refuse_custom_vjp: whether `jax.custom_vjp` functions in the loss are an error,
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
    """Products ``(d2L/dphi dphi . v, d2L/dh dphi . v)`` of a loss ``L`` with a vector.

    Args:
      gradient: gradient function of ``L``, ``jax.grad(loss, (0, 1))``.
      params: ``phi``.
      hyper: ``h``.
      batch: passed to ``gradient``.
      v: tree like ``params``.
      mode: a `Mode` or its name.

    Raises:
      TypeError: a ``v`` of another tree or shape than ``params``, or a `jax.custom_vjp`
        function in the loss, see `forward_over_reverse`.
      ValueError: unknown ``mode``.
    """
    product = get(mode)
    _checks.is_direction(v, params)
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
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(
            f"Unknown mode of differentiation {mode!r}; choose one of {sorted(MODES)}, "
            "or a mode with options, e.g. `bilevel.finite_difference(epsilon)`. The "
            "implicit derivative is another function, `implicit_hypergradient`: it is a "
            "derivative of the inner optimum, not of the steps."
        )
    return MODES[mode]


@dataclasses.dataclass(frozen=True)
class FiniteDifference(Mode):
    """The mode `finite_difference`, which estimates its error.

    Attributes:
      epsilon: length of the step; None: chosen from the data for every product.
    """

    epsilon: float | None = 0.01

    def error(self, grads: PyTree, v: PyTree) -> jax.Array:
        """Estimated norm of the error of the product with ``v``, a scalar.

        For a given ``epsilon``, see `finite_difference`.
        """
        assert self.epsilon is not None
        truncation = self.epsilon**2 / 6 * _trees.norm(grads) * _trees.norm(v)
        return _difference.rounding(grads, v, self.epsilon) + truncation

    def measured(
        self,
        gradient: GradientFunction,
        params: PyTree,
        hyper: PyTree,
        batch: PyTree,
        v: PyTree,
    ) -> tuple[tuple[PyTree, PyTree], jax.Array]:
        """The products of `second_derivative_product`, and an estimate of their error.

        The estimate is the norm of the error, a scalar; for a given ``epsilon`` it is
        that of `error` at the mean of the two gradients.
        """
        arguments = gradient, params, hyper, batch, v
        with _checks.explained():
            if self.epsilon is None:
                return _difference.with_chosen_step(*arguments)
            products, mean = _difference.central(*arguments, self.epsilon)
            return products, self.error(mean[0], v)


def forward_over_reverse(*, assume_symmetric: bool = False) -> Mode:
    """Forward-mode derivative of the gradient along ``v``; exact for symmetric ones.

    Second derivatives of a loss commute, so ``v^T d(dL/dphi)`` is the derivative of
    ``(dL/dphi, dL/dh)`` along ``v``: one forward-mode pass that stores nothing for a
    second backward pass (MixFlow-MG, arXiv 2505.00793, here without a ``custom_vjp``, so
    that levels nest).

    They do not commute if a hand-written derivative in the loss is not the derivative of
    its function, as in gradient reversal; then this mode is wrong and the reverse modes are
    exact. A `jax.custom_vjp` function is an error if ``gradient`` is
    ``jax.grad(loss, ...)``, also under `jax.jit`, and at any depth of the loss; it is not
    detected in other gradient functions (a lambda, another hypergradient). A
    `jax.custom_jvp` function is no error, since many functions of JAX are defined so;
    `check_symmetry` detects a wrong one. `jax.lax.stop_gradient` keeps second derivatives
    symmetric: the stopped values are constants in every derivative, in all modes as in
    ``jax.grad`` of the written-out steps.

    Args:
      assume_symmetric: whether hand-written rules in the loss are known to be true
        derivatives, so that `jax.custom_vjp` functions are accepted.
    """
    return Mode("forward_over_reverse", _jvp_of_gradient, not assume_symmetric)


def _jvp_of_gradient(gradient, params, hyper, batch, v):
    def along(phi, v):
        return jax.jvp(lambda phi: gradient(phi, hyper, batch), (phi,), (v,))[1]

    return _checks.has_forward_mode(along)(params, v)


def finite_difference(
    epsilon: float | None = 0.01, *, assume_symmetric: bool = False
) -> Mode:
    """Central difference of the gradient along ``v`` (DARTS eq. 8).

    ``(g(phi + e v) - g(phi - e v)) / 2e`` with ``e = epsilon / |v|``, for both parts of
    ``g``: two more gradients and no second derivative. Symmetry is assumed as in
    `forward_over_reverse`.

    Its error is about ``|v| |g| (eps / (2 epsilon) + epsilon^2 / 6)``: rounding in a
    dtype of precision ``eps``, and truncation for parameters of order 1 (where the third
    derivative of ``g`` along a unit vector is of the size of ``g``). It grows with
    ``v``, which an optimizer may magnify: Adam by ``rate / sqrt(eps_root)`` at a
    parameter without gradient, while ``H v`` need not grow at all. Where this error
    exceeds a tenth of the derivative of the outer loss with respect to ``phi_k``,
    `hypergradient` returns NaN derivatives.

    Args:
      epsilon: length of the step. None: chosen from the data for every product, as the
        best of three lengths, a factor of eight apart, by an error that is estimated from
        their differences and the rounding (six gradients instead of two).
      assume_symmetric: see `forward_over_reverse`.

    Raises:
      ValueError: an ``epsilon`` that is not positive.
    """
    if epsilon is not None and not (isinstance(epsilon, numbers.Real) and epsilon > 0):
        raise ValueError(
            "`epsilon` is the length of a step and must be a positive number, or None for "
            f"one that is chosen from the data; got {epsilon!r}."
        )
    return FiniteDifference(
        "finite_difference",
        _Difference(epsilon),
        not assume_symmetric,
        epsilon=epsilon,
    )


@dataclasses.dataclass(frozen=True)
class _Difference:
    epsilon: float | None

    def __call__(self, gradient, params, hyper, batch, v):
        if self.epsilon is None:
            return _difference.with_chosen_step(gradient, params, hyper, batch, v)[0]
        return _difference.central(gradient, params, hyper, batch, v, self.epsilon)[0]


def reverse_over_reverse() -> Mode:
    """Transposed derivative of the gradient, as in reverse mode through the steps."""
    return Mode("reverse_over_reverse", _vjp_of_gradient)


def unrolled() -> Mode:
    """Reverse mode through all inner steps at once, ``jax.grad`` of the objective.

    A single product equals that of `reverse_over_reverse`; the two modes differ in what
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
