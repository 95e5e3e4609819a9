"""bilevel by itself: jax and optax are all that it loads."""

import os
import pathlib
import re
import subprocess
import sys

import jax

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "bilevel_alone.md"
#: Prints the packages that an import adds to those of jax and optax, then runs a page.
PROGRAM = """
import sys, jax, optax
before = {name.partition(".")[0] for name in sys.modules}
import nasfas_jax.bilevel
ours = sorted(name for name in sys.modules if name.startswith("nasfas_jax"))
print("ours", *ours)
import nasfas_jax.benchmarks.instrument
from nasfas_jax.benchmarks.gallery import (
    images, label_noise, learned_optimizer, operations, penalties, sinusoids
)
after = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
print("added", *sorted(after - before - {"nasfas_jax"}))
for name in ("flax", "cv2", "grain", "orbax", "tensorflow_datasets", "matplotlib"):
    sys.modules[name] = None  # importing it is an error from here on
exec(sys.stdin.read())
"""


def test_only_jax_and_optax_are_loaded():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=block,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines()[:1])
    assert all(
        name == "nasfas_jax" or name.startswith("nasfas_jax.bilevel")
        for name in lines["ours"].split()
    )
    added, shown = done.stdout.splitlines()[1:]
    assert added == "added"  # nothing
    assert "nan" not in shown and shown.count("[") == 1


def test_the_page_of_modes_prints_what_it_states(capsys):
    text = (ROOT / "docs" / "which_mode.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.S)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        exec(block, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(f"    {line}\n" in text for line in lines)
