"""The commands of ``nasfas``, one file each.

Nothing is imported before a command is executed: help and messages about a wrong command
or flag take no part of the seconds that JAX and TFDS need to load.
"""

import importlib
from typing import Any

from nasfas_jax import files

COMMANDS = {
    "synthesize": "writes a small synthetic dataset in the layout of --layout",
    "prepare": "turns videos into training records (and renders the synthetic set)",
    "data list": "lists datasets, protocols and families of folds",
    "data info": "describes --dataset: its layout, and where to request it",
    "data stats": "counts videos, subjects and clips of a folder or of prepared data",
    "data show": "draws faces by domain and attack type as one picture",
    "probe": "measures what a linear probe can read from the synthetic set",
    "search": "searches for an architecture by domain-aware or type-aware Meta-NAS",
    "train": "trains the searched network, DepthNet, CDN, ... on the same batches",
    "evaluate": "computes scores and error rates on the held-out domain",
    "scores": "rates, averages and compares score files of any program",
    "predict": "scores one video over time and draws the result",
    "report": "writes one HTML page with all results of the run",
    "demo": "runs prepare, search, train, evaluate and report in a row",
    "sweep": "trains and tests every network for several targets and seeds",
    "metagrad": "measures the cost and accuracy of each meta-gradient mode",
    "bench": "times operations against PyTorch (needs the extra 'bench')",
    "bench metagrad": "times exact meta-gradient steps against PyTorch, with memory",
}

#: The flags beside a config's own fields, which are fields of `Run`.
FLAGS = {
    "config": "FILE:VARIANT; --config.a.b=c changes a field of it.",
    "workdir": "Folder of the run; runs/local if not given (for commands that need one).",
    "dataset": "Replaces config.data.dataset.",
    "protocol": "Replaces config.protocol, e.g. oulu_npu@3.2.",
    "layout": "Dataset whose layout synthesize writes, e.g. oulu_npu.",
    "manual_dir": "Folder of the dataset's files.",
    "data_dir": "Folder of the prepared data; WORKDIR/data if not given.",
    "landmark_model": "468-point face_landmark.tflite; prepare draws depth with it.",
    "face_model": "YuNet's onnx file: finds faces instead of Haar, in prepare and predict.",
    "beam": "Options of an Apache Beam pipeline that prepares, as --beam=--runner=X.",
    "network": "One network, instead of all of config.networks.",
    "genotype": "Genotype file; WORKDIR/search/genotype.json if not given.",
    "input": "Video or picture to predict on; score files A.csv,B1.csv+B2.csv.",
    "output": "Folder for what a command writes, instead of one in WORKDIR.",
    "rule": "Threshold rule: eer (if not given), min_hter, bpcer20, far=X.",
    "oracle": "Oracle columns too: test, cdcn, ssdg, ... (docs/evaluation.md).",
}

#: The flags whose value is a path, or several.
PATHS = (
    *("config", "workdir", "manual_dir", "data_dir", "landmark_model", "face_model"),
    *("genotype", "input", "output"),
)

__all__ = ["COMMANDS", "FLAGS", "PATHS", "Run", "execute"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """`Run`, which takes seconds to import, where it is asked for."""
    if name == "Run":
        from nasfas_jax.commands.run import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def execute(name: str, run: Any) -> None:
    """Runs one command.

    Args:
      name: a key of `COMMANDS`; of two words, the second names the module's function.
      run: the `Run` it is about.

    Raises:
      InputError: the config lacks what the command needs, or has a wrong field.
    """
    from nasfas_jax import runtime
    from nasfas_jax.commands import schema

    schema.check(run.config, command=name, network=run.network)
    runtime.cache_compiles()
    module, _, which = name.partition(" ")
    commands = importlib.import_module(f"nasfas_jax.commands.{module}")
    with files.writing(run.output or run.workdir):
        getattr(commands, f"run_{which}" if which else "run")(run)
