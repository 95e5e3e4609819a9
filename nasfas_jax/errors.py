"""Exceptions that the command line reports in one paragraph, and parts of their texts."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence


class InputError(ValueError):
    """A mistake in the input of a user: a file, an argument, a field, a flag.

    Its text is one paragraph: the file or argument, what was expected, what was found, and
    what to do. The command line prints it without a traceback and exits with code 2.

    Attributes:
      field: name of the wrong argument or field, with which the text begins; '' for none.

    >>> print(InputError("expected a number, got 'a'.", field="rate"))
    rate: expected a number, got 'a'.
    """

    def __init__(self, text: str, *, field: str = ""):
        super().__init__(text)
        self.field = field

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.field}: {text}" if self.field else text

    def renamed(self, field: str) -> "InputError":
        """The same mistake under the name that the user knows the argument by."""
        return InputError(*self.args, field=field)


@contextlib.contextmanager
def renaming(names: Mapping[str, str]) -> Iterator[None]:
    """Renames the arguments in the `InputError` of a block.

    Args:
      names: names that the user knows, by those of the arguments; others stay.

    >>> with renaming({"rate": "--rate"}):
    ...     raise InputError("expected a number, got 'a'.", field="rate")
    Traceback (most recent call last):
    nasfas_jax.errors.InputError: --rate: expected a number, got 'a'.
    """
    try:
        yield
    except InputError as error:
        if error.field not in names:
            raise
        raise error.renamed(names[error.field]) from None


class Diverged(FloatingPointError):
    """The loss is no longer finite."""


class Stopped(Exception):
    """A loop was stopped by a signal; its state is saved, and the same call resumes it."""

    def __init__(self, text: str, number: int):
        """Stopped by the signal ``number``; the exit code is 128 + ``number``."""
        super().__init__(text)
        self.number = number


def some(names: Sequence[str], most: int = 5) -> str:
    """The first names of a list that may be long.

    >>> some(["a", "b"]), some("abcdef")
    ('a, b', 'a, b, c, d, e, ...')
    """
    return f"{', '.join(names[:most])}{', ...' if len(names) > most else ''}"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A question with up to three similar names; '' without any.

    >>> did_you_mean("serach", ["search", "train"])
    ' Did you mean search?'
    """
    near = difflib.get_close_matches(name, list(names), n=3)
    return f" Did you mean {' or '.join(near)}?" if near else ""
