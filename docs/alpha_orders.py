"""Orders of the alphas' derivative during a search, compared with the exact one.

    python docs/alpha_orders.py runs/local/data [--steps 0,5,20,60,100]

A first-order search with the settings of `configs/synthetic.py:local`, alphas updated from
step 0 on and without a cost term, visits the states. The table in docs/meta_gradients.md is
what this printed.
"""

import argparse
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

import nasfas_jax as nf
from nasfas_jax.benchmarks.instrument import compare
from nasfas_jax.compilation import run_once
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.loading.views import View
from nasfas_jax.workflows import searchers

SOURCES = ("dom_c", "dom_i", "dom_o")
WIDTHS = {"stem_channels": 4, "channels": 8, "head_channels": 8, "partial": 4}
ORDERS = ("first", "second", "exact")
#: Episodes on which the derivatives of a state are compared.
EPISODES = 2


def derivatives(data: Any, steps: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Derivatives by the alphas of each order on an episode, at the states after steps."""
    space = nf.spaces.get("nas_fas", convolution="conv", pool="max", **WIDTHS)
    settings = searchers.settings_of(
        "meta_nas",
        **{"weight_order": "first", "arch_order": "first", "alphas_from": 0},
        **{"alpha_learning_rate": 0.1, "alpha_weight_decay": 0.0},
    )
    method = settings.make_method(space, steps=max(steps))

    def draw(seed: int) -> Any:
        view = View(input="static")
        return pipeline.episodes(
            data, domains=SOURCES, batch_size=4, seed=seed, view=view
        )

    batches, others = draw(0), draw(1)
    batch = next(batches)
    state = run_once(method.init, jax.random.key(0), batch["query"]["image"][:1])
    step = jax.jit(method.step)
    by_order = {
        order: jax.jit(
            dataclasses.replace(
                method, weight_order="exact", arch_order=order
            ).alpha_gradient
        )
        for order in ORDERS
    }
    for count in range(max(steps) + 1):
        if count in steps:
            for _ in range(EPISODES):
                episode = next(others)
                yield (
                    count,
                    {
                        order: jax.device_get(gradient(state, episode)[1])
                        for order, gradient in by_order.items()
                    },
                )
        state, _ = step(state, batch)
        batch = next(batches)


def row(count: int, found: dict[str, Any]) -> list[str]:
    """Agreement of both orders with the exact derivative, and its indirect part."""
    direct, exact = found["first"], found["exact"]

    def indirect(order: str) -> Any:
        return jax.tree.map(np.subtract, found[order], direct)

    share = compare(indirect("exact"), direct)[1]
    cosines = [compare(direct, exact)[0], *compare(found["second"], exact)]
    alone = compare(indirect("second"), indirect("exact"))[0]
    first, second, ratio = cosines
    shown = [f"{first:.4f}", f"{second:.4f} / {ratio:.2f}", f"{100 * share:.0f}"]
    return [str(count), *shown, f"{alone:.2f}"]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Orders of the alphas' derivative.")
    parser.add_argument("data", help="prepared synthetic set")
    parser.add_argument("--steps", default="0,5,20,60,100")
    given = parser.parse_args()
    steps = [int(step) for step in given.steps.split(",")]
    print("| after steps | `first` | `second` | indirect part, % | its cosine |")
    print("| --- | --- | --- | --- | --- |")
    for count, found in derivatives(nf.open_data(given.data), steps):
        print(f"| {' | '.join(row(count, found))} |", flush=True)


if __name__ == "__main__":
    main()
