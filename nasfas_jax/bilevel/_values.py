"""Checks of values inside a compiled program, and of its results."""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.experimental import checkify

from nasfas_jax.bilevel import _checks, _symmetry, _trees
from nasfas_jax.bilevel._steps import Slice, State, Steps

Result = TypeVar("Result")
#: The checks of `hypergradient`.
CHECKS = ("divergence", "symmetry", "precision")


def are_known(checks: Collection[str]) -> tuple[str, ...]:
    """The checks as a tuple.

    Raises:
      ValueError: one that is not among `CHECKS`.
    """
    several = isinstance(checks, Collection) and not isinstance(checks, str)
    if not several or set(checks) - set(CHECKS):
        raise ValueError(
            f"`checks` must be a tuple of names out of {CHECKS}; got {checks!r}."
        )
    return tuple(checks)


def are_precise(**trees: Any) -> None:
    """Checks that parameters and states have 32 bits or more.

    Raises:
      TypeError: names the first leaf that has less.
    """
    for name, tree in trees.items():
        for path, leaf in jax.tree.leaves_with_path(tree):
            if _trees.is_float(leaf) and jnp.finfo(jnp.result_type(leaf)).bits < 32:
                raise TypeError(
                    f"Inner steps on {_checks.kind(leaf)} lose every update below half "
                    f"of its precision, and derivatives do not; {name}"
                    f"{jax.tree_util.keystr(path)} is of this dtype. Keep params, hyper "
                    "and the optimizer's state in float32, and convert them inside of "
                    "the loss (`x.astype(jnp.bfloat16)`)."
                )


def has_full_products(gradient: Callable[..., Any], *arguments: Any) -> None:
    """Checks that a GPU or a TPU does not round the operands of the gradient's products.

    Raises:
      ValueError: a convolution or matrix product of float32 without the full precision.
    """
    device = jax.default_backend()
    if device == "cpu":
        return
    for equation in _checks.equations(jax.make_jaxpr(gradient)(*arguments).jaxpr):
        full = (jax.lax.Precision.HIGHEST,) * 2
        if (
            equation.primitive.name in ("dot_general", "conv_general_dilated")
            and equation.outvars[0].aval.dtype == jnp.float32
            and equation.params["precision"] != full
        ):
            raise ValueError(
                f"On a {device}, {equation.primitive.name} of float32 rounds its operands "
                "to 11 bits or less, and derivatives, small differences, lose their "
                "digits. Call inside of `with jax.default_matmul_precision('highest')`, "
                "or give the products of the loss a precision of their own."
            )


def apply(
    checks: Collection[str], inner: Steps, start: tuple, first: tuple, state: tuple
) -> None:
    """Checks made before a hypergradient.

    Args:
      checks: names of checks.
      inner: the inner steps.
      start: arguments of `Steps.start`.
      first: the inner gradient and its arguments at the first step.
      state: the auxiliary state, if any.

    Raises:
      TypeError: params, hyper or the optimizer state are not precise.
      ValueError: products of the inner gradient are not.
    """
    begin = inner.start(*start) if checks else None
    if begin and "precision" in checks:
        _, params, hyper, _ = first
        are_precise(params=params, hyper=hyper, opt_state=begin.opt_state)
        has_full_products(*first, *state)
    if "symmetry" in checks:
        is_symmetric(*first, *state)
    if begin and "divergence" in checks:
        inner.run(begin, start[1], inner.slices, save=_finite_step)


def _finite_step(before: State, grads: Any, after: State, one: Slice) -> None:
    """Checks one inner step, by `checkify`."""
    del before
    checkify.check(
        _trees.all_finite((grads, after.params)),
        "The gradient or the parameters of inner step {step} are not finite: the steps "
        "diverge, or a function of the inner loss has an infinite derivative there. "
        "Likely fixes: a lower inner learning rate, fewer steps, gradient clipping in "
        "the inner optimizer.",
        step=one.t,
    )


def is_finite_result(value: jax.Array, grads: Any) -> None:
    """Checks the result of a hypergradient, by `checkify`."""
    checkify.check(
        _trees.all_finite((value, grads)),
        "The value of the hypergradient, {value}, or a derivative is not finite; "
        "`bilevel.check_finite` of the result names the likely cause.",
        value=value,
    )


def is_symmetric(
    gradient: Callable, params: Any, hyper: Any, batch: Any, *state: Any
) -> None:
    """Checks `symmetry_error` at one point, by `checkify`."""

    def without_state(params, hyper, batch):
        grads = gradient(params, hyper, batch, *state)
        return grads[0] if state else grads

    error = _symmetry.symmetry_error(without_state, params, hyper, batch)
    tolerance = float(jnp.finfo(error.dtype).eps) ** 0.5
    checkify.check(
        ~(error > tolerance),  # NaN is divergence
        "The second derivatives of the inner loss are not symmetric: "
        "`bilevel.symmetry_error` is {error}, expected at most "
        f"{tolerance:.2g}. Choose mode='reverse_over_reverse' or 'unrolled', which are "
        "exact without symmetry.",
        error=error,
    )


#: Likely causes of derivatives that are not finite, by the function that computes them.
OF_STEPS = (
    "a function in the inner steps has an infinite derivative. The likely cause is a "
    "square root at zero: inside `optax.adam`, at a parameter without inner gradient (give "
    "eps_root > 0; eps alone is added outside of the root), or a norm in a loss. With the "
    "mode 'finite_difference' it is also NaN where the estimated error of the difference "
    "exceeds a tenth of the outer derivative, as through Adam with a very small eps_root: "
    "give a larger one, or choose an exact mode."
)
OF_SOLVER = (
    "the linear solver diverged, because the Hessian of the inner loss at `optimum` is "
    "singular or not positive definite (the parameters are not at a minimum, or a "
    "direction does not change the loss), or because the rate of `bilevel.neumann` is "
    "above 2 / its largest eigenvalue. Likely fixes: more inner steps before, a penalty "
    "on the squares of the parameters, `bilevel.conjugate_gradient(damping=...)`, or a "
    "lower rate."
)


def check_finite(result: Result) -> Result:
    """Returns ``result`` if all of it is finite; for use outside of `jax.jit`.

    The value of a `hypergradient` is NaN if the parameters became non-finite during the
    inner steps, so it is enough to check values, also in a compiled loop. A non-finite
    value of the inner loss is not detected if its gradient is finite (for example, that of
    the logarithm of a negative number).

    Args:
      result: result of `hypergradient` or `implicit_hypergradient`.

    Raises:
      ValueError: the value or a derivative is infinite or NaN; the message has its name
        and the likely cause.
    """
    values: Any = result
    if not _trees.all_finite(values.value):
        raise ValueError(
            f"The value of the hypergradient is {values.value}: an inner loss, its "
            "gradient or the outer loss became non-finite. Likely fixes: a lower inner "
            "learning rate, fewer inner steps, gradient clipping in the inner optimizer; "
            "or the batch itself contains NaN."
        )
    cause = OF_SOLVER if hasattr(values, "residual") else OF_STEPS
    for name in (f for f in values._fields if f not in ("state", "inner")):
        if not _trees.all_finite(getattr(values, name)):
            raise ValueError(
                f"The value {values.value} is finite, but `{name}` of the hypergradient "
                f"is not: {cause}"
            )
    return result
