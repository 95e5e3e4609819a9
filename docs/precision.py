"""Rounding of meta-gradients, and cost of a search step, on this machine's device.

    python docs/precision.py [--output FOLDER] [--size 256] [--batch 4] [--repeats 5]

The derivatives of exact steps are computed in float64 and compared with those in each type
of arithmetic that `compute` offers. Then exact and first-order steps of Meta-NAS are timed
at the paper's size of faces. Both are printed, and written to precision.json.
"""

import argparse
import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from nasfas_jax import files
from nasfas_jax.benchmarks import metagrad, search_step, timing
from nasfas_jax.compilation import run_once
from nasfas_jax.methods.state import COMPUTE, computed_in
from nasfas_jax.search import fas


def rounding(case: metagrad.ComparedCase) -> dict[str, dict[str, float]]:
    """Relative errors of the derivatives of an exact step, by type of arithmetic.

    The norm of the difference from float64, over the norm, of the derivatives by all
    weights, and by all alphas.
    """
    method, episode = case.method(), metagrad.draw_episode(case)
    state = run_once(method.init, jax.random.key(0), episode["query"]["image"][:1])
    state = jax.device_get(state)

    def derivatives(compute: str, state: Any, episode: Any) -> dict[str, np.ndarray]:
        """Adam's first moments after one step, multiples of the derivatives."""
        step = jax.jit(computed_in(compute, method.step))
        moments = jax.device_get(case.moments(step(state, episode)[0]))
        groups = moments if isinstance(moments, tuple) else (moments,)
        return {
            name: np.concatenate([np.ravel(x) for x in jax.tree.leaves(group)])
            for name, group in zip(("weights", "alphas"), groups, strict=False)
        }

    with jax.enable_x64(True):
        exact = derivatives("float32", *jax.tree.map(_wide, (state, episode)))
    found = {}
    for compute in COMPUTE:
        rounded = derivatives(compute, state, episode)
        found[compute] = {
            name: float(np.linalg.norm(rounded[name] - x) / np.linalg.norm(x))
            for name, x in exact.items()
        }
    return found


def _wide(x: Any) -> Any:
    floating = np.issubdtype(np.asarray(x).dtype, np.floating)
    return np.asarray(x, np.float64) if floating else x


def main() -> None:
    """Prints and writes the tables."""
    parser = argparse.ArgumentParser(description="Rounding and cost of exact steps.")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("bench"))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {
        "machine": timing.machine("jax"),
        "rounding": {},
        "steps": [],
    }
    for case in metagrad.CASES[1:]:
        found["rounding"][case.name] = rounding(case)
        for compute, errors in found["rounding"][case.name].items():
            shown = ", ".join(
                f"by {name} {error:.1e}" for name, error in errors.items()
            )
            print(f"{case.name}, {case.title}, {compute}: {shown}", flush=True)
    for cost in search_step.step_costs(
        metagrad.MetaNASCase(space=fas.FASSpace()).method(),
        batch_size=given.batch,
        image_size=given.size,
        settings=search_step.SETTINGS[:2],
        repeats=given.repeats,
    ):
        found["steps"].append(dataclasses.asdict(cost))
        print(
            f"{given.size} px, 3 x {given.batch}, weights {cost.weights}, architecture"
            f" {cost.architecture}: {cost.seconds:.3f} s, {cost.peak_bytes / 1e9:.2f} GB,"
            f" compiled in {cost.compile:.0f} s",
            flush=True,
        )
    files.write_json(given.output / "precision.json", found)


if __name__ == "__main__":
    main()
