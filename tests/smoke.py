"""Configs for tests, and the commands in this process."""

import importlib.util
import pathlib

from nasfas_jax import commands
from nasfas_jax.commands import parsing

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"


def config(name="synthetic", variant="smoke"):
    """A variant of a config in ``configs/``."""
    return script(CONFIGS / f"{name}.py").get_config(variant)


def script(path):
    """A new module of a Python file outside of the package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def execute(command, workdir, config=None, **flags):
    """Runs a command with those of the config, workdir and flags that it has."""
    rows = commands.COMMANDS
    assert not set(flags) - {flag for row in rows.values() for flag in row.flags}
    config = config or globals()["config"]()
    given = {"config": config, "workdir": workdir, **flags}
    given = {k: v for k, v in given.items() if k in rows[command].flags}
    commands.execute(command, **parsing.in_config(given))
