"""Checks of the arguments of the public functions, made while tracing."""

import contextlib
import inspect
import numbers
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from nasfas_jax.bilevel import _trees

NOT_SCALAR = (
    "An inner loss must return one float and nothing else. Likely fix: end it in "
    "`.mean()` or `.sum()`. For a loss that also returns a state or extras, use "
    "`jax.grad(loss, (0, 1), has_aux=True)` and pass `state`."
)
NO_PAIR = (
    "With `state`, a loss must return the pair (value, new state); without `state` it "
    "returns the value alone, and `jax.grad` takes no `has_aux`."
)
NO_FORWARD_MODE = (
    "The derivative rule of a `jax.custom_vjp` function in the inner loss calls "
    "another `jax.custom_vjp` function, which has no forward-mode derivative. Either "
    "choose mode='reverse_over_reverse' or 'unrolled', which are as exact, or write "
    "that function's derivative with `jax.custom_jvp`."
)
ASYMMETRIC = (
    "A `jax.custom_vjp` function is used in the inner loss. This mode assumes that "
    "second derivatives are symmetric, which holds only if the hand-written rule is the "
    "derivative of the function itself (it does not hold for gradient reversal, for "
    "example). Either choose mode='reverse_over_reverse' or 'unrolled', which are exact "
    "in both cases, or, if the rule is the true derivative (`bilevel.check_symmetry` "
    "tests it), declare it so: mode=bilevel.{name}(assume_symmetric=True)."
)
MORE_THAN_GRADIENTS = (
    "This optimizer cannot make inner steps: its `update` needs more than gradients, its "
    "state and the parameters, for example the value of the loss. Examples: "
    "optax.lbfgs, of line searches, polyak_sgd, contrib.reduce_on_plateau, contrib.momo "
    "and contrib.sophia, and of lookahead, which keeps two copies of the parameters. "
    "Choose a transformation of the gradients alone; `optax.scale_by_lbfgs()` is L-BFGS "
    "without its line search."
)
#: Parts of JAX's messages, and their explanations.
GRADIENT_ERRORS = {
    "only defined for scalar-output": NOT_SCALAR,
    "requires real-valued outputs": NOT_SCALAR,
    "expected function with aux output": NO_PAIR,
    "to a custom_vjp": NO_FORWARD_MODE,
}
#: Parts of optax's messages, and their explanations.
OPTIMIZER_ERRORS = {
    "required keyword-only argument": MORE_THAN_GRADIENTS,
    "obj_fn must be provided": MORE_THAN_GRADIENTS,
    "no attribute 'fast'": MORE_THAN_GRADIENTS,
}


@contextlib.contextmanager
def explained(meanings: dict[str, str] = GRADIENT_ERRORS) -> Iterator[None]:
    """Re-raises errors of JAX or optax as TypeErrors with an explanation.

    Args:
      meanings: part of the original message to explanation; other errors pass through.
    """
    try:
        yield
    except (TypeError, ValueError, AttributeError) as error:
        for part, meaning in meanings.items():
            if part in str(error):
                raise TypeError(f"{meaning} (The error was: {error})") from error
        raise


def has_forward_mode(function: Callable) -> Callable:
    """``function``, a forward-mode derivative, with a check for `jax.custom_vjp` functions.

    JAX would report them only when it compiles, outside of this package.
    """

    def checked(*args):
        program, out = jax.make_jaxpr(function, return_shape=True)(*args)
        if _contains(program.jaxpr, "custom_lin"):
            raise TypeError(NO_FORWARD_MODE)
        leaves = core.jaxpr_as_fun(program)(*jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(out), leaves)

    return checked


def has_no_custom_vjp(gradient: Callable, arguments: tuple, name: str) -> None:
    """Checks that the loss of a gradient function uses no `jax.custom_vjp` function.

    Hand-written rules cannot be recognized in a loss that `jax.grad` has differentiated, so
    the loss itself is traced, which `jax.grad` and `jax.jit` store as ``__wrapped__``.
    Gradient functions without that attribute (a lambda, another hypergradient) are not
    checked; `check_symmetry` tests them numerically.

    Args:
      gradient: the gradient function of an inner loss.
      arguments: what it is called with.
      name: name of the mode, for the message.

    Raises:
      TypeError: such a function is used.
    """
    for function in _wrapped_by(gradient):
        try:
            program = jax.make_jaxpr(function)(*arguments)
        except (TypeError, ValueError):
            # A wrapper that changes the arguments, e.g. jax.vmap. Errors of the loss itself
            # are reported where the gradient is computed.
            return
        if _contains(program.jaxpr, "custom_vjp_call"):
            raise TypeError(ASYMMETRIC.format(name=name))


def _wrapped_by(function: Callable) -> Iterator[Callable]:
    """Functions in the chain of ``__wrapped__`` attributes, outermost first."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
        yield function


def _contains(program: core.Jaxpr, primitive: str) -> bool:
    """Whether a program or a program nested in it uses a primitive."""
    return any(one.primitive.name.startswith(primitive) for one in equations(program))


def equations(program: core.Jaxpr) -> Iterator[Any]:
    """Equations of a program and of the programs nested in it."""
    yield from program.eqns
    for inner in core.subjaxprs(program):
        yield from equations(inner)


def are_floats(**trees: Any) -> None:
    """Checks that all leaves are floats, so that derivatives exist.

    Raises:
      TypeError: names the first leaf that is not a float.
    """
    for name, tree in trees.items():
        for path, leaf in jax.tree.leaves_with_path(tree):
            if not _trees.is_float(leaf):
                raise TypeError(
                    f"Derivatives are computed for every leaf of `{name}`, so all must be "
                    f"float arrays; {name}{jax.tree_util.keystr(path)} is {kind(leaf)}. "
                    "Pass counters, indices and random keys with the batch, or convert "
                    "this one with `.astype(float)`. Of a model, pass only the float "
                    "arrays: the first result of `eqx.partition(model, "
                    "eqx.is_inexact_array)` in Equinox, the second of `nnx.split(model, "
                    "nnx.Param, ...)` in Flax NNX."
                )


def is_scalar(loss: Any, name: str) -> None:
    """Checks that a loss is one float.

    Raises:
      TypeError: states what was returned instead.
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
            f"The {name} loss must return one float and returned {kind(loss)}. "
            f"Likely fix: {fix}."
        )


def is_pair(result: Any, name: str) -> None:
    """Checks that a loss with state returns ``(value, new state)``.

    Raises:
      TypeError: states what was returned instead.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{NO_PAIR} The {name} loss returned {kind(result)}.")


def is_gradient(grads: Any, params: Any, hyper: Any) -> None:
    """Checks that a gradient function returns ``(dL/dparams, dL/dhyper)``.

    Raises:
      TypeError: states what was returned instead.
    """
    wanted = params, hyper
    if not _same_shapes(grads, wanted):
        raise TypeError(
            "The inner gradient function must return the pair (dL/dparams, dL/dhyper) "
            "with their trees and shapes, as `jax.grad(loss, (0, 1))` does (with "
            "`state`, `jax.grad(loss, (0, 1), has_aux=True)`). Expected "
            f"{_shown(wanted)}, got {_shown(grads)}. Likely mistakes: a loss was passed "
            "instead of its gradient, `jax.grad(loss)` without the `(0, 1)`, "
            "`jax.value_and_grad` instead of `jax.grad`, or `has_aux=True` without "
            "`state`."
        )


def _same_shapes(a: Any, b: Any) -> bool:
    """Whether two trees have the same structure and leaves of the same shapes."""
    shapes = [list(map(jnp.shape, jax.tree.leaves(tree))) for tree in (a, b)]
    return jax.tree.structure(a) == jax.tree.structure(b) and shapes[0] == shapes[1]


def _shown(tree: Any) -> Any:
    """A tree with dtype and shape in place of each leaf, for messages."""
    return jax.tree.map(kind, tree)


def is_made(optimizer: Any) -> None:
    """Checks that ``optimizer`` is no optax function that makes optimizers.

    Raises:
      TypeError: it is one; the message has its name.
    """
    module = getattr(optimizer, "__module__", None) or ""
    if inspect.isfunction(optimizer) and module.partition(".")[0] == "optax":
        raise TypeError(
            f"`optimizer` is the function optax.{optimizer.__name__}, which makes an "
            f"optimizer and was not called. Write `optax.{optimizer.__name__}(0.1)`, or "
            f"`lambda h: optax.{optimizer.__name__}(h)` if hyper is its first argument."
        )


def is_optimizer(made: Any) -> None:
    """Checks that an optimizer has an ``init`` and an ``update``.

    Raises:
      TypeError: states what was given or made instead.
    """
    if not (hasattr(made, "init") and hasattr(made, "update")):
        raise TypeError(
            "`optimizer` must be an optax transformation, as `optax.sgd(0.1)` is, or a "
            "function that makes one of hyper, as `lambda h: optax.sgd(h['rate'])`; got "
            f"{kind(made)}."
        )


def is_number_of_steps(steps: Any, batch: Any) -> None:
    """Checks that ``steps`` is an integer, or None for one step per slice of ``batch``.

    Raises:
      TypeError: not a whole number.
      ValueError: a negative number; None with a batch that has no common first axis.
    """
    if steps is not None:
        if not is_whole(steps):
            raise TypeError(
                "`steps` must be a whole number that is known while tracing, or None "
                f"for one step per slice of the inner batch; got {kind(steps)}."
            )
        if steps < 0:
            raise ValueError(f"`steps` must be 0 or more, got {steps}.")
        return
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(batch)}
    if len(lengths) != 1 or lengths == {()}:
        raise ValueError(
            "With `steps=None` there is one step for each slice of the inner batch along "
            "the first axis, which all its leaves must have in common; their shapes are "
            f"{jax.tree.map(jnp.shape, batch)}. Stack the batches with `jnp.stack`, or "
            "give `steps`."
        )


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, of Python or NumPy."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def are_lists(**arguments: Any) -> None:
    """Checks that arguments with several values are lists or tuples.

    Raises:
      TypeError: names the first that is not.
    """
    for name, value in arguments.items():
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise TypeError(
                f"`{name}` must be a list of the values to compare, as [{value!r}]; got"
                f" {value!r}."
            )


def is_solver(solver: Any, makers: tuple[Callable, ...]) -> None:
    """Checks that a solver is a function of ``x -> H x`` and ``v``.

    Args:
      solver: the solver.
      makers: functions that make one.

    Raises:
      TypeError: it is not, or is one of ``makers``, which was not called.
    """
    names = [f"bilevel.{one.__name__}" for one in makers]
    if solver in makers:
        name = names[makers.index(solver)]
        raise TypeError(
            f"`solver` is the function {name}, which makes a solver and was not called."
            f" Write `{name}(...)`."
        )
    if not callable(solver):
        raise TypeError(
            f"`solver` must be made by {' or '.join(names)}, or be a function of"
            f" `x -> H x` and `v` that returns `x`; got {solver!r}."
        )


def is_like(result: Any, given: Any, name: str) -> None:
    """Checks that a linear function keeps tree and shapes of its argument.

    Raises:
      TypeError: states both.
    """
    if not _same_shapes(result, given):
        raise TypeError(
            f"The {name} must return a tree like its vector, {_shown(given)}; it returned "
            f"{_shown(result)}."
        )


def is_direction(v: Any, params: Any) -> None:
    """Checks that the vector of a product has the tree and the shapes of ``params``.

    Raises:
      TypeError: states both.
    """
    if not _same_shapes(v, params):
        raise TypeError(
            "`v` must be a tree like `params`, with the shapes "
            f"{_shown(params)}; got {_shown(v)}."
        )


def are_counts(**counts: Any) -> None:
    """Checks that numbers are whole and at least 1.

    Raises:
      TypeError: one that is not whole.
      ValueError: one below 1.
    """
    for name, value in counts.items():
        if not is_whole(value):
            raise TypeError(f"`{name}` must be a whole number; got {value!r}.")
        if value < 1:
            raise ValueError(f"`{name}` must be 1 or more; got {value}.")


def is_summand(result: Any) -> None:
    """Checks that the function of a sum returns a pair.

    Raises:
      TypeError: states what was returned instead.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            "The function of `scan_sum` must return the pair (tree to be summed, tree to "
            f"be stacked), such as `(value, ())`; it returned {_shown(result)}."
        )


def are_slices(slices: Any) -> None:
    """Checks that all leaves have a first axis of the same length.

    Raises:
      ValueError: states the shapes.
    """
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(slices)}
    if len(lengths) != 1 or lengths == {()}:
        raise ValueError(
            "A sum over slices needs arrays with a first axis of one length; the shapes "
            f"are {jax.tree.map(jnp.shape, slices)}. Stack the slices with `jnp.stack`."
        )


def has_same_tree(before: Any, after: Any, name: str) -> None:
    """Checks that an update keeps the tree of its argument.

    Raises:
      TypeError: states both trees.
    """
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise TypeError(
            f"An update must keep the tree of the {name}, which was "
            f"{jax.tree.structure(before)} and became {jax.tree.structure(after)}. Check "
            f"{CHANGED_BY[name][0]}."
        )


BY_OPTIMIZER = (
    "the optimizer's `update`",
    "Shapes change by broadcasting in the optimizer (a learning rate with axes that the "
    "parameter lacks), dtypes by hyper or a rate in another precision than params.",
)
#: Likely causes of a changed result, by part of the update.
CHANGED_BY = {
    "params": BY_OPTIMIZER,
    "optimizer's state": BY_OPTIMIZER,
    "auxiliary state": (
        "the new state that the inner loss returns",
        "It comes from the inner loss, which must return its new state as it was given.",
    ),
}


def is_unchanged(before: Any, after: Any, name: str) -> None:
    """Checks that an update keeps tree, shapes and dtypes.

    Raises:
      TypeError: names the first leaf that differs.
    """
    has_same_tree(before, after, name)
    pairs = zip(jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True)
    for (path, old), new in pairs:
        if kind(old) != kind(new):
            raise TypeError(
                f"An update must keep shapes and dtypes; of the {name}, leaf "
                f"{jax.tree_util.keystr(path) or 'itself'} was {kind(old)} and became "
                f"{kind(new)}. {CHANGED_BY[name][1]}"
            )


def kind(leaf: Any) -> str:
    """Dtype and shape of a leaf, e.g. ``float32[3,4]``."""
    if hasattr(leaf, "dtype"):
        return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
    return f"a Python {type(leaf).__name__}"
