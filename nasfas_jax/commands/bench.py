"""``nasfas bench``: costs of search and data, and our steps compared with PyTorch's.

Both sides of a comparison are timed in turn, so that load and heat of the machine affect
both alike.
"""

import dataclasses
import pathlib
import tempfile
from typing import Any

import rich
from rich.console import Console
from rich.table import Table

from nasfas_jax import extras, limits, nets
from nasfas_jax.benchmarks import (
    cdn,
    curves,
    data,
    eulernet,
    metagrad,
    predict,
    processes,
    search_step,
    timing,
)
from nasfas_jax.benchmarks import kills as of_kills
from nasfas_jax.benchmarks import search as of_search
from nasfas_jax.benchmarks.gallery import compare as gallery
from nasfas_jax.commands import search, settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.data.preparation import faces
from nasfas_jax.files import write_json
from nasfas_jax.methods.state import adam, schedule
from nasfas_jax.workflows import registry

REPEATS = 7  # timed runs of each side
EVERY = (1, 5)  # frames from one detection to the next


def run(config: Any, *, output: Path = "bench") -> None:
    """Measures the config's search step and data, then compares CDN with PyTorch's.

    Writes ``search_step.json``, ``data.json`` and ``peers.json`` to ``output``.
    """
    timing.require_torch()  # before minutes of measurements without it
    folder = settings.make_folder(output, "--output")
    steps = []
    for cost in search_step.step_costs(
        search.make_method(config.search),
        batch_size=config.search.batch_size,
        image_size=config.data.image_size,
    ):
        rich.print(
            f"weights {cost.weights}, architecture {cost.architecture}, {cost.mode}:"
            f" {cost.seconds:.2f} s a step, {cost.compile:.1f} s to compile"
        )
        steps.append(cost)
    rich.print(step_table(steps))
    entries = [dataclasses.asdict(cost) for cost in steps]
    write_json(folder / "search_step.json", {"steps": entries})

    costs = _data_costs(config.train)
    rich.print(preparing_table(costs.preparing))
    rich.print(data_summary(costs))
    loading = dataclasses.asdict(costs.loading) | {"ratio": costs.loading.ratio}
    preparing = [dataclasses.asdict(row) for row in costs.preparing]
    found = {"loading": loading, "memory": costs.memory, "preparing": preparing}
    write_json(folder / "data.json", found)

    rows = []
    for row in cdn.rows(REPEATS):
        rich.print(f"{row.benchmark}, {row.case}: ratio {row.ratio:.2f}")
        rows.append(row)
    rich.print(cdn_table(rows))
    entries = [dataclasses.asdict(row) | {"ratio": row.ratio} for row in rows]
    write_json(folder / "peers.json", _result(entries, "torch"))
    print(f"wrote search_step.json, data.json and peers.json in {folder}")


def run_metagrad(*, output: Path = "bench") -> None:
    """Compares exact steps of RFMeta and Meta-NAS with PyTorch's, in time and memory.

    Writes ``metagrad.json`` to ``output``.
    """
    folder = settings.make_folder(output, "--output")
    rows = []
    for case in metagrad.CASES:
        for row in metagrad.rows(case, REPEATS):
            rich.print(row)
            rows.append(row)
    Console(width=140).print(metagrad_table(rows))
    entries = [dataclasses.asdict(row) | {"ratios": row.ratios} for row in rows]
    write_json(folder / "metagrad.json", _result(entries, "torch"))
    print(f"wrote {folder / 'metagrad.json'}")


def run_gallery(*, output: Path = "bench") -> None:
    """Compares the gallery of bilevel problems with the libraries that are installed.

    Writes ``gallery.json`` to ``output``.
    """
    folder = settings.make_folder(output, "--output")
    rows = []
    for case in gallery.CASES:
        for row in gallery.rows(case, REPEATS):
            rich.print(row)
            rows.append(row)
    Console(width=140).print(gallery_table(rows))
    memory = dict(gallery.memory_by_steps())
    rich.print(steps_table(memory))
    entries = [dataclasses.asdict(row) | {"ratios": row.ratios} for row in rows]
    versions = [name for name in gallery.PACKAGES if gallery.installed(name)]
    machine = timing.machine("jax", *versions)
    found = {"machine": machine, "repeats": REPEATS, "rows": entries}
    found["memory"] = {"steps": gallery.COUNTS, "bytes": memory}
    write_json(folder / "gallery.json", found)
    print(f"wrote {folder / 'gallery.json'}")


def run_search(*, output: Path = "bench") -> None:
    """Compares steps of DARTS on three supernets with PyTorch's, then larger ones.

    Writes ``search.json`` and ``search_growth.svg`` to ``output``.
    """
    timing.require_torch()
    folder = settings.make_folder(output, "--output")
    rows = []
    for case in of_search.CASES:
        for row in of_search.rows(case):
            rich.print(row)
            rows.append(row)
    Console(width=140).print(search_table(rows))
    grown = []
    for one in of_search.growth():
        rich.print(one)
        grown.append(one)
    found = _result(
        [dataclasses.asdict(row) | {"ratios": row.ratios} for row in rows], "torch"
    )
    found["growth"] = [dataclasses.asdict(one) for one in grown]
    write_json(folder / "search.json", found)
    curves.growth(grown).save(folder / "search_growth.svg")
    print(f"wrote search.json and search_growth.svg in {folder}")


def run_eulernet(*, output: Path = "bench") -> None:
    """Compares EulerNet with PyTorch's, and the filter as a scan and an associative scan.

    Writes ``eulernet.json`` to ``output``.
    """
    timing.require_torch()
    folder = settings.make_folder(output, "--output")
    filters = list(eulernet.filter_times(REPEATS))
    rich.print(filter_table(filters))
    rows = []
    for case in eulernet.CASES:
        for row in eulernet.rows(case, REPEATS):
            rich.print(f"{row.benchmark}, {row.case}: ratio {row.ratio:.2f}")
            rows.append(row)
    rich.print(cdn_table(rows))
    entries = [dataclasses.asdict(row) | {"ratio": row.ratio} for row in rows]
    found = _result(entries, "torch") | {
        "filters": [dataclasses.asdict(row) for row in filters]
    }
    write_json(folder / "eulernet.json", found)
    print(f"wrote {folder / 'eulernet.json'}")


def run_kills(*, output: Path = "bench", kills: str | int = 50) -> None:
    """Kills a search at random moments and compares; prints how many it survived.

    Writes ``kills.json`` to ``output``.

    Raises:
      InputError: a run that ended otherwise than the undisturbed one.
    """
    count = int(kills) if str(kills).isdigit() else kills
    limits.require(kills=(count, limits.COUNT))
    folder = settings.make_folder(output, "--output")
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        processes.prepare_data(root)
        found = of_kills.survive(
            processes.command, root, kills=int(count), save_every=processes.SAVE_EVERY
        )
    write_json(folder / "kills.json", _result([dataclasses.asdict(found)]))
    kills = f"{found.kills} kill{'s' * (found.kills > 1)}"
    runs = f"{found.runs} run{'s' * (found.runs > 1)}"
    print(
        f"{kills} survived, {found.saving} of them while a checkpoint was written; {runs}"
        f" ended like the undisturbed one, bit for bit; at most {found.lost} steps were lost"
        f" at once\nwrote {folder / 'kills.json'}"
    )


def run_processes(*, output: Path = "bench") -> None:
    """Times steps on one and two processes, checkpoints, input and a warm start.

    Writes ``processes.json`` to ``output``.
    """
    folder = settings.make_folder(output, "--output")
    with tempfile.TemporaryDirectory() as temporary:
        found = processes.measure(pathlib.Path(temporary))
    rows = dataclasses.asdict(found) | {
        "overhead": found.overhead,
        "exchange": found.exchange,
        "divided_overhead": found.divided_overhead,
    }
    write_json(folder / "processes.json", _result([rows]))
    print(
        f"a step of two episodes: {1e3 * found.one:.0f} ms in one process on one core,"
        f" {1e3 * found.two:.0f} ms in two with an episode each"
        f" ({100 * found.overhead:+.0f} % of half), {1e3 * found.divided:.0f} ms in two that"
        f" divide each episode ({100 * found.divided_overhead:+.0f} %)\na step of one"
        f" episode in each of two searches side by side: {1e3 * found.apart:.0f} ms, which"
        f" the exchange prolongs by {100 * found.exchange:.0f} %\ncheckpoints:"
        f" {100 * found.stall:.1f} % of the time of steps, one in {processes.SAVE_EVERY}"
        f"\nwaiting for batches: {100 * found.wait:.1f} %\nfirst step after"
        f" {found.start:.1f} s with a warm cache\nwrote {folder / 'processes.json'}"
    )


def run_predict(
    *,
    output: Path = "bench",
    input: Path | None = None,
    face_model: Path | None = None,
) -> None:
    """Times networks in JAX, ONNX Runtime and PyTorch, a folded CDN, and a video.

    Writes ``predict.json`` to ``output``. Without ``input``, no video is watched.
    """
    timing.require_torch()
    extras.require("export", "onnx", "onnxruntime")
    folder = settings.make_folder(output, "--output")
    speeds = []
    if input is not None:
        detector = settings.detector(face_model) or faces.Haar()
        for every in EVERY:
            speeds.append(predict.speed(input, detector, every=every))
            rich.print(speeds[-1], f"{speeds[-1].rate:.1f} frames/s")
    folded = predict.folding(REPEATS)
    rich.print(folded, f"ratio {folded.ratio:.2f}")
    rows = []
    for row in predict.latencies(REPEATS):
        rich.print(row)
        rows.append(row)
    found = _result([dataclasses.asdict(row) for row in rows], "torch")
    found["folding"] = dataclasses.asdict(folded) | {"ratio": folded.ratio}
    found["speed"] = [dataclasses.asdict(one) | {"rate": one.rate} for one in speeds]
    write_json(folder / "predict.json", found)
    print(f"wrote {folder / 'predict.json'}")


def _data_costs(config: Any) -> data.Costs:
    rate = schedule(config.decay, config.learning_rate, steps=config.steps)
    description = nets.describe("cdn", width=config.width, map_size=config.map_size)
    return data.costs(
        registry.make_method(description, adam(rate, weight_decay=config.weight_decay)),
        batch_size=config.batch_size,
        augment=config.augment,
        map_size=config.map_size,
    )


def _result(rows: list[dict], *peers: str) -> dict:
    machine = timing.machine("jax", *peers)
    return {"machine": machine, "repeats": REPEATS, "rows": rows}


def step_table(costs: list[search_step.StepCost]) -> Table:
    """Cost of a search step for each setting."""
    table = Table(title="One Meta-NAS step")
    numbers = ("s", "compile, s", "peak, MB", "cosine", "norm ratio")
    for name in ("weights", "architecture", "mode", *numbers):
        table.add_column(name)
    for cost in costs:
        table.add_row(
            cost.weights,
            cost.architecture,
            cost.mode,
            f"{cost.seconds:.2f}",
            f"{cost.compile:.1f}",
            f"{cost.peak_bytes / 1e6:.0f}",
            f"{cost.cosine:.4f}",
            f"{cost.norm_ratio:.3g}",
        )
    return table


def preparing_table(rows: list[data.Preparing]) -> Table:
    """Times of preparing and decoding, with processor time in brackets."""
    title = "Preparing and decoding: medians, processor time in brackets"
    table = Table(title=title)
    for column in ("videos", "clips/s", "prepare s", "decode s", "ratio"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row.case,
            f"{row.clips_per_second:.0f}",
            f"{row.prepare:.2f} ({row.prepare_cpu:.2f})",
            f"{row.decode:.2f} ({row.decode_cpu:.2f})",
            f"{row.prepare / row.decode:.2f} ({row.ratio:.2f})",
        )
    return table


def data_summary(costs: data.Costs) -> str:
    """Times of loading and training, and peak memory, in two sentences."""
    loading, memory = costs.loading, costs.memory
    few, many = data.MANY
    return (
        f"a batch is loaded in {1e3 * loading.load:.1f} ms; a training step of the CDN"
        f" takes {1e3 * loading.step:.0f} ms, {loading.ratio:.0f} times as long\n"
        f"peak memory with {few} videos {memory['few']:.0f} MB, with {many:,}"
        f" {memory['many']:.0f} MB"
    )


def cdn_table(rows: list[cdn.Row]) -> Table:
    """Times of a network and its peer."""
    table = Table(title="Medians of alternated runs; ratio = ours / PyTorch")
    for name in ("benchmark", "case"):
        table.add_column(name)
    for name in ("ours, s", "PyTorch, s", "ratio", "our compiling, s"):
        table.add_column(name, justify="right")
    for row in rows:
        numbers = [row.ours, row.peer, row.ratio, row.compile]
        table.add_row(row.benchmark, row.case, *(f"{n:.2f}" for n in numbers))
    return table


def filter_table(rows: list[eulernet.FilterTime]) -> Table:
    """Times of both methods of the filter by length."""
    table = Table(title="The filter of EulerNet: medians of alternated runs")
    for name in ("frames", "scan, ms", "associative scan, ms", "auto"):
        table.add_column(name)
    for row in rows:
        seconds = (f"{1e3 * s:.2f}" for s in (row.scan, row.associative_scan))
        table.add_row(str(row.frames), *seconds, row.chosen)
    return table


def search_table(rows: list[of_search.Row]) -> Table:
    """Time, memory and compile time of steps of DARTS on both sides."""
    table = Table(title="One step of DARTS")
    titles = ("supernet", "order", "ours, s", "PyTorch, s", "time", "ours, MB")
    for name in (*titles, "PyTorch, MB", "memory", "compile, s", "cached, s"):
        table.add_column(name)
    for row in rows:
        table.add_row(
            row.case,
            row.order,
            f"{row.ours_seconds:.2f}",
            f"{row.peer_seconds:.2f}",
            f"{row.ratios['time']:.2f}",
            f"{row.ours_bytes / 1e6:.0f}",
            f"{row.peer_bytes / 1e6:.0f}",
            f"{row.ratios['memory']:.2f}",
            f"{row.compile:.0f}",
            f"{row.cached:.1f}",
        )
    return table


def metagrad_table(rows: list[metagrad.Row]) -> Table:
    """Time and memory of exact steps and their peers."""
    table = Table(title="An exact step: ours, PyTorch, ours over PyTorch")
    table.add_column("step")
    table.add_column("peer")
    for name in ("s", "s", "ratio", "MB", "MB", "ratio", "XLA MB", "compile s"):
        table.add_column(name, justify="right")
    for row in rows:
        seconds = [row.ours_seconds, row.peer_seconds, row.ratios["time"]]
        megabytes = [f"{x / 1e6:.0f}" for x in (row.ours_bytes, row.peer_bytes)]
        table.add_row(
            f"{row.benchmark}, {row.case}",
            row.peer,
            *(f"{n:.2f}" for n in seconds),
            *megabytes,
            f"{row.ratios['memory']:.2f}",
            f"{row.program_bytes / 1e6:.0f}",
            f"{row.compile:.0f}",
        )
    return table


def gallery_table(rows: list[gallery.Row]) -> Table:
    """Numbers, time, memory and compile time of the gallery and its peers."""
    table = Table(title="The gallery: ours, peer, ours over peer")
    table.add_column("problem")
    table.add_column("peer")
    names = ("ms", "ms", "time", "MB", "MB", "memory", "compile s", "s", "difference")
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.case,
            row.peer,
            *(f"{1e3 * x:.1f}" for x in (row.ours_seconds, row.peer_seconds)),
            f"{row.ratios['time']:.2f}",
            *(f"{x / 1e6:.2f}" for x in (row.ours_bytes, row.peer_bytes)),
            f"{row.ratios['memory']:.2f}",
            f"{row.ours_compile:.1f}",
            f"{row.peer_compile:.1f}",
            f"{row.difference:.0e}",
        )
    return table


def steps_table(memory: dict[str, list[int]]) -> Table:
    """Memory of a problem of the gallery against its inner steps, by library."""
    table = Table(title="Memory against inner steps, MB")
    table.add_column("penalties")
    for count in gallery.COUNTS:
        table.add_column(f"k = {count}", justify="right")
    for style, row in memory.items():
        table.add_row(style, *(f"{size / 1e6:.2f}" for size in row))
    return table
