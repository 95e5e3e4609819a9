"""One field of a config, and the values that it may have."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from nasfas_jax import limits
from nasfas_jax.limits import TEXT


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a config.

    Attributes:
      about: description in one phrase, with the unit.
      allowed: the values that it may have, or a function that imports them.
      many: whether it is a list of one or more such values, all different.
      length: number of values of a list that may repeat them; None if not such a list.
      optional: whether a config may lack it.
    """

    about: str
    allowed: limits.Allowed | Callable[[], limits.Allowed] = TEXT
    many: bool = False
    length: int | None = None
    optional: bool = False

    @property
    def values(self) -> limits.Allowed:
        """The values that it, or each value of its list, may have."""
        return self.allowed() if callable(self.allowed) else self.allowed

    @property
    def expected(self) -> str:
        """Its values in words."""
        if self.length is not None:
            return f"{self.length} values, each {self.values}"
        return str(limits.Several(self.values) if self.many else self.values)

    def accepts(self, value: Any) -> bool:
        """Whether it may have this value."""
        if self.length is None:
            return value in (limits.Several(self.values) if self.many else self.values)
        if not isinstance(value, tuple | list) or len(value) != self.length:
            return False
        return all(one in self.values for one in value)


@dataclasses.dataclass(frozen=True)
class ByName(limits.Kind):
    """Dictionaries of values of one type by texts."""

    of: type = str

    def __contains__(self, value: Any) -> bool:
        texts = isinstance(value, Mapping) and all(isinstance(k, str) for k in value)
        return texts and all(isinstance(v, self.of) for v in value.values())


def library(name: str) -> Callable[[], limits.Allowed]:
    """Refers to limits or names of the library, as ``data.loading.views:COLORS``.

    A name after a dot is a key: ``data.preparation.recipe:LIMITS.frames``.
    """
    module, _, path = name.partition(":")
    attribute, _, key = path.partition(".")

    def load() -> limits.Allowed:
        found = getattr(importlib.import_module(f"nasfas_jax.{module}"), attribute)
        found = found[key] if key else found
        return found if isinstance(found, limits.Allowed) else limits.OneOf(found)

    return load
