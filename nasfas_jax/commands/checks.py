"""A config and its variants, checked against `schema.SCHEMA` and the relations of fields."""

from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import config_dict

from nasfas_jax import commands, limits
from nasfas_jax.commands import relations, schema
from nasfas_jax.commands.field import Field
from nasfas_jax.errors import InputError, did_you_mean

#: Commands that render the synthetic set where it is the dataset.
RENDERING = ("prepare", "demo", "sweep")


def variants(config: Any) -> dict[str, Any]:
    """The config with the fields of each of config.sweep.variants; itself as '' without.

    A variant '' is stored where the config without variants is: it holds further rows.

    The copies have no variants.

    Raises:
      InputError: a field of another type.
    """
    found = config.get("sweep", {}).get("variants", {})
    if not found:
        return {"": config}
    changed = {}
    for name, fields in found.items():
        changed[name] = one = config.copy_and_resolve_references()
        with one.unlocked():
            del one.sweep.variants
            try:
                one.update(fields)
            except (TypeError, ValueError) as error:
                raise InputError(str(error), field=_variant(name)) from None
    return changed


def _variant(name: str) -> str:
    return f"config.sweep.variants.{name}"


def check(config: Any, *, command: str = "", network: str | None = None) -> None:
    """Checks every field of a config, and the relations between fields.

    Args:
      config: a ConfigDict, or a mapping.
      command: key of `commands.COMMANDS` whose sections must be present; '' for none.
      network: the one network to train or test; all of config.networks if None.

    Raises:
      InputError: names each section or field that is missing, unknown or has a wrong
        value, what was expected and what was found. Relations are checked where every
        field is right.
    """
    settings = _plain(config)
    problems = [*_missing_sections(settings, command), *_wrong_fields(settings)]
    if network is not None and network not in schema.NETWORKS():
        problems.append(f"--network: {limits.mismatch(network, schema.NETWORKS())}")
    if not problems:
        names = settings["networks"] if network is None else [network]
        problems = [one for rule in relations.RULES for one in rule(settings, names)]
    if problems:
        raise InputError(" ".join(problems))
    for name, one in variants(config).items() if command == "sweep" else ():
        if one is not config:
            try:
                check(one, network=network)
            except InputError as error:
                raise InputError(str(error), field=_variant(name)) from None


def _plain(config: Any) -> dict[str, Any]:
    """A config as dicts, without required placeholders that nothing has filled."""
    plain = {}
    for name in config:
        try:
            value = config[name]
        except config_dict.RequiredValueError:
            continue
        section = isinstance(value, Mapping | config_dict.ConfigDict)
        plain[name] = _plain(value) if section else value
    return plain


def _missing_sections(settings: dict[str, Any], command: str) -> Iterator[str]:
    needed = list(commands.COMMANDS[command].needs) if command else []
    if command in RENDERING and relations.dataset(settings) == "synthetic":
        needed.append("synthetic")
    for name in needed:
        if name not in settings:
            yield (
                f"config.{name}: this section is missing, and `nasfas {command}` needs it;"
                " configs/synthetic.py has one to copy."
            )


def _wrong_fields(
    values: dict[str, Any], section: str = "", path: str = "config"
) -> Iterator[str]:
    """Wrong values, unknown and missing fields of a section, and of those in it."""
    fields = schema.SCHEMA[section]
    prefix = f"{section}." if section else ""
    inner = {
        name.removeprefix(prefix): name
        for name in schema.SCHEMA
        if name.startswith(prefix)
        and name != section
        and "." not in name[len(prefix) :]
    }
    for key, value in values.items():
        at = f"{path}.{key}"
        if key in inner and isinstance(value, dict):
            yield from _wrong_fields(value, inner[key], at)
        elif key in inner:
            names = ", ".join(schema.SCHEMA[inner[key]])
            yield f"{at}: expected a section with the fields {names}, got {value!r}."
        elif key not in fields:
            yield f"{at}: there is no such field.{did_you_mean(key, [*fields, *inner])}"
        elif not fields[key].accepts(value):
            yield f"{at} ({fields[key].about}): {_mismatch(fields[key], value)}"
    for key, field in fields.items():
        if key not in values and not field.optional:
            yield f"{path}.{key} ({field.about}): missing; expected {field.expected}."
    for key in inner if section else ():
        if key not in values:
            yield f"{path}.{key}: this section is missing."


def _mismatch(field: Field, value: Any) -> str:
    near = limits.near(value, field.values)
    return f"expected {field.expected}, got {value!r}.{near}"
