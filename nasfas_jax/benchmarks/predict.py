"""Latency of networks in three runtimes, of a folded export, and speed on a video.

All sides of a comparison are first checked to compute the same and then timed in turn, on
as many threads as the process may use cores.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nasfas_jax import nets, ops
from nasfas_jax.benchmarks import timing
from nasfas_jax.compilation import run_once
from nasfas_jax.data.loading.provenance import Provenance
from nasfas_jax.data.loading.views import View
from nasfas_jax.data.media import streams
from nasfas_jax.data.preparation import faces
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.ops import platform
from nasfas_jax.search import spaces
from nasfas_jax.timing import medians
from nasfas_jax.workflows.model import Model
from nasfas_jax.workflows.watch import Watcher

#: Networks and the side of their images in pixels; of a search space, an architecture
#: drawn at random.
SIZES = {"cdn": 256, "auto_fas": 108, "nas_fas": 256, "cdcn_pp": 256}
#: Weight of a batch in the averages of BatchNorm.
MOMENTUM = 0.1


@dataclasses.dataclass(frozen=True)
class Latency:
    """Median seconds of one image.

    Attributes:
      network: name of the network.
      size: side of the image.
      jax: seconds of the compiled JAX function.
      onnx: seconds of its export in ONNX Runtime.
      torch: seconds in PyTorch.
      peer: what PyTorch runs: 'two convolutions', published code's form of CDN, or 'graph',
        the nodes of the export.
    """

    network: str
    size: int
    jax: float
    onnx: float
    torch: float
    peer: str


@dataclasses.dataclass(frozen=True)
class Folding:
    """Median seconds of one image in ONNX Runtime.

    Attributes:
      size: side of the image.
      folded: seconds of CDN with one convolution a layer.
      apart: seconds with two convolutions a layer and BatchNorm after them.
    """

    size: int
    folded: float
    apart: float

    @property
    def ratio(self) -> float:
        """Folded over apart."""
        return self.folded / self.apart


@dataclasses.dataclass(frozen=True)
class Speed:
    """Time of `Model.watch` on a video.

    Attributes:
      case: network and detector.
      frames: number of frames.
      seconds: time of all frames.
      shares: share of decoding, detection, preparation and network in it.
    """

    case: str
    frames: int
    seconds: float
    shares: dict[str, float]

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.frames / self.seconds


def network(name: str, width: float = 1.0) -> Any:
    """A network of `SIZES`."""
    if name == "cdn":
        return nets.CDN(pool="max", width=width)
    if name in spaces.SPACES:
        return nets.SearchedNet(spaces.get(name).sample(0))
    return nets.from_description(nets.describe(name))


def latencies(
    repeats: int = 7, sizes: dict[str, int] | None = None, width: float = 1.0
) -> Iterator[Latency]:
    """Times one image in JAX, ONNX Runtime and PyTorch.

    Args:
      repeats: number of timed runs of each side.
      sizes: networks and sides of their images; `SIZES` if None.
      width: width of the CDN.

    Raises:
      InputError: PyTorch is not installed.
      AssertionError: the sides disagree.
    """
    timing.require_torch()
    import torch  # pyright: ignore[reportMissingImports]

    from nasfas_jax.benchmarks.peers.cdn import TorchCDN
    from nasfas_jax.benchmarks.peers.onnx import TorchGraph

    torch.set_num_threads(threads())
    for name, size in (sizes or SIZES).items():
        net = network(name, width)
        pixels, variables = _inputs(net, size)
        with platform.portable():
            exported = _export(net, variables, size)
        run = session(exported.model)
        graph = TorchGraph(exported.model)
        forward = timing.compiled(_applied(net), variables, pixels)
        calls: list[Callable[[], Any]] = [
            lambda f=forward, v=variables, x=pixels: f(v, x),
            lambda run=run, x=pixels: run(x),
            lambda graph=graph, x=pixels: graph(x),
        ]
        expected = np.asarray(calls[0]())
        peer = "graph"
        if name == "cdn" and width == 1:
            two = TorchCDN(map_size=net.map_size)
            two.load(variables["params"], variables["batch_stats"])
            images = two.images(pixels)
            calls[2] = lambda two=two, images=images: two.predict(images)
            peer = "two convolutions"
        for call in calls[1:]:
            timing.check(f"{name} at {size}", expected, call(), 1e-3)
        ours, onnx, theirs = medians(calls, repeats)
        yield Latency(name, size, ours, onnx, theirs, peer)


def folding(repeats: int = 7, size: int = 256, width: float = 1.0) -> Folding:
    """Times CDN in ONNX Runtime, folded and as published code computes it.

    Args:
      repeats: number of timed runs of each side.
      size: side of the image.
      width: width of the network.

    Raises:
      AssertionError: the sides disagree.
    """
    net = network("cdn", width)
    pixels, variables = _inputs(net, size)
    with platform.portable():
        folded = _export(net, variables, size)
        with mock.patch.object(ops, "cdc", two_convolutions):
            apart = _export(net, variables, size, fold=False)
    assert apart.convolutions == 2 * folded.convolutions, apart.convolutions
    runs = [session(one.model) for one in (folded, apart)]
    first, second = (run(pixels) for run in runs)
    timing.check(f"folded CDN at {size}", first, second, 1e-3)
    calls = [lambda run=run: run(pixels) for run in runs]
    one, two = medians(calls, repeats)
    return Folding(size, one, two)


def two_convolutions(x: Array, kernel: Array, theta: Any = 0.7, **_: Any) -> Array:
    """`ops.cdc` as published code computes it: two convolutions and a difference."""
    total = kernel.sum((0, 1), keepdims=True)
    return ops.convolve(x, kernel) - theta * ops.convolve(x, total)


def speed(source: streams.Source, detector: faces.Detector, *, every: int = 5) -> Speed:
    """Times the single-frame CDN, width 1/4 at 64 x 64 pixels, on a video.

    Args:
      source: the video.
      detector: face detector.
      every: frames from one detection to the next.

    Raises:
      InputError: as `Model.watch`, or no frame.
    """
    model = single_frame_model()
    watcher = Watcher(model, detector=detector, every=every)
    decoding, count = 0.0, 0
    frames = streams.frames(source)
    start = mark = time.perf_counter()
    for image, second in frames:
        decoding += time.perf_counter() - mark
        watcher.step(image, second)
        count += 1
        mark = time.perf_counter()
    if not count:
        raise InputError("expected a video, got no frame.", field="source")
    total = time.perf_counter() - start
    spent = {"decoding": decoding, **watcher.seconds}
    shares = {name: seconds / total for name, seconds in spent.items()}
    case = f"{model.name} at 64 x 64, {detector.name} every {every} frames"
    return Speed(case, count, total, shares)


def single_frame_model() -> Model:
    """An untrained CDN of width 1/4 that reads one frame of 64 x 64 pixels."""
    view, recipe = View(input="static"), Recipe()
    net = nets.describe("cdn", width=0.25, map_size=view.map_size)
    _, variables = _inputs(nets.from_description(net), recipe.image_size)
    learned = Provenance("none", dataclasses.asdict(recipe), "", "", [], [], 0)
    return Model(
        {"network": "cdn", **net},
        variables["params"],
        variables["batch_stats"],
        recipe,
        view,
        learned,
        settings={},
        steps=1,
    )


def threads() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def session(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Function that runs an ONNX model in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    found = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda x: np.asarray(found.run(["map"], {"input": x})[0])


def _applied(net: Any) -> Callable[[Any, Array], Any]:
    return lambda variables, x: net.apply(variables, x, train=False)


def _inputs(net: Any, size: int) -> tuple[np.ndarray, Any]:
    """One image of noise, and initial variables with BatchNorm's averages of it.

    With the initial averages, deep networks saturate, and any two of them agree.
    """
    random = np.random.default_rng(0)
    pixels = random.uniform(-1, 1, (1, size, size, 3)).astype(np.float32)

    def start(x: Array) -> Any:
        variables = net.init(jax.random.key(0), x, train=False)
        _, moved = net.apply(variables, x, train=True, mutable=["batch_stats"])
        before, after = variables["batch_stats"], moved["batch_stats"]
        stats = jax.tree.map(lambda a, b: a + (b - a) / MOMENTUM, before, after)
        return {"params": variables["params"], "batch_stats": stats}

    return pixels, jax.device_get(run_once(start, jnp.asarray(pixels)))


def _export(net: Any, variables: Any, size: int, fold: bool = True) -> Any:
    from nasfas_jax.export import onnx_program

    apply = _applied(net)
    return onnx_program.from_function(
        lambda x: (apply(variables, x),), (size, size, 3), ("map",), fold=fold
    )
