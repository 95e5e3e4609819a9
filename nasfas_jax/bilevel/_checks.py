"""What users get wrong, and what to tell them; all of it seen while tracing."""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from nasfas_jax.bilevel import _trees

NOT_SCALAR = (
    "An inner loss must return one float and nothing else. The likely fix is to end it "
    "in `.mean()` or `.sum()`; a loss that returns a state or extras as well is one of "
    "`jax.grad(loss, (0, 1), has_aux=True)`, with `state` given."
)
NO_PAIR = (
    "Where `state` is given, a loss must return the pair (value, new state); without "
    "`state` it returns the value alone, and `jax.grad` has no `has_aux`."
)
CUSTOM_VJP = (
    "Forward mode met a function with a `jax.custom_vjp` under the inner loss; such "
    "functions have no forward-mode derivative, and mode='forward_over_reverse' takes "
    "one. Either choose mode='reverse_over_reverse' or 'unrolled', which are as exact "
    "and need more memory, or write that function's derivative with `jax.custom_jvp`."
)
#: What JAX says, in part, in a TypeError: what it means here.
EXPLANATIONS = {
    "only defined for scalar-output": NOT_SCALAR,
    "requires real-valued outputs": NOT_SCALAR,
    "expected function with aux output": NO_PAIR,
    "to a custom_vjp": CUSTOM_VJP,
}


@contextlib.contextmanager
def explained():
    """Says in the library's terms what JAX says in its own."""
    try:
        yield
    except TypeError as error:
        for sign, meaning in EXPLANATIONS.items():
            if sign in str(error):
                raise TypeError(f"{meaning} (JAX says: {error})") from error
        raise


def has_forward_mode(function: Callable) -> Callable:
    """``function``, a forward-mode derivative, which must not meet a ``custom_vjp``.

    JAX finds that out when it compiles, away from here, so the program is looked at.
    """

    def checked(*args):
        program, out = jax.make_jaxpr(function, return_shape=True)(*args)
        if _meets_custom_vjp(program.jaxpr):
            raise TypeError(CUSTOM_VJP)
        leaves = core.jaxpr_as_fun(program)(*jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(out), leaves)

    return checked


def _meets_custom_vjp(program: core.Jaxpr) -> bool:
    return any(
        equation.primitive.name == "custom_lin" for equation in program.eqns
    ) or any(map(_meets_custom_vjp, core.subjaxprs(program)))


def are_floats(**trees: Any) -> None:
    """Params and hyper must have derivatives.

    Raises:
      TypeError: names the first leaf that is not a float.
    """
    for name, tree in trees.items():
        for path, leaf in jax.tree.leaves_with_path(tree):
            if not _trees.is_float(leaf):
                raise TypeError(
                    f"Derivatives are taken by every leaf of `{name}`, so all must be "
                    f"float arrays; {name}{jax.tree_util.keystr(path)} is {_kind(leaf)}. "
                    "Pass counters, indices and random keys with the batch, or convert "
                    "this one with `.astype(float)`."
                )


def is_scalar(loss: Any, name: str) -> None:
    """A loss must be one float.

    Raises:
      TypeError: says what came instead.
    """
    if isinstance(loss, tuple):
        raise TypeError(
            f"The {name} loss must return one number and returned a tuple of "
            f"{len(loss)}. Losses return (value, state) exactly where `state` is given: "
            "pass `state=` (it may be `()` for a loss that only returns extras)."
        )
    if not _trees.is_float(loss) or jnp.shape(loss) != ():
        fix = "end it in `.mean()` or `.sum()`"
        if not _trees.is_float(loss):
            fix = "return the loss itself, and as a float"
        raise TypeError(
            f"The {name} loss must return one float and returned {_kind(loss)}. The "
            f"likely fix is to {fix}."
        )


def is_pair(result: Any, name: str) -> None:
    """With state, a loss returns ``(value, new state)``.

    Raises:
      TypeError: says what came instead.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{NO_PAIR} The {name} loss returned {_kind(result)}.")


def is_gradient(grads: Any, params: Any, hyper: Any) -> None:
    """An inner gradient function returns ``(dL/dparams, dL/dhyper)``.

    Raises:
      TypeError: says what came instead.
    """
    wanted = jax.tree.structure((params, hyper))
    if jax.tree.structure(grads) != wanted:
        raise TypeError(
            "The inner gradient function must return the pair (dL/dparams, dL/dhyper) "
            "with their trees, as `jax.grad(loss, (0, 1))` does (with `state` given, "
            "`jax.grad(loss, (0, 1), has_aux=True)`). Expected "
            f"{wanted}, got {jax.tree.structure(grads)}. The likely mistakes: a loss was "
            "passed for its gradient, or `jax.grad(loss)` without the `(0, 1)`."
        )


def is_optimizer(made: Any) -> None:
    """An optimizer, or what a function made of hyper, has an ``init`` and an ``update``.

    Raises:
      TypeError: says what came instead.
    """
    if not (hasattr(made, "init") and hasattr(made, "update")):
        raise TypeError(
            "`optimizer` must be an optax transformation, as `optax.sgd(0.1)` is, or a "
            "function that makes one of hyper, as `lambda h: optax.sgd(h['rate'])`; got "
            f"{_kind(made)}."
        )


def is_number_of_steps(steps: Any, batch: Any) -> None:
    """``steps`` is a whole number, or None for one step a slice of ``batch``.

    Raises:
      TypeError: something else than a whole number.
      ValueError: a negative number; None, and a batch that does not say how many.
    """
    if steps is not None:
        if not isinstance(steps, int):
            raise TypeError(
                "`steps` must be a whole number that is known while tracing, or None "
                f"for one step a slice of the inner batch; got {_kind(steps)}."
            )
        if steps < 0:
            raise ValueError(f"`steps` must be 0 or more, got {steps}.")
        return
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(batch)}
    if len(lengths) != 1 or lengths == {()}:
        raise ValueError(
            "`steps` is None: one step is made for each slice of the inner batch along "
            "the first axis, which all its leaves must have in common. Their shapes are "
            f"{jax.tree.map(jnp.shape, batch)}. Stack the batches with `jnp.stack`, or "
            "give `steps`."
        )


def has_same_tree(before: Any, after: Any, name: str) -> None:
    """An update must return the tree that it was given.

    Raises:
      TypeError: says both.
    """
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise TypeError(
            f"An update must keep the tree of the {name}, which was "
            f"{jax.tree.structure(before)} and became {jax.tree.structure(after)}. Look "
            f"at {CHANGED_BY[name][0]}."
        )


#: Who may have changed what, and how.
BY_OPTIMIZER = (
    "the optimizer's `update`",
    "Shapes change by broadcasting in the optimizer (a learning rate with axes that the "
    "parameter lacks), dtypes by hyper or a rate in another precision than params.",
)
CHANGED_BY = {
    "params": BY_OPTIMIZER,
    "optimizer's state": BY_OPTIMIZER,
    "auxiliary state": (
        "the new state that the inner loss returns",
        "It comes from the inner loss, which must return its new state as it was given.",
    ),
}


def is_unchanged(before: Any, after: Any, name: str) -> None:
    """An update must return what it was given: same tree, shapes and dtypes.

    Raises:
      TypeError: names the first leaf that differs.
    """
    has_same_tree(before, after, name)
    pairs = zip(jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True)
    for (path, old), new in pairs:
        if _kind(old) != _kind(new):
            raise TypeError(
                f"An update must keep shapes and dtypes; of the {name}, leaf "
                f"{jax.tree_util.keystr(path) or 'itself'} was {_kind(old)} and became "
                f"{_kind(new)}. {CHANGED_BY[name][1]}"
            )


def check_finite(result: Any) -> Any:
    """``result`` itself, if all of it is finite. Call it outside of ``jax.jit``.

    `hypergradient` makes its value NaN where the inner steps left the finite numbers,
    so looking at values alone is enough to notice that, inside a compiled loop too. It
    sees what moves parameters: the gradients, not the inner loss's value (they part
    company at the logarithm of a negative number, say: NaN, and a finite slope).

    Raises:
      ValueError: the value or a derivative is infinite or NaN; says which, and the
        likely cause.
    """
    if not _trees.all_finite(result.value):
        raise ValueError(
            f"The value of the hypergradient is {result.value}, so an inner loss, its "
            "gradient or the outer loss left the finite numbers. The likely fixes: a "
            "lower inner learning rate, fewer inner steps, gradient clipping in the "
            "inner optimizer; or the batch itself holds NaN."
        )
    for name in result._fields:
        if not _trees.all_finite(getattr(result, name)):
            raise ValueError(
                f"The value {result.value} is finite, but `{name}` of the hypergradient "
                "is not: a function on the way has an infinite derivative. The likely "
                "cause is a square root at zero: inside `optax.adam`, at a parameter "
                "without inner gradient (give eps_root > 0; eps alone stands outside "
                "of the root), or a norm in a loss."
            )
    return result


def _kind(leaf: Any) -> str:
    """Like ``float32[3,4]``."""
    if hasattr(leaf, "dtype"):
        return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
    return f"a Python {type(leaf).__name__}"
