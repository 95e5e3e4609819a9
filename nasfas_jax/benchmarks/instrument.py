"""Measures the cost and accuracy of each meta-gradient mode.

A `Case` is a step with a selectable differentiation ``mode``; `measure` runs it in every
mode on the same arguments and reports seconds, compile time, memory, the agreement of its
derivatives with the exact ones, and the symmetry of the second derivatives that two modes
assume. A case for any loss takes a few lines:

    def make(mode, steps):
        def step(rate, params, support, query):
            result = bilevel.hypergradient(
                loss, grad, params, (), inner_batch=support, outer_batch=query,
                optimizer=optax.sgd(rate), steps=steps, mode=mode,
            )
            return {"weights": result.params}, result.value
        return step

    panel = measure(Case("mine", make, lambda batch_size: (params, support, query)))
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from nasfas_jax import bilevel, limits
from nasfas_jax.benchmarks import timing
from nasfas_jax.errors import InputError
from nasfas_jax.timing import medians

PyTree = Any
#: ``(rate, *arguments) -> ({name: derivative}, rest)``. The rest is computed and timed
#: too, but not compared.
Step = Callable[..., tuple[Mapping[str, PyTree], Any]]
#: ``(batch size, number of inner steps, modes)``.
Setting = tuple[int, int, Sequence[str]]

MODES = tuple(bilevel.MODES)
REFERENCE = "reverse_over_reverse"
RATES = (1e-3, 1e-2, 1e-1, 1.0)


class Case(NamedTuple):
    """A benchmarked step.

    Attributes:
      name: title in tables.
      make: ``(mode, inner steps) -> Step``; the mode is a name of `bilevel.MODES` or a
        mode, as in `bilevel.hypergradient`.
      arguments: function from a batch size to the arrays that the step takes after the
        rate.
    """

    name: str
    make: Callable[[Any, int], Step]
    arguments: Callable[[int], tuple]


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of one step: median seconds, seconds to compile without cache, and bytes.

    ``temporary_bytes`` is the memory of the compiled program besides its arguments and
    results, as planned by XLA; nothing is sampled.
    """

    mode: str
    batch_size: int
    steps: int
    seconds: float
    compile_seconds: float
    temporary_bytes: int


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Agreement of a derivative with the reference mode's, in direction and length.

    ``cosine`` is 0 if one of the two vanishes, and NaN if one is not finite;
    ``norm_ratio`` is the mode's norm divided by the reference's.
    """

    mode: str
    batch_size: int
    steps: int
    rate: float
    by: str
    cosine: float
    norm_ratio: float


class Panel(NamedTuple):
    """The measurements of a case.

    Attributes:
      costs: one for each mode and setting.
      agreements: one for each derivative, mode, rate and setting.
      asymmetry: largest `bilevel.symmetry_error` of the inner gradients; above rounding,
        the modes that assume symmetry are wrong. None: not measured.
    """

    costs: list[Cost]
    agreements: list[Agreement]
    asymmetry: float | None = None


def measure(
    case: Case,
    *,
    rates: Sequence[float] = RATES,
    batch_size: int = 1,
    steps: int = 1,
    modes: Sequence[str] = MODES,
    reference: str = REFERENCE,
    repeats: int = 5,
    symmetry: bool = True,
) -> Panel:
    """Measures every mode of a case at one batch size and one number of inner steps.

    The modes are timed in turn at the first rate. Rates are traced, so that another rate
    needs no compilation.

    Args:
      case: step to measure.
      rates: one or more inner learning rates at which derivatives are compared.
      batch_size: argument of ``case.arguments``.
      steps: number of inner steps.
      modes: keys of `bilevel.MODES`.
      reference: mode that the others are compared with.
      repeats: number of timed runs of each mode, of which the median is taken.
      symmetry: whether to measure the `asymmetry`, which compiles one more program.

    Raises:
      TypeError: a case whose functions do not return what `Case` describes.
      ValueError: modes rejected by `check_modes`, or a number out of range.
    """
    check_modes(modes, reference)
    if not isinstance(rates, Sequence | np.ndarray):
        raise InputError(
            f"expected a list of inner learning rates, got {rates!r}. Write [{rates!r}].",
            field="rates",
        )
    if not len(rates):
        raise InputError(
            "expected one or more inner learning rates, got none.", field="rates"
        )
    limits.require(
        batch_size=(batch_size, limits.COUNT),
        steps=(steps, limits.COUNT),
        repeats=(repeats, limits.COUNT),
        **{f"rates[{i}]": (rate, limits.NOT_NEGATIVE) for i, rate in enumerate(rates)},
    )
    arguments = arguments_of(case, batch_size)
    first = np.float32(rates[0])
    measured = asymmetry(case, rates[0], steps, *arguments) if symmetry else None
    run = {
        m: timing.compiled(step_of(case, m, steps), first, *arguments) for m in modes
    }
    calls = [functools.partial(run[m], first, *arguments) for m in modes]
    seconds = dict(zip(modes, medians(calls, repeats), strict=True))
    costs = [
        Cost(m, batch_size, steps, seconds[m], run[m].seconds, run[m].temporary_bytes)
        for m in modes
    ]
    agreements = []
    for rate in rates:
        found = {
            mode: jax.device_get(run[mode](np.float32(rate), *arguments)[0])
            for mode in modes
        }
        agreements += [
            Agreement(m, batch_size, steps, rate, by, *compare(found[m][by], exact))
            for m in modes
            for by, exact in found[reference].items()
        ]
    return Panel(costs, agreements, measured)


def arguments_of(case: Case, batch_size: int) -> tuple:
    """The arguments of the steps of a case, after the rate.

    Raises:
      TypeError: ``case.arguments`` is no function, or returns no tuple.
    """
    if not callable(case.arguments):
        raise TypeError(
            "The `arguments` of a Case must be a function from a batch size to a tuple of "
            "arrays, such as `lambda batch_size: (params, hyper)`; got "
            f"{type(case.arguments).__name__}."
        )
    arguments = case.arguments(batch_size)
    if type(arguments) not in (tuple, list):
        raise TypeError(
            "The function `arguments` of a Case must return a tuple, the arguments of the "
            "step after the rate, such as `(params, hyper)` or `(params,)` for one; it "
            f"returned {type(arguments).__name__}."
        )
    return tuple(arguments)


def step_of(case: Case, mode: Any, steps: int) -> Step:
    """A step of a case that checks its result.

    The step raises:
      TypeError: its result is no pair of named derivatives and the rest.
    """
    step = case.make(mode, steps)

    @functools.wraps(step)
    def checked(rate, *arguments):
        result = step(rate, *arguments)
        pair = isinstance(result, tuple) and len(result) == 2
        if not pair or not isinstance(result[0], Mapping):
            wrong = result[0] if pair else result
            raise TypeError(
                f"The step of the case {case.name!r} must return the pair ({{name: "
                "derivative}, rest), such as `{'weights': result.params}, result.value`; "
                f"{'the first part is' if pair else 'it returned'} a value of the type "
                f"{type(wrong).__name__}."
            )
        return result

    return checked


def asymmetry(case: Case, rate: float, steps: int, *arguments) -> float:
    """Largest `bilevel.symmetry_error` of the inner gradients of a step; 0 without any.

    The step runs in a mode that measures each inner gradient where a product with its
    second derivative is taken: at every inner step, and at both levels if one
    meta-gradient passes through another.
    """
    errors: list[float] = []
    inside = False  # in the gradient function of an outer level, made of such products

    def measuring(gradient, params, hyper, batch, v):
        nonlocal inside
        if not inside:
            inside = True
            try:
                error = bilevel.symmetry_error(gradient, params, hyper, batch)
            finally:
                inside = False
            jax.debug.callback(lambda error: errors.append(float(error)), error)
        product = bilevel.forward_over_reverse(assume_symmetric=True)
        return product(gradient, params, hyper, batch, v)

    @jax.jit
    def run(rate, *arguments):
        case.make(measuring, steps)(rate, *arguments)  # only the errors are needed

    run(np.float32(rate), *arguments)
    jax.effects_barrier()
    # NaN, from a gradient that is not finite, counts as the largest.
    return max(errors, key=lambda error: (np.isnan(error), error), default=0.0)


def check_modes(modes: Sequence[str], reference: str = REFERENCE) -> None:
    """Checks that modes can be measured and compared with the reference.

    Raises:
      ValueError: an unknown mode, or a ``reference`` that is not among the modes or is an
        approximation.
    """
    if isinstance(modes, str):
        raise ValueError(f"`modes` must be a list of names; write [{modes!r}].")
    if unknown := sorted({str(mode) for mode in modes if mode not in MODES}):
        raise ValueError(
            f"There is no mode {', '.join(unknown)}; choose among {', '.join(MODES)}."
        )
    if reference not in modes or reference not in bilevel.EXACT:
        raise ValueError(
            f"The reference must be an exact mode, one of {bilevel.EXACT}, and among the "
            f"modes measured, {tuple(modes)}; it is {reference!r}. Add it to `modes`, or "
            "choose another `reference`."
        )


def sweep(
    case: Case,
    settings: Sequence[Setting],
    report: Callable[[Panel], Any] = lambda panel: None,
    **options,
) -> Panel:
    """Measures a case at several settings, the asymmetry at the first of them.

    Args:
      case: step to measure.
      settings: batch size, number of inner steps and modes of each measurement, one or
        more.
      report: called with the panel of each setting when it is complete.
      **options: further arguments of `measure`.

    Returns:
      The measurements of all settings.
    """
    panels: list[Panel] = []
    for batch, steps, modes in settings:
        options["symmetry"] = not panels
        panels.append(
            measure(case, batch_size=batch, steps=steps, modes=modes, **options)
        )
        report(panels[-1])
    return Panel(
        [cost for panel in panels for cost in panel.costs],
        [agreement for panel in panels for agreement in panel.agreements],
        panels[0].asymmetry,
    )


def compare(derivative: PyTree, exact: PyTree) -> tuple[float, float]:
    """Cosine and norm ratio of two pytrees, see `Agreement`."""
    a, b = (
        np.concatenate(
            [np.asarray(x, np.float64).ravel() for x in jax.tree.leaves(tree)]
        )
        for tree in (derivative, exact)
    )
    tiny = np.finfo(np.float64).tiny
    with np.errstate(invalid="ignore", over="ignore"):  # NaN is reported
        length, exact_length = np.linalg.norm(a), np.linalg.norm(b)
        cosine = (a / max(length, tiny)) @ (b / max(exact_length, tiny))
        return float(cosine), float(length / max(exact_length, tiny))
