"""Exact meta-gradient steps compared with PyTorch's.

The steps of RFMeta and Meta-NAS are compared with peers in the styles that PyTorch users
write (`peers.metagrad.STYLES`). Both sides start from the same parameters and use the
same episode. Loss and gradients are compared first; then both sides are timed in turn,
and each takes one step in a new process, which measures the growth of its memory.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import optax

from nasfas_jax.benchmarks import cases, memory, timing
from nasfas_jax.compilation import run_once
from nasfas_jax.methods import feature_nets, meta_nas, rfmeta
from nasfas_jax.methods.state import adam
from nasfas_jax.nets.rfmeta import DepthEstimator, FeatureExtractor, MetaLearner
from nasfas_jax.search import fas
from nasfas_jax.timing import medians

#: Allowed relative differences of the loss, and of the gradient with respect to all
#: weights, or all alphas, as one vector. In float32 the two sides sum in different
#: orders, and rounding moves pixels across the kinks of ReLU and maximum. In float64
#: they agree to 1e-9 (tests/test_bench_metagrad.py).
TOLERANCES = (1e-4, 0.05)
#: The same where a GPU rounds the operands of products to TensorFloat-32, 11 bits.
ROUNDED = (1e-2, 0.5)
LOCAL_SPACE = fas.FASSpace(stem_channels=4, channels=8, head_channels=8)


@dataclasses.dataclass(frozen=True)
class RFMetaCase:
    """RFMeta on three domains, RGB and HSV; face size and rates of configs/rfmeta.py."""

    size: int = 32
    width: float = 1 / 16
    batch: int = 10  # per domain
    inner_rate: float = 1e-3
    depth_weight: float = 10.0

    name = "RFMeta"
    channels = 6
    styles = ("functional", "higher")

    @property
    def title(self) -> str:
        """Sizes in words."""
        return f"{self.size} px, width {self.width:g}, 3 x {self.batch}"

    def method(self) -> rfmeta.RFMeta:
        """The method in JAX."""
        width = self.width
        nets = feature_nets.FeatureNets(
            FeatureExtractor(width),
            MetaLearner(width),
            DepthEstimator(width),
            depth_weight=self.depth_weight,
        )
        return rfmeta.RFMeta(nets, optax.adam(1e-3), self.inner_rate)

    def peer(self, style: str) -> Any:
        """The method in PyTorch, in a style of `peers.metagrad.STYLES`."""
        from nasfas_jax.benchmarks.peers import metagrad as peers

        return peers.RFMeta(style, self.width, self.inner_rate, self.depth_weight)

    def start(self, state: Any) -> Any:
        """The part of our state that the peer loads."""
        return state.params

    def moments(self, state: Any) -> Any:
        """Adam's first moments in our state, a tree with the structure of `start`."""
        return optax.tree.get(state.opt_state, "mu")


@dataclasses.dataclass(frozen=True)
class MetaNASCase:
    """Meta-NAS as in configs/synthetic.py:local, with faces of twice the size, CD-CDP-Att."""

    size: int = 64
    batch: int = 4  # per domain
    space: fas.FASSpace = LOCAL_SPACE
    inner_rate: float = 0.01
    learning_rate: float = 2e-3
    weight_decay: float = 5e-5
    eps_root: float = 1e-8
    alpha_learning_rate: float = 0.1
    alpha_weight_decay: float = 0.0

    name = "Meta-NAS"
    channels = 3
    styles = ("functional", "higher")

    @property
    def title(self) -> str:
        """Sizes in words."""
        return f"{self.size} px, {self.space.channels} channels, 3 x {self.batch}"

    def method(self) -> meta_nas.MetaNAS:
        """The method in JAX."""
        return meta_nas.MetaNAS(
            self.space.supernet(),
            optax.sgd(self.inner_rate),
            adam(
                self.learning_rate,
                weight_decay=self.weight_decay,
                eps_root=self.eps_root,
            ),
            adam(
                self.alpha_learning_rate, weight_decay=self.alpha_weight_decay, b1=0.5
            ),
        )

    def peer(self, style: str) -> Any:
        """The method in PyTorch, in a style of `peers.metagrad.STYLES`."""
        from nasfas_jax.benchmarks.peers import metagrad as peers

        numbers = {k: v for k, v in vars(self).items() if isinstance(v, float)}
        return peers.MetaNAS(style, self.space, numbers)

    def start(self, state: Any) -> Any:
        """The part of our state that the peer loads."""
        return state.params, state.alphas

    def moments(self, state: Any) -> Any:
        """Adam's first moments in our state, a tree with the structure of `start`."""
        states = state.opt_state, state.alpha_opt_state
        return tuple(optax.tree.get(opt_state, "mu") for opt_state in states)


ComparedCase = RFMetaCase | MetaNASCase
CASES: tuple[ComparedCase, ...] = (
    RFMetaCase(),
    RFMetaCase(size=64, width=1 / 4, batch=20),
    MetaNASCase(),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """Median seconds a step, bytes, and seconds to compile our step without cache.

    ``ours_bytes`` and ``peer_bytes`` are those of `memory.of_step`, without parameters and
    episode; ``program_bytes`` is the memory of our program for arguments, intermediate
    values and results, as planned by XLA.
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
        """Our time and memory divided by the peer's; below 1 is better."""
        return {
            "time": self.ours_seconds / self.peer_seconds,
            "memory": self.ours_bytes / self.peer_bytes,
        }


def draw_episode(case: ComparedCase) -> dict:
    """Noise in the shape of an episode of a case, float32."""
    return cases.noise_episode(
        case.batch, image_size=case.size, map_size=32, channels=case.channels
    )


@functools.cache
def our_step(case: ComparedCase) -> tuple[Any, dict, timing.Compiled]:
    """State, episode and compiled step of a case."""
    method, episode = case.method(), draw_episode(case)
    state = run_once(method.init, jax.random.key(0), episode["query"]["image"][:1])
    state, episode = jax.device_put((jax.device_get(state), episode))
    return state, episode, timing.compiled(method.step, state, episode)


def compare(
    case: ComparedCase,
    style: str,
    peer: Any,
    new: Any,
    losses: tuple,
    tolerances: tuple,
) -> None:
    """Checks that one step has the same loss and gradients on both sides.

    After one step, Adam's first moments are a multiple of the gradients.

    Args:
      case: computed step.
      style: style of the peer.
      peer: the peer after its first step.
      new: our state after the same step.
      losses: losses of the step, ours and the peer's.
      tolerances: relative tolerances of the loss and of each group of gradients.

    Raises:
      AssertionError: the two sides disagree.
    """
    what = f"{case.name} at {case.title}, {style}"
    timing.check(f"loss of {what}", losses[0], np.asarray(losses[1]), tolerances[0])
    ours, theirs = peer.expected(case.moments(new)), peer.moments()
    for alphas in (False, True):
        names = [k for k in theirs if k.startswith("alphas") == alphas]
        if names:
            a, b = (
                np.concatenate([x[k].ravel() for k in names]) for x in (ours, theirs)
            )
            group = "alphas" if alphas else "weights"
            timing.check(f"gradient by the {group} of {what}", a, b, tolerances[1])


def rows(case: ComparedCase, repeats: int = 7) -> Iterator[Row]:
    """Compares a case with a peer of each style.

    Args:
      case: step to measure.
      repeats: number of timed steps of each side, of which the median is taken.

    Raises:
      InputError: PyTorch is not installed, or memory cannot be measured on this system.
      AssertionError: the two sides disagree.
    """
    timing.require_torch()
    from nasfas_jax.benchmarks.peers import metagrad as peers

    state, episode, step = our_step(case)
    tolerances = TOLERANCES if timing.full_precision() else ROUNDED
    ours_bytes = memory.of_step(functools.partial(grow, case, "ours"), step)
    for style in case.styles:
        peer = case.peer(style)
        peer.load(jax.device_get(case.start(state)))
        tensors = peers.tensors(jax.device_get(episode))
        new, metrics = step(state, episode)
        losses = metrics["loss"], peer.step(tensors)
        compare(case, style, peer, new, losses, tolerances)
        calls = [
            functools.partial(step, state, episode),
            functools.partial(peer.step, tensors),
        ]
        ours_seconds, peer_seconds = medians(calls, repeats)
        yield Row(
            case.name,
            case.title,
            style,
            ours_seconds,
            peer_seconds,
            ours_bytes,
            memory.of_step(functools.partial(grow, case, style)),
            step.peak_bytes,
            step.seconds,
        )


def grow(case: ComparedCase, side: str) -> int:
    """`memory.growth` of a step of 'ours' or of a peer's style."""
    if side == "ours":
        state, episode, step = our_step(case)
        return memory.growth(lambda: step(state, episode))
    from nasfas_jax.benchmarks.peers import metagrad as peers

    peer, tensors = case.peer(side), peers.tensors(draw_episode(case))
    return memory.growth(lambda: peer.step(tensors))
