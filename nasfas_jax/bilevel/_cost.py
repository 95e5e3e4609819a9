"""Predicted cost of hypergradients; programs are compiled but not run."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from nasfas_jax.bilevel import _checks, _modes, _trees
from nasfas_jax.bilevel._hypergradient import hypergradient
from nasfas_jax.bilevel._plan import Plan, Segments
from nasfas_jax.bilevel._steps import Steps
from nasfas_jax.bilevel._update import Optimizer

PyTree = Any
HEAD = ("mode", "segments", "steps", "temporary MB", "states", "GFLOP", "gradients")


@dataclasses.dataclass(frozen=True)
class Cost:
    """Predicted cost of one hypergradient.

    Attributes:
      mode: name of the mode.
      segments: number of segments, as in `hypergradient`.
      steps: number of inner steps.
      temporary_bytes: memory of the compiled program besides its arguments and results,
        as planned by XLA.
      host_bytes: the same in host memory, which ``offload`` uses.
      states: ``temporary_bytes`` in units of the state before one step, the updated
        parameters and their optimizer state.
      flops: floating-point operations of the inner gradients, the products with second
        derivatives and the outer derivative, without those of the optimizer. The body of
        a loop in a loss is counted once.
      gradients: ``flops`` in units of one inner gradient.
    """

    mode: str
    segments: Segments
    steps: int
    temporary_bytes: int
    host_bytes: int
    states: float
    flops: float
    gradients: float


@dataclasses.dataclass(frozen=True)
class CostTable:
    """Predicted costs, printed as a table.

    Attributes:
      costs: one for each mode and number of segments.
    """

    costs: tuple[Cost, ...]

    def __repr__(self) -> str:
        rows: list[tuple[str, ...]] = [HEAD]
        for c in self.costs:
            numbers = (c.temporary_bytes / 1e6, c.states, c.flops / 1e9, c.gradients)
            cells = (f"{number:.4g}" for number in numbers)
            rows.append((c.mode, str(c.segments), str(c.steps), *cells))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            )
            for row in rows
        )


def cost(
    outer_loss: Callable,
    inner_gradient: Callable,
    params: PyTree,
    hyper: PyTree,
    *,
    inner_batch: PyTree,
    outer_batch: PyTree,
    optimizer: Optimizer,
    steps: int | None = 1,
    modes: Sequence[_modes.AnyMode] = tuple(_modes.MODES),
    segments: Sequence[Segments] = (None, "sqrt"),
    mask: PyTree = True,
    last: int | None = None,
    offload: bool = False,
    state: PyTree = None,
    policy: str = "batch",
) -> CostTable:
    """Memory and arithmetic of `hypergradient` in each mode, for given shapes.

    Every program is compiled, which may take long, and none runs. The arguments are those
    of `hypergradient`, except ``modes`` and ``segments``; arrays may be replaced by their
    shapes, `jax.ShapeDtypeStruct`.

    Args:
      outer_loss: ``(phi, h, batch) -> scalar``.
      inner_gradient: gradient function of the inner loss.
      params: ``phi``.
      hyper: ``h``.
      inner_batch: passed to ``inner_gradient``.
      outer_batch: passed to ``outer_loss``.
      optimizer: optimizer of the inner steps.
      steps: number of inner steps.
      modes: modes to compare.
      segments: numbers of segments to compare, for each mode.
      mask: parameters that the inner steps update.
      last: number of steps that derivatives pass through.
      offload: whether stored states go to host memory.
      state: auxiliary state, if the losses have any.
      policy: how ``state`` is updated.

    Raises:
      TypeError: as `hypergradient`, or modes or segments that are not a list.
      ValueError: as `hypergradient`.

    >>> import jax, optax
    >>> loss = lambda w, h, x: jax.numpy.mean((jax.numpy.tanh(x @ w) - h) ** 2)
    >>> w, x = (jax.ShapeDtypeStruct(s, "float32") for s in ((64, 64), (2, 64)))
    >>> table = cost(
    ...     loss, jax.grad(loss, (0, 1)), w, 1.0, inner_batch=x, outer_batch=x,
    ...     optimizer=optax.sgd(0.1), steps=16, modes=["forward_over_reverse"],
    ... )
    >>> plain, segmented = (one.states for one in table.costs)
    >>> plain > 16, segmented < 12  # the states of 16 steps, or of 4 and 4
    (True, True)
    """
    _checks.are_lists(modes=modes, segments=segments)
    arguments = params, hyper, inner_batch, outer_batch, state

    def run(params, hyper, inner_batch, outer_batch, state, *, mode, segments):
        return hypergradient(
            *(outer_loss, inner_gradient, params, hyper),
            inner_batch=inner_batch,
            outer_batch=outer_batch,
            optimizer=optimizer,
            steps=steps,
            mode=mode,
            mask=mask,
            state=state,
            policy=policy,
            segments=segments,
            last=last,
            offload=offload,
        )

    def inner_steps(inner_batch, state):
        settings = optimizer, mask, steps, state, policy
        return Steps.of(inner_gradient, inner_batch, *settings)

    jax.eval_shape(  # checks the arguments
        functools.partial(run, mode="first_order", segments=None), *arguments
    )
    pieces = _Pieces.of(outer_loss, inner_steps, mask, *arguments)
    costs = []
    for mode in map(_modes.get, modes):
        product = pieces.product(mode)
        for number in segments:
            plan = Plan.of(number, pieces.count, last, offload)
            program = functools.partial(run, mode=mode, segments=number)
            memory: Any = jax.jit(program).lower(*arguments).compile().memory_analysis()
            # Plain reverse mode runs forward as part of its products.
            forward = plan.skipped if mode == _modes.unrolled() else pieces.count
            forward += plan.segments * plan.length
            flops = pieces.outer + forward * pieces.gradient
            flops += (pieces.count - plan.skipped) * product
            costs.append(
                Cost(
                    mode.name,
                    number,
                    pieces.count,
                    memory.temp_size_in_bytes,
                    memory.host_temp_size_in_bytes,
                    memory.temp_size_in_bytes / max(pieces.state_bytes, 1),
                    flops,
                    flops / max(pieces.gradient, 1.0),
                )
            )
    return CostTable(tuple(costs))


@dataclasses.dataclass(frozen=True)
class _Pieces:
    """The parts of which a hypergradient consists.

    Attributes:
      count: number of inner steps.
      state_bytes: size of what a step starts from.
      gradient: operations of an inner gradient.
      outer: operations of the outer derivative.
      product: operations of a product with the second derivatives, in a mode.
    """

    count: int
    state_bytes: int
    gradient: float
    outer: float
    product: Callable[[_modes.Mode], float]

    @classmethod
    def of(
        cls, outer_loss, inner_steps, mask, params, hyper, inner_batch, outer_batch, aux
    ) -> "_Pieces":
        """The parts, for arrays or shapes."""

        def sizes(params, hyper, inner_batch, aux):
            inner = inner_steps(inner_batch, aux)
            chosen, rest = _trees.split(mask, params)
            start = inner.start(chosen, (rest, hyper), None)
            return start, (rest, hyper), inner.first_batch, inner.slices

        def gradient(chosen, rest_and_hyper, batch, aux):
            return inner_steps(inner_batch, aux).gradient(
                chosen, rest_and_hyper, batch, aux
            )[0]

        def product(chosen, rest_and_hyper, batch, aux, v, *, mode):
            def alone(chosen, rest_and_hyper, batch):
                return gradient(chosen, rest_and_hyper, batch, aux)

            return mode(alone, chosen, rest_and_hyper, batch, v)

        start, *rest, slices = jax.eval_shape(sizes, params, hyper, inner_batch, aux)
        at = start.params, *rest, aux
        state = () if aux is None else (aux,)
        outer = jax.value_and_grad(outer_loss, (0, 1), has_aux=bool(state))
        return cls(
            slices.t.size,
            sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(start)),
            _flops(gradient, *at),
            _flops(outer, params, hyper, outer_batch, *state),
            lambda mode: _flops(functools.partial(product, mode=mode), *at, at[0]),
        )


def _flops(function: Callable, *arguments: PyTree) -> float:
    """Floating-point operations of a function, as XLA counts them once optimized."""
    analysis: Any = jax.jit(function).lower(*arguments).compile().cost_analysis()
    return float((analysis or {}).get("flops", 0.0))
