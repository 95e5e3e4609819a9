"""The commands of ``nasfas``, one file each."""

import importlib

from nasfas_jax import runtime
from nasfas_jax.commands.run import Run
from nasfas_jax.runtime import Diverged, Stopped

COMMANDS = {
    "synthesize": "a small synthetic dataset on disk in the layout of --layout",
    "prepare": "videos to training records (and makes the synthetic set)",
    "data list": "datasets, protocols, families of folds",
    "data info": "what --dataset is, its layout, and where to ask for it",
    "data stats": "counts of a folder of videos, or of prepared data",
    "data show": "faces by domain and attack type, as one picture",
    "probe": "what a linear probe tells live from spoof by, in the synthetic set",
    "search": "finds an architecture by Domain- or Type-aware Meta-NAS",
    "train": "trains the found network, DepthNet, CDN, ... alike",
    "evaluate": "scores and error rates on the domain held out",
    "scores": "rates, folds and comparisons from score files of any program",
    "predict": "scores over time of one video, with pictures",
    "report": "one HTML page of all that the run made",
    "demo": "all of these in a row",
    "sweep": "every network for several targets and seeds, in one table",
    "metagrad": "what each way of taking a method's meta-gradient costs and loses",
    "bench": "times against PyTorch peers (needs the extra 'bench')",
    "bench metagrad": "exact meta-gradient steps: time and memory against PyTorch",
}

#: The flags beside a config's own fields, which are fields of `Run`.
FLAGS = {
    "config": "FILE:VARIANT; --config.a.b=c changes a field of it.",
    "workdir": "Folder of the run; runs/local if not given.",
    "dataset": "Instead of config.data.dataset.",
    "protocol": "Instead of config.protocol, as oulu_npu@3.2.",
    "layout": "Dataset whose tree synthesize writes, as oulu_npu.",
    "manual_dir": "Folder of the dataset's files.",
    "data_dir": "Folder of the prepared data; WORKDIR/data if not given.",
    "landmark_model": "468-point face_landmark.tflite; prepare draws depth with it.",
    "face_model": "YuNet's onnx file: finds faces instead of Haar, in prepare and predict.",
    "beam": "Options of an Apache Beam pipeline that prepares, as --beam=--runner=X.",
    "network": "One network, instead of all of config.networks.",
    "genotype": "Genotype file; WORKDIR/search/genotype.json if not given.",
    "input": "Video or picture to predict on; score files A.csv,B1.csv+B2.csv.",
    "output": "Folder for what a command writes; in WORKDIR if not given.",
    "rule": "Threshold rule: eer (if not given), min_hter, bpcer20, far=X.",
    "oracle": "Oracle columns too: test, cdcn, ssdg, ... (docs/evaluation.md).",
}

__all__ = ["COMMANDS", "FLAGS", "Diverged", "Run", "Stopped", "execute"]


def execute(name: str, run: Run) -> None:
    """Runs one command; of two words, one that a module has beside others."""
    runtime.cache_compiles()
    module, _, which = name.partition(" ")
    commands = importlib.import_module(f"nasfas_jax.commands.{module}")
    getattr(commands, f"run_{which}" if which else "run")(run)
