"""The commands of ``nasfas``, one file each."""

import importlib

from nasfas_jax import runtime
from nasfas_jax.commands.run import Run
from nasfas_jax.runtime import Stopped

COMMANDS = {
    "prepare": "videos to training records (and makes the synthetic set)",
    "data list": "datasets and protocols",
    "data info": "what --dataset is, its layout, and where to ask for it",
    "data stats": "counts of a folder of videos, or of prepared data",
    "data show": "faces by domain and attack type, as one picture",
    "search": "finds an architecture by Domain-aware Meta-NAS",
    "train": "trains the found network, DepthNet, CDN, ... alike",
    "evaluate": "scores and error rates on the domain held out",
    "scores": "rates, folds and comparisons from score files of any program",
    "predict": "scores over time of one video, with pictures",
    "report": "one HTML page of all that the run made",
    "demo": "all of these in a row",
    "bench": "times against PyTorch peers (needs the extra 'bench')",
}

__all__ = ["COMMANDS", "Run", "Stopped", "execute"]


def execute(name: str, run: Run) -> None:
    """Runs one command; of two words, one that a module has beside others."""
    runtime.cache_compiles()
    module, _, which = name.partition(" ")
    commands = importlib.import_module(f"nasfas_jax.commands.{module}")
    getattr(commands, f"run_{which}" if which else "run")(run)
