"""Config files and fields on the command line, and messages about wrong ones."""

import importlib.util
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from nasfas_jax import commands
from nasfas_jax.commands import schema
from nasfas_jax.errors import InputError, did_you_mean, renaming


def load(spec: str) -> Any:
    """The config of FILE:VARIANT, without the fields that the command line changes.

    Raises:
      InputError: no such file or variant, or a file without a config.
    """
    name, colon, variant = spec.partition(":")
    path = pathlib.Path(name)
    if not path.is_file():
        installed = sorted(one.stem for one in commands.CONFIGS.glob("*.py"))
        raise InputError(
            f"expected FILE:VARIANT, or an installed config ({', '.join(installed)}), got"
            f" {spec!r}, which is no file.{did_you_mean(path.stem, installed)}",
            field="--config",
        )
    found = importlib.util.spec_from_file_location("config", path)
    if found is None or found.loader is None:
        raise InputError(f"expected a Python file, got {name!r}.", field="--config")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    with renaming({"variant": f"--config={name}: variant"}):
        return module.get_config(*([variant] if colon else []))


def beside(file: str, spec: str) -> Any:
    """`load` of a config in the folder of ``file``, the ``__file__`` of another config."""
    return load(f"{pathlib.Path(file).parent / spec}")


def require(argv: Sequence[str], default: str) -> None:
    """Requires the config of ``argv``, and in it each field of a ``--config.a.b``.

    Args:
      argv: the command line.
      default: the config file where no ``--config`` is in it.

    Raises:
      InputError: as `load`, or no such field.
    """
    file, names = default, []
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        name, given, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == "config":
            file = value if given else following
        elif word.startswith("-") and name.startswith("config."):
            names.append(name.removeprefix("config."))
    config = load(file)
    for name in names:
        _require(config, name)


def wrong_value(error: Exception) -> str:
    """Expected values, by the schema, of the field whose value absl cannot parse.

    '' where the error is not of a ``--config.a.b=value`` that the schema has.
    """
    told = re.match(r"flag --config\.([\w.]+)=(.*?): ", str(error), re.DOTALL)
    if told is None or (field := schema.find(told[1])) is None:
        return ""
    return f"--config.{told[1]} ({field.about}): expected {field.expected}, got {told[2]!r}."


def _require(config: Any, name: str) -> None:
    """Checks that a config has a field, as ``train.steps``, or that it is optional."""
    within, path = config, "config"
    field = schema.find(name)
    for key in re.sub(r"\[.*?\]", "", name).split("."):
        if not isinstance(within, Mapping | ml_collections.ConfigDict):
            return  # the flag's parser says what kind of value it is
        if key not in within:
            if field and field.optional and f"{path}.{key}" == f"config.{name}":
                return
            raise InputError(
                f"--config.{name}: {path} has no field {key!r}."
                f"{did_you_mean(key, within)} It has {', '.join(within)}."
            )
        within, path = within[key], f"{path}.{key}"


def searched(trial: str, search: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a variant of a sweep that searches as a trial and trains on its view.

    Args:
      trial: name of the trial.
      search: the section ``search``, with the options of the trial's space.
    """
    from nasfas_jax.search import trials

    _, space, own = trials.TRIALS[trial]
    options = {**search["space_options"], **own}
    settings = {**search, "space": space, "trial": trial, "space_options": options}
    return {"search": settings, "train": {"view": dict(trials.get(trial).view)}}
