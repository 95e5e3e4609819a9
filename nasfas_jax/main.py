"""The command line: ``nasfas COMMAND --config=configs/x.py:variant --workdir=DIR``."""

import pathlib
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from nasfas_jax import commands
from nasfas_jax.errors import InputError

_CONFIGS = pathlib.Path(__file__).parents[1] / "configs"

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    str(_CONFIGS / "synthetic.py:local"),
    "Settings, and after a colon their variant; --config.a.b=c changes one.",
    lock_config=True,
)
_WORKDIR = flags.DEFINE_string("workdir", "runs/local", "Folder of the run.")
_DATASET = flags.DEFINE_string("dataset", None, "Instead of config.data.dataset.")
_MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "Folder of the dataset's files.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of the prepared data; WORKDIR/data if not given."
)
_NETWORK = flags.DEFINE_string(
    "network", None, "Network to train, evaluate or predict with; all of the config's."
)
_GENOTYPE = flags.DEFINE_string(
    "genotype", None, "Genotype file; WORKDIR/search/genotype.json if not given."
)
_INPUT = flags.DEFINE_string("input", None, "Video or picture to predict on.")
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "Folder for what predict or bench writes; WORKDIR/COMMAND if not given.",
)


def main(argv: list[str]) -> int:
    """Runs the command that ``argv[1]`` names."""
    if "--verbosity" not in " ".join(sys.argv):
        # Orbax and TFDS tell at length what they do; --verbosity=0 shows it.
        logging.set_verbosity(logging.WARNING)
    if len(argv) != 2 or argv[1] not in commands.COMMANDS:
        print(commands.usage(), file=sys.stderr)
        return 2
    run = commands.Run(
        config=_CONFIG.value,
        workdir=pathlib.Path(_WORKDIR.value),
        dataset=_DATASET.value,
        manual_dir=_MANUAL_DIR.value,
        data_dir=_DATA_DIR.value,
        network=_NETWORK.value,
        genotype=_GENOTYPE.value,
        input=_INPUT.value,
        output=_OUTPUT.value,
    )
    try:
        commands.execute(argv[1], run)
    except (InputError, commands.Stopped) as error:
        print(f"nasfas {argv[1]}: {error}", file=sys.stderr)
        return 2
    return 0


def run() -> None:
    """Entry point of the ``nasfas`` command."""
    app.run(main)


if __name__ == "__main__":
    run()
