"""Search spaces by name."""

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeVar

from nasfas_jax import limits
from nasfas_jax.errors import InputError, did_you_mean
from nasfas_jax.search.space import SearchSpace

#: The registered search spaces.
SPACES: dict[str, Any] = {}

Space = TypeVar("Space", bound=type[SearchSpace])


def register(space: Space) -> Space:
    """Makes a class of search spaces available under its ``name``; a decorator.

    A class of the same module and class name replaces the former one, so that a
    notebook cell can run twice.

    Raises:
      InputError: another class has the name, or the class is no dataclass.
    """
    if not dataclasses.is_dataclass(space):
        raise InputError(f"{space.__qualname__}: expected a frozen dataclass.")
    known = SPACES.get(space.name, space)
    origins = {(x.__module__, x.__qualname__) for x in (known, space)}
    if len(origins) > 1:
        raise InputError(
            f"there is a search space {space.name!r} already, "
            f"{known.__module__}.{known.__qualname__}; choose another name for "
            f"{space.__module__}.{space.__qualname__}.",
            field="name",
        )
    SPACES[space.name] = space
    return space


def get(name: str, **options) -> Any:
    """The search space called ``name``, with its options.

    Raises:
      InputError: no such space or option, or a value it does not take.

    >>> get("nas_fas", pool="max").title
    'nas_fas, CD-Max-Att'
    """
    limits.require(name=(name, limits.OneOf(SPACES)))
    _require_options(SPACES[name], options)
    return SPACES[name](**options)


def with_options(space: Any, **options) -> Any:
    """A search space with other values of some options.

    Raises:
      InputError: the space has no such option, or the option has no such value.
    """
    _require_options(space, options)
    return dataclasses.replace(space, **options)


def _require_options(space: Any, options: Iterable[str]) -> None:
    known = [field.name for field in dataclasses.fields(space)]
    if unknown := [option for option in options if option not in known]:
        raise InputError(
            f"expected one of the options of the search space {space.name!r}, "
            f"{', '.join(known)}, got {unknown[0]!r}."
            f"{did_you_mean(unknown[0], known)}",
            field=unknown[0],
        )
