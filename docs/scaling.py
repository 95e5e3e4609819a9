"""Weak and strong scaling of a training step over TPU slices, by `nf.plan_training`.

    JAX_PLATFORMS=cpu python docs/scaling.py [--chips 1,4,16,64,256] [--width 1]

CDN on 256 x 256 pixels and v5e: 4 clips a chip (weak), and 256 clips in all (strong).
Nothing is executed; each size is compiled for its topology, at full width for minutes.
Figures are kept in docs/results/scaling.json, from which a repeated call goes on, and drawn
to docs/scaling.svg. They are published peak rates over counts, not measurements.
"""

import argparse
import json
import pathlib
from typing import Any

from matplotlib.figure import Figure

import nasfas_jax as nf
from nasfas_jax import files
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.report import picture

DOCS = pathlib.Path(__file__).parent
RESULTS = DOCS / "results" / "scaling.json"
TOPOLOGIES = {1: "1x1", 4: "2x2", 16: "4x4", 64: "8x8", 256: "16x16"}
PER_CHIP, TOTAL = 4, 256
RESOURCES = ("compute", "memory", "interconnect")


def figures(chips: int, batch_size: int, width: float) -> dict[str, Any]:
    """Seconds by resource, and bytes, of one device in a step."""
    plan = nf.plan_training(
        nf.nets.build("cdn", width=width),
        Recipe(image_size=256),
        batch_size=batch_size,
        topology=f"v5e:{TOPOLOGIES[chips]}",
        compute="bfloat16",  # as synthetic:pod trains
        modes=[],
    )
    assert plan.memory is not None
    return {
        "chips": chips,
        "batch_size": batch_size,
        "width": width,
        **plan.seconds,
        "memory_bytes": plan.memory.total,
        "traffic_bytes": sum(size for _, size in plan.traffic().values()),
    }


def measured(chips: list[int], width: float) -> dict[str, dict[str, Any]]:
    """Figures by chips and batch, of earlier calls and of this one."""
    known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    sizes = [(n, PER_CHIP * n) for n in chips]
    sizes += [(n, TOTAL) for n in chips if n >= TOTAL // 64]  # fewer lack the memory
    for n, batch_size in sizes:
        name = f"{n} chips, {batch_size} clips, width {width:g}"
        if name not in known:
            known[name] = figures(n, batch_size, width)
            files.write_json(RESULTS, known)
            print(name, known[name], flush=True)
    return {k: x for k, x in known.items() if x["width"] == width}


def draw(known: dict[str, dict[str, Any]]) -> picture.Picture:
    """Estimated least seconds over chips, by resource."""
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    chosen = {
        f"weak: {PER_CHIP} clips a chip": lambda x: (
            x["batch_size"] == PER_CHIP * x["chips"]
        ),
        f"strong: {TOTAL} clips": lambda x: x["batch_size"] == TOTAL,
    }
    for axes, (title, belongs) in zip(
        figure.subplots(1, 2, sharey=True), chosen.items(), strict=True
    ):
        rows = sorted(filter(belongs, known.values()), key=lambda x: x["chips"])
        chips = [x["chips"] for x in rows]
        for resource, color in zip(RESOURCES, picture.SERIES, strict=False):
            seconds = [1e3 * x[resource] or float("nan") for x in rows]
            axes.loglog(chips, seconds, "o-", color=color, label=resource)
        axes.set(title=title, xlabel="chips (v5e)")
        axes.set_xticks(chips, map(str, chips))
        axes.minorticks_off()
    figure.axes[0].set_ylabel("least ms a step")
    figure.axes[0].legend(frameon=False)
    return picture.finish(figure, "svg", "Estimated times of a step over chips")


def main() -> None:
    """Compiles what is missing and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chips", default=",".join(map(str, TOPOLOGIES)))
    parser.add_argument("--width", type=float, default=1.0)
    given = parser.parse_args()
    chips = [int(n) for n in given.chips.split(",")]
    draw(measured(chips, given.width)).save(DOCS / "scaling.svg")


if __name__ == "__main__":
    main()
