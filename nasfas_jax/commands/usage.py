"""Texts of ``nasfas --help`` and ``nasfas COMMAND --help``."""

from collections.abc import Iterator
from typing import Any

from nasfas_jax import commands
from nasfas_jax.commands import fields, parsing, schema

WIDTH = 24  # columns of a flag's name


def text(command: str) -> str:
    """Describes a command with its flags; all commands if it is ''.

    Raises:
      InputError: there is no such command.
    """
    if not command:
        return "\n".join(_overview())
    family = [name for name in commands.COMMANDS if name.startswith(f"{command} ")]
    if command not in commands.COMMANDS and not family:
        parsing.require_command(command)
    names = [*([command] if command in commands.COMMANDS else []), *family]
    return "\n\n".join("\n".join(_describe(name)) for name in names)


def _overview() -> Iterator[str]:
    yield "usage: nasfas COMMAND [--FLAG=VALUE ...]"
    yield ""
    for name, command in commands.COMMANDS.items():
        yield f"  {name:<18}{command.about}"
    yield ""
    yield "nasfas COMMAND --help shows the flags of a command, their defaults and an example."


def _describe(name: str) -> Iterator[str]:
    command = commands.COMMANDS[name]
    word = "[INPUT] " * parsing.takes_input(name)
    yield f"usage: nasfas {name} {word}[--FLAG=VALUE ...]"
    yield ""
    yield f"{command.about[0].upper()}{command.about[1:]}."
    yield ""
    for one in command.flags:
        flag = commands.flag(name, one)
        of_config = flag.default.startswith("config.")
        known = flag.default and not (of_config and "config" not in command.flags)
        default = f" (default: {flag.default})" if known else ""
        yield f"  {f'--{one}':<{WIDTH}}{flag.about}{default}"
    if command.example:
        yield ""
        yield f"example: nasfas {name} {command.example}"
    if command.needs:
        yield ""
        yield "Fields of the config, with the values of the default one:"
        yield ""
        config = fields.load(str(commands.CONFIG))
        for section in ("", *command.needs):
            yield from _fields(section, config)


def _fields(section: str, config: Any) -> Iterator[str]:
    """Yields the lines of the fields of a section and of its subsections."""
    values: Any = config
    for part in section.split(".") if section else ():
        values = values.get(part, {})
    for key, field in schema.SCHEMA[section].items():
        name = f"{section}.{key}" if section else key
        value = f"={_shown(values[key])}" if key in values else ""
        yield f"  --config.{name}{value}"
        yield f"  {'':<{WIDTH}}{field.about}"
    for inner in schema.SCHEMA:
        if section and inner.startswith(f"{section}."):
            yield from _fields(inner, config)


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
