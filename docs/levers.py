"""Levers of a search one by one: how far it decides, and how far its seeds agree.

    python docs/levers.py runs/local/data [--seeds 3] [--only SUBSTRING]

The base is the search of `configs/synthetic.py:local` at first order, with dom_m unseen; each
row changes one setting. The table in docs/levers.md is what this printed.
"""

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np

import nasfas_jax as nf
from nasfas_jax.data.loading.views import View
from nasfas_jax.workflows.collapse import Choice
from nasfas_jax.workflows.searches import Searches

SPACE = {
    **{"convolution": "conv", "pool": "max", "attention": True},
    **{"stem_channels": 4, "channels": 8, "head_channels": 8, "partial": 4},
}
BASE = {
    **{"steps": 100, "alphas_from": 20, "batch_size": 4, "log_every": 50},
    **{"alpha_learning_rate": 0.1, "alpha_weight_decay": 0.0, "cost_weight": 0.1},
    **{"weight_order": "first", "arch_order": "first"},
}
EXACT = {"weight_order": "exact", "arch_order": "exact"}
#: Settings that differ from the base, by lever; those of the space by "space".
LEVERS: Mapping[str, Mapping[str, Any]] = {
    "base: first order": {},
    "exact": EXACT,
    "second order (`arch_order`)": {**EXACT, "arch_order": "second"},
    "first order, exact from step 60": {**EXACT, "exact_from": 60},
    "400 steps": {"steps": 400, "alphas_from": 80},
    "no warm-up": {"alphas_from": 0},
    "80 more steps of warm-up": {"steps": 180, "alphas_from": 100},
    "batches of 16": {"batch_size": 16},
    "4 episodes a step": {"episodes": 4},
    "alpha rate 0.02": {"alpha_learning_rate": 0.02},
    "alpha momentum 0.9": {"alpha_momentum": 0.9},
    "alpha L2 0.001": {"alpha_weight_decay": 1e-3},
    "cost weight 0": {"cost_weight": 0.0},
    "cost weight 0.05": {"cost_weight": 0.05},
    "cost weight 0.2": {"cost_weight": 0.2},
    "all channels (K = 1)": {"space": {"partial": 1}},
    "shared alphas": {"shared_alphas": True},
    "sampled paths, temperature 1": {"sample_temperature": 1.0},
}
HEADER = [
    *("lever", "entropy: low, mid, high", "skips, %", "cost, %"),
    *("equal operations, %", "search, s"),
]


def search(data: Any, lever: Mapping[str, Any], seeds: int) -> Searches:
    """The searches of a lever with dom_m unseen."""
    own = dict(lever)
    space = nf.spaces.get("nas_fas", **{**SPACE, **own.pop("space", {})})
    settings: dict[str, Any] = {**BASE, **own}
    view = View(input="static")
    return nf.search_several(
        data, space, seeds=seeds, target="dom_m", view=view, **settings
    )


def row(name: str, several: Searches) -> list[str]:
    """Means over seeds: entropies, skips and relative cost, agreement of pairs, seconds."""
    found = several.found
    choices = [Choice.of_alphas(one.space, one.alphas) for one in found]
    entropies = [
        np.mean([choice.entropy[cell] for choice in choices])
        for cell in found[0].genotype.space.cells
    ]
    skips = np.mean([choice.skip_share for choice in choices])
    costs = np.mean([one.metrics[-1]["relative_cost"] for one in found])
    equal = np.mean([pair.operations for pair in several.agreements.values()])
    return [
        name,
        ", ".join(f"{entropy:.2f}" for entropy in entropies),
        f"{100 * skips:.0f}",
        f"{100 * costs:.1f}",
        f"{100 * equal:.0f}",
        f"{np.mean([one.seconds for one in found]):.0f}",
    ]


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    chosen = [name for name in LEVERS if arguments.only in name]
    print("| " + " | ".join(HEADER) + " |\n" + "|---" * len(HEADER) + "|")
    data = nf.open_data(arguments.data)
    for name in chosen:
        line = row(name, search(data, LEVERS[name], arguments.seeds))
        print("| " + " | ".join(line) + " |", flush=True)


if __name__ == "__main__":
    main()
