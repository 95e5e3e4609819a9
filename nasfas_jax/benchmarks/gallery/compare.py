"""The gallery beside other libraries: numbers, time, compile time and peak memory.

Both sides get the same arrays. Value and derivative are compared first; then both are
timed in turn, and each runs once in a new process, which measures the growth of its
memory.
"""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from nasfas_jax.benchmarks import memory, timing
from nasfas_jax.benchmarks.gallery import (
    images,
    label_noise,
    learned_optimizer,
    operations,
    penalties,
    sinusoids,
)
from nasfas_jax.timing import medians

#: Allowed relative difference of value and derivative, in float32.
TOLERANCE = 2e-3
#: Numbers of inner steps at which memory is measured.
COUNTS = (1, 10, 100, 400)
IN_JAX = ("jax.grad", "jax.checkpoint", "jaxopt", "optimistix")
#: Libraries of the styles, of which JAX itself is always installed.
PACKAGES = ("torch", "higher", "torchopt", "jaxopt", "optimistix")


class Case(NamedTuple):
    """A problem of the gallery.

    Attributes:
      name: its name.
      draw: ``key -> arguments`` of ``gradient``.
      gradient: function to ``(value, derivative)``.
      peers: styles that it is compared with.
      about: problem and sizes in words.
    """

    name: str
    draw: Callable[[jax.Array], tuple]
    gradient: Callable
    peers: tuple[str, ...]
    about: str


def at_the_optimum(key: jax.Array) -> tuple:
    """Arguments of `penalties.implicit_gradient`: fitted weights."""
    params, hyper, train, valid = penalties.draw(key)
    return penalties.fit(params, hyper, train), hyper, train, valid


MODULES = ("torch", "higher", "torchopt")
CASES = (
    Case(
        "sinusoids",
        sinusoids.draw,
        sinusoids.meta_gradient,
        ("jax.grad", "jax.checkpoint", "torch.func", *MODULES),
        "MAML, 25 sines, 5 steps",
    ),
    Case(
        "images",
        images.draw,
        images.meta_gradient,
        ("jax.grad", "jax.checkpoint", *MODULES),
        "MAML, 4 tasks of 25 images, 3 steps",
    ),
    Case(
        "penalties",
        penalties.draw,
        penalties.meta_gradient,
        ("jax.grad", "jax.checkpoint", "jaxopt", *MODULES),
        "4010 penalties, 100 steps with momentum",
    ),
    Case(
        "implicit",
        at_the_optimum,
        penalties.implicit_gradient,
        ("jaxopt", "optimistix"),
        "4010 penalties, at the optimum",
    ),
    Case(
        "label_noise",
        label_noise.draw,
        label_noise.meta_gradient,
        ("jax.grad", *MODULES),
        "2000 example weights, 1 step",
    ),
    Case(
        "learned_optimizer",
        learned_optimizer.draw,
        learned_optimizer.meta_gradient,
        ("jax.grad", "jax.checkpoint", "torch"),
        "learned optimizer, 100 steps",
    ),
    Case(
        "operations",
        operations.draw,
        operations.meta_gradient,
        ("jax.grad", *MODULES),
        "DARTS, 3 edges of 4 operations",
    ),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """Medians of one evaluation of value and derivative, of ours and a peer's.

    ``ours_bytes`` and ``peer_bytes`` are the growth of the resident memory of a new
    process during one evaluation; compile times are without cache, and 0 in PyTorch.
    ``difference`` is the relative difference of the derivatives.
    """

    case: str
    peer: str
    ours_seconds: float
    peer_seconds: float
    ours_bytes: int
    peer_bytes: int
    ours_compile: float
    peer_compile: float
    difference: float

    @property
    def ratios(self) -> dict[str, float]:
        """Our time and memory divided by the peer's; below 1 is better."""
        return {
            "time": self.ours_seconds / self.peer_seconds,
            "memory": self.ours_bytes / max(self.peer_bytes, 1),
        }


def installed(style: str) -> bool:
    """Whether the library of a style is installed."""
    name = style.partition(".")[0]
    return importlib.util.find_spec(name) is not None


def drawn(case: Case) -> tuple:
    """Arguments of a case."""
    return jax.device_put(jax.device_get(jax.jit(case.draw)(jax.random.key(0))))


def prepared(
    case: Case, style: str, arguments: tuple, steps: int | None = None
) -> tuple[Callable, float]:
    """A function without arguments to value and derivative, and its compile time.

    Args:
      case: problem.
      style: 'ours' or one of its peers.
      arguments: arguments of its gradient.
      steps: number of inner steps; None: the problem's.
    """
    if style == "ours" or style in IN_JAX:
        from nasfas_jax.benchmarks.peers import jax_gallery

        if of_style := jax_gallery.STYLES.get(style):
            function = of_style(case.name, steps)
        else:
            options = {"steps": steps} if steps else {}
            function = functools.partial(case.gradient, **options)
        program = timing.compiled(function, *arguments)
        return functools.partial(program, *arguments), program.seconds
    from nasfas_jax.benchmarks.peers import gallery as peers

    arguments = jax.device_get(arguments)
    return peers.gradient(case.name, style, arguments, steps), 0.0


def flat(result: Any) -> tuple[np.ndarray, np.ndarray]:
    """Value and derivative as one vector; leaves in the order of their names."""
    value, grads = result
    leaves = [np.asarray(leaf).ravel() for leaf in jax.tree.leaves(grads)]
    return np.asarray(value), np.concatenate(leaves)


def difference(case: Case, style: str, ours: Any, peer: Any, tolerance: float) -> float:
    """Relative difference of two derivatives.

    Raises:
      AssertionError: values or derivatives differ by more than ``tolerance``.
    """
    (value, grads), (peer_value, peer_grads) = flat(ours), flat(peer)
    timing.check(f"value of {case.name}, {style}", value, peer_value, tolerance)
    timing.check(f"derivative of {case.name}, {style}", grads, peer_grads, tolerance)
    return float(np.linalg.norm(grads - peer_grads) / np.linalg.norm(peer_grads))


def rows(case: Case, repeats: int = 7) -> Iterator[Row]:
    """Compares a case with each of its peers that is installed.

    Args:
      case: problem to measure.
      repeats: number of timed runs of each side, of which the median is taken.

    Raises:
      InputError: memory cannot be measured on this system.
      AssertionError: the two sides disagree.
    """
    arguments = drawn(case)
    ours, ours_compile = prepared(case, "ours", arguments)
    ours_bytes = memory.fresh(functools.partial(grow, case.name, "ours"))
    for style in filter(installed, case.peers):
        peer, peer_compile = prepared(case, style, arguments)
        found = difference(case, style, ours(), peer(), TOLERANCE)
        ours_seconds, peer_seconds = medians([ours, peer], repeats)
        yield Row(
            case.name,
            style,
            ours_seconds,
            peer_seconds,
            ours_bytes,
            memory.fresh(functools.partial(grow, case.name, style)),
            ours_compile,
            peer_compile,
            found,
        )


def grow(name: str, style: str, steps: int | None = None) -> int:
    """Bytes by which an evaluation of a case grows this process."""
    (case,) = (case for case in CASES if case.name == name)
    run, _ = prepared(case, style, drawn(case), steps)
    return memory.growth(run)


def memory_by_steps(name: str = "penalties") -> Iterator[tuple[str, list[int]]]:
    """Memory of a case against its number of inner steps, ours and the peers'.

    Yields:
      Style, and bytes at each of `COUNTS`, all measured in one new process.
    """
    (case,) = (case for case in CASES if case.name == name)
    for style in ("ours", *filter(installed, case.peers)):
        yield style, memory.fresh(functools.partial(_grow_by_steps, name, style))


def _grow_by_steps(name: str, style: str) -> list[int]:
    return [grow(name, style, steps) for steps in COUNTS]
