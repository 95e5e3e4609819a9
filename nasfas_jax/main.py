"""The command line: ``nasfas COMMAND --config=configs/x.py:variant --workdir=DIR``."""

import pathlib
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from nasfas_jax import commands
from nasfas_jax.commands import fields
from nasfas_jax.errors import InputError

CONFIG = pathlib.Path(__file__).parents[1] / "configs" / "synthetic.py:local"


def usage() -> str:
    """How to call the program."""
    rows = (
        commands.COMMANDS | {"": ""} | {f"--{k}": v for k, v in commands.FLAGS.items()}
    )
    lines = [f"  {name:<18}{text}".rstrip() for name, text in rows.items()]
    return "\n".join(["usage: nasfas COMMAND [FLAGS]", "", *lines])


def main(argv: list[str]) -> int:
    """Runs the command that ``argv[1]`` names."""
    if not any(arg.startswith("--verbosity") for arg in sys.argv):
        # Orbax and TFDS tell at length what they do; --verbosity=0 shows it.
        logging.set_verbosity(logging.WARNING)
    if (command := " ".join(argv[1:])) not in commands.COMMANDS:
        print(usage(), file=sys.stderr)
        return 2
    try:
        given = {name: flags.FLAGS[name].value for name in commands.FLAGS}
        workdir = pathlib.Path(given.pop("workdir") or "runs/local")
        commands.execute(command, commands.Run(workdir=workdir, **given))
    except (InputError, commands.Diverged, commands.Stopped) as error:
        print(f"nasfas {command}: {error}", file=sys.stderr)
        return 2
    return 0


def parse(argv: list[str]) -> list[str]:
    """The arguments that are no flags; one paragraph where a flag does not fit."""
    try:
        fields.require(argv, str(CONFIG))
        config_flags.DEFINE_config_file("config", str(CONFIG), commands.FLAGS["config"])
        for name in list(commands.FLAGS)[1:]:
            flags.DEFINE_string(name, None, commands.FLAGS[name])
        left = flags.FLAGS(argv)
        _ = flags.FLAGS.config.seed  # a config file that is missing shows here
    except InputError as error:
        print(f"nasfas: {error}", file=sys.stderr)
        sys.exit(2)
    except (flags.Error, AttributeError, KeyError, TypeError, OSError) as error:
        lines = [line.strip() for line in str(error.args[0]).splitlines()]
        text = lines[-1] if "Traceback" in str(error) else " ".join(lines)
        print(
            f"nasfas: {text}. `nasfas` alone lists the flags; --config "
            "must name a config file, and --config.a.b a field that it has.",
            file=sys.stderr,
        )
        sys.exit(2)
    return left


def run() -> None:
    """Entry point of the ``nasfas`` command."""
    app.run(main, flags_parser=parse)


if __name__ == "__main__":
    run()
