"""The one exception that means: the input is wrong, and here is what to do."""

from collections.abc import Sequence


class InputError(ValueError):
    """A mistake in what the user gave: a file, a field, a flag.

    Its text is one paragraph that names the file or field, what was expected, what came,
    and what to do. The command line prints it without a traceback and exits with 2.
    """


def some(names: Sequence[str], most: int = 5) -> str:
    """The first names of a list that may be long.

    >>> some(["a", "b"]), some("abcdef")
    ('a, b', 'a, b, c, d, e, ...')
    """
    return f"{', '.join(names[:most])}{', ...' if len(names) > most else ''}"
