"""The one exception that means: the input is wrong, and here is what to do."""


class InputError(ValueError):
    """A mistake in what the user gave: a file, a field, a flag.

    Its text is one paragraph that names the file or field, what was expected, what came,
    and what to do. The command line prints it without a traceback and exits with 2.
    """
