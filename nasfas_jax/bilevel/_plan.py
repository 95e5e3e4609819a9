"""Choice of the inner steps whose states are stored."""

import math
from typing import Any, NamedTuple

import jax

from nasfas_jax.bilevel import _checks
from nasfas_jax.bilevel._steps import Slice

#: Number of segments that the steps are divided into; 'sqrt': about the square root of
#: the number of steps.
Segments = int | str | None


class Plan(NamedTuple):
    """Number and length of the recomputed segments, and the place of stored states.

    Attributes:
      segments: number of recomputed segments, see `divide`.
      length: number of steps of each segment.
      skipped: number of steps at the beginning that no derivative passes through.
      offload: whether stored states are kept in host memory.
    """

    segments: int
    length: int
    skipped: int
    offload: bool

    @classmethod
    def of(
        cls,
        segments: Segments,
        steps: int,
        last: int | None = None,
        offload: bool = False,
    ) -> "Plan":
        """Plan with the arguments of the public functions."""
        is_plan(segments, steps, last, offload)
        last = steps if last is None else last
        return cls(*divide(segments, last), steps - last, offload)

    def divide(self, slices: Slice) -> tuple[Slice, Slice]:
        """Slices of the segments, with two leading axes, and of the steps after them."""
        end = self.segments * self.length

        def shaped(leaf):
            return leaf[:end].reshape(self.segments, self.length, *leaf.shape[1:])

        whole = jax.tree.map(shaped, slices)
        return whole, jax.tree.map(lambda leaf: leaf[end:], slices)


def divide(segments: Segments, steps: int) -> tuple[int, int]:
    """Number of recomputed segments, and their length.

    The remaining steps come last, and the state before each of them is stored. Without
    segments these are all steps, ``(0, steps)``.
    """
    if segments == "sqrt":
        lengths = [m for m in range(1, math.isqrt(steps) + 1) if steps % m == 0]
        length = lengths[-1] if steps else 1
        if length + steps / length > 2 * steps**0.5 + 1.5:  # no divisor near the root
            length = math.ceil(steps**0.5)
    else:
        assert not isinstance(segments, str)
        length = math.ceil(steps / (segments or 1))
    if length == steps:
        return 0, steps
    return steps // length, length


def is_plan(segments: Any, steps: int, last: Any, offload: bool) -> None:
    """Checks the arguments of a `Plan`.

    Raises:
      TypeError: a number that is not whole.
      ValueError: a number out of range, or a platform without host memory.
    """
    number = None if segments is None or segments == "sqrt" else segments
    if number is not None and not _checks.is_whole(number):
        raise TypeError(
            "`segments` must be a whole number, 'sqrt', or None to store the state before "
            f"every step; got {segments!r}."
        )
    if last is not None and not _checks.is_whole(last):
        raise TypeError(
            "`last` must be a whole number that is known while tracing, or None for all "
            f"steps; got {_checks.kind(last)}."
        )
    if last is not None and not 0 <= last <= steps:
        raise ValueError(
            f"`last` must be from 0 to the number of steps, {steps}; got {last}."
        )
    differentiated = steps if last is None else last
    if number is not None and not 1 <= number <= max(differentiated, 1):
        raise ValueError(
            "`segments` must be from 1 to the number of steps that are differentiated, "
            f"{differentiated}; got {segments}. 'sqrt' chooses one."
        )
    memories = {memory.kind for memory in jax.local_devices()[0].addressable_memories()}
    if offload and "pinned_host" not in memories:
        raise ValueError(
            "`offload` stores states in the memory kind 'pinned_host', which the platform "
            f"{jax.default_backend()!r} lacks; it has {sorted(memories)}. Use "
            "`segments='sqrt'` without `offload`."
        )


def stores_by_itself(offload: bool) -> None:
    """Checks that the mode 'unrolled', in which JAX stores activations, offloads none.

    Raises:
      ValueError: ``offload``.
    """
    if offload:
        raise ValueError(
            "In the mode 'unrolled' JAX itself stores the activations, and `offload` "
            "applies to stored states: choose 'reverse_over_reverse', which is as exact, "
            "or `segments` alone."
        )
