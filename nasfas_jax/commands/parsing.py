"""The command line's words and flags, and what is said of wrong ones."""

import itertools
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

from nasfas_jax import commands
from nasfas_jax.commands import fields
from nasfas_jax.errors import InputError, did_you_mean


def expanded(argv: Sequence[str]) -> list[str]:
    """Command line with ``--flagfile`` replaced by the flags of the file.

    Raises:
      InputError: a file that cannot be read.
    """
    try:
        found = flags.FLAGS.read_flags_from_files(argv[1:], force_gnu=True)
    except flags.Error as error:
        found = str(error).removeprefix("ERROR:: ")
        text = f"expected a file with a flag on each line. {found}."
        raise InputError(text, field="--flagfile") from None
    return [argv[0], *found]


def words(argv: Sequence[str]) -> str:
    """The words between the program and the first flag, which name the command.

    Without a word that follows the name of a command with --input: it is the input.
    """
    *first, last = ["", *itertools.takewhile(lambda word: word[:1] != "-", argv[1:])]
    name = " ".join(first[1:])
    return name if takes_input(name) else f"{name} {last}".strip()


def takes_input(command: str) -> bool:
    """Whether a command has the flag --input, whose value may be a word without it."""
    found = commands.COMMANDS.get(command)
    return found is not None and "input" in found.flags


def parse(argv: Sequence[str], values: flags.FlagValues) -> list[str]:
    """Defines the flags of the command and parses their values.

    Args:
      argv: program, command, flags, and the input as a word where the command has one.
      values: where the flags are defined and keep their values.

    Returns:
      The program and the command, one word each.

    Raises:
      InputError: no such command, a flag or config field that the command does not have,
        or a value that does not fit.
    """
    command = words(argv)
    require_command(command)
    of_command = commands.COMMANDS[command].flags
    argv = [argv[0], *(_path(word) for word in argv[1 + len(command.split()) :])]
    values.set_gnu_getopt()  # flags may follow the input
    try:
        if "config" in of_command:
            fields.require(argv, str(commands.CONFIG))
            about = commands.flag(command, "config").about
            config_flags.DEFINE_config_file(
                "config",
                str(commands.CONFIG),
                about,
                flag_values=values,
                lock_config=False,
                accept_new_attributes=True,  # optional fields, required above
                sys_argv=argv,
            )
        for name in of_command:
            if name != "config":
                flag = commands.flag(command, name)
                define = flags.DEFINE_boolean if flag.switch else flags.DEFINE_string
                define(name, None, flag.about, flag_values=values)
        left = values(argv)
    except flags.UnrecognizedFlagError as error:
        raise _unknown_flag(command, error.flagname) from None
    except (
        *(flags.Error, AttributeError, KeyError, TypeError, OSError, SyntaxError),
    ) as error:
        if expected := fields.wrong_value(error):
            raise InputError(expected) from None
        told = error.args[0] if isinstance(error, KeyError) else error
        lines = [line.strip() for line in str(told).splitlines()]
        text = lines[-1] if "Traceback" in str(error) else " ".join(lines)
        raise InputError(
            f"{text.rstrip('.')}. `nasfas {command} --help` lists the flags; --config must"
            " name a config file, and --config.a.b a field that it has."
        ) from None
    if "config" in of_command:
        values.config.lock()
    if takes_input(command) and len(left) == 2 and values["input"].value is None:
        values["input"].value = left.pop()
    if left[1:]:
        raise _no_flag(command, left[-1])
    return [argv[0], command]


def given(command: str, values: flags.FlagValues) -> dict[str, Any]:
    """The arguments of `commands.execute`: flags that have a value."""
    found = {name: values[name].value for name in commands.COMMANDS[command].flags}
    return in_config(
        {name: value for name, value in found.items() if value is not None}
    )


def in_config(given: dict[str, Any]) -> dict[str, Any]:
    """Flags with ``dataset`` and ``protocol`` put into the config, if there is one."""
    if "config" not in given:
        return given
    config = given["config"]
    dataset, protocol = given.pop("dataset", None), given.pop("protocol", None)
    with config.unlocked():
        if dataset is not None and "data" in config:
            config.data.dataset = dataset
        if protocol is not None:
            config.protocol = protocol
    return given


def require_command(command: str) -> None:
    """Raises InputError, with the nearest names, if there is no such command."""
    names = commands.COMMANDS
    if command in names:
        return
    if not command:
        raise InputError(
            "which command? Expected nasfas COMMAND --flag=value, the command first:"
            f" {', '.join(names)}. `nasfas --help` describes them."
        )
    first, *others = command.split()
    family = [name for name in names if name.startswith(f"{first} ")]
    if first in names and not did_you_mean(command, family):
        raise _no_flag(first, others[-1])
    near = did_you_mean(command, names) or did_you_mean(first, names)
    raise InputError(
        f"there is no command {command!r}.{near} `nasfas --help` lists the commands; "
        "flags are written as --name=value."
    )


def _no_flag(command: str, word: str) -> InputError:
    allowed, hint = "flags", ""
    if takes_input(command):
        allowed = "one input and flags"
    elif "network" in commands.COMMANDS[command].flags:
        hint = f" --network={word} names one network."
    return InputError(
        f"expected {allowed} after {command}, as --name=value, got {word!r}.{hint}"
        f" `nasfas {command} --help` lists them."
    )


def _unknown_flag(command: str, name: str) -> InputError:
    own = commands.COMMANDS[command].flags
    others = [other for other, row in commands.COMMANDS.items() if name in row.flags]
    text = f"there is no flag --{name}.{did_you_mean(f'--{name}', _dashed(own))}"
    if others:
        text = f"--{name} is a flag of {', '.join(others)}."
    return InputError(f"{command}: {text} Its own flags: {', '.join(_dashed(own))}.")


def _dashed(names: Sequence[str]) -> list[str]:
    return [f"--{name}" for name in names]


def _path(word: str) -> str:
    """Expands ``~`` in the paths of a flag, and the name of an installed config.

    The shell expands ``~`` only at the beginning of a word.

    >>> _path("--workdir=~/x") == "--workdir=" + os.path.expanduser("~/x")
    True
    """
    name, equals, value = word.partition("=")
    flag = commands.FLAGS.get(name.lstrip("-"))
    if flag is None or not flag.path:
        return word
    home = re.compile(r"(?<![^,+])~[^/,+]*")  # first, or first of a list of score files
    value = home.sub(lambda found: os.path.expanduser(found[0]), value)
    return name + equals + (_config(value) if name.lstrip("-") == "config" else value)


def _config(value: str) -> str:
    """The file and variant of a config; an installed one where its name is given.

    >>> _config("synthetic:smoke").endswith("nasfas_jax/configs/synthetic.py:smoke")
    True
    >>> _config("elsewhere/synthetic.py:smoke")
    'elsewhere/synthetic.py:smoke'
    """
    file, colon, variant = value.partition(":")
    path = pathlib.Path(file)
    named = path.parent in (pathlib.Path(), pathlib.Path("configs"))
    installed = commands.CONFIGS / f"{path.stem}.py"
    if named and not path.exists() and installed.exists():
        file = str(installed)
    return file + colon + variant
