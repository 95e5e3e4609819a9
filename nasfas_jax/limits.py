"""Allowed values of arguments and of config fields."""

import dataclasses
import math
import numbers
import os
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nasfas_jax.errors import InputError, did_you_mean


@dataclasses.dataclass(frozen=True)
class Range:
    """An interval of real numbers, or of the integers in it.

    It contains no NaN, infinity or bool.

    Attributes:
      low: smallest value.
      high: largest value.
      above: whether ``low`` itself is excluded.
      whole: whether only integers are allowed.
    """

    low: float
    high: float = math.inf
    above: bool = False
    whole: bool = False

    def __contains__(self, value: Any) -> bool:
        kind = numbers.Integral if self.whole else numbers.Real
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        number: Any = value  # the abstract types declare no order
        within = self.low <= number <= self.high and number != math.inf
        return within and not (self.above and number == self.low)

    def __str__(self) -> str:
        """The interval in words.

        >>> print(Range(1, whole=True), Range(0, 1, above=True), sep="; ")
        an integer of 1 or more; a number above 0 and at most 1
        """
        low, high = (
            str(x) if isinstance(x, int) else f"{x:g}" for x in (self.low, self.high)
        )
        if self.above:
            words = f"above {low}"
            words += f" and at most {high}" if math.isfinite(self.high) else ""
        else:
            words = f"from {low} to {high}"
            words = words if math.isfinite(self.high) else f"of {low} or more"
        return f"{'an integer' if self.whole else 'a number'} {words}"


class OneOf:
    """One of several names.

    Attributes:
      names: the names.
      renamed: present names by former ones, for messages.
    """

    def __init__(self, names: Iterable[str], renamed: Mapping[str, str] | None = None):
        self.names, self.renamed = tuple(names), dict(renamed or {})

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.names

    def __str__(self) -> str:
        return f"one of {', '.join(repr(name) for name in self.names)}"


@dataclasses.dataclass(frozen=True)
class Kind:
    """All values of a type.

    Attributes:
      kind: the type, or a union of types.
      words: description of the type, for messages.
    """

    kind: type | types.UnionType
    words: str

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, self.kind)

    def __str__(self) -> str:
        return self.words


@dataclasses.dataclass(frozen=True)
class Several:
    """Lists of one or more different values.

    Attributes:
      each: the allowed values.
    """

    each: "Allowed"

    @property
    def names(self) -> tuple[str, ...]:
        """The allowed names, if these are names."""
        return getattr(self.each, "names", ())

    def __contains__(self, value: Any) -> bool:
        values = value.tolist() if hasattr(value, "tolist") else value  # an array
        if isinstance(values, str) or not isinstance(values, Sequence):
            return False
        repeated = any(one in values[:i] for i, one in enumerate(values))
        return bool(values) and not repeated and all(one in self.each for one in values)

    def __str__(self) -> str:
        """The lists in words.

        >>> print(Several(Range(1, whole=True)))
        a list of one or more different values, each an integer of 1 or more
        """
        return f"a list of one or more different values, each {self.each}"


@dataclasses.dataclass(frozen=True)
class OrNone:
    """Allowed values, and None.

    Attributes:
      other: the allowed values beside None.
    """

    other: "Allowed"

    @property
    def names(self) -> tuple[str, ...]:
        """The allowed names, if these are names."""
        return getattr(self.other, "names", ())

    def __contains__(self, value: Any) -> bool:
        return value is None or value in self.other

    def __str__(self) -> str:
        """The values in words.

        >>> print(OrNone(Range(1, whole=True)))
        an integer of 1 or more, or None
        """
        return f"{self.other}, or None"


Allowed = Range | OneOf | Kind | Several | OrNone

#: Numbers of at least one: steps, clips, devices.
COUNT = Range(1, whole=True)
#: Numbers that may be zero.
TWO_OR_MORE = Range(2, whole=True)
COUNT_OR_NONE = Range(0, whole=True)
POSITIVE = Range(0, above=True)
NOT_NEGATIVE = Range(0)
#: `jax.random.key` takes larger seeds modulo 2^32, and NumPy takes none below 0.
SEED = Range(0, 2**32 - 1, whole=True)
FLAG = Kind(bool, "True or False")
TEXT = Kind(str, "a text")
PATH = Kind(str | os.PathLike, "a path")


def require(**arguments: tuple[Any, Allowed]) -> None:
    """Checks arguments, each a pair of its value and the values allowed.

    JAX arrays are not checked, since they may be traced.

    Raises:
      InputError: a value is not allowed; the message has the name of the argument, the
        allowed values and the value found.

    >>> require(rate=(0.1, POSITIVE), steps=(0, COUNT))
    Traceback (most recent call last):
    nasfas_jax.errors.InputError: steps: expected an integer of 1 or more, got 0.
    """
    for name, (value, allowed) in arguments.items():
        if not hasattr(value, "aval") and value not in allowed:
            raise InputError(mismatch(value, allowed), field=name)


def mismatch(value: Any, allowed: Allowed) -> str:
    """Message with the allowed values, the value found and, for names, similar ones."""
    return f"expected {allowed}, got {value!r}.{near(value, allowed)}"


def near(value: Any, allowed: Allowed) -> str:
    """A question with the names that are similar to a value, or to those of a list.

    >>> near("mask", OneOf(["location"], renamed={"mask": "location"}))
    " It is now called 'location'."
    """
    if isinstance(allowed, OneOf) and str(value) in allowed.renamed:
        return f" It is now called {allowed.renamed[str(value)]!r}."
    names = getattr(allowed, "names", ())
    values = value if isinstance(value, tuple | list) else [value]
    return "".join(did_you_mean(str(one), names) for one in values if one not in names)
