"""Trained models as programs for other runtimes, and how close these come."""

import dataclasses
import html
import importlib
import importlib.util
import json
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nasfas_jax import files, limits, nets, tables
from nasfas_jax.data.preparation import faces
from nasfas_jax.errors import InputError
from nasfas_jax.ops import platform
from nasfas_jax.workflows import in_graph, predict, registry

if TYPE_CHECKING:
    from nasfas_jax.workflows.model import Model

#: Formats, and the packages that write and read them, all of the extra ``export``.
FORMATS = {"onnx": ("onnx", "onnxruntime"), "stablehlo": ("flatbuffers",)}
#: Number of runs whose median is the latency of a clip.
REPEATS = 20
#: Number of clips of a file that are compared.
CLIPS = 8

#: Function from face crops, uint8 [n, K, S, S, 3], to scores [n] and maps [n, h, w].
Runner = Callable[[np.ndarray], Sequence[np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Exported:
    """A model as a program whose preparation of face crops is part of it.

    Its input ``frames`` is uint8 [n, K, S, S, 3]: RGB face crops, the current frame last,
    for any n. Its outputs are ``score`` [n], higher for live, and ``map`` [n, h, w].

    Attributes:
      file: the program.
      format: a key of `FORMATS`.
      properties: what its use needs: K and S as ``frames`` and ``image_size``, ``interval``
        and ``margin`` of the recipe, the ``threshold`` (None if the model was not
        evaluated), name and versions.
      run: the program on this machine.
    """

    file: pathlib.Path
    format: str
    properties: dict[str, Any]
    run: Runner

    def __repr__(self) -> str:
        size = self.file.stat().st_size
        return f"<Exported {self.file.name}: {self.properties['name']}, {size:,} bytes>"


def export(
    model: "Model", file: str | os.PathLike, *, format: str = "onnx"
) -> Exported:
    """Writes a model as a program that needs no nasfas_jax.

    The face is found and cropped before it (`faces.square`, `faces.crop`); everything
    after, from rank pooling to the score, is in the program. Central differences are folded
    into the kernels, and in ONNX BatchNorm, too: exact, up to rounding.

    Args:
      model: a trained network.
      file: the file that is written; for 'stablehlo', the properties are written beside
        it, as ``<file>.json``.
      format: 'onnx' (operator set 18), or 'stablehlo' (by `jax.export`, for CPU, CUDA and
        TPU in one file).

    Raises:
      InputError: an unknown format, hand-crafted features, a missing package, or a file
        that cannot be written.
    """
    limits.require(file=(file, limits.PATH), format=(format, limits.OneOf(FORMATS)))
    if "features" in model.network:
        raise InputError(
            f"expected a network, got the hand-crafted features {model.name!r}, which are"
            " no JAX program.",
            field="model",
        )
    _require_packages(format)
    file = pathlib.Path(file)
    count = in_graph.frames_read(model.recipe, model.view)
    shape = (count, model.recipe.image_size, model.recipe.image_size, 3)
    properties = _properties(model, count)
    with platform.portable():
        if format == "onnx":
            from nasfas_jax.export import onnx_program

            found = onnx_program.from_function(
                _function(model), shape, ("score", "map"), dtype=np.uint8,
                properties={k: json.dumps(v) for k, v in properties.items()},
            )  # fmt: skip
            content = found.model.SerializeToString()
        else:
            from nasfas_jax.export import stablehlo

            content = stablehlo.from_function(_function(model), shape, np.uint8)
    with files.whole(file) as part:
        part.write_bytes(content)
    if format == "stablehlo":
        files.write_json(_beside(file), properties)
    return open_exported(file, format=format)


def open_exported(file: str | os.PathLike, *, format: str | None = None) -> Exported:
    """A program that `export` wrote.

    Args:
      file: the program.
      format: a key of `FORMATS`; by the file's suffix if None.

    Raises:
      InputError: no such file, an unknown format, a missing package, or another program.
    """
    limits.require(file=(file, limits.PATH))
    file = pathlib.Path(file)
    format = format or file.suffix.removeprefix(".")
    limits.require(format=(format, limits.OneOf(FORMATS)))
    if not file.is_file():
        raise InputError(f"There is no exported program {file}.")
    _require_packages(format)
    if format == "onnx":
        return Exported(file, format, *_open_onnx(file))
    from nasfas_jax.export import stablehlo

    properties = json.loads(_beside(file).read_text())
    run = stablehlo.run(file.read_bytes())
    return Exported(file, format, properties, lambda x: list(map(np.asarray, run(x))))


def _open_onnx(file: pathlib.Path) -> tuple[dict[str, Any], Runner]:
    import onnx
    import onnxruntime
    from google.protobuf.message import DecodeError

    content = file.read_bytes()
    try:
        found = {p.key: p.value for p in onnx.load_from_string(content).metadata_props}
    except DecodeError as error:
        raise InputError(f"{file} is no ONNX model: {error}.") from None
    if "name" not in found:
        raise InputError(f"{file} is no model that nasfas_jax exported.")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(frames: np.ndarray) -> list[np.ndarray]:
        results = session.run(["score", "map"], {"frames": frames})
        return [np.asarray(result) for result in results]

    return {name: json.loads(text) for name, text in found.items()}, run


def _beside(file: pathlib.Path) -> pathlib.Path:
    return file.with_name(f"{file.name}.json")


def _require_packages(format: str) -> None:
    missing = [n for n in FORMATS[format] if importlib.util.find_spec(n) is None]
    if missing:
        raise InputError(
            f"expected the packages of the extra 'export' for {format!r}, found no"
            f" {', '.join(missing)}: pip install 'nasfas_jax[export]'.",
            field="format",
        )


def _properties(model: "Model", count: int) -> dict[str, Any]:
    recipe = model.recipe
    return {
        "name": model.name,
        "frames": count,
        "image_size": recipe.image_size,
        "interval": recipe.interval,
        "margin": recipe.margin,
        "align": recipe.align,
        "detector": recipe.detector,
        "threshold": None if model.threshold is None else model.threshold.value,
        "versions": model.versions,
    }


def _function(model: "Model") -> Callable[..., Any]:
    """Scores and maps of face crops, uint8 [n, K, S, S, 3]."""
    method = registry.make_method(model.network, optax.identity())

    def function(frames: jax.Array) -> tuple[jax.Array, jax.Array]:
        inputs = in_graph.network_input(frames, model.recipe, model.view)
        maps = method.predict(model.params, model.batch_stats, inputs)
        return jnp.asarray(nets.score(maps)), maps

    return function


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Parity:
    """A program beside the model that it was made of, on the same clips.

    Attributes:
      exported: the program.
      clips: number of clips.
      score: largest difference of the scores.
      map: largest difference of the maps.
      changed: number of clips whose decision at the threshold is another one; None without
        a threshold.
      seconds: median time of one clip in the program.
      model_seconds: median time of one clip in the model: its preparation with NumPy, and
        its network with JAX.
    """

    exported: Exported
    clips: int
    score: float
    map: float
    changed: int | None
    seconds: float
    model_seconds: float

    def table(self) -> list[list[str]]:
        """Rows of the report, the header first."""
        changed = "no threshold" if self.changed is None else str(self.changed)
        return [
            ["of the program", self.exported.file.name],
            ["clips", str(self.clips)],
            ["largest difference of scores", f"{self.score:.2g}"],
            ["largest difference of maps", f"{self.map:.2g}"],
            ["changed decisions", changed],
            ["ms a clip", f"{1e3 * self.seconds:.2f}"],
            ["ms a clip in JAX", f"{1e3 * self.model_seconds:.2f}"],
        ]

    def __repr__(self) -> str:
        rows = ", ".join(f"{name}: {value}" for name, value in self.table()[1:])
        return f"<Parity {rows}>"

    def __str__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> str:
        name = html.escape(repr(self.exported)[1:-1])
        return f"<p>{name}</p>{tables.as_html(self.table())}"


def parity(
    model: "Model",
    exported: Exported,
    sources: Sequence[str | os.PathLike | np.ndarray],
    *,
    detector: faces.Detector | None = None,
) -> Parity:
    """Compares a program with its model on clips of files.

    Args:
      model: the model.
      exported: the program, of `export` or `open_exported`.
      sources: videos, pictures and folders of frames, or arrays of clips, as
        `Model.predict` takes them.
      detector: as of `Model.predict`.

    Raises:
      InputError: no source, or as `Model.predict`.
    """
    limits.require(exported=(exported, limits.Kind(Exported, "of model.export")))
    if not len(sources):
        raise InputError("expected one clip or more, got none.", field="sources")
    clips = np.concatenate([_clips(model, source, detector) for source in sources])
    inputs = model.preprocess(clips)
    maps = np.concatenate([model.maps(one[None]) for one in inputs])
    scores = np.asarray(nets.score(maps))
    frames = clips[:, -exported.properties["frames"] :]
    found = [exported.run(one[None]) for one in frames]
    own_scores, own_maps = (np.concatenate(parts) for parts in zip(*found, strict=True))
    threshold = None if model.threshold is None else model.threshold.value
    changed = None
    if threshold is not None:
        changed = int(((scores >= threshold) != (own_scores >= threshold)).sum())
    return Parity(
        exported,
        len(clips),
        float(np.abs(scores - own_scores).max()),
        float(np.abs(maps - own_maps).max()),
        changed,
        _median(lambda: exported.run(frames[:1])),
        _median(lambda: model.maps(model.preprocess(clips[:1]))),
    )


def _clips(model: "Model", source: Any, detector: faces.Detector | None) -> np.ndarray:
    """Face crops of a source, uint8 [n, K, S, S, 3]."""
    if isinstance(source, np.ndarray):
        return source.reshape(-1, *source.shape[-4:])
    found, _ = predict.sampled(
        source, model.recipe, detector or model.default_detector(), CLIPS
    )
    return np.stack([sample.frames for sample in found])


def _median(function: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))
