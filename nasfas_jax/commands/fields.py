"""Config fields on the command line, and messages about unknown and wrong ones."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from nasfas_jax.commands import schema
from nasfas_jax.errors import InputError, did_you_mean


def require(argv: Sequence[str], default: str) -> None:
    """Raise InputError for a ``--config.a.b`` that the config of ``argv`` does not have.

    Args:
      argv: the command line.
      default: the config file where no ``--config`` is in it.
    """
    file, names = default, []
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        name, given, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == "config":
            file = value if given else following
        elif word.startswith("-") and name.startswith("config."):
            names.append(name.removeprefix("config."))
    apart = flags.FlagValues()  # the file as it is, without what argv changes
    config_flags.DEFINE_config_file("file", file, flag_values=apart)
    for name in names:
        _require(apart["file"].value, name)


def wrong_value(error: Exception) -> str:
    """Expected values, by the schema, of the field whose value absl cannot parse.

    '' where the error is not of a ``--config.a.b=value`` that the schema has.
    """
    told = re.match(r"flag --config\.([\w.]+)=(.*?): ", str(error), re.DOTALL)
    if told is None or (field := schema.find(told[1])) is None:
        return ""
    return f"--config.{told[1]} ({field.about}): expected {field.expected}, got {told[2]!r}."


def _require(config: Any, name: str) -> None:
    """Raise InputError unless the config has this field, as ``train.steps``."""
    within, path = config, "config"
    for key in re.sub(r"\[.*?\]", "", name).split("."):
        if not isinstance(within, Mapping | ml_collections.ConfigDict):
            return  # the flag's parser says what kind of value it is
        if key not in within:
            raise InputError(
                f"--config.{name}: {path} has no field {key!r}."
                f"{did_you_mean(key, within)} It has {', '.join(within)}."
            )
        within, path = within[key], f"{path}.{key}"
