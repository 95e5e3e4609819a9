"""Help, wrong commands and flags, exit codes and start-up of the ``nasfas`` program."""

import dataclasses
import importlib
import inspect
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from importlib import metadata

import pytest
from absl import flags
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from nasfas_jax import commands, launch
from nasfas_jax.commands import parsing, prepare, usage
from nasfas_jax.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]
HEAVY = {"cv2", "jax", "numpy", "orbax", "tensorboardX", "tensorflow_datasets", "torch"}


def program(*words, code="main.run()", **env):
    """Runs the program; its last line on stderr is the set of heavy modules it loaded."""
    code = f"""
import sys
from nasfas_jax import main
try:
    {code}
finally:
    print({HEAVY!r} & set(sys.modules), file=sys.stderr)
"""
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("--help", 0, ["usage: nasfas COMMAND", "data list"]),
        ("-h", 0, ["usage: nasfas COMMAND"]),
        ("search --help", 0, ["usage: nasfas search", "Meta-NAS", "--workdir"]),
        ("serach", 2, ["no command 'serach'. Did you mean search?"]),
        ("data lst", 2, ["no command 'data lst'. Did you mean data list"]),
        ("data --help", 0, ["usage: nasfas data list", "usage: nasfas data show"]),
        ("search --workdr=x", 2, ["no flag --workdr. Did you mean --workdir"]),
        (
            "train --input=x",
            2,
            [
                "--input is a flag of scores, predict, explain, export, bench predict. Its"
            ],
        ),
        (
            "predict --config=x",
            2,
            ["--config is a flag of synthesize, prepare, search"],
        ),
        ("train --network=cdn cdn", 2, ["expected flags after train"]),
        ("train cdn", 2, ["after train, as --name=value, got 'cdn'. --network=cdn"]),
        ("bench metagrd", 2, ["no command 'bench metagrd'. Did you mean bench meta"]),
        (
            "train --config=nowhere.py:x",
            2,
            ["--config: expected FILE:VARIANT, or an installed config", "is no file"],
        ),
        ("train --config=rfmta", 2, ["got 'rfmta', which is no file. Did you mean"]),
        (
            "train --config=synthetic:smok",
            2,
            ["variant: expected one of 'local', 'smoke'", "Did you mean smoke?"],
        ),
        (
            "predict --help",
            0,
            ["video, picture, folder of them", "the only one trained in"],
        ),
        (
            "explain --help",
            0,
            ["explain [INPUT] [--FLAG=VALUE", "--band", "the only one"],
        ),
        ("--workdir=x train", 2, ["which command? Expected nasfas COMMAND"]),
        ("", 2, ["which command?", "data list, data info"]),
    ],
)
def test_help_and_near_names_need_no_jax(words, code, says):
    done = program(*words.split())
    assert done.returncode == code
    for text in says:
        assert text in (done.stdout if code == 0 else done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith("set()\n")


@pytest.mark.parametrize(
    "words",
    ["explain CLIP --toward=spoof", "explain --toward=spoof CLIP"],
)
def test_a_word_after_a_command_is_its_input(words):
    clip = "my clip.mp4"
    argv = ["nasfas", *(clip if word == "CLIP" else word for word in words.split())]
    values = flags.FlagValues()
    assert parsing.parse(argv, values) == ["nasfas", "explain"]
    assert parsing.given("explain", values) == {"input": clip, "toward": "spoof"}
    for more in (
        [*argv, "b.mp4"],
        [*argv[:2], "b.mp4", *argv[2:]],
        [*argv, "--input=b"],
    ):
        with pytest.raises(InputError, match="expected one input and flags after expl"):
            parsing.parse(more, flags.FlagValues())


def test_a_reader_that_stops_early_is_no_error():
    line = (
        f"{sys.executable} -m nasfas_jax.main train --help | head -1; echo $PIPESTATUS"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = ["bash", "-c", line]
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[0] == "usage: nasfas train [--FLAG=VALUE ...]"
    assert done.stdout.split()[-1] in ("0", "141")  # 0 if all was written in time
    assert not done.stderr


def test_metrics_do_not_import_pytorch(tmp_path):
    """TensorBoard's writer imports it where it is installed."""
    (tmp_path / "torch.py").write_text("raise RuntimeError('PyTorch was imported')")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = program(code="import nasfas_jax.runtime", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert "tensorboardX" in done.stderr and "'torch'" not in done.stderr


def test_an_installed_program_has_its_default_config(tmp_path):
    """From a wheel, outside the checkout."""
    pytest.importorskip("setuptools", "77")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("nasfas_jax", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps"]
    pip += ["--no-build-isolation", "--no-index", "-w", str(tmp_path), str(tmp_path)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    done = program("data", PYTHONPATH=str(tmp_path / "installed"))
    assert "no command 'data'. Did you mean data" in done.stderr


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("--workdir=~/x", "--workdir=HOME/x"),
        ("-config=~/c.py:smoke", "-config=HOME/c.py:smoke"),
        ("--input=~/a.csv,~/b.csv+~/c.csv", "--input=HOME/a.csv,HOME/b.csv+HOME/c.csv"),
        ("--output=x/~/y~z", "--output=x/~/y~z"),
        ("--rule=~/x", "--rule=~/x"),
        ("~/x", "~/x"),
    ],
)
def test_the_home_folder_is_expanded_in_paths(monkeypatch, word, expanded):
    monkeypatch.setenv("HOME", "/people/ann")
    assert parsing._path(word) == expanded.replace("HOME", "/people/ann")


def test_the_flags_of_a_file_take_its_place(tmp_path):
    """Also in the words that parts of a sweep and jobs are given."""
    file = tmp_path / "cluster.flags"
    file.write_text("# a cluster\n--config=rfmeta:smoke\n--gpus=8\n")
    argv = ["nasfas", "launch", f"--flagfile={file}", "--nodes=2"]
    given = ["--config=rfmeta:smoke", "--gpus=8", "--nodes=2"]
    assert parsing.expanded(argv) == ["nasfas", "launch", *given]
    with pytest.raises(InputError, match=r"--flagfile: expected a file with a flag on"):
        parsing.expanded(["nasfas", "launch", "--flagfile=none"])


def test_a_work_directory_in_the_home_folder(tmp_path):
    words = "predict", "--workdir=~/run", "--input=~/no.mp4"
    home = {"HOME": str(tmp_path)}
    done = program(*words, **home)
    assert done.returncode == 2 and f"no file {tmp_path}/no.mp4" in done.stderr


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_flags_are_the_parameters_of_the_command(name):
    """Those that replace fields of a config are put into it; processes start before it."""
    module, _, which = name.partition(" ")
    module = importlib.import_module(f"nasfas_jax.commands.{module}")
    parameters = inspect.signature(getattr(module, f"run_{which}" if which else "run"))
    names = set(parameters.parameters)
    if "of_prepare" in names:
        of_prepare = inspect.signature(prepare.run).parameters
        names = (names | set(of_prepare)) - {"of_prepare"}
    if "of_job" in names:
        of_job = {field.name for field in dataclasses.fields(launch.Job)}
        names = (names | of_job) - {"of_job"}
    flags = set(commands.COMMANDS[name].flags)
    if "config" in flags:
        flags -= {"dataset", "protocol"}
    assert flags <= set(commands.FLAGS)
    if set(commands.PROCESSES) <= flags:
        flags -= set(commands.PROCESSES)
    assert flags == names
    inspect.signature(commands.execute).bind(name, **dict.fromkeys(flags))


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_help_shows_flags_defaults_and_an_example(name):
    text = usage.text(name)
    assert f"usage: nasfas {name} " in text and f"example: nasfas {name} " in text
    for flag in commands.COMMANDS[name].flags:
        assert f"--{flag} " in text
    if commands.COMMANDS[name].needs:
        assert "--config.seed=0" in text


def test_help_names_the_fields_of_sections():
    text = usage.text("search")
    assert "--config.search.steps=100\n" in text and "search steps" in text
    assert "--config.search.space_options.pool=max" in text
    assert "config.train." not in text


def documented():
    """The command lines of the README, the pages, the configs and the examples."""
    texts = [path.read_text(encoding="utf-8") for path in PAGES]
    lines = "\n".join(texts).replace("\\\n", " ").splitlines()
    found = [line.partition(" # ")[0].strip() for line in lines]
    found = [line for line in found if re.match(r"nasfas [a-z]+( |$)", line)]
    examples = [
        f"nasfas {name} {row.example}" for name, row in commands.COMMANDS.items()
    ]
    shown = [line for line in found if not re.search(r"\$|\.\.\.|COMMAND", line)]
    return sorted({*shown, *examples})


PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "configs").glob("*"),
]
PAGES = [path for path in PAGES if path.is_file()]


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
@pytest.mark.parametrize("line", documented())
def test_documented_commands_have_these_flags(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    values = flags.FlagValues()
    argv = shlex.split(line)
    assert parsing.parse(argv, values)[1] in commands.COMMANDS
    parsing.given(parsing.words(argv), values)


def test_installed_configs_are_found_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in ("rfmeta:smoke", "rfmeta.py:smoke", "configs/rfmeta.py:smoke"):
        word = parsing._path(f"--config={given}")
        assert word == f"--config={commands.CONFIGS / 'rfmeta.py'}:smoke"
    (tmp_path / "rfmeta.py").touch()  # a file of the user's comes first
    assert parsing._path("--config=rfmeta.py:x") == "--config=rfmeta.py:x"
    assert parsing._path("--config=other:x") == "--config=other:x"


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_ends_the_program_while_c_code_runs(name, code):
    """As XLA's compiler, which calls no Python for minutes."""
    code_of_child = f"""
import hashlib, os, signal, sys, threading
from nasfas_jax import commands, main

def execute(command, **flags):
    kill = lambda: os.kill(os.getpid(), signal.{name})
    threading.Timer(0.2, kill).start()
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 10**9)

commands.execute = execute
sys.argv = ["nasfas", "train"]
main.run()
"""
    done = run_code(code_of_child, timeout=120)
    assert done.returncode == code
    assert f"stopped by {name}" in done.stderr and "Traceback" not in done.stderr


def test_a_signal_after_the_first_step_saves_it(tmp_path):
    code_of_child = f"""
import os, pathlib, signal, sys
import jax.numpy as jnp
from nasfas_jax import commands, main, runtime

class Batches:
    count = 0
    get_state = lambda self: {{}}
    def __next__(self):
        self.count += 1
        if self.count == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return {{"x": jnp.ones(1)}}

def execute(command, **flags):
    step = lambda state, batch: ({{"x": state["x"] + batch["x"]}}, {{"loss": 0.0}})
    folder = pathlib.Path({str(tmp_path)!r})
    runtime.fit("test", step, {{"x": jnp.ones(1)}}, Batches(), steps=9, folder=folder)

commands.execute = execute
sys.argv = ["nasfas", "train"]
main.run()
"""
    done = run_code(code_of_child)
    assert done.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM after step 3 of 9" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "checkpoints" / "3").is_dir()


def run_code(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def needed(name, extra=""):
    """Distributions that one needs for an extra, and without one, in turn."""
    found, new = set(), {name}
    while new:
        found |= new
        texts = [text for one in new for text in metadata.requires(one) or ()]
        new = {
            canonicalize_name(one.name)
            for one in map(Requirement, texts)
            if not one.marker or one.marker.evaluate({"extra": extra})
        }
        new = {one for one in new - found if not skipped(one)}
        extra = ""
    return found


def skipped(name):
    """Whether a distribution is not installed, as one of another platform."""
    return next(metadata.Distribution.discover(name=name), None) is None


def test_commands_load_without_the_packages_of_any_extra():
    """Their functions name what is missing; a module that imports it would not."""
    extras = metadata.metadata("nasfas_jax").get_all("Provides-Extra")
    optional = set().union(*(needed("nasfas-jax", extra) for extra in extras))
    optional -= needed("nasfas-jax")
    owners = metadata.packages_distributions().items()
    absent = [name for name, of in owners if {*map(canonicalize_name, of)} <= optional]
    assert {"onnx", "fastapi"} <= {*absent}
    code = f"""
import importlib, pkgutil, sys
from nasfas_jax import commands
sys.modules |= dict.fromkeys({absent!r})
for one in pkgutil.iter_modules(commands.__path__):
    importlib.import_module(f"nasfas_jax.commands.{{one.name}}")
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
