"""Exceptions that the command line reports in one paragraph, and parts of their texts."""

import difflib
from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """A mistake in the input of a user: a file, a field, a flag.

    Its text is one paragraph: the file or field, what was expected, what was found, and
    what to do. The command line prints it without a traceback and exits with code 2.
    """


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
