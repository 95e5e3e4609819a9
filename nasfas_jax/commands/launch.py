"""``nasfas launch``: the script or manifest that runs a command on a cluster or a pod."""

import pathlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from nasfas_jax import commands, files, launch
from nasfas_jax.commands import checks, parsing, settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.errors import InputError, renaming
from nasfas_jax.runtime import devices
from nasfas_jax.workflows import registry

_NUMBERS = ("nodes", "gpus", "cpus", "hours", "restarts", "parts")


def run(
    config: Any,
    *,
    backend: str = "local",
    command: str = "demo",
    workdir: Path = settings.WORKDIR,
    dry_run: bool = False,
    output: Path | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    **of_job: Any,
) -> None:
    """Writes the file of a job and hands it to its backend.

    Args:
      config: config of the command.
      backend: key of `launch.BACKENDS`.
      command: command with its own flags, as "train --network=cdn".
      workdir: folder of the run.
      dry_run: prints the file instead.
      output: the file; ``NAME.sh`` or ``NAME.yaml`` in the current folder if None.
      data_dir: as the command's flag.
      manual_dir: as the command's flag.
      **of_job: fields of `launch.Job`, as texts.

    Raises:
      InputError: a wrong command, config or job, a batch that the devices do not divide,
        or a backend that is not installed.
    """
    folders = {"workdir": workdir, "data_dir": data_dir, "manual_dir": manual_dir}
    words = _words(command, folders)
    given = _checked(config, words)
    job = launch.Job(words, workdir=str(workdir), **_fields(of_job))
    text = launch.render(job, backend)
    if job.processes > 1:
        _require_divided(config, words[0], given, job.devices)
    if dry_run:
        print(text, end="")
        return
    chosen = launch.BACKENDS[backend]
    file = pathlib.Path(output or f"{job.name}{chosen.suffix}")
    files.write_text(file, text)
    print(f"wrote {file}; {shlex.join((*chosen.submit, str(file)))}")
    launch.submit(file, backend)


def _words(command: str, given: dict[str, Path | None]) -> tuple[str, ...]:
    """The command with the folders that it takes, and its config.

    The config and its changed fields are those of this process's command line.

    Raises:
      InputError: no such command, or one with these flags.
    """
    words = shlex.split(command)
    name = parsing.words(["nasfas", *words])
    parsing.require_command(name)
    own = commands.COMMANDS[name].flags
    for word in words:
        flag = word.lstrip("-").partition("=")[0]
        if word.startswith("-") and flag.partition(".")[0] in ("config", *given):
            raise InputError(
                f"expected --{flag} as a flag of launch, which passes it on, got"
                f" {word!r} in the command.",
                field="command",
            )
    if "config" in own:
        prefixes = ("config=", "config.")
        words += [w for w in sys.argv if w.lstrip("-").startswith(prefixes)]
    words += [
        f"--{flag}={value}" for flag, value in given.items() if value and flag in own
    ]
    return tuple(words)


def _checked(config: Any, words: Sequence[str]) -> dict[str, Any]:
    """Flags of a command, checked as when it starts.

    Raises:
      InputError: a flag or config field that the command does not have, or a wrong value.
    """
    values = flags.FlagValues()
    parsing.parse(["nasfas", *words], values)
    name = parsing.words(["nasfas", *words])
    given = parsing.given(name, values)
    checks.check(config, command=name, network=given.get("network"))
    return given


def _require_divided(
    config: Any, command: str, given: Mapping[str, Any], count: int
) -> None:
    """Requires a batch that the devices of a search or a training divide.

    Trainings by episodes are left to their start, since it depends on the data's domains.

    Raises:
      InputError: the mesh does not divide the episodes, the parts or the batch.
    """
    section = config[command]
    parts, size = section.get("episodes", 1), section.batch_size
    if command == "train":
        names = settings.networks(config, given.get("network"))
        if set(names) & set(registry.FEATURE_METHODS):
            return
        size, parts = size * parts, section.get("accumulate", 1)
        size //= parts
    with renaming({**settings.names(config, command), "mesh": "--mesh"}):
        sizes = devices.mesh_sizes(count, episodes=parts, shape=given.get("mesh"))
        groups = command == "search"
        devices.require_divided(
            sizes, size, of_groups=groups, parts=1 if groups else parts
        )


def _fields(of_job: dict[str, Any]) -> dict[str, Any]:
    """Fields of a job from the texts of flags."""
    fields = dict(of_job)
    for name in set(_NUMBERS) & set(fields):
        fields[name] = settings.number(name, fields[name])
    if "options" in fields:
        fields["options"] = tuple(shlex.split(fields["options"]))
    return fields
