"""``nasfas bench metagrad``: exact meta-gradient steps beside PyTorch's, in one run.

RFMeta's step and Meta-NAS's, each against two peers written as users write them
(`peers_metagrad.STYLES`). Both sides start from the same parameters and see the same
episode; loss and gradient are compared first. Then they are timed by turns, and each
takes one step in a fresh process, which says how far its memory rose.
"""

import ctypes
import dataclasses
import functools
import gc
import multiprocessing
import os
import pathlib
import re
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import jax
import numpy as np
import optax
import rich
from rich.console import Console
from rich.table import Table

from nasfas_jax.commands.timing import by_turns, check, machine, require_torch
from nasfas_jax.errors import InputError
from nasfas_jax.files import write_json
from nasfas_jax.methods import instrument, meta_nas, optimizers, rfmeta
from nasfas_jax.nets.rfmeta import DepthEstimator, FeatureExtractor, MetaLearner
from nasfas_jax.search import spaces, supernet

#: Relative differences that are allowed of the loss, and of all gradients by weights, or
#: by alphas, as one vector: in float32 the two sides sum in other orders, and rounding
#: moves pixels over the kinks of ReLU and maximum. In float64 they agree to 1e-9
#: (tests/test_bench_metagrad.py).
TOLERANCES = (1e-4, 0.05)
LOCAL_SPACE = spaces.FASSpace(stem_channels=4, channels=8, head_channels=8)


@dataclasses.dataclass(frozen=True)
class RFMetaCase:
    """RFMeta of three domains, RGB and HSV; face size and rates of configs/rfmeta.py."""

    size: int = 32
    width: float = 1 / 16
    batch: int = 10  # of each domain
    inner_rate: float = 1e-3
    depth_weight: float = 10.0

    name = "RFMeta"
    channels = 6
    styles = ("functional", "higher")

    @property
    def title(self) -> str:
        """The sizes in words."""
        return f"{self.size} px, width {self.width:g}, 3 x {self.batch}"

    def method(self) -> rfmeta.RFMeta:
        """Ours."""
        width = self.width
        nets = rfmeta.FeatureNets(
            FeatureExtractor(width),
            MetaLearner(width),
            DepthEstimator(width),
            depth_weight=self.depth_weight,
        )
        return rfmeta.RFMeta(nets, optax.adam(1e-3), self.inner_rate)

    def peer(self, style: str) -> Any:
        """PyTorch's."""
        from nasfas_jax.commands import peers_metagrad

        return peers_metagrad.RFMeta(
            style, self.width, self.inner_rate, self.depth_weight
        )

    def start(self, state: Any) -> Any:
        """What the peer takes of our state."""
        return state.params

    def moments(self, state: Any) -> Any:
        """Adam's first moments in our state, a tree like `start`."""
        return optax.tree.get(state.opt_state, "mu")


@dataclasses.dataclass(frozen=True)
class MetaNASCase:
    """Meta-NAS of three domains; sizes of configs/synthetic.py:local, trial CD-CDP-Att."""

    size: int = 64
    batch: int = 4  # of each domain
    space: spaces.FASSpace = LOCAL_SPACE
    inner_rate: float = 0.01
    learning_rate: float = 2e-3
    weight_decay: float = 5e-5
    eps_root: float = 1e-8
    alpha_learning_rate: float = 0.02
    alpha_weight_decay: float = 1e-3

    name = "Meta-NAS"
    channels = 3
    styles = ("functional", "higher", "fused BatchNorm")

    @property
    def title(self) -> str:
        """The sizes in words."""
        return f"{self.size} px, {self.space.channels} channels, 3 x {self.batch}"

    def method(self) -> meta_nas.MetaNAS:
        """Ours."""
        return meta_nas.MetaNAS(
            supernet.Supernet(self.space),
            optax.sgd(self.inner_rate),
            optimizers.adam(
                self.learning_rate,
                weight_decay=self.weight_decay,
                eps_root=self.eps_root,
            ),
            optimizers.adam(
                self.alpha_learning_rate, weight_decay=self.alpha_weight_decay, b1=0.5
            ),
        )

    def peer(self, style: str) -> Any:
        """PyTorch's."""
        from nasfas_jax.commands import peers_metagrad

        numbers = {k: v for k, v in vars(self).items() if isinstance(v, float)}
        return peers_metagrad.MetaNAS(style, self.space, numbers)

    def start(self, state: Any) -> Any:
        """What the peer takes of our state."""
        return state.params, state.alphas

    def moments(self, state: Any) -> Any:
        """Adam's first moments in our state, a tree like `start`."""
        both = state.opt_state, state.alpha_opt_state
        return tuple(optax.tree.get(one, "mu") for one in both)


Case = RFMetaCase | MetaNASCase
CASES: tuple[Case, ...] = (
    RFMetaCase(),
    RFMetaCase(size=64, width=1 / 4, batch=20),
    MetaNASCase(),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: seconds a step (medians), bytes, compile seconds.

    Memory is how far a step raised the resident memory of a fresh process (what it
    holds before and after, parameters and episode, apart); ``program`` is what XLA
    says that ours needs: temporaries, arguments and results.
    """

    benchmark: str
    case: str
    peer: str
    ours_seconds: float
    peer_seconds: float
    ours_bytes: int
    peer_bytes: int
    program_bytes: int
    compile: float

    @property
    def ratios(self) -> dict[str, float]:
        """Ours over the peer's, of time and of memory: below 1 is better."""
        return {
            "time": self.ours_seconds / self.peer_seconds,
            "memory": self.ours_bytes / self.peer_bytes,
        }


def draw_episode(case: Case) -> dict:
    """Noise in the shape of an episode of three domains, float32."""
    random = np.random.default_rng(0)

    def draw(*shape: int) -> dict:
        image = random.random((*shape, case.size, case.size, case.channels), np.float32)
        label = np.broadcast_to(np.arange(case.batch) % 2, shape).copy()
        target = random.random((*shape, 32, 32), np.float32)
        if isinstance(case, MetaNASCase):
            return {"image": image, "target": target}
        return {"image": image, "target": target, "label": label}

    return {"support": draw(2, case.batch), "query": draw(case.batch)}


@functools.cache
def our_step(case: Case) -> tuple[Any, dict, Any, float]:
    """State, episode, the compiled step, and the seconds to compile it cold."""
    method, episode = case.method(), draw_episode(case)
    state = jax.jit(method.init)(jax.random.key(0), episode["query"]["image"][:1])
    state, episode = jax.device_put((jax.device_get(state), episode))
    return state, episode, *instrument.compile_cold(method.step, state, episode)


def compare(
    case: Case, style: str, peer: Any, new: Any, losses: tuple, tolerances: tuple
) -> None:
    """Raises unless one step of both sides had the same loss and gradients.

    After one step Adam's first moments are the gradients times a number. With fused
    BatchNorm PyTorch's alpha-gradients are wrong, and are not compared.

    Args:
      case: what was computed.
      style: of the peer.
      peer: after its first step.
      new: our state after the same step.
      losses: of the step, ours and the peer's.
      tolerances: relative, of the loss and of each group of gradients.
    """
    what = f"{case.name} at {case.title}, {style}"
    check(f"loss of {what}", losses[0], np.asarray(losses[1]), tolerances[0])
    ours, theirs = peer.expected(case.moments(new)), peer.moments()
    for alphas in (False, True):
        names = [k for k in theirs if k.startswith("alphas") == alphas]
        if names and not (alphas and style == "fused BatchNorm"):
            a, b = (
                np.concatenate([x[k].ravel() for k in names]) for x in (ours, theirs)
            )
            group = "alphas" if alphas else "weights"
            check(f"gradient by the {group} of {what}", a, b, tolerances[1])


def rows(case: Case, repeats: int) -> Iterator[Row]:
    """Both peers of one case."""
    from nasfas_jax.commands import peers_metagrad

    state, episode, program, seconds = our_step(case)
    analysis: Any = program.memory_analysis()
    needed = (
        analysis.temp_size_in_bytes
        + analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
    )
    ours_bytes = fresh(case, "ours")
    for style in case.styles:
        peer = case.peer(style)
        peer.load(jax.device_get(case.start(state)))
        tensors = peers_metagrad.tensors(jax.device_get(episode))
        new, metrics = program(state, episode)
        losses = metrics["loss"], peer.step(tensors)
        compare(case, style, peer, new, losses, TOLERANCES)
        times = by_turns(
            lambda: jax.block_until_ready(program(state, episode)),
            lambda peer=peer, tensors=tensors: peer.step(tensors),
            repeats,
        )
        memory = ours_bytes, fresh(case, style)
        yield Row(case.name, case.title, style, *times, *memory, needed, seconds)


def fresh(case: Case, side: str) -> int:
    """`growth` of one step, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(grow, case, side).result()


def grow(case: Case, side: str) -> int:
    """Bytes by which a step of 'ours' or of a peer's style raises this process."""
    if side == "ours":
        state, episode, program, _ = our_step(case)
        return growth(lambda: jax.block_until_ready(program(state, episode)))
    from nasfas_jax.commands import peers_metagrad

    peer, tensors = case.peer(side), peers_metagrad.tensors(draw_episode(case))
    return growth(lambda: peer.step(tensors))


def growth(function: Callable[[], Any]) -> int:
    """Bytes by which the resident memory rises at most while ``function`` runs.

    It runs once before, for what is made once. Linux only: elsewhere the highest point
    cannot be set back.
    """
    # What the allocator held free would hide what the function takes: from 64 KB on
    # every block is now its own and goes back at once (-3 is M_MMAP_THRESHOLD).
    library = ctypes.CDLL(None)
    library.mallopt(-3, 2**16)
    function()
    gc.collect()
    library.malloc_trim(0)
    # Sets the high-water mark to what is resident now.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = _high_water()
    function()
    return _high_water() - before


def _high_water() -> int:
    """Bytes; getrusage has it too, but of a spawned process no less than its parent's."""
    status = pathlib.Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    if found is None:
        raise InputError(
            "bench metagrad measures memory by VmHWM in /proc/self/status, which this "
            "system does not have. Run it on Linux."
        )
    return 1024 * int(found[1])


def bench(
    cases: tuple[Case, ...] = CASES,
    *,
    repeats: int = 7,
    output: str | os.PathLike[str] | None = None,
) -> list[Row]:
    """Runs the cases, prints a table and writes the numbers as JSON.

    Args:
      cases: what to run.
      repeats: timed runs of each side.
      output: path of the JSON file; none is written without it.

    Raises:
      InputError: PyTorch is not installed.
    """
    require_torch()
    found = []
    for case in cases:
        for row in rows(case, repeats):
            rich.print(row)
            found.append(row)
    _print(found)
    if output is not None:
        entries = [dataclasses.asdict(row) | {"ratios": row.ratios} for row in found]
        result = {"machine": machine(), "repeats": repeats, "rows": entries}
        write_json(output, result)
    return found


def _print(found: list[Row]) -> None:
    table = Table(title="An exact step: ours, PyTorch, ours over PyTorch")
    table.add_column("step")
    table.add_column("peer")
    for name in ("s", "s", "ratio", "MB", "MB", "ratio", "XLA MB", "compile s"):
        table.add_column(name, justify="right")
    for row in found:
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
    Console(width=140).print(table)
