"""What each way of taking a meta-gradient costs, and what it throws away.

A `Subject` is a step whose ``mode`` of differentiation can be chosen; `measure` runs it
in every mode on the same arguments: seconds, compile time, memory, and how far its
derivatives are from the exact ones. Anyone's loss is a subject in a few lines:

    def make(mode, steps):
        def step(rate, params, support, query):
            result = bilevel.hypergradient(
                loss, grad, params, (), support, query, optax.sgd(rate),
                steps=steps, mode=mode,
            )
            return {"weights": result.params}, result.value
        return step

    panel = measure(Subject("mine", make, lambda batch_size: (params, support, query)))
"""

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from nasfas_jax import bilevel, limits
from nasfas_jax.errors import InputError

PyTree = Any
#: ``(rate, *arguments) -> ({name: derivative}, rest)``. The rest is computed and timed as
#: well, and not looked at.
Step = Callable[..., tuple[Mapping[str, PyTree], Any]]
Setting = tuple[int, int, Sequence[str]]

MODES = tuple(bilevel.MODES)
REFERENCE = "reverse_over_reverse"
RATES = (1e-3, 1e-2, 1e-1, 1.0)


class Subject(NamedTuple):
    """What is measured.

    Attributes:
      name: of it.
      make: ``(mode, inner steps) -> Step``.
      arguments: a batch size to the arrays that the step takes after the rate.
    """

    name: str
    make: Callable[[str, int], Step]
    arguments: Callable[[int], tuple]


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one step: median seconds, seconds to compile cold, and bytes.

    ``temporary_bytes`` are what the compiled program needs besides its arguments and
    results, as XLA plans it; nothing is sampled.
    """

    mode: str
    batch_size: int
    steps: int
    seconds: float
    compile_seconds: float
    temporary_bytes: int


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Of a derivative with the reference's: its direction and its length.

    ``cosine`` is 0 where one of the two vanishes, and NaN where one is not finite;
    ``norm_ratio`` is the mode's norm over the reference's.
    """

    mode: str
    batch_size: int
    steps: int
    rate: float
    by: str
    cosine: float
    norm_ratio: float


class Panel(NamedTuple):
    """All that was measured of a subject."""

    costs: list[Cost]
    agreements: list[Agreement]


def measure(
    subject: Subject,
    *,
    rates: Sequence[float] = RATES,
    batch_size: int = 1,
    steps: int = 1,
    modes: Sequence[str] = MODES,
    reference: str = REFERENCE,
    repeats: int = 5,
) -> Panel:
    """Every mode of a subject at one batch size and one number of inner steps.

    Times are taken by turns, a run of each mode after the other, at the first rate.
    Rates are traced: they cost no compiling.

    Args:
      subject: what is measured.
      rates: inner learning rates at which derivatives are compared, one or more.
      batch_size: given to ``subject.arguments``.
      steps: inner steps.
      modes: keys of `bilevel.MODES`.
      reference: the mode that the others are compared with.
      repeats: timed runs of each mode; the median counts.

    Raises:
      ValueError: as `check_modes`, or a number out of range.
    """
    check_modes(modes, reference)
    if not len(rates):
        raise InputError("rates: expected one or more inner learning rates, got none.")
    limits.require(
        batch_size=(batch_size, limits.COUNT),
        steps=(steps, limits.COUNT),
        repeats=(repeats, limits.COUNT),
        **{f"rates[{i}]": (rate, limits.NOT_NEGATIVE) for i, rate in enumerate(rates)},
    )
    arguments = subject.arguments(batch_size)
    run, compile_seconds, memory = {}, {}, {}
    for mode in modes:
        run[mode], compile_seconds[mode], memory[mode] = compiled(
            subject.make(mode, steps), np.float32(rates[0]), *arguments
        )
    calls = [lambda f=run[m]: f(np.float32(rates[0]), *arguments) for m in modes]
    seconds = dict(zip(modes, medians(calls, repeats), strict=True))
    costs = [
        Cost(m, batch_size, steps, seconds[m], compile_seconds[m], memory[m])
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
    return Panel(costs, agreements)


def check_modes(modes: Sequence[str], reference: str = REFERENCE) -> None:
    """Whether these modes can be measured and compared with the reference.

    Raises:
      ValueError: a mode that there is not, or a ``reference`` that is not among them or
        is an approximation.
    """
    if unknown := sorted(set(modes) - set(MODES)):
        raise ValueError(
            f"There is no mode {', '.join(unknown)}; choose among {', '.join(MODES)}."
        )
    if reference not in modes or reference not in bilevel.EXACT:
        raise ValueError(
            f"The reference must be an exact mode, one of {bilevel.EXACT}, and among the "
            f"modes measured, {tuple(modes)}; it is {reference!r}."
        )


def sweep(
    subject: Subject,
    settings: Sequence[Setting],
    report: Callable[[Panel], Any] = lambda panel: None,
    **options,
) -> Panel:
    """`measure` at several settings ``(batch size, inner steps, modes)``, joined.

    ``report`` is called with the panel of each setting when it is done.
    """
    costs, agreements = [], []
    for batch, steps, modes in settings:
        panel = measure(subject, batch_size=batch, steps=steps, modes=modes, **options)
        report(panel)
        costs += panel.costs
        agreements += panel.agreements
    return Panel(costs, agreements)


def compare(derivative: PyTree, exact: PyTree) -> tuple[float, float]:
    """Cosine and norm ratio of two trees of arrays, see `Agreement`."""
    a, b = (
        np.concatenate(
            [np.asarray(x, np.float64).ravel() for x in jax.tree.leaves(tree)]
        )
        for tree in (derivative, exact)
    )
    tiny = np.finfo(np.float64).tiny
    with np.errstate(invalid="ignore", over="ignore"):  # they are NaN, and that is said
        length, exact_length = np.linalg.norm(a), np.linalg.norm(b)
        cosine = (a / max(length, tiny)) @ (b / max(exact_length, tiny))
        return float(cosine), float(length / max(exact_length, tiny))


def compiled(function: Callable, *arguments) -> tuple[Callable, float, int]:
    """The program, which returns when its results are there; seconds to trace and
    compile it cold; bytes of its temporaries.
    """
    program, seconds = compile_cold(function, *arguments)
    memory: Any = program.memory_analysis()

    def run(*arguments):
        return jax.block_until_ready(program(*arguments))

    return run, seconds, memory.temp_size_in_bytes


def medians(calls: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Median seconds of functions called by turns, after one call each to warm up.

    What else the machine does falls on all of them alike.
    """
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for call, seconds in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if turn > 0:
                seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in times]


def compile_cold(function: Callable, *arguments) -> tuple[jax.stages.Compiled, float]:
    """The compiled program, and the seconds to trace and compile it without the cache."""
    with _without_cache():
        start = time.perf_counter()
        program = jax.jit(function).lower(*arguments).compile()
        return program, time.perf_counter() - start


@contextlib.contextmanager
def _without_cache():
    """A program found on disk would show how fast it is read."""
    # JAX looks at the flag once in a process, or after a reset.
    before = jax.config.jax_enable_compilation_cache  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()
