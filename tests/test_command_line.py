"""Help, wrong commands and flags, exit codes and start-up of the ``nasfas`` program."""

import os
import pathlib
import subprocess
import sys

import pytest

from nasfas_jax import main

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
        ("--help", 0, ["usage: nasfas COMMAND", "data list", "--workdir"]),
        ("-h", 0, ["usage: nasfas COMMAND"]),
        ("search --help", 0, ["usage: nasfas search", "Meta-NAS", "--workdir"]),
        ("serach", 2, ["no command 'serach'. Did you mean search?"]),
        ("data lst", 2, ["no command 'data lst'. Did you mean data list"]),
        ("search --workdr=x", 2, ["no flag --workdr. Did you mean --workdir"]),
        ("", 2, ["usage: nasfas COMMAND"]),
    ],
)
def test_help_and_near_names_need_no_jax(words, code, says):
    done = program(*words.split())
    assert done.returncode == code
    for text in says:
        assert text in (done.stdout if code == 0 else done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith("set()\n")


def test_metrics_do_not_import_pytorch(tmp_path):
    """TensorBoard's writer imports it where it is installed."""
    (tmp_path / "torch.py").write_text("raise RuntimeError('PyTorch was imported')")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = program(code="import nasfas_jax.runtime", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert "tensorboardX" in done.stderr and "'torch'" not in done.stderr


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
    monkeypatch.setenv("HOME", "/home/ann")
    assert main._expand_home(word) == expanded.replace("HOME", "/home/ann")


def test_a_work_directory_in_the_home_folder(tmp_path):
    words = "predict", "--workdir=~/run", "--input=~/no.mp4"
    home = {"HOME": str(tmp_path)}
    done = program(*words, **home)
    assert done.returncode == 2 and f"no file {tmp_path}/no.mp4" in done.stderr
