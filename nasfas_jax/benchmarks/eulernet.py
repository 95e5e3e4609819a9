"""EulerNet compared with PyTorch, and both ways of computing its filter.

Both sides of a comparison are first checked to compute the same and then timed in turn.
"""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from nasfas_jax import nets, ops
from nasfas_jax.benchmarks import timing
from nasfas_jax.benchmarks.cdn import Row
from nasfas_jax.compilation import run_once
from nasfas_jax.methods.ranger import ranger
from nasfas_jax.methods.supervised import Supervised
from nasfas_jax.timing import medians

FRAMES = 4
RATE = 1e-4


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes of a comparison.

    Attributes:
      size: side of the images, pixels.
      batch: clips of `FRAMES` frames.
      width: multiplier of the channels.
      units: units at each resolution and after the pyramid.
    """

    size: int
    batch: int
    width: float
    units: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.size} x {self.size}, width {self.width:g}, {self.batch} clips"


#: The default network on the paper's images, and that of the config ``eulernet:local``.
CASES = (Case(256, 1, 1.0, (4, 3, 3, 1, 2)), Case(64, 8, 0.25, (1,) * 5))
#: Lengths of sequences for the filter, frames.
LENGTHS = (4, 32, 256)


def rows(case: Case, repeats: int = 7) -> Iterator[Row]:
    """Times the forward pass in evaluation mode, and a training step with Ranger.

    The filters are the paper's free ones on both sides.

    Args:
      case: sizes.
      repeats: number of timed runs of each side.

    Raises:
      InputError: PyTorch is not installed.
      AssertionError: the two sides disagree.
    """
    timing.require_torch()
    import torch  # pyright: ignore[reportMissingImports]

    from nasfas_jax.benchmarks.peers import eulernet as peers

    net = nets.EulerNet(filters="free", width=case.width, units=case.units)
    random = np.random.default_rng(0)
    shape = (case.batch, FRAMES, case.size, case.size, 3)
    pixels = random.uniform(-1, 1, shape).astype(np.float32)
    targets = random.random((case.batch, net.map_size, net.map_size), np.float32)
    batch = {"image": jnp.asarray(pixels), "target": jnp.asarray(targets)}
    method = Supervised(net, ranger(RATE))
    state = run_once(method.init, jax.random.key(0), batch["image"])
    stem, channels, head = (
        int(n * case.width) for n in (net.stem, net.channels, net.head)
    )
    peer = peers.TorchEulerNet(stem, channels, head, case.units, FRAMES, net.map_size)
    peer.load(state.params)
    clips, wanted = peers.clips(pixels), torch.from_numpy(targets)

    arguments = state.params, state.batch_stats, batch["image"]
    forward = timing.compiled(method.predict, *arguments)
    what = f"EulerNet at {case}"
    timing.check(what, forward(*arguments), peer.predict(clips), 1e-4)
    calls = [lambda: forward(*arguments), lambda: peer.predict(clips)]
    ours, theirs = medians(calls, repeats)
    yield Row("EulerNet forward", str(case), ours, theirs, forward.seconds)

    step = timing.compiled(method.step, state, batch)
    optimizer = peers.Ranger(list(peer.parameters()), RATE)
    _, metrics = step(state, batch)
    loss = peer.step(optimizer, clips, wanted)
    timing.check(f"loss of {what}", metrics["loss"], np.array(loss), 1e-4)
    calls = [lambda: step(state, batch), lambda: peer.step(optimizer, clips, wanted)]
    ours, theirs = medians(calls, repeats)
    yield Row("EulerNet training step", str(case), ours, theirs, step.seconds)


@dataclasses.dataclass(frozen=True)
class FilterTime:
    """Median seconds of the filter over a sequence, by both methods.

    Attributes:
      frames: length of the sequence.
      scan: seconds of ``method='scan'``.
      associative_scan: seconds of ``method='associative_scan'``.
      chosen: method that 'auto' takes on this device.
    """

    frames: int
    scan: float
    associative_scan: float
    chosen: str


def filter_times(
    repeats: int = 7, lengths: tuple[int, ...] = LENGTHS, size: int = 32
) -> Iterator[FilterTime]:
    """Times the filter on 8 sequences of one-channel maps.

    Args:
      repeats: number of timed runs of each method.
      lengths: numbers of frames.
      size: side of the maps, pixels.

    Raises:
      AssertionError: the methods disagree.
    """
    b, a = jnp.array([0.5, -0.3, 0.8]), jnp.array([-0.9, 0.6])
    for frames in lengths:
        shape = (8, frames, size, size, 1)
        x = jax.random.normal(jax.random.key(0), shape)
        programs = {
            method: timing.compiled(
                lambda x, b, a, m=method: ops.biquad(x, b, a, method=m), x, b, a
            )
            for method in ("scan", "associative_scan")
        }
        first, second = (np.asarray(one(x, b, a)) for one in programs.values())
        timing.check(f"filter over {frames} frames", first, second, 1e-4)
        calls = [functools.partial(program, x, b, a) for program in programs.values()]
        scan, associative = medians(calls, repeats)
        yield FilterTime(frames, scan, associative, ops.filter_method(frames))
