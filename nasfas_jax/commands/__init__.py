"""The commands of ``nasfas``, one file each, and their flags.

Nothing is imported before a command is executed: help and messages about a wrong command
or flag take no part of the seconds that JAX and TFDS need to load.
"""

import importlib
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from nasfas_jax import files
from nasfas_jax.errors import renaming

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
#: The config of a command line that names none.
CONFIG = CONFIGS / "synthetic.py:local"


class Flag(NamedTuple):
    """A flag.

    Attributes:
      about: description in one phrase.
      default: what holds where it is not given, in words; '' for nothing.
      path: whether its value is a path, or several.
      switch: whether it is given without a value.
    """

    about: str
    default: str = ""
    path: bool = False
    switch: bool = False


#: Every flag of every command, for those that do not describe it otherwise.
FLAGS = {
    "config": Flag(
        "config file as FILE:VARIANT, or the name of an installed one, as"
        " rfmeta:smoke; --config.a.b=c changes a field",
        "synthetic:local",
        path=True,
    ),
    "workdir": Flag("folder of the run", "runs/local", path=True),
    "data_dir": Flag("folder of the prepared data", "WORKDIR/data", path=True),
    "dataset": Flag("name of a dataset", "config.data.dataset"),
    "protocol": Flag("protocol, as oulu_npu@3.2", "config.protocol"),
    "layout": Flag("dataset whose layout is written, as oulu_npu"),
    "manual_dir": Flag("folder of the dataset's files", path=True),
    "landmark_model": Flag(
        "468-point face_landmark.tflite, which gives depth maps", path=True
    ),
    "face_model": Flag("YuNet's onnx file, which finds faces", "Haar", path=True),
    "beam": Flag("options of an Apache Beam pipeline, as --beam=--runner=X"),
    "network": Flag("one network", "all of config.networks"),
    "genotype": Flag("genotype file", "WORKDIR/search/genotype.json", path=True),
    "model": Flag(
        "folder of a model", "WORKDIR/train/NETWORK/model, of --network", path=True
    ),
    "host": Flag("address that the server listens at", "127.0.0.1, this machine alone"),
    "port": Flag("its port", "8000"),
    "input": Flag("what is read", path=True),
    "camera": Flag("number of a camera, as 0; several joined by commas"),
    "every": Flag("frames from one search for faces to the next", "5"),
    "stride": Flag("every how many frames faces are scored", "1"),
    "smooth": Flag("scores of a face whose mean decides", "8"),
    "abstain": Flag("distance from the threshold of the verdict unsure", "0: none"),
    "seconds": Flag("seconds after which a camera or stream is left", "no limit"),
    "output": Flag("folder for what is written", path=True),
    "format": Flag("onnx, stablehlo or web", "onnx"),
    "layers": Flag("layers, as ConvBlock_2,ConvBlock_5", "the last at each depth"),
    "toward": Flag("class of the activation maps, live or spoof", "live"),
    "clips": Flag("number of clips with activation maps, evenly spaced", "4"),
    "factor": Flag("amplification of the motion", "10"),
    "band": Flag("magnified frequencies LOW,HIGH in hertz", "0.5,3"),
    "corruptions": Flag("corruptions, as blur,jpeg", "all"),
    "rows": Flag("rows of a sweep's table instead, as baseline,c4,c3"),
    "attack_types": Flag("attack types, as print,paper_mask", "all that were tested"),
    "rule": Flag("threshold rule: eer, min_hter, bpcer20 or far=X", "eer"),
    "oracle": Flag("oracle columns too: test, cdcn, ssdg, ... (docs/evaluation.md)"),
    "seed": Flag("seed of the bootstrap intervals", "0"),
    "seeds": Flag("number of searches, whose agreement is reported", "1"),
    "count": Flag("number of architectures", "20"),
    "step": Flag("steps of the checkpoint", "the last whole one"),
    "run": Flag("folder of one run in WORKDIR, as train/cdn or search", "the only one"),
    "command": Flag("planned command, search or train", "train"),
    "topology": Flag(
        "TPU topology to compile for, as v5e:4x4 (needs the extra 'tpu', and no TPU)",
        "this machine's devices",
    ),
    "platform": Flag("cuda or rocm: lowers for it without compiling; no memory"),
    "memory_gb": Flag(
        "GiB of a device that the largest batch is to fit", "the chip's, if known"
    ),
    "modes": Flag(
        "meta-gradient modes whose largest batch is searched for; '' for none",
        "the configured one",
    ),
    "groups": Flag(
        "groups of an episode: source domains, or macro types", "3, or 2 halves"
    ),
    "backend": Flag("local, slurm, tpu_vm, gke or skypilot", "local"),
    "dry_run": Flag("prints the file, and submits nothing", switch=True),
    "name": Flag("name of the job", "nasfas"),
    "nodes": Flag("machines, without a topology; of local, processes", "1"),
    "gpus": Flag("GPUs of a node", "0"),
    "gpu": Flag("their type as the backend names it, as A100-80GB"),
    "cpus": Flag("processor cores of a node", "8"),
    "per": Flag("what one process drives under SLURM: node or gpu", "node"),
    "hours": Flag("time limit; of SLURM, from one requeue to the next", "24"),
    "parts": Flag("jobs among which a sweep is divided", "1"),
    "part": Flag("I/N: part I of N alone, from 0, without the table; data: the data"),
    "engine": Flag("local or slurm: executes the trainings side by side", "in a row"),
    "parallel": Flag("trainings at the same time, with --engine", "1"),
    "package": Flag("requirement that pip installs on new machines", "nasfas_jax[...]"),
    "setup": Flag("shell command that each process executes first"),
    "image": Flag("container image of Kubernetes", "python:3.11"),
    "zone": Flag("zone of Google Cloud, as us-west4-a"),
    "spot": Flag("machines that may be preempted", switch=True),
    "options": Flag("further options of the scheduler, as --partition=gpu"),
    "mesh": Flag(
        "sizes of the axes of all devices, as episode:4,data:8",
        "by the number of episodes",
    ),
    "sharding": Flag(
        "the state on the devices: replicated, or fsdp, divided among them",
        "replicated",
    ),
    "processes": Flag(
        "number of processes: without --process so many are started on this machine;"
        " auto joins those of a Cloud TPU",
        "those of SLURM, OpenMPI or GKE, or one",
    ),
    "process": Flag("number of this process, from 0"),
    "coordinator": Flag("address of process 0, as HOST:PORT"),
    "wait": Flag("seconds to wait for the other processes at the start", "300"),
    "restarts": Flag("how often to start again after a process was lost", "0"),
    "kills": Flag("number of kills", "50"),
    "repeats": Flag(
        "timed predictions of one image, whose median is the latency", "0: none"
    ),
}


class Command(NamedTuple):
    """A command.

    Attributes:
      about: what it does, in one phrase.
      flags: its flags, parameters of the function that executes it.
      needs: sections that its config must have.
      example: a command line without the program and the command.
      own: those of its flags that `FLAGS` does not describe.
    """

    about: str
    flags: tuple[str, ...]
    needs: tuple[str, ...] = ()
    example: str = ""
    own: Mapping[str, Flag] = {}


_SMOKE = "--config=synthetic:smoke --workdir=runs/smoke"
#: Flags of the commands that may use several processes; `PROCESSES` start them.
_DEVICES = ("mesh", "sharding")
PROCESSES = ("processes", "process", "coordinator", "wait", "restarts")
_RUN = ("config", "workdir", "data_dir", "dataset", "protocol")
_PREPARE = (
    *("config", "workdir", "data_dir", "dataset", "manual_dir"),
    *("landmark_model", "face_model", "beam"),
)
COMMANDS = {
    "synthesize": Command(
        "writes a small synthetic dataset in the layout of --layout",
        ("config", "layout", "output"),
        ("standin",),
        "--layout=oulu_npu --output=standin",
    ),
    "prepare": Command(
        "turns videos into training records (and renders the synthetic set)",
        _PREPARE,
        ("data",),
        "--config=own_data --manual_dir=FOLDER --workdir=runs/own",
    ),
    "data list": Command(
        "lists datasets, protocols and families of folds",
        ("protocol",),
        example="--protocol=siw_m@leave_one_out",
    ),
    "data info": Command(
        "describes --dataset: its layout, and where to request it",
        ("dataset",),
        example="--dataset=oulu_npu",
    ),
    "data stats": Command(
        "counts videos, subjects and clips of a folder or of prepared data",
        ("workdir", "data_dir", "dataset", "protocol", "manual_dir"),
        example="--protocol=oulu_npu@1 --manual_dir=FOLDER",
    ),
    "data show": Command(
        "draws faces by domain and attack type as one picture",
        ("workdir", "data_dir", "dataset", "protocol", "manual_dir", "output"),
        example="--workdir=runs/local",
    ),
    "probe": Command(
        "measures how well probes predict the labels of the synthetic set "
        "(needs the extra 'baselines')",
        ("workdir", "manual_dir", "output"),
        example="--workdir=runs/local",
    ),
    "search": Command(
        "searches for an architecture by Meta-NAS, DARTS or at random",
        (*_RUN, "seeds", *_DEVICES, *PROCESSES),
        ("data", "search"),
        f"{_SMOKE} --config.search.arch_order=first",
    ),
    "zero_cost": Command(
        "ranks random architectures of the search space without training",
        (*_RUN, "count"),
        ("data", "search"),
        f"{_SMOKE} --count=5",
    ),
    "train": Command(
        "trains networks and methods on the source domains",
        (*_RUN, "network", "genotype", *_DEVICES, *PROCESSES),
        ("data", "train"),
        f"{_SMOKE} --network=depthnet",
    ),
    "evaluate": Command(
        "computes scores and error rates on the held-out domain",
        (*_RUN, "network", "rule", "oracle"),
        ("data", "train"),
        f"{_SMOKE} --network=depthnet --rule=bpcer20",
    ),
    "robustness": Command(
        "computes error rates under corruptions of the frames, and calibration",
        (*_RUN, "network", "corruptions"),
        ("data", "train"),
        "--config=eulernet:smoke --workdir=runs/eulernet",
    ),
    "scores": Command(
        "rates, averages and compares score files of any program",
        ("input", "output", "rule", "oracle", "seed"),
        example="--input=A.csv,B.csv --output=comparison",
        own={"input": Flag("score files A.csv,B1.csv+B2.csv; + merges", path=True)},
    ),
    "predict": Command(
        "scores the faces in videos, pictures, cameras and streams, and draws them",
        (
            *("model", "workdir", "network", "input", "camera", "output"),
            *("face_model", "every", "stride", "smooth", "abstain", "seconds"),
        ),
        example="video.mp4 --workdir=runs/smoke --network=depthnet",
        own={
            "network": Flag("one network", "the only one trained in WORKDIR"),
            "input": Flag(
                "video, picture, folder of them, address as rtsp://HOST/PATH, or - for"
                " JPEG pictures on standard input; several joined by commas",
                path=True,
            ),
        },
    ),
    "explain": Command(
        "draws where a network looks, and the magnified motion of a video",
        (
            *("model", "workdir", "network", "input", "output", "face_model"),
            *("layers", "toward", "clips", "factor", "band"),
        ),
        example="video.mp4 --workdir=runs/smoke --network=depthnet",
        own={
            "network": Flag("one network", "the only one trained in WORKDIR"),
            "input": Flag(
                "video, picture or folder of frames; --input= may be left out",
                path=True,
            ),
        },
    ),
    "export": Command(
        "writes a model as an ONNX or StableHLO program, or a page (extra 'export')",
        ("model", "workdir", "network", "format", "input", "output", "face_model"),
        example="--workdir=runs/smoke --network=depthnet --input=video.mp4",
        own={
            "network": Flag("one network", "the only one trained in WORKDIR"),
            "input": Flag("videos and pictures to compare on, joined by commas"),
        },
    ),
    "serve": Command(
        "serves a model over HTTP, with a page (needs the extra 'serve')",
        ("model", "workdir", "network", "host", "port", "face_model"),
        example="--workdir=runs/smoke --network=depthnet",
        own={"network": Flag("one network", "the only one trained in WORKDIR")},
    ),
    "maps": Command(
        "draws maps and layers of several networks on the hardest videos",
        (*_RUN, "network", "rows", "attack_types", "output"),
        ("data", "train"),
        f"{_SMOKE} --attack_types=print",
        own={"output": Flag("folder for the pictures", "WORKDIR/maps", path=True)},
    ),
    "report": Command(
        "writes one HTML page with all results of the run",
        (*_RUN, "network"),
        ("data", "train"),
        _SMOKE,
    ),
    "demo": Command(
        "runs prepare, search, train, evaluate and report in a row",
        (*_PREPARE, "protocol"),
        ("data", "search", "train"),
        _SMOKE,
    ),
    "sweep": Command(
        "trains and tests every network for several targets and seeds",
        (
            *(*_PREPARE, "network", "part", "engine", "parallel"),
            *("gpus", "cpus", "hours", "options"),
        ),
        ("data", "train", "sweep"),
        "--config=rfmeta:smoke --workdir=runs/rfmeta",
        own={
            "gpus": Flag("GPUs: of this machine, one a process; of a SLURM job", "0"),
            "cpus": Flag("processor cores of a SLURM job", "8"),
            "hours": Flag("time limit of a SLURM job", "24"),
        },
    ),
    "cost": Command(
        "counts parameters and multiply-adds of networks beside the papers' figures",
        ("network", "repeats"),
        example="--network=resnet18,auxiliary,auto_fas --repeats=15",
        own={
            "network": Flag(
                "networks or search spaces, as cdn,auto_fas", "all networks"
            )
        },
    ),
    "plan": Command(
        "prints memory, operations and traffic of a step before anything is run",
        (
            *("config", "command", "network", "genotype", "topology", "platform"),
            *("memory_gb", "modes", "groups", *_DEVICES),
        ),
        ("data", "train"),
        "--config=synthetic:local --network=cdn --topology=v5e:2x4 --modes=",
    ),
    "launch": Command(
        "writes the script or manifest that runs a command on a cluster, and submits it",
        (
            *("config", "backend", "command", "workdir", "data_dir", "manual_dir"),
            *("dry_run", "output", "name", "topology", "nodes", "gpus", "gpu", "cpus"),
            *("per", "hours", "restarts", "parts", "package", "setup", "image"),
            *("zone", "spot", "options"),
        ),
        (),
        "--backend=slurm --command=search --gpus=8 --nodes=2 --dry_run",
        own={
            "topology": Flag("TPU slice, as v5e:4x4"),
            "command": Flag("command with its flags, as 'train --network=cdn'", "demo"),
            "output": Flag("file to write", "NAME.sh or NAME.yaml here", path=True),
            "restarts": Flag("restarts after a preemption or a lost machine", "20"),
        },
    ),
    "doctor": Command(
        "checks versions, devices, disk, data and cache, and says what to change",
        ("workdir", "data_dir"),
        example="--workdir=runs/local",
    ),
    "checkpoint list": Command(
        "lists the checkpoints of the runs in a folder, whole or damaged",
        ("workdir",),
        example="--workdir=runs/smoke",
    ),
    "checkpoint show": Command(
        "prints type, shape and norm of every array of a checkpoint",
        ("workdir", "run", "step"),
        example="--workdir=runs/smoke --run=search",
    ),
    "checkpoint verify": Command(
        "compares checkpoints with their checksums; exit status 1 if any differs",
        ("workdir",),
        example="--workdir=runs/smoke",
    ),
    "checkpoint export": Command(
        "writes the weights of a checkpoint, as safetensors or as a model",
        ("workdir", "run", "step", "format", "output"),
        example="--workdir=runs/smoke --run=train/depthnet --output=export",
        own={
            "format": Flag("safetensors or model", "safetensors"),
            "output": Flag("folder for what is written", "export", path=True),
        },
    ),
    "metagrad": Command(
        "measures the cost and accuracy of each meta-gradient mode",
        ("config", "data_dir", "protocol", "output"),
        ("data", "train", "metagrad"),
        "--config=synthetic:smoke --output=metagrad",
    ),
    "bench": Command(
        "times operations against PyTorch (needs the extra 'bench')",
        ("config", "output"),
        ("data", "search", "train"),
        "--config=synthetic:smoke",
    ),
    "bench metagrad": Command(
        "times exact meta-gradient steps against PyTorch, with memory",
        ("output",),
        example="--output=bench",
    ),
    "bench gallery": Command(
        "times canonical bilevel problems against PyTorch and JAX libraries",
        ("output",),
        example="--output=bench",
    ),
    "bench search": Command(
        "times steps of DARTS against PyTorch, with memory and compile time",
        ("output",),
        example="--output=bench",
    ),
    "bench predict": Command(
        "times networks in three runtimes (needs the extra 'export'), and a video",
        ("output", "input", "face_model"),
        example="--output=bench --input=video.mp4",
        own={"input": Flag("video that is watched", "none", path=True)},
    ),
    "bench kills": Command(
        "kills a search at random moments, and compares with one that never was",
        ("output", "kills"),
        example="--output=bench --kills=50",
    ),
    "bench processes": Command(
        "times steps on one and two processes, checkpoints, input and a warm start",
        ("output",),
        example="--output=bench",
    ),
    "bench eulernet": Command(
        "times EulerNet against PyTorch, and both ways of computing its filter",
        ("output",),
        example="--output=bench",
    ),
}

__all__ = [
    "COMMANDS",
    "CONFIG",
    "CONFIGS",
    "FLAGS",
    "PROCESSES",
    "Command",
    "Flag",
    "execute",
    "flag",
]


def flag(command: str, name: str) -> Flag:
    """A flag as a command describes it."""
    return COMMANDS[command].own.get(name, FLAGS[name])


def execute(name: str, /, **given: Any) -> None:
    """Runs one command.

    Args:
      name: a key of `COMMANDS`; of two words, the second names the module's function.
      **given: its flags; a flag that is absent has its default.

    Raises:
      InputError: the config lacks what the command needs, or has a wrong field.
    """
    from nasfas_jax import runtime
    from nasfas_jax.commands import checks, join, workdir

    flags = {flag: f"--{flag}" for flag in COMMANDS[name].flags}
    if "processes" in flags:
        joining = {flag: given.pop(flag) for flag in PROCESSES if flag in given}
        with renaming(flags):
            join.join(**joining)
    if "config" in given:
        checks.check(given["config"], command=name, network=given.get("network"))
    for flag in ("workdir", "output") if name not in workdir.BY_ADDRESS else ():
        files.require_local(given.get(flag) or ".")
    runtime.cache_compiles()
    module, _, which = name.partition(" ")
    commands = importlib.import_module(f"nasfas_jax.commands.{module}")
    folder = given.get("output") or given.get("workdir") or "."
    fields = {"target": "config.target_domain", "detector": "--face_model"}
    with files.writing(pathlib.Path(folder)), renaming(flags | fields):
        getattr(commands, f"run_{which}" if which else "run")(**given)
    runtime.processes.once(lambda: None)  # the others wait for what process 0 does last
