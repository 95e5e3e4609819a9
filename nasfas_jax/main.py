"""The command line: ``nasfas COMMAND --config=FILE:VARIANT --workdir=DIR``."""

import os
import signal
import sys
import warnings

from absl import app, flags, logging

from nasfas_jax import commands
from nasfas_jax.commands import parsing, signals, supervise, usage, workdir
from nasfas_jax.errors import Diverged, InputError, Stopped

HELP = {"-h", "-?", "-help", "--help", "--helpshort", "--helpfull"}


def parse(argv: list[str]) -> list[str]:
    """Parses the command line; its words without the flags, of which absl keeps the values.

    Help, and a command or flag that does not exist, end the program here, before JAX and
    TFDS are imported, which takes seconds.
    """
    try:
        # Of a flag file, too, since processes and jobs are given these words.
        argv = sys.argv = parsing.expanded(argv)
        if HELP.intersection(argv):
            print(usage.text(parsing.words(argv)))
            sys.exit(0)
        return parsing.parse(argv, flags.FLAGS)
    except InputError as error:
        print(f"nasfas: {error}", file=sys.stderr)
        sys.exit(2)


def main(argv: list[str]) -> int:
    """Runs the command that ``argv[1]`` names."""
    if not any(arg.startswith("--verbosity") for arg in sys.argv):
        # Orbax and TFDS tell at length what they do; --verbosity=0 shows it.
        logging.set_verbosity(logging.WARNING)
    warnings.formatwarning = lambda message, *_: f"nasfas: warning: {message}\n"
    command = argv[1]
    supervise.follow()
    try:
        given = parsing.given(command, flags.FLAGS)
        with workdir.local(command, given, sys.argv[1:]) as (given, argv):
            if asked := supervise.children(given, argv, os.environ):
                return supervise.run(asked, restarts=supervise.restarts(given))
            with signals.ending():
                commands.execute(command, **given)
    except (InputError, Diverged, Stopped) as error:
        print(f"nasfas {command}: {error}", file=sys.stderr)
        return 128 + error.number if isinstance(error, Stopped) else 2
    except Exception as error:
        if supervise.CHILD in os.environ:
            supervise.leave(command, error)
        raise
    return 0


def run() -> None:
    """Entry point of the ``nasfas`` command."""
    try:
        app.run(main, flags_parser=parse)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, as `head`, closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


if __name__ == "__main__":
    run()
