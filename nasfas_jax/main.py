"""The command line: ``nasfas COMMAND --config=configs/x.py:variant --workdir=DIR``."""

import itertools
import os
import pathlib
import re
import sys
import warnings

from absl import app, flags, logging
from ml_collections import config_flags

from nasfas_jax import commands
from nasfas_jax.commands import fields, signals
from nasfas_jax.errors import Diverged, InputError, Stopped, did_you_mean

CONFIG = pathlib.Path(__file__).parent / "configs" / "synthetic.py:local"
HELP = {"-h", "-?", "-help", "--help", "--helpshort", "--helpfull"}


def usage(command: str = "") -> str:
    """Describes a command and the flags; all commands if it is ''.

    Raises:
      InputError: there is no such command.
    """
    name = f"{command} " if command else ""
    rows = {k: v for k, v in commands.COMMANDS.items() if f"{k} ".startswith(name)}
    if not rows:
        raise _unknown(command)
    rows |= {"": ""} | {f"--{k}": v for k, v in commands.FLAGS.items()}
    rows["--help"] = "Describes the command that stands before it, or all of them."
    lines = [f"  {name:<18}{text}".rstrip() for name, text in rows.items()]
    head = f"usage: nasfas {command or 'COMMAND'} [--FLAG=VALUE ...]"
    return "\n".join([head, "", *lines])


def _unknown(command: str) -> InputError:
    names = commands.COMMANDS
    near = did_you_mean(command, names) or did_you_mean(command.split()[0], names)
    return InputError(
        f"there is no command {command!r}.{near} `nasfas --help` lists the commands; "
        "flags are written as --name=value."
    )


def main(argv: list[str]) -> int:
    """Runs the command that ``argv[1]`` names."""
    if not any(arg.startswith("--verbosity") for arg in sys.argv):
        # Orbax and TFDS tell at length what they do; --verbosity=0 shows it.
        logging.set_verbosity(logging.WARNING)
    warnings.formatwarning = lambda message, *_: f"nasfas: warning: {message}\n"
    command = " ".join(argv[1:])
    try:
        given = {name: flags.FLAGS[name].value for name in commands.FLAGS}
        workdir = given.pop("workdir")
        given["workdir_given"] = workdir is not None
        workdir = pathlib.Path(workdir or "runs/local")
        with signals.ending():
            commands.execute(command, commands.Run(workdir=workdir, **given))
    except (InputError, Diverged, Stopped) as error:
        print(f"nasfas {command}: {error}", file=sys.stderr)
        return 128 + error.number if isinstance(error, Stopped) else 2
    return 0


def parse(argv: list[str]) -> list[str]:
    """The command's words.

    Help, and a command or flag that does not exist, end the program here, before JAX and
    TFDS are imported, which takes seconds.
    """
    try:
        if HELP.intersection(argv):
            words = itertools.takewhile(lambda word: word[:1] != "-", argv[1:])
            print(usage(" ".join(words)))
            sys.exit(0)
        left = _parse([_expand_home(word) for word in argv])
        if not left[1:]:
            raise InputError(f"which command?\n{usage()}")
        if (command := " ".join(left[1:])) not in commands.COMMANDS:
            raise _unknown(command)
    except InputError as error:
        print(f"nasfas: {error}", file=sys.stderr)
        sys.exit(2)
    return left


def _parse(argv: list[str]) -> list[str]:
    """What is left of the command line without its flags, which get their values.

    Raises:
      InputError: a flag or config field that does not exist, or a value that does not fit.
    """
    try:
        fields.require(argv, str(CONFIG))
        config_flags.DEFINE_config_file("config", str(CONFIG), commands.FLAGS["config"])
        for name in list(commands.FLAGS)[1:]:
            flags.DEFINE_string(name, None, commands.FLAGS[name])
        left = flags.FLAGS(argv)
        _ = [*flags.FLAGS.config]  # a config file that is missing shows here
    except flags.UnrecognizedFlagError as error:
        name, names = f"--{error.flagname}", [f"--{name}" for name in commands.FLAGS]
        raise InputError(
            f"there is no flag {name}.{did_you_mean(name, names)} `nasfas --help` lists "
            "the flags."
        ) from None
    except (
        *(flags.Error, AttributeError, KeyError, TypeError, OSError, SyntaxError),
    ) as error:
        if expected := fields.wrong_value(error):
            raise InputError(expected) from None
        told = error.args[0] if isinstance(error, KeyError) else error
        lines = [line.strip() for line in str(told).splitlines()]
        text = lines[-1] if "Traceback" in str(error) else " ".join(lines)
        raise InputError(
            f"{text.rstrip('.')}. `nasfas --help` lists the flags; --config must name a "
            "config file, and --config.a.b a field that it has."
        ) from None
    return left


def _expand_home(word: str) -> str:
    """Expands ``~`` in the paths of a flag, which the shell does only before a word.

    >>> _expand_home("--workdir=~/x") == "--workdir=" + os.path.expanduser("~/x")
    True
    """
    name, given, value = word.partition("=")
    if name.lstrip("-") not in commands.PATHS:
        return word
    home = re.compile(r"(?<![^,+])~[^/,+]*")  # first, or first of a list of score files
    return name + given + home.sub(lambda m: os.path.expanduser(m[0]), value)


def run() -> None:
    """Entry point of the ``nasfas`` command."""
    app.run(main, flags_parser=parse)


if __name__ == "__main__":
    run()
