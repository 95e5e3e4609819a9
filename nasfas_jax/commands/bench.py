"""``nasfas bench``: our operations beside their PyTorch peers, in one run.

Each benchmark checks first that both sides compute the same, then times them by turns
and reports medians and their ratio: load and heat of the machine fall on both alike.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rich
from jax import Array
from rich.table import Table

from nasfas_jax import nets
from nasfas_jax.commands import bench_data, bench_metagrad, bench_search
from nasfas_jax.commands.run import Run
from nasfas_jax.commands.timing import by_turns, check, machine, require_torch
from nasfas_jax.errors import InputError
from nasfas_jax.files import write_json

#: Sizes of the CDN benchmark: side of the image and batch.
CDN_CASES = ((256, 1), (64, 8))


def run(run: Run) -> None:
    """Costs of the config's search step, of data, then all benchmarks beside PyTorch.

    Writes ``search_step.json``, ``data.json`` and ``peers.json`` to ``--output``, or to
    ``bench/`` in ``--workdir`` or in the current folder.
    """
    folder = run.output_folder("bench")
    table = Table(title="One Meta-NAS step")
    for name in ("weights", "architecture", "mode", "s", "compile, s", "peak, MB"):
        table.add_column(name)
    costs = []
    for cost in bench_search.step_costs(run.config.search, run.config.data.image_size):
        rich.print(cost)
        costs.append(dataclasses.asdict(cost))
        table.add_row(
            cost.weights,
            cost.architecture,
            cost.mode,
            f"{cost.seconds:.2f}",
            f"{cost.compile:.1f}",
            f"{cost.peak_bytes / 1e6:.0f}",
        )
    rich.print(table)
    write_json(folder / "search_step.json", {"steps": costs})
    bench_data.report(run, folder)
    bench(output=folder / "peers.json")
    print(f"wrote search_step.json, data.json and peers.json in {folder}")


def run_metagrad(run: Run) -> None:
    """RFMeta's and Meta-NAS's exact steps beside PyTorch: seconds and peak memory.

    Writes ``metagrad.json`` to the same folder as `run`.
    """
    folder = run.output_folder("bench")
    bench_metagrad.bench(output=folder / "metagrad.json")
    print(f"wrote {folder / 'metagrad.json'}")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table; times in seconds, medians over the runs."""

    benchmark: str
    case: str
    ours: float
    peer: float
    compile: float  # tracing and compiling our side

    @property
    def ratio(self) -> float:
        """Our time over the peer's: below 1 is faster."""
        return self.ours / self.peer


def compiled(function: Callable, *arguments: Any) -> tuple[Callable, float]:
    """The program, which returns when its results are there, and its compile time."""
    start = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    seconds = time.perf_counter() - start
    return lambda *arguments: jax.block_until_ready(program(*arguments)), seconds


def cdn(repeats: int, cases: tuple[tuple[int, int], ...] = CDN_CASES) -> Iterator[Row]:
    """CDN with CDC and max pooling, against two-convolution CDC in PyTorch.

    Forward in evaluation, and the gradient of a loss by all parameters in training.
    """
    for size, batch in cases:
        yield from _cdn_case(repeats, size, batch)


def _cdn_case(repeats: int, size: int, batch: int) -> Iterator[Row]:
    from nasfas_jax.commands.peers import TorchCDN

    case = f"{size} x {size}, batch {batch}"
    net = nets.CDN(pool="max")
    pixels = np.random.default_rng(0).normal(size=(batch, size, size, 3))
    x = jnp.asarray(pixels, jnp.float32)
    variables = jax.jit(lambda x: net.init(jax.random.key(0), x, train=False))(x)
    peer = TorchCDN()
    peer.load(variables["params"])
    images = peer.images(pixels)

    def predict(variables: Any, x: Array) -> Any:
        return net.apply(variables, x, train=False)

    def loss(params: Any, stats: Any, x: Array) -> Array:
        variables = {"params": params, "batch_stats": stats}
        maps, _ = net.apply(variables, x, train=True, mutable=["batch_stats"])
        return jnp.square(maps).mean()

    forward, seconds = compiled(predict, variables, x)
    check(f"CDN at {case}", forward(variables, x), peer.predict(images), 1e-4)
    times = by_turns(
        lambda: forward(variables, x), lambda: peer.predict(images), repeats
    )
    yield Row("CDN forward", case, *times, seconds)

    state = variables["params"], variables["batch_stats"], x
    gradient, seconds = compiled(jax.grad(loss), *state)
    kernels = gradient(*state)
    for i, theirs in enumerate(peer.gradients(images)):
        # In float32 rounding moves pixels over the kinks of ReLU and maximum, on both
        # sides alike; in float64 the two agree to 1e-13.
        ours = kernels[f"ConvBlock_{i}"]["kernel"]
        check(f"gradient of kernel {i} at {case}", ours, theirs, 0.1)
    times = by_turns(lambda: gradient(*state), lambda: peer.gradients(images), repeats)
    yield Row("CDN forward + backward", case, *times, seconds)


#: Every benchmark by name: a function of the number of runs that yields rows.
BENCHMARKS: dict[str, Callable[[int], Iterator[Row]]] = {"cdn": cdn}


def bench(
    names: tuple[str, ...] = (),
    *,
    repeats: int = 7,
    output: str | os.PathLike[str] | None = None,
) -> list[Row]:
    """Runs benchmarks, prints a table and writes the numbers as JSON.

    Args:
      names: of `BENCHMARKS`; all of them if empty.
      repeats: timed runs of each side.
      output: path of the JSON file; none is written without it.

    Raises:
      InputError: an unknown name, or PyTorch is not installed.
    """
    for name in names:
        if name not in BENCHMARKS:
            raise InputError(
                f"There is no benchmark {name!r}. Choose from: {', '.join(BENCHMARKS)}."
            )
    require_torch()
    rows = []
    for name in names or BENCHMARKS:
        for row in BENCHMARKS[name](repeats):
            rich.print(f"{row.benchmark}, {row.case}: ratio {row.ratio:.2f}")
            rows.append(row)
    _print(rows)
    if output is not None:
        result = {"machine": machine(), "repeats": repeats}
        result["rows"] = [
            dataclasses.asdict(row) | {"ratio": row.ratio} for row in rows
        ]
        write_json(output, result)
    return rows


def _print(rows: list[Row]) -> None:
    table = Table(title="Medians of alternated runs; ratio = ours / PyTorch")
    for name in ("benchmark", "case"):
        table.add_column(name)
    for name in ("ours, s", "PyTorch, s", "ratio", "our compiling, s"):
        table.add_column(name, justify="right")
    for row in rows:
        numbers = [row.ours, row.peer, row.ratio, row.compile]
        table.add_row(row.benchmark, row.case, *(f"{n:.2f}" for n in numbers))
    rich.print(table)
